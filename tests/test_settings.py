"""Settings: which file counts, what may stand in it, and what the command line changes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perm_cli.errors import SettingsError
from perm_cli.judges.configuration import Configuration, judge_settings, load_configuration
from perm_cli.judges.routes import detour_of, named_judge
from perm_cli.judges.settings import JudgeSettings, Price, read_key

WHOLE = """
judge = "mine"

[judges.mine]
model = "hosted_vllm/big"
base_url = "http://127.0.0.1:8000/v1"
api_key_env = "MY_KEY"
temperature = 0
max_tokens = 512
concurrency = 8
timeout_s = 30
structured = "json"
price = { input = 1.5, output = 2 }
params = { top_p = 0.9 }

[judges.other]
model = "openai/small"
"""
MINE = JudgeSettings(
    name="mine",
    model="hosted_vllm/big",
    base_url="http://127.0.0.1:8000/v1",
    api_key_env="MY_KEY",
    temperature=0.0,
    max_tokens=512,
    concurrency=8,
    timeout_s=30.0,
    structured="json",
    price=Price(input=1.5, output=2.0),
    params={"top_p": 0.9},
)


def saved(path: Path, text: str) -> Path:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def named(judge: str) -> str:
    """Return a settings file that names a judge."""
    return f'judge = "{judge}"\n'


def test_without_a_file_nothing_is_configured() -> None:
    """The program works from the command line alone."""
    assert load_configuration() == Configuration()


def test_perm_toml_names_judges(tmp_path: Path) -> None:
    """What a table leaves out keeps its usual value."""
    path = saved(tmp_path / "perm.toml", WHOLE)

    found = load_configuration()

    other = JudgeSettings(name="other", model="openai/small")
    assert found == Configuration(path=path, judge="mine", judges={"mine": MINE, "other": other})


def test_pyproject_toml_does_so_under_tool_perm(tmp_path: Path) -> None:
    """A project need not have one more file."""
    path = saved(tmp_path / "pyproject.toml", '[project]\nname = "x"\n[tool.perm]\n' + named("openai/small"))

    assert load_configuration() == Configuration(path=path, judge="openai/small")


def test_perm_toml_comes_before_pyproject_toml(tmp_path: Path) -> None:
    """The file that is for this program alone is the more particular one."""
    saved(tmp_path / "pyproject.toml", "[tool.perm]\n" + named("one"))
    saved(tmp_path / "perm.toml", named("two"))

    assert load_configuration().judge == "two"


def test_the_nearest_file_upwards_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts alone: settings of two files are not mixed."""
    saved(tmp_path / "perm.toml", WHOLE)
    saved(tmp_path / "a" / "pyproject.toml", "[tool.perm]\n" + named("near"))
    saved(tmp_path / "a" / "b" / "c" / "pyproject.toml", '[project]\nname = "nothing of ours"\n')
    monkeypatch.chdir(tmp_path / "a" / "b" / "c")

    found = load_configuration()

    assert (found.path, found.judge, dict(found.judges)) == (tmp_path / "a" / "pyproject.toml", "near", {})


def test_a_named_file_counts_whatever_lies_nearer(tmp_path: Path) -> None:
    """It may have any name."""
    saved(tmp_path / "perm.toml", named("near"))
    path = saved(tmp_path / "far" / "judges.toml", named("far"))

    assert load_configuration(path) == Configuration(path=path, judge="far")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        pytest.param("jugde = 'x'", "perm.toml: jugde: ", id="unknown-key"),
        pytest.param(
            "[judges.a]\nmodel = 'm'\nmax_token = 9", "perm.toml: judges.a.max_token: ", id="unknown-judge-key"
        ),
        pytest.param("[judges.a]\ntemperature = 0", "perm.toml: judges.a.model: ", id="no-model"),
        pytest.param("judge = 3", "perm.toml: judge: ", id="wrong-type"),
        pytest.param("judges = []", "perm.toml: judges: ", id="wrong-table"),
        pytest.param(
            "[judges.a]\nmodel = 'm'\ntemperature = 'warm'", "perm.toml: judges.a.temperature: ", id="wrong-judge-type"
        ),
        pytest.param(
            "[judges.a]\nmodel = 'm'\nstructured = 'xml'", "perm.toml: judges.a.structured: ", id="not-one-of-the-words"
        ),
        pytest.param(
            "[judges.a]\nmodel = 'm'\nprice = { input = 1 }", "perm.toml: judges.a.price.output: ", id="half-a-price"
        ),
        pytest.param(
            "[judges.a]\nmodel = 'm'\nprice = { input = 1, output = 2, out = 3 }",
            "perm.toml: judges.a.price.out: ",
            id="unknown-price",
        ),
        pytest.param(
            "[judges.a]\nmodel = 'm'\nprice = { input = -1, output = 2 }",
            "perm.toml: judges.a.price.input: ",
            id="negative-price",
        ),
        pytest.param(
            "[judges.a]\nmodel = 'm'\nprice = { input = 1, output = nan }",
            "perm.toml: judges.a.price.output: ",
            id="price-that-is-no-number",
        ),
        pytest.param(
            "[judges.a]\nmodel = 'm'\nprice = { input = 1, output = 2, cached = inf }",
            "perm.toml: judges.a.price.cached: ",
            id="infinite-price",
        ),
        pytest.param("judge = \nx = 1", r"perm.toml: invalid TOML: .*\(at line 1, column 9\)", id="broken"),
        pytest.param("a = 1\na = 2", "perm.toml: invalid TOML: .*", id="twice"),
        pytest.param(f"a = {'1' * 5000}", "perm.toml: invalid TOML: .* digits", id="a-number-without-end"),
        pytest.param(
            f"a = {'[' * 100_000}", "perm.toml: lists or tables are nested too deeply", id="lists-without-end"
        ),
        pytest.param(
            f"[judges.a]\nmodel = 'm'\nmax_tokens = 0x{'f' * 5000}",
            "perm.toml: judges.a.max_tokens: a number of thousands of digits found, expected at most 2,147,483,647",
            id="a-huge-number",
        ),
        pytest.param(
            f"[judges.a]\nmodel = 'm'\nparams = {{ x = {2**70} }}", "perm.toml: judges.a.params: ", id="no-json"
        ),
        pytest.param("'\\e[31m' = 1", r"perm.toml: \\e\[31m: no such setting", id="an-escape-that-is-none"),
        pytest.param('"\\u001b[31m" = 1', r"perm.toml: \\u001b\[31m: no such setting", id="a-colour-code"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(text: str, where: str, tmp_path: Path) -> None:
    """A misspelt key that is passed over would run with the wrong judge."""
    saved(tmp_path / "perm.toml", text)

    with pytest.raises(SettingsError, match=where):
        load_configuration()


@pytest.mark.parametrize(
    ("params", "named_"),
    [
        pytest.param('{ extra_body = { api_key = "sk" } }', "api_key", id="one-deep"),
        pytest.param('{ extra_body = { model = "m" } }', "model", id="the-request-itself"),
        pytest.param('{ a = { b = [{ Authorization = "sk" }] } }', "Authorization", id="in-a-list"),
        pytest.param('{ a = { X-Api-Key = "sk" } }', "X-Api-Key", id="another-spelling"),
        pytest.param("{ a = { extra_headers = {} } }", "extra_headers", id="headers"),
    ],
)
def test_a_secret_among_parameters_is_refused_at_any_depth(params: str, named_: str, tmp_path: Path) -> None:
    """Parameters stand in the record of every run."""
    saved(tmp_path / "perm.toml", f"[judges.a]\nmodel = 'm'\nparams = {params}")

    with pytest.raises(SettingsError, match=rf"perm\.toml: judges\.a\.params: {named_} cannot be set here"):
        load_configuration()


def test_nested_parameters_may_have_names_of_a_request(tmp_path: Path) -> None:
    """A plugin of a router has a model of its own."""
    saved(tmp_path / "perm.toml", "[judges.a]\nmodel = 'm'\nparams = { plugins = [{ model = 'x', n = 3 }] }")

    assert load_configuration().judges["a"].params == {"plugins": [{"model": "x", "n": 3}]}


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    """Editors on Windows still write such files."""
    (tmp_path / "perm.toml").write_bytes(b'judge = "\xff"')

    with pytest.raises(SettingsError, match=r"perm\.toml: invalid TOML: "):
        load_configuration()


def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Who names a file means it."""
    with pytest.raises(SettingsError, match=r"gone\.toml: the settings file cannot be read: No such file or directory"):
        load_configuration(tmp_path / "gone.toml")


@pytest.mark.parametrize("folder", ["perm.toml", "pyproject.toml"])
def test_a_folder_of_that_name_is_passed_over(folder: str, tmp_path: Path) -> None:
    """Only a file can say anything."""
    (tmp_path / folder).mkdir()

    assert load_configuration() == Configuration()


CONFIGURED = Configuration(judge="mine", judges={"mine": MINE})


@pytest.mark.parametrize(
    ("name", "overrides", "settings"),
    [
        pytest.param("mine", {}, MINE, id="by-its-name"),
        pytest.param(None, {}, MINE, id="the-usual-one"),
        pytest.param("", {}, MINE, id="an-empty-name"),
        pytest.param("openai/m", {}, JudgeSettings(name="openai/m", model="openai/m"), id="any-model"),
        pytest.param(
            "mine", {"temperature": 0.7, "concurrency": 1}, replace(MINE, temperature=0.7, concurrency=1), id="changed"
        ),
        pytest.param("mine", {"temperature": 0.0, "logprobs": False}, MINE, id="nought-says-something"),
        pytest.param("mine", {"max_tokens": None, "base_url": None}, MINE, id="none-says-nothing"),
    ],
)
def test_a_judge_is_found_and_changed(name: str | None, overrides: dict[str, Any], settings: JudgeSettings) -> None:
    """The command line has the last word, the file the one before."""
    assert judge_settings(name, CONFIGURED, **overrides) == settings


def test_the_usual_judge_may_be_a_plain_model() -> None:
    """Not every judge needs a table."""
    assert judge_settings(None, Configuration(judge="openai/m")).model == "openai/m"


def test_without_any_judge_the_user_is_told_how_to_name_one() -> None:
    """No model is called that nobody chose."""
    named_model = r"no judge is named; pass --judge with a model such as openai/gpt-5\.4-mini"
    with pytest.raises(SettingsError, match=named_model):
        judge_settings(None, Configuration())


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"name": "another"}, id="name"),
        pytest.param({"timeout_s": 1.0}, id="timeout"),
        pytest.param({"concurrency": 1}, id="concurrency"),
        pytest.param({"api_key_env": "OTHER_KEY"}, id="key-variable"),
        pytest.param({"price": None}, id="price"),
    ],
)
def test_what_changes_no_verdict_is_no_part_of_the_identity(changes: dict[str, Any]) -> None:
    """Else a longer timeout would mean paying for everything again."""
    assert replace(MINE, **changes).identity() == MINE.identity()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"model": "hosted_vllm/small"}, id="model"),
        pytest.param({"base_url": "http://127.0.0.1:9000/v1"}, id="address"),
        pytest.param({"temperature": 0.1}, id="temperature"),
        pytest.param({"max_tokens": 9}, id="tokens"),
        pytest.param({"structured": "text"}, id="form"),
        pytest.param({"logprobs": True}, id="log-probabilities"),
        pytest.param({"params": {"top_p": 0.8}}, id="parameters"),
    ],
)
def test_what_may_change_a_verdict_is_part_of_the_identity(changes: dict[str, Any]) -> None:
    """Two judges' ratings must not be taken for one's."""
    assert replace(MINE, **changes).identity() != MINE.identity()


@pytest.mark.parametrize(
    ("model", "provider"), [("openai/m", "openai"), ("openrouter/a/b", "openrouter"), ("local", ""), ("m", "")]
)
def test_the_provider_stands_before_the_first_slash(model: str, provider: str) -> None:
    """A model may have slashes of its own."""
    assert JudgeSettings(name="j", model=model).provider == provider


@pytest.mark.parametrize(
    ("value", "key"),
    [
        pytest.param("secret", "secret", id="plain"),
        pytest.param(" secret\r\n", "secret", id="with-the-line-end"),
        pytest.param("", None, id="empty"),
        pytest.param(" \n", None, id="blank"),
        pytest.param(None, None, id="unset"),
    ],
)
def test_a_key_is_read_without_the_line_end_of_its_file(
    value: str | None, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header must not have a line end, and the message about it would show the key."""
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)

    assert read_key("MY_KEY") == key


@pytest.fixture
def strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a settings file that belongs to somebody else, in the folder above."""
    path = saved(tmp_path / "perm.toml", named("openai/m"))
    if os.geteuid() == 0:
        os.chown(path, 4321, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    return path


def test_a_settings_file_of_another_owner_is_refused(strangers: Path) -> None:
    """It says which variables are sent where, and anybody may leave one in a shared folder."""
    with pytest.raises(SettingsError, match=rf"{strangers}: owned by another user .* --config {strangers}"):
        load_configuration()


def test_a_settings_file_of_another_owner_counts_where_it_is_named(strangers: Path) -> None:
    """Who names a file has decided to trust it."""
    assert load_configuration(strangers).judge == "openai/m"


def test_a_foreign_project_without_settings_of_ours_is_passed_over(strangers: Path) -> None:
    """Most of them have nothing to do with this program."""
    strangers.rename(strangers.with_name("pyproject.toml"))

    assert load_configuration() == Configuration()


REDIRECTED = '[judges."openai/m"]\nmodel = "openai/m"\nbase_url = "http://evil.test/v1"\napi_key_env = "AWS_SECRET"\n'


@pytest.mark.parametrize(
    ("text", "name", "overrides", "said"),
    [
        pytest.param(REDIRECTED, "openai/m", {}, "http://evil.test/v1 with the key in AWS_SECRET", id="address"),
        pytest.param(
            '[judges."openai/m"]\nmodel = "openrouter/a/b"', "openai/m", {}, "openrouter/a/b", id="other-provider"
        ),
        pytest.param(
            '[judges."gpt-4o-mini"]\nmodel = "m"\nbase_url = "http://h/v1"', "gpt-4o-mini", {}, "http://h/v1", id="bare"
        ),
        pytest.param(REDIRECTED, "openai/m", {"base_url": "http://mine.test/v1"}, None, id="own-address"),
        pytest.param(REDIRECTED, "openai/other", {}, None, id="another-judge"),
        pytest.param('[judges."openai/m"]\nmodel = "openai/m"\nrpm = 9', "openai/m", {}, None, id="same-provider"),
        pytest.param(
            '[judges.house]\nmodel = "openai/m"\nbase_url = "http://h/v1"', "house", {}, None, id="a-name-of-ones-own"
        ),
    ],
)
def test_a_redirected_model_name_of_a_provider_is_announced(
    text: str, name: str, overrides: dict[str, Any], said: str | None, tmp_path: Path
) -> None:
    """Whoever asks for a provider's model must learn that its key and the dialogues go elsewhere."""
    saved(tmp_path / "perm.toml", text)
    configuration = load_configuration()

    detour = detour_of(judge_settings(name, configuration, **overrides), configuration)

    expected = said and f"{tmp_path}/perm.toml: judge '{name}' goes to {said}, not to its provider"
    assert detour == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1/v1",
        "http://[::g]/v1",
        "http://h:99999/v1",
        "http://h:0/v1",
        "http://h:x/v1",
        "http://a..b/v1",
        f"http://{'a' * 64}/v1",
        "http://exa mple/v1",
        "http:\\\\h\\v1",
        "http://h\x1b[31m/v1",
        "http://h/v1#part",
        "ftp://h/v1",
        "h:80/v1",
        "http:///v1",
        "",
    ],
)
def test_what_is_no_address_is_a_line(url: str) -> None:
    """It is found out before anything else is done."""
    with pytest.raises(
        SettingsError, match=r"the base URL: .* found, expected one such as http://127\.0\.0\.1"
    ) as raised:
        judge_settings("m", Configuration(), base_url=url)

    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/v1", "https://ä.example/v1", "http://[::1]:8/v1/", "http://a_b"]
)
def test_an_address_is_taken_as_it_is(url: str) -> None:
    """But for the slash at its end."""
    assert judge_settings("m", Configuration(), base_url=url).base_url == url.rstrip("/")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        pytest.param("mien", "mine", id="of-the-file"),
        pytest.param("gpt-4o-minni", "gpt-4o-mini", id="of-the-list"),
        pytest.param("antropic/claude-x", "anthropic/claude-x", id="provider"),
        pytest.param("locall", "local", id="embedded"),
    ],
)
def test_a_misspelt_judge_is_refused_with_the_nearest_name(name: str, meant: str) -> None:
    """It is found out without a call."""
    with pytest.raises(SettingsError, match=f"--judge {name}: no such judge found.*did you mean ([^?]*, )?{meant}[,?]"):
        named_judge(name, CONFIGURED)


@pytest.mark.parametrize("name", ["xyzzy-7", "openai/", "/m"])
def test_a_name_that_is_near_to_none_is_refused(name: str) -> None:
    """The line says what there is."""
    with pytest.raises(SettingsError, match=r"no such judge found, expected a name from perm\.toml"):
        named_judge(name, Configuration())


def test_a_misspelt_model_of_the_file_is_named_with_its_judge() -> None:
    """The name was right, and what it stands for is not."""
    house = replace(MINE, name="house", model="antropic/m", base_url=None)

    with pytest.raises(SettingsError, match=r"--judge house: model antropic/m: .*did you mean anthropic/m[,?]"):
        named_judge("house", Configuration(judges={"house": house}))


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("mine", {}),
        ("openai/anything", {}),
        ("hosted_vllm/org/m", {}),
        ("groq/new-model", {}),
        ("nano-gpt/x", {}),
        ("gpt-4o-mini", {}),
        ("ft:gpt-4o-mini:org", {}),
        ("baseline", {}),
        ("local:weights.gguf", {}),
        ("anything", {"base_url": "http://h/v1"}),
    ],
)
def test_whatever_may_be_a_judge_is_taken(name: str, overrides: dict[str, Any]) -> None:
    """A provider has more models than any list."""
    assert named_judge(name, CONFIGURED, **overrides).name == name


def test_nobody_waits_for_litellm_to_hear_of_a_misspelling() -> None:
    """Its import takes seconds."""
    code = (
        "import sys\nfrom perm_cli.judges.routes import named_judge\n"
        "from perm_cli.judges.configuration import Configuration\n"
        "try:\n    named_judge('antropic/x', Configuration())\nexcept Exception as error:\n"
        "    print(type(error).__name__, 'litellm' in sys.modules)"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert said == "SettingsError False\n"


@pytest.mark.parametrize("pasted", ["sk-proj-SECRETabcdefgh12345678", "hf_abcdefghijkl", "a b", ""])
def test_a_key_in_the_place_of_its_variable_is_refused_and_not_shown(pasted: str) -> None:
    """It is the slip that puts a secret into a terminal and a log."""
    with pytest.raises(SettingsError, match="--api-key-env: expected the name of a variable") as raised:
        judge_settings("openai/m", Configuration(), api_key_env=pasted)

    assert not pasted or pasted not in str(raised.value)
