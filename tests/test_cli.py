"""The command line as typed: arguments in; standard output, standard error and exit code out."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from perm_cli.judges.retrying import retrying
from perm_cli.prompts.shipped import shipped
from tests.commands import AT_ONCE, Perm, runner
from tests.loopback import Answer, Answering, Loopback, loopback, refusal, verdict
from tests.makers import bystander_term, empathy_of, row, written
from tests.programs import Program, started

KEY = "sk-never-to-be-seen"


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line."""
    return runner(monkeypatch, capsys)


@pytest.fixture
def dialogues(tmp_path: Path) -> Path:
    """Return a file of six dialogues by two systems."""
    return written(tmp_path / "d.jsonl", [row(place, system="ab"[place % 2]) for place in range(6)])


def judged_by(server: Loopback) -> list[str]:
    """Return the options that name the server's judge."""
    return ["--judge", "openai/m", "--base-url", server.url]


def records(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file of JSON."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def told(out: str) -> list[str]:
    """Return what is told of the ratings, whichever command made them."""
    return [line for line in out.splitlines() if "calls" not in line]


def test_score_ends_with_rewards_that_follow_the_formula(perm: Perm, dialogues: Path) -> None:
    """Every reward equals the paper's formula on the ratings beside it."""
    with loopback() as server:
        result = perm("score", dialogues, *judged_by(server), "--out", "run")

    ratings, rewards = records(Path("run/ratings.jsonl")), records(Path("run/rewards.jsonl"))
    assert (result.code, len(ratings), len(rewards)) == (0, 24, 6)
    for reward in rewards:
        given = {r["dimension"]: r["score"] for r in ratings if r["dialogue_id"] == reward["dialogue_id"]}
        empathy = empathy_of([given[name] for name in ("resonation", "expression", "reception")], "harmonic")
        assert reward["reward"] == pytest.approx(empathy + bystander_term(given["bystander"], 0.5), abs=1e-12)
    assert "24 of 24 ratings scored (100.0%)" in result.out
    assert "run: run" in result.out
    assert "native format, 6 dialogues, 6 supporter turns" in result.err


def test_the_same_command_again_asks_nothing(perm: Perm, dialogues: Path) -> None:
    """Nothing is paid for twice."""
    with loopback() as server:
        first = perm("score", dialogues, *judged_by(server), "--out", "run")
        asked = len(server.requests)
        second = perm("score", dialogues, *judged_by(server), "--out", "run")

    assert (asked, len(server.requests)) == (24, 24)
    assert told(second.out) == told(first.out)


def test_a_finished_run_is_fused_once(perm: Perm, dialogues: Path) -> None:
    """A hundred thousand ratings need not be read to find that nothing has changed."""
    out = dialogues.parent / "run"
    with loopback() as server:
        ask = ("score", dialogues, *judged_by(server), "--out", out)
        first = perm(*ask)
        made = (out / "rewards.jsonl").stat().st_ino
        again = perm(*ask)

    assert (again.code, told(again.out)) == (0, told(first.out))
    assert (out / "rewards.jsonl").stat().st_ino == made


@pytest.mark.parametrize("touched", ["rewards.jsonl", "summary.csv", "summary.json"])
def test_a_finished_run_is_fused_anew_where_its_files_have_changed(perm: Perm, dialogues: Path, touched: str) -> None:
    """What a user sees must be what the ratings say."""
    out = dialogues.parent / "run"
    with loopback() as server:
        ask = ("score", dialogues, *judged_by(server), "--out", out)
        first = perm(*ask)
        was = (out / touched).read_bytes()
        (out / touched).write_bytes(was[:-10])
        again = perm(*ask)
        other = perm(*ask, "--bystander-coef", "0.25")

    assert (again.code, told(again.out)) == (0, told(first.out))
    assert (out / touched).read_bytes() != was  # the last command's
    assert json.loads((out / "summary.json").read_bytes())["recipe"]["bystander_coef"] == 0.25
    assert other.out != first.out


def test_a_rating_that_may_still_be_made_is_asked_for_again(perm: Perm, dialogues: Path) -> None:
    """A run with a failed call is not finished."""
    out = dialogues.parent / "run"
    with loopback() as server:
        ask = ("score", dialogues, *judged_by(server), "--out", out)
        perm(*ask, "--budget", "20calls")
        more = perm(*ask)

        assert len(server.requests) == 24
    assert (more.code, "24 of 24 ratings scored" in more.out) == (0, True)


def test_other_settings_on_the_same_folder_are_kept_beside(perm: Perm, dialogues: Path) -> None:
    """The new ratings come under their own keys, and run.json keeps both."""
    with loopback() as server:
        perm("score", dialogues, *judged_by(server), "--out", "run")
        second = perm("score", dialogues, *judged_by(server), "--out", "run", "--temperature", "0", "--json")

    record = json.loads(Path("run/run.json").read_text())
    assert len(record["settings"]) == len(record["commands"]) == 2
    assert sorted(s["judge"]["temperature"] for s in record["settings"].values()) == [0.0, 0.3]
    assert len(records(Path("run/ratings.jsonl"))) == 48
    assert len({system["settings"] for system in json.loads(second.out)["systems"]}) == 1


def test_reward_fuses_again_without_a_call(perm: Perm, dialogues: Path) -> None:
    """Right of the ratings everything is free."""
    with loopback() as server:
        perm("score", dialogues, *judged_by(server), "--out", "run")
        asked = len(server.requests)
        result = perm("reward", "run", "--fusion", "geometric", "--bystander-coef", "0", "--json")

    reward = records(Path("run/rewards.jsonl"))[0]
    scores = [reward[name] for name in ("resonation", "expression", "reception")]
    assert (result.code, len(server.requests)) == (0, asked)
    assert reward["reward"] == pytest.approx(empathy_of(scores, "geometric"), abs=1e-12)
    assert json.loads(result.out)["recipe"]["fusion"] == "geometric"


def test_the_length_term_names_its_tokeniser(perm: Perm, dialogues: Path) -> None:
    """A length without its tokeniser means nothing; the run holds the texts, so the input is not needed."""
    with loopback() as server:
        perm("score", dialogues, *judged_by(server), "--out", "run")
    dialogues.unlink()

    result = perm("reward", "run", "--length-penalty", "0.001", "--length-limit", "2", "--json")

    reward = records(Path("run/rewards.jsonl"))[0]
    assert reward["completion_tokens"] > 2
    assert reward["length_term"] == pytest.approx(-0.001 * (reward["completion_tokens"] - 2))
    assert json.loads(result.out)["recipe"]["tokenizer"] == "cl100k_base"


def test_json_is_all_there_is_on_standard_output(perm: Perm, dialogues: Path) -> None:
    """A program reads it without cleaning it first."""
    with loopback() as server:
        result = perm("score", dialogues, *judged_by(server), "--out", "run", "--json")

    summary = json.loads(result.out)
    assert summary["coverage"] == 1.0
    assert {system["system"] for system in summary["systems"]} == {"a", "b"}
    assert json.loads(Path("run/summary.json").read_text()) == summary


def test_bad_input_makes_no_call_and_writes_nothing(perm: Perm, tmp_path: Path) -> None:
    """Every problem is listed with its place, before anything costs anything."""
    path = written(tmp_path / "bad.jsonl", [row(0), row(1, turns=[]), row(0), row(2, extra=1)])

    with loopback() as server:
        result = perm("score", path, *judged_by(server), "--out", "run")

    assert (result.code, server.requests, Path("run").exists()) == (1, [], False)
    assert f"{path}:2: turns: a list of 0 found, expected at least 1" in result.err
    assert f"{path}:3: id: 'd0' found again" in result.err
    assert f"{path}:4: extra: unknown field; remove it" in result.err
    assert "3 problems found; no call was made and nothing was written" in result.err
    assert "Traceback" not in result.err


def test_coverage_below_the_limit_has_its_own_exit_code(perm: Perm, dialogues: Path) -> None:
    """A pipeline can tell a bad judge from a bad command."""
    with loopback(lambda body: Answer(text="no idea") if "number 3" in str(body) else verdict(body)) as server:
        strict = perm("score", dialogues, *judged_by(server), "--out", "run")
        lenient = perm("score", dialogues, *judged_by(server), "--out", "run", "--min-coverage", "0.5")

    assert (strict.code, lenient.code) == (3, 0)
    assert "coverage 83.3% is below --min-coverage 95%" in strict.err
    assert "4 unparseable" in strict.out
    missing = next(r for r in records(Path("run/rewards.jsonl")) if r["dialogue_id"] == "d3")
    assert missing["reward"] is None
    # worst: 1, 1, 1 and 0 is 0.2 - 0.5; best: 5, 5, 5 and 100 is 1
    assert (missing["reward_low"], missing["reward_high"]) == (pytest.approx(-0.3), pytest.approx(1.0))


def test_a_wrong_key_is_one_line_and_no_key(perm: Perm, dialogues: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call, one line, and the key reaches neither the message nor any file."""
    monkeypatch.setenv("JUDGE_KEY", KEY)

    with loopback(lambda _: refusal(401, f"bad key {KEY}")) as server:
        result = perm("score", dialogues, *judged_by(server), "--api-key-env", "JUDGE_KEY", "--out", "run")

    assert (result.code, len(server.requests)) == (1, 1)
    assert result.err.splitlines()[-1].startswith("perm: http://127.0.0.1")
    assert KEY not in result.err + result.out
    assert not [path for path in Path("run").iterdir() if KEY in path.read_text()]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([], "no judge is named; pass --judge with a model", id="no-judge"),
        pytest.param(["--judge", "openai/m"], "missing the API key: export OPENAI_API_KEY=…", id="no-key"),
        pytest.param(
            ["--judge", "local:/no.gguf"], "/no.gguf: no such file; --judge local:FILE takes", id="no-weights"
        ),
        pytest.param(["--judge", "m", "--base-url", "host"], "'host' found, expected one such as http://", id="no-url"),
        pytest.param(["--judge", "m", "--score", "mean"], "needs --samples 2 or more", id="mean-of-one"),
        pytest.param(
            ["--judge", "baseline", "--fusion", "weighted-mean", "--weights", "a=1"],
            "'a=1' found, expected resonation=",
            id="weights",
        ),
        pytest.param(["--judge", "m", "--roles", "x"], "'x' found, expected seeker=NAME", id="roles"),
        pytest.param(
            ["--judge", "m", "--config", "no.toml"],
            "no.toml: the settings file cannot be read: No such file",
            id="config",
        ),
        pytest.param(
            ["--judge", "local", "--rubrics", "no"],
            "expected a folder with a pack.yaml, or one of perm",
            id="rubrics",
        ),
    ],
)
def test_mistakes_are_a_line_each(perm: Perm, dialogues: Path, arguments: list[str], said: str) -> None:
    """What is wrong, what was expected, and no traceback."""
    result = perm("score", dialogues, *arguments)

    assert result.code == 1
    assert said in result.err
    assert "Traceback" not in result.err
    assert not Path("runs").exists()


def test_wrong_usage_has_exit_code_2(perm: Perm) -> None:
    """The usual code for an option that is not there."""
    assert perm("score", "d.jsonl", "--nope").code == 2


def test_a_configured_judge_is_the_default(perm: Perm, dialogues: Path) -> None:
    """With perm.toml the command is short, and a price makes a cost."""
    with loopback() as server:
        settings = f'judge = "house"\n[judges.house]\nmodel = "m-7b"\nbase_url = "{server.url}"\n'
        Path("perm.toml").write_text(f"{settings}price = {{ input = 1.0, output = 2.0 }}\n")
        result = perm("score", dialogues, "--out", "run", "--json")

    summary = json.loads(result.out)
    assert {request["model"] for request in server.requests} == {"m-7b"}
    assert {system["judge"] for system in summary["systems"]} == {"house"}
    # 24 calls of 100 tokens in and 10 out
    assert summary["cost_usd"] == pytest.approx(24 * 120 / 1e6)


def test_standard_input_is_an_input(perm: Perm, dialogues: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads a pipe."""
    with loopback() as server, dialogues.open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        result = perm("score", "-", *judged_by(server), "--out", "run", "--json")

    assert "stdin: native format, 6 dialogues" in result.err
    assert json.loads(result.out)["coverage"] == 1.0


def test_the_default_folder_is_named_after_file_and_judge(perm: Perm, dialogues: Path) -> None:
    """Two runs never fall into one folder by accident, and a hostile name makes no path."""
    with loopback() as server:
        result = perm("score", dialogues, "--judge", "../../x/y", "--base-url", server.url)

    (folder,) = Path("runs").iterdir()
    assert re.fullmatch(r"d-x-y-\d{8}-\d{6}", folder.name)
    assert f"run: runs/{folder.name}" in result.out


def test_terminal_codes_and_markup_from_outside_are_inert(perm: Perm, tmp_path: Path) -> None:
    """A dialogue's id or a system's name can neither colour, clear nor break the terminal."""
    rows = [row(0, id="\x1b[2Jx[red]y[/b]", system="\u202esys\n[bold]")]
    path = written(tmp_path / "d.jsonl", rows)

    with loopback() as server:
        result = perm("score", path, *judged_by(server), "--out", "run")

    assert result.code == 0
    assert "\x1b" not in result.out
    assert "\u202e" not in result.out
    assert "[red]" in result.out


def test_plan_calls_nobody_and_needs_no_key(perm: Perm, dialogues: Path) -> None:
    """What it would cost is known before an account is opened."""
    result = perm("plan", dialogues, "--judge", "openai/gpt-4o-mini", "--json")

    plan = json.loads(result.out)
    assert (result.code, plan["calls"]) == (0, 24)
    assert 0 < plan["tokens_in"][0] < plan["tokens_in"][1]
    assert 0 < plan["cost_usd"][0] < plan["cost_usd"][1]
    assert 0 < plan["cacheable"] < 1


def test_plan_says_how_to_give_a_price_nobody_knows(perm: Perm, dialogues: Path) -> None:
    """A server of one's own has no list price."""
    result = perm("plan", dialogues, "--judge", "m", "--base-url", "http://127.0.0.1:1/v1")

    assert "price = { input = …, output = … }" in result.out


def test_prompts_prints_exactly_what_is_sent(perm: Perm, dialogues: Path) -> None:
    """What one reads before a run is what the judge gets in it."""
    shown = perm("prompts", dialogues, "--dimension", "reception", "--id", "d1").out

    with loopback() as server:
        perm("score", dialogues, *judged_by(server), "--out", "run")

    sent = next(r for r in server.requests if "number 1" in str(r) and "seeker feels on" in str(r))
    assert all(message["content"] in shown for message in sent["messages"])
    assert shown.count("=====") == 4


def test_prompts_names_an_id_that_is_not_there(perm: Perm, dialogues: Path) -> None:
    """Printing nothing would leave one wondering."""
    result = perm("prompts", dialogues, "--id", "nope")

    assert (result.code, "--id: 'nope' found" in result.err) == (1, True)


def test_rubrics_are_listed_and_shown(perm: Perm) -> None:
    """The words of the scale can be read without looking for files."""
    listed, shown = perm("rubrics", "list").out, perm("rubrics", "show", "reception").out

    assert all(name in listed for name in ("resonation", "expression", "reception", "bystander"))
    assert "levels:" in shown


def test_judges_says_what_each_lacks(perm: Perm) -> None:
    """The list ends in commands that mend it."""
    Path("perm.toml").write_text('[judges.mini]\nmodel = "openai/gpt-4o-mini"\n')

    result = perm("judges")

    assert "mini  openai/gpt-4o-mini  missing the API key: export OPENAI_API_KEY=…" in result.out
    assert "\n  openai/gpt-4o-mini is retired on " in result.out.replace("was retired", "is retired")


def test_judges_says_where_each_is_asked(perm: Perm) -> None:
    """Whoever holds the key should see whom it goes to."""
    Path("perm.toml").write_text(
        '[judges.own]\nmodel = "m"\nbase_url = "http://127.0.0.1:9/v1/"\n'
        '[judges.mini]\nmodel = "openai/gpt-4o-mini"\n'
        '[judges.other]\nmodel = "bedrock/x"\n'
        '[judges.count]\nmodel = "baseline"\n'
    )

    lines = {line.split()[0]: line for line in perm("judges").out.splitlines() if not line.startswith(" ")}

    assert lines["own"].endswith("(http://127.0.0.1:9/v1)")
    assert lines["mini"].endswith("(https://api.openai.com/v1)")
    assert lines["other"].endswith("(the provider's address, by LiteLLM)")
    assert lines["count"].endswith(lines["local"][-len("(on this machine)") :])


def test_judges_check_says_what_the_endpoint_can_do(perm: Perm) -> None:
    """One look before a long run."""

    def answering(body: dict[str, Any]) -> Answer:
        form = (body.get("response_format") or {}).get("type")
        return refusal(400, "json_schema is not supported") if form == "json_schema" else verdict(body)

    with loopback(answering) as server:
        result = perm("judges", "check", "openai/m", "--base-url", server.url)

    assert re.search(r"JSON schema +no, the endpoint refuses it", result.out)
    assert re.search(r"JSON mode +yes", result.out)
    assert re.search(r"log-probabilities +no", result.out)
    assert re.search(r"verdict +a score of [1-5]", result.out)


def test_expected_scores_come_from_probabilities(perm: Perm, dialogues: Path) -> None:
    """The score is the expectation, and the distribution stands beside it."""

    def answering(body: dict[str, Any]) -> Answer:
        answer = verdict(body)
        if '"score"' not in answer.text:
            return answer
        top = [{"token": "4", "logprob": -0.6931471805599453}, {"token": "2", "logprob": -0.6931471805599453}]
        content = [{"token": c, "bytes": list(c.encode()), "top_logprobs": top} for c in answer.text]
        return Answer(text=answer.text, logprobs={"content": content})

    with loopback(answering) as server:
        perm("score", dialogues, *judged_by(server), "--out", "run", "--score", "expected")

    ratings = [r for r in records(Path("run/ratings.jsonl")) if r["dimension"] == "reception"]
    assert [r["score"] for r in ratings] == [pytest.approx(3.0)] * 6
    assert ratings[0]["distribution"] == {"2": pytest.approx(0.5), "4": pytest.approx(0.5), "missing": pytest.approx(0)}


def test_a_long_thought_gets_more_room_once(perm: Perm, dialogues: Path) -> None:
    """A reasoning judge that spent its tokens on thinking is asked again with four times as many."""

    def answering(body: dict[str, Any]) -> Answer:
        return verdict(body) if body["max_tokens"] > 1024 else Answer(text="<think>hm", finish_reason="length")

    with loopback(answering) as server:
        result = perm("score", dialogues, *judged_by(server), "--out", "run", "--json")

    assert json.loads(result.out)["coverage"] == 1.0
    assert {r["max_tokens"] for r in server.requests} == {1024, 4096}
    assert {r["attempts"] for r in records(Path("run/ratings.jsonl"))} == {2}


_BRIEF = """{% macro instructions(rubric, answer) %}Rate {{ rubric.name }} in JSON.{% endmacro %}
{% macro case(view) %}{{ view.turns[-1] }}{% endmacro %}"""


def test_the_embedded_judge_says_that_it_is_not_to_be_believed(perm: Perm, dialogues: Path) -> None:
    """Every output made with it carries the caveat; a judge like it is stood in for by the caveat alone."""
    pytest.importorskip("xllamacpp", reason="the embedded judge is not installed")
    one = written(dialogues.parent / "one.jsonl", [row(0)])
    brief = dialogues.parent / "brief"  # reading long instructions and rambling take a small model most of its time
    brief.mkdir()
    for template in (shipped("prompts") / "en").glob("*.jinja"):
        (brief / template.name).write_text(_BRIEF)

    result = perm(
        *("score", one, "--judge", "local", "--out", "run", "--prompts", brief, "--max-tokens", "8", "--reask", "0")
    )

    if "missing" in result.err:
        pytest.skip(result.err)
    assert result.code in {0, 3}
    assert "far too small to judge empathy" in result.out.splitlines()[-1]
    for name in ("summary.json", "summary.csv", "rewards.jsonl", "run.json"):
        assert "far too small" in Path("run", name).read_text()


@pytest.mark.skipif(os.name == "nt", reason="signals")
class TestInterrupts:
    """Ctrl-C, in a process of its own."""

    @contextmanager
    def asking(self, dialogues: Path, server: Loopback) -> Iterator[Program]:
        """Start a run and wait until it has asked something."""
        with started("score", dialogues, *judged_by(server), "--out", "run", "--concurrency", "2") as program:
            assert program.until(lambda: server.requests)
            yield program

    def test_once_drains_what_is_in_flight(self, perm: Perm, dialogues: Path) -> None:
        """Exit code 130, a line on how to go on, and going on asks only for the rest."""
        with loopback(latency_s=0.15) as server:
            with self.asking(dialogues, server) as program:
                program.process.send_signal(signal.SIGINT)
                ended = program.ended()
            asked = len(server.requests)
            result = perm("score", dialogues, *judged_by(server), "--out", "run", "--json")

        assert ended.code == 130
        assert ended.way_on[0] == "score"
        assert asked < 24
        assert len(server.requests) == 24
        assert json.loads(result.out)["coverage"] == 1.0

    def test_twice_stops_at_once(self, dialogues: Path) -> None:
        """Nobody has to wait for a judge that hangs."""
        with loopback(latency_s=5) as server, self.asking(dialogues, server) as program:
            program.process.send_signal(signal.SIGINT)
            assert program.until(lambda: "finishing the calls in flight" in program.err)
            program.process.send_signal(signal.SIGINT)
            ended = program.ended()

        assert ended.code == 130
        before, _, after = ended.err.partition("finishing the calls in flight")
        assert "dropping" not in before
        assert after.splitlines()[1] == "dropping the calls in flight"
        assert "finishing" not in after


def test_help_loads_nothing_heavy() -> None:
    """Help must not wait for an HTTP client, a data frame or LiteLLM."""
    heavy = "aiohttp pandas numpy litellm pydantic jinja2 openai tenacity yaml rich"
    script = (
        "import sys; sys.argv = ['perm', '--help']\n"
        "from perm_cli.cli import main\n"
        "try: main()\n"
        f"finally: print([name for name in '{heavy}'.split() if name in sys.modules], file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.stderr.strip() == "[]"


def test_help_of_a_command_loads_nothing_heavy() -> None:
    """Nor must the help of any command, or the completion of its options, wait for what the command needs."""
    heavy = "aiohttp pandas numpy scipy litellm jinja2 openai tenacity yaml rich orjson"
    script = (
        "import sys\n"
        "from typer.main import get_command\n"
        "from perm_cli.cli import app\n"
        "for name in get_command(app).commands:\n"
        "    app([name, '--help'], standalone_mode=False)\n"
        f"print([name for name in '{heavy}'.split() if name in sys.modules], file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "--min-coverage" in done.stdout
    assert done.stderr.strip() == "[]"


def test_what_an_endpoint_takes_stays_on_record_when_nothing_is_asked(perm: Perm, dialogues: Path) -> None:
    """A resumed run that has nothing to ask knows nothing new about the judge."""

    def answering(body: dict[str, Any]) -> Answer:
        form = (body.get("response_format") or {}).get("type")
        return refusal(400, "json_schema is not supported") if form == "json_schema" else verdict(body)

    with loopback(answering) as server:
        perm("score", dialogues, *judged_by(server), "--out", "run", "--min-coverage", "0")
        perm("score", dialogues, *judged_by(server), "--out", "run", "--min-coverage", "0")

    (settings,) = json.loads(Path("run/run.json").read_text())["settings"].values()
    assert settings["effective"]["form"] == "json"


def test_a_damaged_rating_is_made_again(perm: Perm, dialogues: Path) -> None:
    """One bad line costs one call, and is mentioned."""
    with loopback() as server:
        perm("score", dialogues, *judged_by(server), "--out", "run")
        lines = Path("run/ratings.jsonl").read_bytes().splitlines(keepends=True)
        Path("run/ratings.jsonl").write_bytes(b"".join([b'{"key": "half\n', *lines[1:]]))
        result = perm("score", dialogues, *judged_by(server), "--out", "run", "--json")

    assert len(server.requests) == 25
    assert json.loads(result.out)["coverage"] == 1.0
    assert "1 damaged line passed over" in result.err


def test_systems_that_reply_in_the_same_words_are_rated_each(perm: Perm, tmp_path: Path) -> None:
    """Canned replies are common, and a system must not vanish because another said the same."""
    same = row(0)["turns"]
    rows = [row(0, id="x", system="a", turns=same), row(0, id="x", system="b", turns=same), row(0, id="y", turns=same)]
    path = written(tmp_path / "same.jsonl", rows)

    with loopback() as server:
        result = perm("score", path, *judged_by(server), "--out", "run", "--json")

    rewards = records(Path("run/rewards.jsonl"))
    assert {(r["dialogue_id"], r["system"]) for r in rewards} == {("x", "a"), ("x", "b"), ("y", "s")}
    assert json.loads(result.out)["ratings_expected"] == len(server.requests) == 12


def test_a_configured_key_is_not_sent_to_another_host(
    perm: Perm, dialogues: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address on the command line takes no key along from the settings."""
    monkeypatch.setenv("HOUSE_KEY", KEY)
    Path("perm.toml").write_text(
        '[judges.house]\nmodel = "m"\nbase_url = "http://10.0.0.5/v1"\napi_key_env = "HOUSE_KEY"\n'
    )

    with loopback() as server:
        perm("score", dialogues, "--judge", "house", "--base-url", server.url, "--out", "run")

    assert server.headers
    assert not [headers for headers in server.headers if "Authorization" in headers]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param('params = { api_key = "sk" }', "judges.h.params: api_key cannot be set here", id="key-in-params"),
        pytest.param("params = { messages = 1 }", "judges.h.params: messages cannot be set here", id="reserved"),
        pytest.param(
            'base_url = "http://h/v1?key=sk"',
            "must not contain a user, password or query",
            id="key-in-query",
        ),
        pytest.param('base_url = "http://u:p@h/v1"', "must not contain a user, password or query", id="password"),
        pytest.param('base_url = "h:80/v1"', "expected one such as http://", id="no-scheme"),
    ],
)
def test_settings_that_would_leak_or_fail_are_refused(perm: Perm, line: str, said: str) -> None:
    """Secrets have one way in, and it leads past every file."""
    Path("perm.toml").write_text(f'[judges.h]\nmodel = "m"\n{line}\n')

    result = perm("judges")

    assert (result.code, said in result.err) == (1, True)


@pytest.mark.parametrize("option", ["--timeout", "--temperature", "--length-penalty"])
def test_numbers_are_finite(perm: Perm, dialogues: Path, option: str) -> None:
    """Infinity would make rewards of nothing."""
    assert perm("score", dialogues, "--judge", "m", option, "inf").code == 2


def test_rewards_made_another_way_can_go_elsewhere(perm: Perm, dialogues: Path) -> None:
    """The run's own stay as they were, and another run is not written over."""
    perm("score", dialogues, "--judge", "baseline", "--out", "run")
    perm("score", dialogues, "--judge", "baseline", "--out", "other")
    before = {path.name: path.read_bytes() for path in Path("run").glob("*.*")}

    result = perm("reward", "run", "--fusion", "mean", "--bystander-coef", "0", "--out", "made/mean")
    refused = perm("reward", "run", "--out", "other")

    assert (result.code, refused.code) == (0, 1)
    assert {path.name: path.read_bytes() for path in Path("run").glob("*.*")} == before
    assert {path.name for path in Path("made/mean").iterdir()} == {"rewards.jsonl", "summary.json", "summary.csv"}
    assert json.loads(Path("made/mean/summary.json").read_bytes())["recipe"]["fusion"] == "mean"
    assert "--out other: another run found" in refused.err


def test_damage_is_said_when_fusing_again(perm: Perm, dialogues: Path) -> None:
    """A rating that cannot be read is missing for a reason."""
    with loopback() as server:
        perm("score", dialogues, *judged_by(server), "--out", "run")
    with Path("run/ratings.jsonl").open("ab") as stream:
        stream.write(b"garbage\n")

    assert "1 damaged lines passed over" in perm("reward", "run").err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_a_line(perm: Perm, dialogues: Path) -> None:
    """Results that cannot be written are said in one line."""
    with loopback() as server:
        perm("score", dialogues, *judged_by(server), "--out", "run")

    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "perm_cli", "reward", "run"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert (done.returncode, done.stderr) == (1, "perm: standard output: No space left on device\n")


# --- what may be paid for, and what need not be ---

MORE_IS_NEEDED = "is reached: the rest is skipped. To resume: the same command with a larger --budget"


@pytest.fixture
def impatient() -> Iterator[None]:
    """Let failed calls be tried again at once."""
    with retrying(AT_ONCE):
        yield


def falling_over(every: int) -> Answering:
    """Return an endpoint that answers every so many requests with an error that may pass."""
    count = itertools.count(1)
    return lambda body: verdict(body) if next(count) % every else refusal(500, "fell over")


def at_length(body: dict[str, Any]) -> Answer:
    """Return a verdict that takes 2,000 tokens in and 500 out."""
    choice = {"message": {"content": verdict(body).text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 2000, "completion_tokens": 500}
    return Answer(body=json.dumps({"choices": [choice], "usage": usage}).encode())


def summary_of(run: str = "run") -> dict[str, Any]:
    """Return what `summary.json` holds."""
    return dict(json.loads(Path(run, "summary.json").read_text()))


@pytest.mark.usefixtures("impatient")
def test_a_budget_of_calls_is_never_passed(perm: Perm, dialogues: Path) -> None:
    """Calls that are tried again count as often as they are made; what is left undone is skipped, and said to be."""
    with loopback(falling_over(4)) as server:
        result = perm("score", dialogues, *judged_by(server), "--out", "run", "--budget", "20calls")

    missing = [reward["missing"] for reward in records(Path("run/rewards.jsonl"))]
    assert (result.code, len(server.requests)) == (3, 20)
    assert summary_of()["statuses"] == {"scored": 15, "skipped": 9}
    assert sum(len(each) for each in missing) == 9
    assert {word for each in missing for word in each.values()} == {"skipped"}
    assert result.err.replace("\n", " ").count(f"the budget of 20 calls {MORE_IS_NEEDED}") == 1
    assert len(result.err.splitlines()) == 2


def test_a_larger_budget_pays_only_the_rest(perm: Perm, dialogues: Path) -> None:
    """The budget is that of the folder: with the same again nothing is left to spend."""
    command = ["score", dialogues, "--out", "run"]

    with loopback() as server:
        codes, asked = [], []
        for budget in ("10calls", "10calls", "24calls", "24calls"):
            codes.append(perm(*command, *judged_by(server), "--budget", budget).code)
            asked.append(len(server.requests))

    assert codes == [3, 3, 0, 0]
    assert asked == [10, 10, 24, 24]
    assert summary_of()["statuses"] == {"scored": 24}


@pytest.mark.usefixtures("impatient")
def test_the_same_budget_again_is_spent(perm: Perm, dialogues: Path) -> None:
    """Calls that failed were calls, whatever became of their rating."""
    with loopback(falling_over(4)) as server:
        for _ in range(2):
            perm("score", dialogues, *judged_by(server), "--out", "run", "--budget", "20calls")

    assert len(server.requests) == 20


def test_unseen_bills_count_in_the_next_run_too(perm: Perm, dialogues: Path) -> None:
    """An answer without choices may have been billed: the same budget again must not be spent twice."""
    count, asked = itertools.count(), []

    with loopback(lambda body: Answer(body=b'{"choices": []}') if next(count) else verdict(body)) as server:
        for _ in range(2):
            perm("score", dialogues, *judged_by(server), "--out", "run", "--budget", "20ktokens", "--patience", "0.001")
            asked.append(len(server.requests))

    assert 0 < asked[0] < 24
    assert asked[1] == asked[0]


def test_a_budget_of_tokens_ends_before_it_could_be_passed(perm: Perm, dialogues: Path) -> None:
    """A call goes only if its longest reply fits: each uses 2,500 tokens and might use more."""
    with loopback(at_length) as server:
        result = perm("score", dialogues, *judged_by(server), "--out", "run", "--budget", "20k-tokens")

    summary = summary_of()
    assert result.code == 3
    assert summary["statuses"]["scored"] == len(server.requests) > 0
    assert summary["tokens"]["in"] + summary["tokens"]["out"] == 2500 * len(server.requests) <= 20_000
    assert f"the budget of 20,000 tokens {MORE_IS_NEEDED}" in result.err.replace("\n", " ")


def test_a_budget_of_dollars_goes_by_the_price(perm: Perm, dialogues: Path) -> None:
    """2,000 tokens in and 500 out at 100 and 200 dollars a million are 30 cents."""
    with loopback(at_length) as server:
        settings = f'judge = "house"\n[judges.house]\nmodel = "m"\nbase_url = "{server.url}"\n'
        Path("perm.toml").write_text(f"{settings}price = {{ input = 100.0, output = 200.0 }}\n")
        result = perm("score", dialogues, "--out", "run", "--budget", "$2.5")

    summary = summary_of()
    assert result.code == 3
    assert len(server.requests) > 0
    assert summary["cost_usd"] == pytest.approx(0.3 * len(server.requests))
    assert summary["cost_usd"] <= 2.5
    assert f"the budget of 2.5 USD {MORE_IS_NEEDED}" in result.err.replace("\n", " ")


def test_a_budget_of_dollars_needs_a_price(perm: Perm, dialogues: Path) -> None:
    """Without one nobody could keep it, and that is said before anything is done."""
    with loopback() as server:
        result = perm("score", dialogues, *judged_by(server), "--out", "run", "--budget", "5usd")

    (line,) = result.err.splitlines()
    assert (result.code, server.requests, Path("run").exists()) == (1, [], False)
    assert line.startswith("perm: --budget 5usd: no price is known for openai/m, expected one in perm.toml: ")
    assert "price = { input = …, output = … }" in line


@pytest.mark.parametrize("budget", ["5", "lots", "-1usd"])
def test_what_is_no_budget_is_a_line(perm: Perm, dialogues: Path, budget: str) -> None:
    """A limit that is not understood must not be none."""
    result = perm("score", dialogues, "--judge", "m", "--base-url", "http://127.0.0.1:1/v1", f"--budget={budget}")

    assert (result.code, len(result.err.splitlines())) == (1, 1)
    assert f"--budget: '{budget}' found, expected an amount such as" in result.err


def test_an_empty_budget_is_not_a_limitless_one(perm: Perm, dialogues: Path) -> None:
    """`--budget "$LIMIT"` is empty where nobody has set LIMIT."""
    with loopback() as server:
        result = perm("score", dialogues, *judged_by(server), "--out", "run", "--budget", "")

    assert (result.code, server.requests) == (1, [])


def test_a_rating_whose_second_call_is_over_budget_keeps_what_the_first_cost(perm: Perm, dialogues: Path) -> None:
    """A reply that was cut off is paid for; it is asked again, with more room, once there is money for that."""

    def answering(body: dict[str, Any]) -> Answer:
        return verdict(body) if body["max_tokens"] > 1024 else Answer(text="<think>hm", finish_reason="length")

    with loopback(answering) as server:
        first = perm("score", dialogues, *judged_by(server), "--out", "run", "--budget", "1calls")
        (skipped,) = records(Path("run/ratings.jsonl"))
        summary = summary_of()
        again = perm("score", dialogues, *judged_by(server), "--out", "run", "--budget", "1calls")
        asked = len(server.requests)
        last = perm("score", dialogues, *judged_by(server), "--out", "run", "--budget", "49calls")

    assert (first.code, again.code, asked) == (3, 3, 1)
    assert (skipped["status"], skipped["tokens_in"], skipped["tokens_out"], skipped["attempts"]) == (
        "skipped", 100, 10, 1,
    )  # fmt: skip
    assert skipped["note"] == "not asked again: the budget of 1 calls is reached"
    assert (summary["statuses"], summary["tokens"]["in"]) == ({"skipped": 24}, 100)
    assert (last.code, len(server.requests)) == (0, 49)
    assert summary_of()["statuses"] == {"scored": 24}


def test_a_budget_reached_within_the_last_rating_is_said(perm: Perm, dialogues: Path) -> None:
    """Something is skipped, so the run has not ended well, however high the coverage."""
    count = itertools.count(1)

    def answering(body: dict[str, Any]) -> Answer:
        return Answer(text="<think>hm", finish_reason="length") if next(count) == 24 else verdict(body)

    with loopback(answering) as server:
        result = perm(
            "score", dialogues, *judged_by(server), "--out", "run", "--budget", "24calls", "--concurrency", "1"
        )

    assert summary_of()["statuses"] == {"scored": 23, "skipped": 1}
    assert result.code == 3
    assert MORE_IS_NEEDED in result.err.replace("\n", " ")


def test_ratings_of_another_run_are_taken_and_not_paid_for(perm: Perm, dialogues: Path) -> None:
    """The new run is whole, costs nothing, and says whose the ratings are."""
    with loopback() as server:
        Path("perm.toml").write_text(
            f'[judges.house]\nmodel = "m"\nbase_url = "{server.url}"\nprice = {{ input = 1.0, output = 2.0 }}\n'
        )
        perm("score", dialogues, "--judge", "house", "--out", "one")
        asked = len(server.requests)
        more = written(dialogues.parent / "more.jsonl", [row(place, system="ab"[place % 2]) for place in range(7)])
        same = perm("score", dialogues, "--judge", "house", "--out", "two", "--reuse", "one", "--budget", "0calls")
        same_asked = len(server.requests)
        perm("score", more, "--judge", "house", "--out", "three", "--reuse", "two", "--json")

    assert (asked, same_asked, len(server.requests)) == (24, 24, 28)
    assert same.code == 0
    assert {rating["reused"] for rating in records(Path("two/ratings.jsonl"))} == {"one"}
    assert (summary_of("two")["coverage"], summary_of("two")["cost_usd"], summary_of("two")["tokens"]) == (1.0, 0.0, {})
    assert Path("two/rewards.jsonl").read_text() == Path("one/rewards.jsonl").read_text()
    # Of seven dialogues one is new: four calls of 100 tokens in and 10 out.
    assert [rating["reused"] for rating in records(Path("three/ratings.jsonl"))].count("") == 4
    assert summary_of("three")["cost_usd"] == pytest.approx(4 * 120 / 1e6)


def test_ratings_made_under_other_settings_are_not_taken(perm: Perm, dialogues: Path) -> None:
    """They answer another question."""
    with loopback() as server:
        perm("score", dialogues, *judged_by(server), "--out", "one")
        perm("score", dialogues, *judged_by(server), "--out", "two", "--reuse", "one", "--temperature", "0")

    assert len(server.requests) == 48


def test_a_run_to_reuse_that_is_none_is_a_line(perm: Perm, dialogues: Path) -> None:
    """A typing mistake must not be paid for with all ratings made anew."""
    with loopback() as server:
        result = perm("score", dialogues, *judged_by(server), "--out", "run", "--reuse", "nowhere")

    assert (result.code, server.requests) == (1, [])
    assert result.err.splitlines()[1:] == [
        "perm: --reuse: nowhere: no ratings found, expected a folder that perm score has written"
    ]


def test_a_run_to_reuse_that_is_none_leaves_nothing_behind(perm: Perm, dialogues: Path) -> None:
    """What can be checked is checked before a folder is made."""
    perm("score", dialogues, "--judge", "m", "--base-url", "http://127.0.0.1:1/v1", "--out", "run", "--reuse", "no")

    assert not Path("run").exists()


def test_limits_are_accepted_kept_on_record_and_change_no_rating(perm: Perm, dialogues: Path) -> None:
    """How fast a judge is asked says nothing about what it answers."""
    with loopback() as server:
        limits = ["--rpm", "100000", "--tpm", "1e9", "--patience", "60"]
        first = perm("score", dialogues, *judged_by(server), "--out", "run", *limits)
        second = perm("score", dialogues, *judged_by(server), "--out", "run")

    record = json.loads(Path("run/run.json").read_text())
    ((settings, _),) = record["settings"].items()
    assert (first.code, second.code, len(server.requests)) == (0, 0, 24)
    assert [command["settings"] for command in record["commands"]] == [settings, settings]
    assert "--rpm 100000 --tpm 1e9 --patience 60" in record["commands"][0]["command"]


@pytest.mark.parametrize("number", ["0", "-1", "nan", "many"])
@pytest.mark.parametrize("option", ["--rpm", "--tpm", "--patience"])
def test_limits_are_positive_numbers(perm: Perm, dialogues: Path, option: str, number: str) -> None:
    """Nothing a minute would take for ever."""
    assert perm("score", dialogues, "--judge", "m", option, number).code == 2


@pytest.mark.parametrize("option", ["--samples", "--reask", "--max-tokens", "--concurrency", "--length-limit"])
def test_counts_are_numbers_that_files_can_hold(perm: Perm, dialogues: Path, option: str) -> None:
    """What is no number of 64 bits can be neither sent nor kept on record."""
    assert perm("score", dialogues, "--judge", "baseline", option, 2**64).code == 2


@pytest.mark.parametrize("option", ["--rpm", "--tpm"])
def test_limits_are_finite(perm: Perm, dialogues: Path, option: str) -> None:
    """Who wants no limit gives none."""
    with loopback() as server:
        assert perm("score", dialogues, *judged_by(server), "--out", "run", option, "inf").code == 2
