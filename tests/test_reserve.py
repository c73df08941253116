"""The reserve: which ratings of other runs are taken, and what they say of where they come from."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from perm_cli.errors import RunError
from perm_cli.ratings.rating import rating_line
from perm_cli.ratings.reserve import Reserve
from tests.makers import rating


def run(path: Path, *ratings: dict[str, Any]) -> Path:
    """Write a run folder that holds these ratings; return its path."""
    path.mkdir()
    (path / "ratings.jsonl").write_bytes(b"".join(rating_line(rating(**changes)) for changes in ratings))
    return path


@pytest.fixture
def reserve(tmp_path: Path) -> Iterator[Reserve]:
    """Return a reserve of two runs."""
    first = run(tmp_path / "first", {"key": "a", "score": 1.0}, {"key": "b", "score": 1.0}, {"key": "b", "score": 2.0})
    second = run(tmp_path / "second", {"key": "b", "score": 3.0, "cost_usd": 0.5, "tokens_in": 7})
    with closing(Reserve([first, second])) as both:
        yield both


def test_a_rating_says_which_run_paid_for_it(reserve: Reserve) -> None:
    """Its cost stays on record there and is not counted again."""
    assert reserve.get("a") == rating(key="a", score=1.0, reused="first")


def test_of_several_with_one_key_the_last_counts(reserve: Reserve) -> None:
    """The folder named last is the one that is meant."""
    assert reserve.get("b") == rating(key="b", score=3.0, cost_usd=0.5, tokens_in=7, reused="second")


def test_what_no_run_has_is_not_there(reserve: Reserve) -> None:
    """It is to be asked for."""
    assert reserve.get("c") is None


def test_a_rating_that_was_taken_before_names_the_run_that_paid(tmp_path: Path) -> None:
    """A chain of runs leads back to the bill."""
    with closing(Reserve([run(tmp_path / "third", {"key": "a", "reused": "first"})])) as reserve:
        found = reserve.get("a")

    assert found
    assert found.reused == "first"


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        pytest.param({}, True, id="scored"),
        pytest.param({"status": "unparseable", "score": None}, True, id="unparseable"),
        pytest.param({"status": "refused", "score": None}, True, id="refused"),
        pytest.param({"status": "failed", "score": None, "error": {"transient": False}}, True, id="will-not-pass"),
        pytest.param({"status": "failed", "score": None, "error": {"transient": True}}, False, id="may-pass"),
        pytest.param({"status": "skipped", "score": None}, False, id="skipped"),
    ],
)
def test_only_what_is_settled_is_taken(tmp_path: Path, changes: dict[str, Any], taken: bool) -> None:
    """What may succeed another time is asked for, here as in a run that goes on."""
    with closing(Reserve([run(tmp_path / "run", changes)])) as reserve:
        assert (reserve.get("k") is not None) is taken


def test_a_later_failure_does_not_hide_a_rating(tmp_path: Path) -> None:
    """What was scored once is good."""
    failed = {"status": "failed", "score": None, "error": {"transient": True}}

    with closing(Reserve([run(tmp_path / "run", {"score": 4.0}, failed)])) as reserve:
        found = reserve.get("k")

    assert found
    assert found.score == 4.0


def test_damaged_lines_are_passed_over(tmp_path: Path) -> None:
    """The other ratings are as good as before."""
    path = run(tmp_path / "run", {"key": "a"})
    with (path / "ratings.jsonl").open("ab") as stream:
        stream.write(b'{"key": "half')

    with closing(Reserve([path])) as reserve:
        assert reserve.get("a")
        assert reserve.get("half") is None


@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_a_folder_that_is_no_run_is_named(tmp_path: Path, kind: str) -> None:
    """A typing mistake must not be paid for with all ratings made anew."""
    path = tmp_path / "nowhere"
    if kind == "file":
        path.write_text("x")
    if kind == "empty":
        path.mkdir()

    with pytest.raises(RunError, match="nowhere: no ratings found, expected a folder that perm score has written"):
        Reserve([path])


def test_nothing_to_reuse_has_nothing() -> None:
    """Most runs are the first."""
    with closing(Reserve([])) as reserve:
        assert reserve.get("a") is None
