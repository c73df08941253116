"""The ledger: what is held, what is wanted, and in which order it comes."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from typing import Any

import pytest

from perm_cli.dialogues import Dialogue, Turn
from perm_cli.ledger import Ledger
from perm_cli.prompts import PromptBook, Question
from perm_cli.ratings import Call
from tests.makers import rating

DIALOGUES = [Dialogue(id=name, system="s", turns=(Turn(role="supporter", text="yes"),)) for name in ("b", "a")]


@pytest.fixture
def question(book: PromptBook) -> Question:
    """Return a question that does not matter."""
    return next(book.questions(DIALOGUES[0]))


@pytest.fixture
def held() -> Iterator[Any]:
    """Return a maker of ledgers that hold ratings, closed in the end."""
    ledgers: list[Ledger] = []

    def make(*ratings: dict[str, Any]) -> Ledger:
        ledgers.append(Ledger(asdict(rating(**changes)) for changes in ratings))
        return ledgers[-1]

    yield make
    for ledger in ledgers:
        ledger.close()


def keys(ledger: Ledger) -> list[str]:
    """Return the keys wanted, in their order."""
    return [outcome.key for outcome in ledger.wanted()]


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        pytest.param({}, True, id="scored"),
        pytest.param({"status": "unparseable", "score": None}, True, id="unparseable"),
        pytest.param({"status": "failed", "score": None, "error": {"transient": True}}, False, id="may-pass"),
        pytest.param({"status": "failed", "score": None, "error": {"transient": False}}, True, id="will-not-pass"),
        pytest.param({"status": "skipped", "score": None}, False, id="skipped"),
        pytest.param({"key": "other"}, False, id="of-another-question"),
    ],
)
def test_only_what_may_pass_is_asked_again(held: Any, question: Question, changes: dict[str, Any], kept: bool) -> None:
    """This decides what a resumed run pays for."""
    ledger = held(changes)

    assert ledger.keep(Call(question=question, sample=0, key="k")) is kept
    assert keys(ledger) == ["k"] * kept


def test_the_last_rating_of_a_key_decides(held: Any, question: Question) -> None:
    """A failure that was made good is good."""
    failed = {"status": "failed", "score": None, "error": {"transient": True}}
    ledger = held(failed, {"score": 2.0})

    assert ledger.keep(Call(question=question, sample=0, key="k"))
    assert [outcome.score for outcome in ledger.wanted()] == [2.0]


def test_what_is_made_is_wanted_and_what_was_held_only_if_asked_for(held: Any, question: Question) -> None:
    """A folder may hold ratings of other inputs and judges."""
    ledger = held({"key": "old"}, {"key": "kept", "dialogue_id": "b"})
    ledger.note(rating(key="new", dialogue_id="a"), rank=1)
    ledger.keep(Call(question=question, sample=0, key="kept", rank=2))

    assert keys(ledger) == ["new", "kept"]


def test_what_is_wanted_stands_in_the_order_of_the_input(held: Any) -> None:
    """Ratings arrive as calls end; the same ratings make the same files."""
    ledger = held()
    for key, system, rank, turn in [("4", "t", 0, 2), ("3", "s", 1, 10), ("1", "s", 0, 2), ("2", "s", 1, 4)]:
        ledger.note(rating(key=key, system=system, turn=turn, dialogue_id=f"d{rank}"), rank)

    assert keys(ledger) == ["1", "2", "3", "4"]


def test_all_can_be_wanted_in_the_order_of_the_dialogues(held: Any) -> None:
    """A folder is fused again without its input; a dialogue it lacks comes last."""
    ledger = held(
        {"key": "1", "dialogue_id": "gone"},
        {"key": "2", "dialogue_id": "a"},
        {"key": "3", "dialogue_id": "b", "score": 1.0},
        {"key": "3", "dialogue_id": "b", "score": 2.0},
    )
    ledger.keep_latest((each.id, each.system) for each in DIALOGUES)

    assert [(outcome.key, outcome.score) for outcome in ledger.wanted()] == [("3", 2.0), ("2", 3.0), ("1", 3.0)]


def test_more_than_a_batch_is_held_and_noted() -> None:
    """Rows are written in batches, and none is left behind."""
    with closing(Ledger(asdict(rating(key=f"h{place}")) for place in range(2500))) as ledger:
        ledger.keep_latest([])
        for place in range(1500):
            ledger.note(rating(key=f"n{place}"), 0)

        assert len(set(keys(ledger))) == 4000


def test_what_was_spent_leaves_out_what_other_runs_paid_for(held: Any) -> None:
    """A budget is for this folder's own calls."""
    used = {"attempts": 2, "tokens_in": 10, "tokens_out": 5, "cost_usd": 0.25}
    ledger = held(used, used | {"key": "other"}, used | {"key": "third", "reused": "runs/1"})

    assert ledger.spent() == (4, 30, 0.5)
    assert held().spent() == (0, 0, 0.0)
