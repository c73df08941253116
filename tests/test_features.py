"""What is counted in a reply: numbers anybody can count again by hand."""

import math

import pytest

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.features import NAMES, SYMPATHY, as_row, features_by_turn, features_of


def test_features_by_hand() -> None:
    """Eight words, two of sympathy, one question however often it is marked, two of three words taken up."""
    found = features_of("I'm sorry to hear the dog died. Alone??", "My dog died yesterday.")

    # I'm sorry to hear the dog died Alone: sorry, hear and alone are words of sympathy.
    assert found.length == pytest.approx(math.log(9))
    assert found.questions == 1
    assert found.sympathy == pytest.approx(100 * 3 / 8)
    # Of the seeker's words "my" is too common to count: dog, died, yesterday.
    assert found.overlap == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("reply", "seeker", "expected"),
    [
        pytest.param("", "", [0, 0, 0, 0], id="nothing"),
        pytest.param("", "I lost it.", [0, 0, 0, 0], id="an-empty-reply"),
        pytest.param("?!… 42 \x00\x1b[2J", "", [math.log(2), 1, 0, 0], id="signs-and-codes"),
        pytest.param("为什么？？ 吗？", "", [math.log(3), 2, 0, 0], id="full-width-marks"),
        pytest.param("You’re Sorry", "", [math.log(3), 0, 50, 0], id="curly-quotes-and-capitals"),
    ],
)
def test_what_has_little_to_count_is_counted_too(reply: str, seeker: str, expected: list[float]) -> None:
    """An empty reply, another script and terminal codes are replies like any other."""
    assert as_row(features_of(reply, seeker)) == pytest.approx(expected)


def test_every_supporter_turn_is_set_against_what_was_said_before_it() -> None:
    """What the seeker says later cannot have been taken up."""
    turns = (
        Turn(role="supporter", text="Hello."),
        Turn(role="seeker", text="My cat."),
        Turn(role="supporter", text="A cat and a storm?"),
        Turn(role="seeker", text="The storm."),
        Turn(role="supporter", text="Cat, storm."),
    )

    found = features_by_turn(Dialogue(id="d", turns=turns))

    assert {turn: each.overlap for turn, each in found.items()} == {1: 0.0, 3: 1.0, 5: 1.0}


def test_a_row_has_the_order_of_the_names() -> None:
    """Columns are found by their place."""
    found = features_of("Sorry? Sorry.", "Sorry?")

    assert dict(zip(NAMES, as_row(found), strict=True)) == {
        "length": found.length, "questions": 1.0, "sympathy": 100.0, "overlap": 1.0,
    }  # fmt: skip


def test_words_of_sympathy_are_words_as_they_are_counted() -> None:
    """One in capitals or of two words would never be found."""
    assert all(word.isalpha() and word == word.lower() for word in SYMPATHY)
