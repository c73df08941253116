"""The ledger: what is held, what is wanted, and in which order it comes."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from typing import Any

import pytest

from perm_cli.ratings.ledger import Ask, Ledger, StoredDialogue
from perm_cli.words import Role
from tests.makers import rating


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


def kept(*dialogues: tuple[str, str, int]) -> list[StoredDialogue]:
    """Return dialogues by id, system and number of turns, of which every second one is the supporter's."""
    roles: list[Role] = ["seeker", "supporter"] * 2
    return [StoredDialogue(line, name, system, roles[:turns]) for line, (name, system, turns) in enumerate(dialogues)]


def ask(**changes: Any) -> Ask:
    """Return what one command asked for: one dimension of every supporter turn on the first ten lines."""
    usual: dict[str, Any] = {"settings": "s0", "judge": "j", "dimensions": ("reception",), "turns": "all"}
    return Ask(**usual | {"samples": 1, "lines": ((0, 9),)} | changes)


def found(ledger: Ledger, dialogues: list[StoredDialogue], *asks: Ask) -> list[tuple[Any, ...]]:
    """Return what came of the asks: dialogue, system, turn, dimension, sample, status and score."""
    return [
        (each.dialogue_id, each.system, each.turn, each.dimension, each.sample, each.status, each.score)
        for each in ledger.outcomes(asks, lambda: dialogues)
    ]


PLACE = {"settings": "s0", "dialogue_id": "d", "system": "x", "turn": 2, "dimension": "reception"}


@pytest.mark.parametrize(
    ("changes", "held_now"),
    [
        pytest.param({}, True, id="scored"),
        pytest.param({"status": "unparseable", "score": None}, True, id="unparseable"),
        pytest.param({"status": "failed", "score": None, "error": {"transient": True}}, False, id="may-pass"),
        pytest.param({"status": "failed", "score": None, "error": {"transient": False}}, True, id="will-not-pass"),
        pytest.param({"status": "skipped", "score": None}, False, id="skipped"),
        pytest.param({"key": "other"}, False, id="of-another-question"),
        pytest.param({"settings": "s1"}, False, id="of-other-settings"),
    ],
)
def test_only_what_may_pass_is_asked_again(held: Any, changes: dict[str, Any], held_now: bool) -> None:
    """This decides what a resumed run pays for."""
    assert held({"settings": "s0"} | changes).holds("k", "s0") is held_now


def test_the_last_rating_that_is_settled_decides(held: Any) -> None:
    """A failure that was made good is good, and a rating that was made stands whatever fails after it."""
    failed = PLACE | {"status": "failed", "score": None, "error": {"transient": True}}

    for ratings in ((failed, PLACE | {"score": 2.0}), (PLACE | {"score": 2.0}, failed)):
        assert found(held(*ratings), kept(("d", "x", 2)), ask()) == [("d", "x", 2, "reception", 0, "scored", 2.0)]


def test_what_was_asked_for_and_not_made_is_skipped(held: Any) -> None:
    """A part never passes for the whole, whichever of its places is empty."""
    ledger = held(PLACE | {"score": 3.0}, PLACE | {"settings": "s1", "sample": 1})

    outcomes = found(ledger, kept(("d", "x", 2), ("e", "y", 2)), ask(dimensions=("reception", "bystander"), samples=2))

    assert outcomes == [
        ("d", "x", 2, "reception", 0, "scored", 3.0),
        ("d", "x", 2, "reception", 1, "skipped", None),
        ("d", "x", 2, "bystander", 0, "skipped", None),
        ("d", "x", 2, "bystander", 1, "skipped", None),
        ("e", "y", 2, "reception", 0, "skipped", None),
        ("e", "y", 2, "reception", 1, "skipped", None),
        ("e", "y", 2, "bystander", 0, "skipped", None),
        ("e", "y", 2, "bystander", 1, "skipped", None),
    ]


def test_outcomes_stand_in_the_order_of_the_dialogues(held: Any) -> None:
    """Ratings arrive as calls end; the same ratings make the same files."""
    dialogues = kept(("b", "x", 4), ("a", "x", 2), ("b", "w", 2))
    ledger = held()
    for name, system, turn in (("a", "x", 2), ("b", "w", 2), ("b", "x", 4), ("b", "x", 2)):
        ledger.note(rating(**PLACE | {"dialogue_id": name, "system": system, "turn": turn}))

    assert [each[:3] for each in found(ledger, dialogues, ask())] == [
        ("b", "w", 2),
        ("b", "x", 2),
        ("b", "x", 4),
        ("a", "x", 2),
    ]


@pytest.mark.parametrize(
    ("asks", "turns"),
    [
        pytest.param([{"turns": "last"}], [4], id="the-last-turn"),
        pytest.param([{"turns": "last"}, {}], [2, 4], id="more-than-before"),
        pytest.param([{"lines": ()}], [], id="other-dialogues"),
        pytest.param([{"lines": ((1, 3), (5, 9))}], [], id="lines-around-it"),
        pytest.param([{"lines": ((0, 0), (5, 9))}], [2, 4], id="its-line"),
    ],
)
def test_an_ask_is_for_some_turns_of_some_dialogues(held: Any, asks: list[dict[str, Any]], turns: list[int]) -> None:
    """A folder may hold dialogues that only one of its commands was about."""
    outcomes = found(held(), kept(("d", "x", 4)), *(ask(**changes) for changes in asks))

    assert [each[2] for each in outcomes] == turns


def test_the_text_asked_about_last_counts(held: Any) -> None:
    """Of a dialogue that was edited, and edited back, the turns are those of the text that was judged last."""
    dialogues = kept(("d", "x", 4), ("d", "x", 2))
    old, new = ask(lines=((0, 0),)), ask(lines=((1, 1),))

    assert [each[2] for each in found(held(), dialogues, old, new)] == [2]
    assert [each[2] for each in found(held(), dialogues, new, old)] == [2, 4]


def test_without_a_record_what_is_held_was_asked_for(held: Any) -> None:
    """Folders of trainers, and of earlier releases, do not say which dialogues their commands were about."""
    ledger = held(*(PLACE | {"dialogue_id": name} for name in ("gone", "b", "a")))

    outcomes = found(ledger, kept(("a", "x", 2), ("b", "x", 2), ("c", "x", 2)), ask(lines=None))

    assert [each[0] for each in outcomes] == ["a", "b", "gone"]


def test_more_than_a_batch_is_held_and_noted() -> None:
    """Rows are written in batches, and none is left behind."""
    with closing(Ledger(asdict(rating(**PLACE | {"dialogue_id": f"h{n}", "key": f"h{n}"})) for n in range(2500))) as it:
        for n in range(1500):
            it.note(rating(**PLACE | {"dialogue_id": f"n{n}", "key": f"n{n}"}))

        assert len({each[0] for each in found(it, [], ask(lines=None))}) == 4000


def test_what_was_spent_leaves_out_what_other_runs_paid_for(held: Any) -> None:
    """A budget is for this folder's own calls."""
    used = {"attempts": 2, "tokens_in": 10, "tokens_out": 5, "cost_usd": 0.25}
    ledger = held(used, used | {"key": "other"}, used | {"key": "third", "reused": "runs/1"})

    assert ledger.spent() == (4, 30, 0.5)
    assert held().spent() == (0, 0, 0.0)
