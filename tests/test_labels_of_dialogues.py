"""Labels of dialogues: who gave them, what they are about, and whose are looked at."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from perm_cli.comparing.labels import labels_of, with_labels
from perm_cli.comparing.table import Given, Rated, Scores, table_of
from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.errors import SettingsError


def labelled(labels: Mapping[str, Any], name: str = "d", system: str = "s") -> Dialogue:
    """Return a dialogue with labels."""
    return Dialogue(id=name, system=system, turns=(Turn(role="supporter", text="Yes."),), labels=labels)


def judged(*items: Rated) -> Scores:
    """Return what a judge gave to some items: 1, 2, 3 and so on."""
    return table_of(Given(item, "reception", "judge", float(place)) for place, item in enumerate(items, 1))


def label(score: float, rater: str = "ann", item: Rated | None = None) -> tuple[Given, bool]:
    """Return a person's label."""
    return Given(item or Rated("d", "s"), "empathy", rater, score), True


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        pytest.param({"empathy": 4}, [("labels", "empathy", 0, True)], id="plain"),
        pytest.param({"crowd": {"empathy": 4}}, [("crowd", "empathy", 0, True)], id="by a crowd"),
        pytest.param({"experts": {"ann": {"empathy": 4}}}, [("ann", "empathy", 0, True)], id="by name"),
        pytest.param({"turns": {"2": {"empathy": 4}}}, [("labels", "empathy", 2, True)], id="of a turn"),
        pytest.param({"turns": {"2": {"ann": {"empathy": 4}}}}, [("ann", "empathy", 2, True)], id="of a turn by name"),
        pytest.param({"Judge": {"m": {"empathy": 4}}}, [("m", "empathy", 0, False)], id="by a judge"),
        pytest.param({"turns": {"2": {"simulated": {"e": 4}}}}, [("simulated", "e", 2, False)], id="simulated"),
        pytest.param({"turns": {"two": {"e": 4}, "2": 4}}, [], id="no number of a turn"),
        pytest.param({"turns": 3}, [("labels", "turns", 0, True)], id="a number called turns"),
        pytest.param({"empathy": "high", "notes": [1, 2], "nan": float("nan"), "none": None}, [], id="no numbers"),
    ],
)
def test_labels_say_who_and_what(labels: Mapping[str, Any], found: list[tuple[str, str, int, bool]]) -> None:
    """The path to a number names its rater and its dimension."""
    given = list(labels_of(labelled(labels)))

    assert [(each.rater, each.dimension, each.item.turn, person) for each, person in given] == found


def test_labels_by_turn_are_held_against_turns() -> None:
    """One labelled turn is enough to look at turns."""
    scores = with_labels(judged(Rated("d", "s", 2), Rated("d", "s", 4)), [label(5, item=Rated("d", "s", 4))])

    assert scores.humans == ["ann"]
    assert scores.of("reception", ["judge"])[:, 0].tolist() == [1, 2]
    assert scores.of("empathy", ["ann"])[:, 0].tolist() == pytest.approx([np.nan, 5], nan_ok=True)


def test_labels_of_dialogues_are_held_against_means_over_turns() -> None:
    """The judge's 1 and 2 are 1.5 for the whole."""
    scores = with_labels(judged(Rated("d", "s", 2), Rated("d", "s", 4)), [label(5)])

    assert scores.items == [Rated("d", "s")]
    assert scores.of("reception", ["judge"]).tolist() == [[1.5]]
    assert scores.of("empathy", ["ann"]).tolist() == [[5.0]]


def test_labels_of_turns_and_of_dialogues_stand_side_by_side() -> None:
    """A survey at the end and notes on single turns, as ESConv has them, are each held against their own level."""
    note = (Given(Rated("d", "s", 4), "feedback", "ann", 2.0), True)

    scores = with_labels(judged(Rated("d", "s", 2), Rated("d", "s", 4)), [label(5), note])

    assert scores.items == [Rated("d", "s", 2), Rated("d", "s", 4), Rated("d", "s")]
    assert scores.of("reception", ["judge"])[:, 0].tolist() == [1, 2, 1.5]
    assert scores.of("feedback", ["ann"])[:, 0].tolist() == pytest.approx([np.nan, 2, np.nan], nan_ok=True)
    assert scores.of("empathy", ["ann"])[:, 0].tolist() == pytest.approx([np.nan, np.nan, 5], nan_ok=True)


def test_what_is_simulated_by_turn_does_not_set_people_aside() -> None:
    """Only people decide what is looked at."""
    simulated = (Given(Rated("d", "s", 2), "mood", "simulated", 3.0), False)

    scores = with_labels(judged(Rated("d", "s", 2)), [label(5), simulated])

    assert (scores.items, scores.humans, scores.judges) == ([Rated("d", "s")], ["ann"], ["judge"])
    assert "mood" not in scores.tables


def test_a_label_without_system_is_about_the_only_one() -> None:
    """Of two systems it could be about either."""
    scores = judged(Rated("d", "s"), Rated("e", "s"), Rated("e", "t"))

    found = with_labels(scores, [label(5, item=Rated("d")), label(4, item=Rated("e"))])

    assert found.of("empathy", ["ann"])[:, 0].tolist() == pytest.approx([5, np.nan, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("people", "humans"),
    [((), ["ann", "bob"]), (("crowd",), ["crowd"]), (("ann", "crowd"), ["ann", "crowd"])],
)
def test_a_crowd_is_left_out_where_there_are_others_unless_asked_for(
    people: tuple[str, ...], humans: list[str]
) -> None:
    """And whoever is left out is no judge either."""
    scores = with_labels(judged(Rated("d", "s")), [label(5), label(4, "bob"), label(3, "crowd")], people)

    assert (scores.humans, scores.judges) == (humans, ["judge"])


def test_a_crowd_alone_is_looked_at() -> None:
    """There is nobody better."""
    assert with_labels(judged(Rated("d", "s")), [label(3, "crowd")]).humans == ["crowd"]


def test_a_person_called_like_a_judge_is_told_apart() -> None:
    """Two columns, not one."""
    scores = with_labels(judged(Rated("d", "s")), [label(3, "judge")])

    assert (scores.judges, scores.humans) == (["judge"], ["judge (label)"])


@pytest.mark.parametrize(
    ("labels", "people", "said"),
    [
        pytest.param([], (), "no labels found, expected labels of the rated dialogues", id="none"),
        pytest.param([(label(3)[0], False)], (), "no labels found", id="of judges only"),
        pytest.param([label(float("nan"))], (), "no labels found", id="no number"),
        pytest.param(
            [label(3, item=Rated("x", "s", 2))] * 2,
            (),
            "2 labels of other dialogues found (first: 'x' of 's' turn 2), expected labels of the "
            "rated dialogues (first: 'd' of 's')",
            id="other dialogues",
        ),
        pytest.param(
            [label(3)], ("eve",), "--people: eve not found in the labels, expected one or more of ann", id="unknown"
        ),
        pytest.param([], ("eve",), "expected one or more of nobody", id="nobody"),
    ],
)
def test_what_cannot_be_held_against_anything_is_said(
    labels: list[tuple[Given, bool]], people: tuple[str, ...], said: str
) -> None:
    """In a plain sentence."""
    with pytest.raises(SettingsError) as caught:
        with_labels(judged(Rated("d", "s")), labels, people)

    assert said in str(caught.value)
