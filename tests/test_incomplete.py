"""A part never passes for the whole, nothing is paid for twice, and what was checked is what is rated."""

import json
import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.sources import source_of
from perm_cli.errors import InputChanged
from perm_cli.judges.settings import JudgeSettings
from perm_cli.prompts.shipped import shipped
from perm_cli.ratings.rating import Rating
from perm_cli.ratings.run_folder import open_run
from perm_cli.scoring.job import Order, entered, prepare
from tests.commands import Perm, runner
from tests.loopback import Answer, Loopback, loopback, refusal, verdict
from tests.makers import rating, row, written
from tests.programs import started


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line."""
    return runner(monkeypatch, capsys)


@pytest.fixture
def dialogues(tmp_path: Path) -> Path:
    """Return a file of six dialogues, first three of one system and then three of another."""
    return written(tmp_path / "d.jsonl", [row(place, system="early" if place < 3 else "late") for place in range(6)])


def judged_by(server: Loopback) -> list[str]:
    """Return the options that name the server's judge."""
    return ["--judge", "openai/m", "--base-url", server.url]


def records(path: str) -> list[dict[str, Any]]:
    """Return the lines of a file of JSON."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


# --- what is missing is said ---


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["grade", "run"], id="grade"),
        pytest.param(["compare", "run"], id="compare"),
        pytest.param(["report", "run"], id="report"),
        pytest.param(["reward", "run"], id="reward"),
    ],
)
def test_coverage_is_of_what_was_asked_for(perm: Perm, dialogues: Path, command: list[str]) -> None:
    """A run that ended at half has not rated everything, whatever looks at it."""
    with loopback() as server:
        perm("score", dialogues, *judged_by(server), "--out", "run", "--budget", "12calls")
    result = perm(*command)

    assert result.code == 3
    assert "12 of 24 ratings scored (50.0%); 12 skipped" in result.out + result.err
    assert "coverage 50.0% is below --min-coverage 95%" in result.err
    if command[0] != "reward":
        assert "openai/m: no reward of 'late'" in result.err
        assert "the budget of 12 calls is reached" in result.err
    assert perm(*command, "--min-coverage", "0.5", *["--force"] * (command[0] == "report")).code == 0


def test_a_system_without_a_rating_stands_in_the_ranking(perm: Perm, dialogues: Path) -> None:
    """It was asked for, so it is shown, without a number and without a rank among the others."""
    with loopback() as server:
        perm("score", dialogues, *judged_by(server), "--out", "run", "--budget", "12calls")
    boards = json.loads(perm("grade", "run", "--json").out)["boards"]

    standings = {each["system"]: each for each in boards[0]["standings"]}
    assert standings["early"]["coverage"] == 1
    assert (standings["late"]["coverage"], standings["late"]["dialogues"]) == (0, 0)


def test_a_killed_run_is_known_as_such(perm: Perm, dialogues: Path) -> None:
    """A process that is killed enters nothing into the record any more."""
    with loopback() as server:
        perm("score", dialogues, *judged_by(server), "--out", "run", "--budget", "12calls")
    record = json.loads(Path("run/run.json").read_text())
    del record["commands"][0]["ended"], record["commands"][0]["stopped"]
    Path("run/run.json").write_text(json.dumps(record))

    assert "12 skipped; the command was killed, or still runs" in perm("grade", "run").err


def test_a_resumed_run_says_what_was_there(perm: Perm, dialogues: Path) -> None:
    """Calls that an earlier command made are not told again as if they were new."""
    with loopback() as server:
        ask = ["score", dialogues, *judged_by(server), "--out", "run"]
        perm(*ask, "--budget", "20calls")
        rest, nothing = perm(*ask), perm(*ask)

    assert "20 ratings were there; 4 calls for the others, 400 tokens in" in rest.out
    assert "all 24 ratings were there; 0 calls" in nothing.out


def test_a_run_of_an_earlier_release_is_held_against_all_its_dialogues(perm: Perm, dialogues: Path) -> None:
    """It does not say which lines it was about; where its number of ratings fits, they are all of them."""
    with loopback() as server:
        perm("score", dialogues, *judged_by(server), "--out", "run", "--budget", "12calls")
    record = json.loads(Path("run/run.json").read_text())
    for name in ("lines", "ended", "stopped"):
        del record["commands"][0][name]
    Path("run/run.json").write_text(json.dumps(record))

    result = perm("grade", "run")

    assert result.code == 3
    assert "12 of 24 ratings scored (50.0%); 12 skipped" in result.err


# --- one prompt edited ---


def edited(folder: Path, kind: str) -> Path:
    """Return a copy of the shipped rubrics or templates with one word changed that one dimension is asked with."""
    copy = Path(shutil.copytree(shipped(kind) / ("perm" if kind == "rubrics" else "en"), folder / kind))
    path = copy / ("reception.yaml" if kind == "rubrics" else "seeker.jinja")
    text = path.read_text()
    changed = text.replace("Hurt or shut out", "Hurt or left out") if kind == "rubrics" else text + "{# another #}"
    assert changed != text
    path.write_text(changed)
    return copy


@pytest.mark.parametrize("kind", ["rubrics", "prompts"])
@pytest.mark.parametrize("reuse", [False, True])
def test_what_an_edited_prompt_leaves_as_it_was_is_not_paid_again(
    perm: Perm, dialogues: Path, kind: str, reuse: bool
) -> None:
    """Each of both settings has all its dimensions, so each has its rewards."""
    again = ["--out", "other", "--reuse", "run"] if reuse else ["--out", "run"]
    with loopback() as server:
        perm("score", dialogues, *judged_by(server), "--out", "run")
        first = {each["dialogue_id"]: each["reward"] for each in records("run/rewards.jsonl")}
        result = perm("score", dialogues, *judged_by(server), *again, f"--{kind}", edited(dialogues.parent, kind))
        resumed = perm("score", dialogues, *judged_by(server), *again, f"--{kind}", dialogues.parent / kind)

    rewards = records("other/rewards.jsonl") if reuse else records("run/rewards.jsonl")
    by_settings: dict[str, dict[str, float]] = {}
    for each in rewards:
        by_settings.setdefault(each["settings"], {})[each["dialogue_id"]] = each["reward"]
    assert (result.code, resumed.code, len(server.requests)) == (0, 0, 24 + 6)
    assert "24 of 24 ratings scored (100.0%)" in result.out
    assert len(by_settings) == (1 if reuse else 2)
    assert all(None not in of.values() and len(of) == 6 for of in by_settings.values())
    if not reuse:
        assert first in by_settings.values()
        assert "18 ratings are those of other settings of this run" in perm("compare", "run").err
        assert len({line.split(",")[2] for line in Path("run/summary.csv").read_text().splitlines()[1:]}) == 2
        assert perm("reward", "run").out.count("100.0%") == 1


def test_other_dialogues_do_not_join_a_command_that_was_not_about_them(perm: Perm, dialogues: Path) -> None:
    """A folder may serve several files: what one command left out is missing nowhere."""
    some = written(dialogues.parent / "some.jsonl", [row(0, system="early")])
    with loopback() as server:
        perm("score", dialogues, *judged_by(server), "--out", "run")
        rubrics = edited(dialogues.parent, "rubrics")
        result = perm("score", some, *judged_by(server), "--out", "run", "--rubrics", rubrics)

    assert "4 of 4 ratings scored (100.0%)" in result.out
    assert "28 of 28 ratings scored (100.0%)" in perm("reward", "run").out
    assert all(each["reward"] is not None for each in records("run/rewards.jsonl"))


def test_an_old_rating_never_passes_for_that_of_an_edited_text(perm: Perm, tmp_path: Path) -> None:
    """What was not rated anew has no score, failed or never asked; edited back, nothing is paid again."""
    path = tmp_path / "d.jsonl"
    texts = [
        [row(place, turns=[{"role": "supporter", "text": text}]) for place in range(2)] for text in ("Old.", "New.")
    ]
    too_long = False
    with loopback(lambda body: refusal(400, "context_length_exceeded") if too_long else verdict(body)) as server:
        ask = ["score", path, *judged_by(server), "--out", "run"]
        written(path, texts[0])
        perm(*ask)
        first = [each["reward"] for each in records("run/rewards.jsonl")]
        written(path, texts[1])
        limited = perm(*ask, "--budget", "9calls")  # eight were spent
        assert [each["reward"] for each in records("run/rewards.jsonl")] == [None, None]
        too_long = True
        failed = perm(*ask)
        written(path, texts[0])
        back = perm(*ask)

    assert (limited.code, failed.code, back.code) == (3, 3, 0)
    assert "1 of 8 ratings scored (12.5%); 7 skipped" in limited.out
    assert "1 of 8 ratings scored (12.5%); 7 failed" in failed.out
    assert "all 8 ratings were there; 0 calls" in back.out
    assert [each["reward"] for each in records("run/rewards.jsonl")] == first
    assert len(server.requests) == 8 + 8
    with loopback() as server:
        perm("score", path, *judged_by(server), "--out", "again")
    assert "another text" not in perm("grade", "run", "again").err


# --- a budget holds ---


def without_usage(body: dict[str, Any]) -> Answer:
    """Return a verdict whose tokens the endpoint does not count."""
    choice = {"message": {"content": verdict(body).text}, "finish_reason": "stop"}
    return Answer(body=json.dumps({"choices": [choice]}).encode())


def calls_of(command: Sequence[str], path: Path, kills: int) -> int:
    """Return how many calls a command makes that is killed at its every eighth call, so often, and then let end."""
    pid = asked = 0

    def answering(body: dict[str, Any]) -> Answer:
        nonlocal asked, kills
        asked += 1
        if kills and asked % 8 == 0:
            kills -= 1
            os.kill(pid, signal.SIGKILL)
        return without_usage(body)

    with loopback(answering) as server:
        code = -signal.SIGKILL
        while code == -signal.SIGKILL:
            with started(*command, *judged_by(server), "--concurrency", "4", cwd=path) as program:
                pid = program.process.pid
                code = program.ended().code
    return asked


def test_a_budget_holds_over_kills_of_a_judge_that_counts_nothing(tmp_path: Path) -> None:
    """What calls may have cost is on disk before they are made."""
    path = written(tmp_path / "d.jsonl", [row(place) for place in range(12)])
    command = ["score", str(path), "--budget", "100ktokens", "--out"]

    whole = calls_of([*command, "whole"], tmp_path, 0)

    assert 16 < whole < 48
    assert calls_of([*command, "killed"], tmp_path, 2) <= whole


# --- files that change ---


def order_for(path: Path) -> Order:
    """Return an order for the dialogues in a file."""
    return Order(
        sources=[source_of(str(path))],
        reading=Reading(),
        judge=JudgeSettings(name="j", model="baseline"),
        rubrics=shipped("rubrics") / "perm",
        prompts=shipped("prompts") / "en",
    )


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: written(path, [row(place) for place in range(7)]), id="grown"),
        pytest.param(lambda path: path.write_text(path.read_text().replace("today", "now")), id="edited"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-40]), id="truncated"),
        pytest.param(lambda path: path.write_bytes(b"\xff\xfe\x00" * 99), id="garbled"),
        pytest.param(lambda path: path.unlink(), id="removed"),
    ],
)
def test_what_changes_after_the_check_is_not_rated(dialogues: Path, tmp_path: Path, change: Any) -> None:
    """Nothing has been paid for yet, so the run is not begun."""
    job = prepare(order_for(dialogues))
    before = dialogues.read_bytes()
    change(dialogues)

    assert not dialogues.exists() or dialogues.read_bytes() != before
    with open_run(tmp_path / "run") as folder, pytest.raises(InputChanged, match=r"d\.jsonl"):
        entered(job, folder, "perm score")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="emptied"),
        pytest.param(b"\xff\xfe{" * 99, id="garbled"),
        pytest.param(b'{"id": "new", "turns": [{"role": "supporter", "text": "Another."}]}\n' * 9, id="rewritten"),
    ],
)
def test_a_file_that_changes_during_the_run_changes_nothing(perm: Perm, dialogues: Path, content: bytes) -> None:
    """What was checked is kept in the run, and is rated from there."""

    def answering(body: dict[str, Any]) -> Answer:
        dialogues.write_bytes(content)
        return verdict(body)

    with loopback(answering) as server:
        result = perm("score", dialogues, *judged_by(server), "--out", "run")

    assert (result.code, len(server.requests)) == (0, 24)
    assert {each["dialogue_id"] for each in records("run/ratings.jsonl")} == {f"d{place}" for place in range(6)}
    assert not any("Another." in json.dumps(body) for body in server.requests)


def test_a_damaged_line_ends_a_run_with_a_line(perm: Perm, dialogues: Path) -> None:
    """Whatever goes wrong while calls are under way is said in a line, and what is rated is kept."""

    def answering(body: dict[str, Any]) -> Answer:
        Path("run/dialogues.jsonl").write_bytes(b"{}\n" * 6)
        return verdict(body)

    with loopback(answering) as server:
        for place in range(6, 400):  # more than a reader takes in at once
            with dialogues.open("a") as stream:
                stream.write(json.dumps(row(place, scenario="x" * 2000)) + "\n")
        result = perm("score", dialogues, *judged_by(server), "--out", "run", "--concurrency", "2")

    assert result.code == 1
    assert "run/dialogues.jsonl" in result.err
    assert "Traceback" not in result.err
    assert len(records("run/ratings.jsonl")) == len(server.requests)


# --- old files ---


@pytest.mark.parametrize(
    "lost", sorted({"reused", "items", "distribution", "note", "cached_tokens", "latency_s", "at"})
)
def test_ratings_without_a_column_are_read_and_not_paid_again(perm: Perm, dialogues: Path, lost: str) -> None:
    """A column that a release adds is missing in all that was written before."""
    with loopback() as server:
        perm("score", dialogues, *judged_by(server), "--out", "run")
        rows = [{name: value for name, value in each.items() if name != lost} for each in records("run/ratings.jsonl")]
        Path("run/ratings.jsonl").write_text("".join(json.dumps(each | {"of_tomorrow": 1}) + "\n" for each in rows))
        result = perm("score", dialogues, *judged_by(server), "--out", "run")

    assert (result.code, len(server.requests)) == (0, 24)
    assert "24 of 24 ratings scored (100.0%)" in result.out
    assert "damaged" not in result.err


def test_every_column_that_may_be_missing_has_a_default() -> None:
    """Only what says which rating it is, and what came of it, must be there."""
    whole = asdict(rating())
    must = {"key", "settings", "dialogue_id", "system", "turn", "dimension", "judge", "sample", "status"}

    for name in whole.keys() - must - {"score"}:
        line = orjson.dumps({key: value for key, value in whole.items() if key != name})
        assert isinstance(Rating(**json.loads(line)), Rating)
