"""`perm watch` as typed: what a run's signs show, and what is said of a file that holds something else."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from perm_cli.cli.watch import watch
from perm_cli.reward import Perm
from perm_cli.training.signs import Signs, signs_of
from tests.commands import runner
from tests.loopback import loopback
from tests.rewarding import asking, items
from tests.test_signs import reply


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs the command line."""
    monkeypatch.setenv("COLUMNS", "120")
    return runner(monkeypatch, capsys)


def line(step: object = 1, **changes: object) -> dict[str, Any]:
    """Return a line of the signs of eight replies."""
    found: Signs = signs_of([reply(place / 10, "a", length=float(place % 3)) for place in range(8)])
    return {"step": step, "at": "2026-01-01T00:00:00+00:00", "worker": "worker-1", **asdict(found)} | changes


def run_with(lines: Sequence[object], end: str = "\n") -> Path:
    """Write the signs of a run."""
    Path("train").mkdir()
    text = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines)
    Path("train/signs.jsonl").write_text(text + end, encoding="utf-8")
    return Path("train")


def test_a_run_is_shown_sign_by_sign(perm: Any) -> None:
    """First, last, the way between, and the ends; shares as shares."""
    rewards = [0.1, 0.5, 0.3, 0.9]
    path = run_with([line(step, reward=reward, saturated=reward) for step, reward in enumerate(rewards)])

    found = perm("watch", path)

    rows = {row.split()[0]: row.split() for row in found.out.splitlines() if row.strip()}
    assert (found.code, found.err) == (0, "")
    assert rows["reward"] == ["reward", "0.10", "0.90", "▁▅▃█", "0.10", "0.90"]  # places 0, 3.5, 1.75 and 7 of 7
    assert rows["saturated"][1:3] == ["10%", "90%"]
    assert "step 3, 32 replies so far" in found.out
    assert "! 90% of the scores are at the top of the scale: little left to learn" in found.out


def test_signs_of_an_earlier_release_are_read(perm: Any) -> None:
    """It did not know how long training stood still."""
    path = run_with([{name: value for name, value in line().items() if name not in {"longest_wait_s", "retries"}}])

    found = perm("watch", path)

    assert (found.code, found.err) == (0, "")
    assert "longest_wait_s" not in found.out


def test_what_training_writes_is_what_is_read(perm: Any) -> None:
    """From end to end, and the file itself can be named."""
    with loopback() as server, asking(server, run="train") as training:
        train(training)
    by_folder, by_file = perm("watch", "train"), perm("watch", "train/signs.jsonl")
    assert perm("watch", "train/worker-1").out == by_folder.out

    assert (by_folder.code, by_folder.err) == (0, "")
    assert "step 2, 24 replies so far" in by_folder.out
    assert by_file.out == by_folder.out


def train(training: Perm) -> None:
    """Take three steps."""
    for step in range(3):
        training.score_now(items(8, start=8 * step), step)


def test_a_warning_that_has_passed_is_not_shown(perm: Any) -> None:
    """What counts is the last step."""
    path = run_with([line(1, tied=1.0), line(2, tied=0.0)])

    assert "!" not in perm("watch", path).out


def test_a_long_run_fits_the_terminal(perm: Any) -> None:
    """Steps that are neighbours are joined."""
    path = run_with([line(step, reward=step / 300) for step in range(1, 301)])

    found = perm("watch", path)

    assert "▁▁▁▂" in found.out
    assert max(map(len, found.out.splitlines())) <= 120
    assert "step 300, 2,400 replies so far" in found.out


def test_without_steps_windows_are_counted(perm: Any) -> None:
    """Trainers that ask reply by reply name no step."""
    assert "window 2, 16 replies so far" in perm("watch", run_with([line(None), line(None)])).out


def test_signs_that_are_not_known_are_left_out(perm: Any) -> None:
    """A row of blanks would say nothing."""
    found = perm("watch", run_with([line(rho_sympathy=None, reward=None), line(rho_sympathy=None)]))

    assert "rho_sympathy" not in found.out
    assert "reward" in found.out


def test_a_line_that_is_being_written_is_passed_over(perm: Any) -> None:
    """Training goes on while it is watched."""
    path = run_with([line(1), line(2), json.dumps(line(3))[:80]], end="")

    found = perm("watch", path)

    assert (found.code, "step 2, 16 replies so far" in found.out) == (0, True)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param("{", id="cut and gone on"),
        pytest.param("", id="blank"),
        pytest.param("[1]", id="no object"),
        pytest.param("3", id="a number"),
        pytest.param('{"step": 1}', id="no signs"),
        pytest.param(json.dumps(line(reward="high")), id="a word for a number"),
        pytest.param(json.dumps(line(replies=None)), id="none for a number"),
        pytest.param(json.dumps(line({"a": 1})), id="a step that is none"),
        pytest.param(json.dumps(line("\x1b[31m")), id="a step that a terminal obeys"),
        pytest.param(json.dumps(line(reward=[1])), id="a list for a number"),
    ],
)
def test_a_broken_line_is_named(broken: str, perm: Any) -> None:
    """With its file and its place, in one line."""
    path = run_with([line(1), broken, line(3)])

    found = perm("watch", path)

    assert (found.code, found.out) == (1, "")
    assert found.err.startswith("perm: train/signs.jsonl:2: ")
    assert "expected a line of signs" in found.err
    assert len(found.err.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["nowhere", "train/nowhere.jsonl"])
def test_a_file_that_is_not_there_is_one_line(name: str, perm: Any) -> None:
    """Training may not have begun."""
    found = perm("watch", name)

    assert (found.code, found.out) == (1, "")
    assert "No such file or directory found, expected the signs that training keeps in its run" in found.err
    assert len(found.err.strip().splitlines()) == 1


def test_a_run_that_has_not_begun_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One starts watching before the model is loaded."""
    pauses: list[str] = []

    def pause(_: float) -> None:
        pauses.append(",".join(sorted(path.name for path in Path("train").glob("*"))))
        match len(pauses):
            case 1:
                Path("train").mkdir()
                Path("train/signs.jsonl").touch()
            case 2:
                Path("train/signs.jsonl").write_text(json.dumps(line(3)) + "\n", encoding="utf-8")
            case _:
                raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", pause)
    with pytest.raises(KeyboardInterrupt):
        watch(Path("train"), follow=True)

    assert pauses == ["", "signs.jsonl", "signs.jsonl"]
    assert "step 3, 8 replies so far" in capsys.readouterr().out


def test_what_is_waited_for_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt name looks like a run that has not begun."""

    def pause(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", pause)
    with pytest.raises(KeyboardInterrupt):
        watch(Path("train"), follow=True)

    assert "waiting for train/signs.jsonl, which training writes" in capsys.readouterr().out


def test_a_run_without_signs_is_one_line(perm: Any) -> None:
    """The first step has not ended."""
    found = perm("watch", run_with([], end=""))

    assert (found.code, found.err.strip()) == (1, "perm: train/signs.jsonl: no signs found, expected some")
