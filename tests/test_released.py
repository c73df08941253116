"""
Run folders that earlier releases have written: what was paid for under any of them stays readable.

Every release adds a folder to `tests/released`, written by itself: a small run's `run.json`, dialogues and ratings.
"""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from shutil import copytree

import orjson
import pytest

from perm_cli.ratings.run_folder import open_run
from tests.commands import Perm, runner

RELEASES = sorted(path for path in (Path(__file__).parent / "released").iterdir() if path.is_dir())


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line."""
    return runner(monkeypatch, capsys)


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def released(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a copy of a run folder that a release has written."""
    return Path(copytree(request.param, tmp_path / "run"))


def test_the_ratings_of_a_release_are_read(released: Path) -> None:
    """A line that counted as damaged would be paid for again."""
    lines = [orjson.loads(line) for line in (released / "ratings.jsonl").read_bytes().splitlines()]

    with open_run(released) as folder:
        ratings = list(folder.ratings())
        damaged = folder.damaged

    assert damaged == 0
    assert [{name: asdict(each)[name] for name in line} for each, line in zip(ratings, lines, strict=True)] == lines
    assert Counter(each.status for each in ratings) == {"scored": 12}


def test_a_column_of_a_later_release_stays_in_the_file(released: Path) -> None:
    """It says nothing here; the release that wrote it will look for it again."""
    path = released / "ratings.jsonl"
    lines = [orjson.dumps(orjson.loads(line) | {"of_tomorrow": [1]}) + b"\n" for line in path.read_bytes().splitlines()]
    path.write_bytes(b"".join(lines))

    with open_run(released) as folder:
        first = next(folder.ratings())
        folder.append(first)
        assert not hasattr(first, "of_tomorrow")
        assert sum(1 for _ in folder.ratings()) == 13

    assert path.read_bytes().startswith(b"".join(lines))


def test_the_record_of_a_release_is_written_as_it_was(released: Path) -> None:
    """What another release has added survives, and what is not known stays absent."""
    path = released / "run.json"
    record = orjson.loads(path.read_bytes()) | {"of_tomorrow": {"a": [1]}}
    for entry in (*record["settings"].values(), *record["commands"]):
        entry["of_tomorrow"] = None
    path.write_bytes(orjson.dumps(record))

    with open_run(released) as folder:
        folder.record.charge("calls", 12)
        folder.write_record()

    assert orjson.loads(path.read_bytes()) == record | {"spent": {"calls": 12}}


def test_the_run_of_a_release_is_fused_and_reported(released: Path, perm: Perm) -> None:
    """Nobody judges again to see old numbers."""
    fused = perm("reward", released)
    reported = perm("report", released, "--out", released.parent / "report.html")

    assert fused.code == reported.code == 0
    assert "12 of 12 ratings scored (100.0%)" in fused.out


def test_a_finished_run_of_a_release_is_resumed_for_nothing(perm: Perm, tmp_path: Path) -> None:
    """The same command as then finds every rating there."""
    run = Path(copytree(RELEASES[0].parent / "0.1.0", tmp_path / "run"))
    (tmp_path / "dialogues.jsonl").write_bytes((run / "dialogues.jsonl").read_bytes())
    before = (run / "ratings.jsonl").read_bytes()

    result = perm("score", tmp_path / "dialogues.jsonl", "--judge", "baseline", "--out", run)

    assert result.code == 0
    assert "all 12 ratings existed already" in result.out
    assert (run / "ratings.jsonl").read_bytes() == before
