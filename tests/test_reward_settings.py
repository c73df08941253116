"""How a reward is asked for: what counts before what, and every mistake named with its place before a call is paid."""

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from perm_cli.errors import PermError, SettingsError
from perm_cli.integrations.trl import make_reward
from perm_cli.reward import Item, Perm, reward_settings
from perm_cli.rewards.formula import Recipe
from perm_cli.training.perm import _warn_of_thinking
from tests.loopback import loopback
from tests.rewarding import asking

URL = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def judge_in_the_file() -> None:
    """Have a file that names a judge which needs no key."""
    say("")


def say(text: str) -> None:
    """Write the file's table of the reward."""
    Path("perm.toml").write_text(f'judge = "baseline"\n[reward]\n{text}\n', encoding="utf-8")


def test_with_a_judge_alone_it_is_the_reward_of_perm_score() -> None:
    """What nobody says is what the command line has."""
    found = reward_settings()

    assert found.recipe == Recipe()
    assert (found.judge.name, found.samples, found.reask, found.on_missing) == ("baseline", 1, 1, "none")
    assert (found.budget, found.run) == (None, None)


def test_an_argument_counts_before_a_variable_and_a_variable_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep changes one thing and leaves the file alone."""
    say('samples = 2\nreask = 2\nfusion = "mean"\njudge = "openai/file"\n')
    monkeypatch.setenv("PERM_REASK", "3")
    monkeypatch.setenv("PERM_FUSION", "geometric")
    monkeypatch.setenv("PERM_BASE_URL", URL)

    found = reward_settings(fusion="weighted-mean")

    assert (found.samples, found.reask, found.recipe.fusion) == (2, 3, "weighted-mean")
    assert (found.judge.model, found.judge.base_url) == ("openai/file", URL)


def test_every_setting_has_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainers start workers on other machines, which get no more than their environment."""
    said = {
        "JUDGE": "openai/m",
        "BASE_URL": f"{URL}/",
        "TEMPERATURE": "0",
        "MAX_TOKENS": "9",
        "CONCURRENCY": "7",
        "RPM": "60.5",
        "PATIENCE_S": "1",
        "STRUCTURED": "text",
        "SAMPLES": " 3 ",
        "SCORE": "mean",
        "WEIGHTS": "resonation=1,expression=2,reception=3",
        "FUSION": "weighted-mean",
        "LENGTH_PENALTY": "0.001",
        "TOKENIZER": "policy",
        "THINKING": "opened",
        "ON_MISSING": "floor",
        "BUDGET": "10calls",
        "RUN": "runs/train",
    }
    for name, value in said.items():
        monkeypatch.setenv(f"PERM_{name}", value)

    found = reward_settings()

    judge, recipe = found.judge, found.recipe
    assert (judge.model, judge.base_url, judge.temperature, judge.max_tokens) == ("openai/m", URL, 0.0, 9)
    assert (judge.concurrency, judge.rpm, judge.patience_s, judge.structured) == (7, 60.5, 1.0, "text")
    assert (found.samples, recipe.score, found.on_missing, found.budget) == (3, "mean", "floor", "10calls")
    assert recipe.weights == {"resonation": 1.0, "expression": 2.0, "reception": 3.0}
    assert found.thinking == "opened"
    assert (recipe.length_penalty, recipe.tokenizer, found.run) == (0.001, "policy", Path("runs/train").absolute())


def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launch scripts export what they do not set."""
    monkeypatch.setenv("PERM_SAMPLES", " ")
    monkeypatch.setenv("PERM_CONFIG", "")

    assert reward_settings().samples == 1


def test_the_file_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's folder is not the user's; an argument counts before the variable."""
    for name in ("one", "two"):
        Path(f"{name}.toml").write_text(f'judge = "baseline"\n[reward]\nrun = "{name}"\n')
    monkeypatch.setenv("PERM_CONFIG", "one.toml")

    assert reward_settings().run == Path("one").absolute()
    assert reward_settings("two.toml").run == Path("two").absolute()
    monkeypatch.setenv("PERM_CONFIG", "three.toml")
    with pytest.raises(
        SettingsError, match=r"three\.toml: the settings file cannot be read: No such file or directory"
    ):
        reward_settings()


def test_a_judge_of_the_file_is_taken_by_name() -> None:
    """Price and parameters stand with it."""
    Path("perm.toml").write_text(f'[judges.mine]\nmodel = "openai/m"\nbase_url = "{URL}"\n[reward]\njudge = "mine"\n')

    assert (reward_settings().judge.name, reward_settings().judge.model) == ("mine", "openai/m")


def test_a_redirected_judge_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A trainer starts from a folder that others may have written."""
    Path("perm.toml").write_text(f'[judges."openai/m"]\nmodel = "openai/m"\nbase_url = "{URL}"\n')

    reward_settings(judge="openai/m")

    assert [f"judge 'openai/m' goes to {URL}, not to its provider" in text for text in caplog.messages] == [True]


@pytest.mark.parametrize("otherwise", ["none", "mean", "raise"])
def test_what_stands_in_is_the_trainers_to_say_unless_somebody_else_does(otherwise: str) -> None:
    """TRL leaves a reply out, verl cannot."""
    assert reward_settings(otherwise=otherwise).on_missing == otherwise  # type: ignore[arg-type]
    assert reward_settings(otherwise=otherwise, on_missing="floor").on_missing == "floor"  # type: ignore[arg-type]
    say('on_missing = "floor"')
    assert reward_settings(otherwise=otherwise).on_missing == "floor"  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["samples", "reask", "length_limit", "max_tokens", "concurrency"])
def test_a_count_is_a_number_that_files_can_hold(name: str) -> None:
    """What is no number of 64 bits can be neither sent nor kept on record."""
    say(f"{name} = 0x{'f' * 5000}")

    with pytest.raises(SettingsError, match=f"{name}: a number of thousands of digits found, expected at most"):
        reward_settings()


WRONG = {
    "samples": ("0", "'0' found, expected at least 1"),
    "reask": ("-1", "'-1' found, expected at least 0"),
    "temperature": ("warm", "'warm' found, expected a number"),
    "rpm": ("inf", "'inf' found, expected a finite number"),
    "length_limit": ("1.5", "'1.5' found, expected a whole number"),
    "on_missing": ("guess", "'guess' found, expected 'none', 'floor', 'mean' or 'raise'"),
    "fusion": ("sum", "'sum' found, expected 'harmonic', 'mean', 'weighted-mean' or 'geometric'"),
    "structured": ("xml", "'xml' found, expected 'auto', 'schema', 'json' or 'text'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_named_with_its_place(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, whether it was an argument, a variable or a line of the file."""
    value, said = WRONG[name]

    problems = [problem(**{name: value})]
    monkeypatch.setenv(f"PERM_{name.upper()}", value)
    problems.append(problem())
    monkeypatch.delenv(f"PERM_{name.upper()}")
    say(f'{name} = "{value}"')
    problems.append(problem())

    places = (name, f"PERM_{name.upper()}", f"{Path.cwd()}/perm.toml: reward.{name}")
    assert [each.startswith(f"{place}: {said}") for each, place in zip(problems, places, strict=True)] == [True] * 3


def problem(**wishes: str) -> str:
    """Return what is wrong, which is one line."""
    with pytest.raises(SettingsError) as raised:
        Perm(**wishes)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_name_that_nobody_knows_is_told_with_the_nearest_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting misspelt and passed over would be another reward."""
    assert problem(lenght_penalty="1") == "lenght_penalty: no such setting, expected length_penalty"
    assert problem(xyz="1").startswith("xyz: no such setting, expected one of judge, base_url,")
    monkeypatch.setenv("PERM_RUBRIC", "mine")
    assert problem() == "PERM_RUBRIC: no such variable, expected PERM_RUBRICS"
    monkeypatch.setenv("PERM_RUBRIC", " ")
    say("fuse = 1")
    assert f"{Path.cwd()}/perm.toml: reward.fuse: no such setting, expected fusion" in problem()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        pytest.param("[rewards]\nsamples = 2", "rewards: no such setting, expected reward", id="table"),
        pytest.param('[judges.m]\nmodell = "baseline"', "judges.m.modell: no such setting, expected model", id="judge"),
        pytest.param(
            '[judges.m]\nmodel = "openai/m"\n[judges.m.price]\ninputs = 1',
            "judges.m.price.inputs: no such setting, expected input",
            id="price",
        ),
        pytest.param(
            "[reward]\nbystander_coef = true", "reward.bystander_coef: true found, expected a number", id="true"
        ),
        pytest.param(
            '[judges.m]\nmodel = "openai/m"\nmax_tokens = true',
            "judges.m.max_tokens: true found, expected",
            id="judge-true",
        ),
    ],
)
def test_a_slip_in_the_file_is_told_by_the_name_that_was_written(file: str, said: str) -> None:
    """Where it stands, and what was meant."""
    Path("perm.toml").write_text(f'judge = "baseline"\n{file}\n', encoding="utf-8")

    assert problem().startswith(f"{Path.cwd()}/perm.toml: {said}")


def test_true_is_no_number_as_an_argument_either() -> None:
    """It would be read as 1."""
    with pytest.raises(SettingsError, match="bystander_coef: true found, expected a number"):
        reward_settings(bystander_coef=True)


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        pytest.param({"judge": "openai/gpt-5.4-mini"}, "judge openai/gpt-5.4-mini: missing", id="judge"),
        pytest.param({"weights": "a=1", "fusion": "weighted-mean"}, "weights: 'a=1' found", id="weights"),
        pytest.param({"tokenizer": "no.json", "length_penalty": "0.1"}, "tokenizer: 'no.json' found", id="tokenizer"),
        pytest.param({"calibration": "c.json"}, "calibration: c.json", id="calibration"),
        pytest.param(
            {"judge": "openai/m", "base_url": "http://a:b@c"},
            "name a variable with the key as api_key_env",
            id="address",
        ),
    ],
)
def test_messages_speak_of_settings_and_not_of_options(wishes: dict[str, str], said: str) -> None:
    """Who trains has typed no command of ours."""
    found = problem(**wishes)

    assert said in found
    assert "--" not in found


def test_other_variables_of_that_beginning_are_nobodys_business(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is not ours alone."""
    monkeypatch.setenv("PERM_SERVE_TOKEN", "x")
    monkeypatch.setenv("PERM_FUSE", "x")

    assert reward_settings().samples == 1


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        pytest.param({"judge": "openai/gpt-5.4-mini"}, "export OPENAI_API_KEY=", id="no key"),
        pytest.param({"api_key_env": "MY_KEY", "judge": "openai/m", "base_url": URL}, "MY_KEY", id="no key of its own"),
        pytest.param({"judge": "openai/m", "base_url": "here"}, "the base URL: 'here' found", id="no address"),
        pytest.param({"score": "expected"}, "baseline gives no log-probabilities", id="expectations of a counter"),
        pytest.param({"score": "mean"}, "score: mean of one sample found, expected samples of 2", id="mean of one"),
        pytest.param({"budget": "5"}, "'5' found, expected an amount such as 5usd", id="no budget"),
        pytest.param({"weights": "a=1", "fusion": "weighted-mean"}, "'a=1' found, expected resonation=", id="weights"),
        pytest.param({"weights": "resonation=1,expression=1,reception=1"}, "add fusion weighted-mean", id="unused"),
        pytest.param({"calibration": "c.json"}, "c.json", id="no calibration"),
        pytest.param({"judge": "openai/m", "base_url": URL, "budget": "5usd"}, "no price is known", id="no price"),
    ],
)
def test_what_cannot_work_fails_before_training_begins(wishes: dict[str, str], said: str) -> None:
    """Not in the first step, after the policy was loaded onto sixty-four devices."""
    assert said in problem(**wishes)


def test_no_judge_at_all_is_said() -> None:
    """With an example of one."""
    Path("perm.toml").unlink()

    assert "pass judge with a model such as openai/gpt-5.4-mini" in problem()


def test_the_policys_own_count_is_taken() -> None:
    """Where the trainer has counted tokens, no tokeniser is needed."""
    with loopback() as server, asking(server, tokenizer="policy", length_penalty=0.01, length_limit=5) as perm:
        short, long = perm.score_now([Item(query="q", reply="r", tokens=count) for count in (5, 15)])

    assert short.reward is not None
    assert long.reward == pytest.approx(short.reward - 0.1)
    assert (short.parts.completion_tokens, long.parts.completion_tokens) == (5, 15)


def test_a_trainer_that_does_not_count_cannot_have_the_policys_tokens() -> None:
    """It is said before a call is made, and a length would be made up otherwise."""
    with loopback() as server, asking(server, tokenizer="policy", length_penalty=0.01) as perm:
        with pytest.raises(SettingsError, match="tokenizer: policy found, expected a trainer that counts"):
            perm.score_now([Item(query="q", reply="r", tokens=1), Item(query="q", reply="r")])

        assert server.requests == []


def test_without_a_penalty_nobody_counts() -> None:
    """A tokeniser that is not used is not asked for either."""
    with loopback() as server, asking(server, tokenizer="policy") as perm:
        (result,) = perm.score_now([Item(query="q", reply="r")])

    assert (result.parts.completion_tokens, result.reward is None) == (None, False)


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        pytest.param({"tokenizer": "nope", "length_penalty": "0.1"}, "'nope' found, expected", id="tokeniser"),
        pytest.param({"rubrics": "nowhere"}, "nowhere", id="rubrics"),
        pytest.param({"prompts": "nowhere"}, "nowhere", id="prompts"),
        pytest.param({"run": "perm.toml"}, "run: .*perm.toml: a file found", id="a file for a run"),
        pytest.param({"run": "perm.toml/train"}, "run: .*perm.toml: a file found", id="a run below a file"),
        pytest.param({"run": "locked/train"}, "run: .*locked: no permission", id="a place of others"),
    ],
)
def test_files_that_are_not_there_are_told_when_the_reward_is_made(
    wishes: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at the first reward, after a model was loaded and its replies were generated."""
    Path("locked").mkdir()
    monkeypatch.setattr(os, "access", lambda place, _: place.name != "locked")  # root may write anywhere

    with pytest.raises(PermError, match=said):
        make_reward(judge="baseline", **wishes)
    assert not Path("locked/train").exists()


OPENS = "{{ messages[0].content }}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
LEAVES = "{% if enable_thinking %}<think>{% endif %}"


def tokenizer(template: object, name: str = "policy") -> str:
    """Write a tokenizer's folder with this chat template and return its name."""
    Path(name).mkdir()
    Path(name, "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    Path(name, "tokenizer.json").write_text("{}")
    return name


@pytest.mark.parametrize(
    ("template", "opened"),
    [
        pytest.param(OPENS, True, id="begun"),
        pytest.param(LEAVES, False, id="left to choose"),
        pytest.param(
            [{"name": "tools", "template": ""}, {"name": "default", "template": OPENS}], True, id="of several"
        ),
    ],
)
def test_what_the_policys_chat_template_does_is_found_out(template: object, opened: bool) -> None:
    """A completion that starts inside its thinking and never comes out would be judged as a reply otherwise."""
    folder = tokenizer(template)
    found = "opened" if opened else "auto"

    assert reward_settings(thinking=folder).thinking == found
    assert reward_settings(tokenizer=f"{folder}/tokenizer.json").thinking == found
    assert reward_settings(tokenizer=f"{folder}/tokenizer.json", thinking="unopened").thinking == "unopened"
    Path("chat_template.jinja").write_text(OPENS)
    assert reward_settings(thinking="chat_template.jinja").thinking == "opened"
    assert reward_settings(thinking=".").thinking == "opened"


@pytest.mark.parametrize(
    "template",
    ["{% broken", "{{ raise_exception('no') }}", "{{ messages[7].content }}", "{{ 1 / 0 }}", None, [3]],
)
def test_a_template_that_cannot_be_read_is_said_where_it_was_named(template: object) -> None:
    """And is passed over where it only stood beside the tokenizer."""
    folder = tokenizer(template)

    assert "thinking: 'policy' found, expected auto, opened, unopened, or a tokenizer's" in problem(thinking=folder)
    assert reward_settings(tokenizer=f"{folder}/tokenizer.json").thinking == "auto"


def test_thinking_that_the_template_began_and_the_reply_never_ends_is_no_reply() -> None:
    """The same text is a reply where nothing has begun."""
    said, unsaid = Item(query="q", reply="Sad.</think>That hurts."), Item(query="q", reply="Sad. That hurts.")
    with loopback() as server, asking(server, thinking="opened") as perm:
        assert [each.empty for each in perm.score_now([said, unsaid])] == [False, True]
    with loopback() as server, asking(server, thinking="unopened") as perm:
        assert not perm.score_now([replace(unsaid, opened=True)])[0].empty


def test_a_reply_that_shows_what_the_template_does_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody reads settings before something is odd."""
    _warn_of_thinking.cache_clear()
    with loopback() as server, asking(server) as perm:
        perm.score_now([Item(query="q", reply="<think>Sad.</think>That hurts.")])
        assert "thinking" not in caplog.text
        perm.score_now([Item(query="q", reply="Sad.</think>That hurts.")])

    assert "a reply ends thinking that it has not begun" in caplog.text


def test_a_calibration_levels_rewards() -> None:
    """It can be part of a reward in training too, and of its digest."""
    curve = {
        "judge": "openai/judge", "settings": "x", "dimension": "reception", "human": "h", "labels": 9, "dialogues": 9,
        "x": [1.0, 5.0], "y": [2.0, 4.0], "error_before": None, "error_after": 0.1, "bias_before": None,
        "bias_after": 0.0,
    }  # fmt: skip
    Path("c.json").write_text(json.dumps({"perm_calibration": 1, "made": "", "of": [], "curves": [curve]}))

    with loopback() as server, asking(server, calibration="c.json") as perm:
        (raw,) = perm.score_now([Item(query="q", reply="r")])
        own = curve | {"settings": raw.parts.settings}
        Path("c.json").write_text(json.dumps({"perm_calibration": 1, "made": "", "of": [], "curves": [own]}))
        with asking(server, calibration="c.json") as calibrated:
            (levelled,) = calibrated.score_now([Item(query="q", reply="r")])

    assert raw.parts.caveat == "not calibrated: the calibration has nothing for openai/judge as it was asked"
    assert levelled.parts.caveat == "not calibrated on resonation, expression, bystander"
    assert raw.parts.scores["reception"] is not None
    assert levelled.parts.scores["reception"] == pytest.approx(2 + (raw.parts.scores["reception"] - 1) / 2)
    assert pickle.loads(pickle.dumps(calibrated.settings)) == calibrated.settings  # noqa: S301 - our own
