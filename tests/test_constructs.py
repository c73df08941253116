"""What is held against what: fixed before anybody looks, or as the user says."""

import pytest

from perm_cli.comparing.against_people import Mapped
from perm_cli.comparing.expectations import mapping, read_map
from perm_cli.comparing.table import Given, Rated, Scores, table_of
from perm_cli.errors import SettingsError


def rated(judged: str, human: str) -> Scores:
    """Return a table of a judge's dimensions and a person's labels, separated by blanks."""
    given = [Given(Rated("d"), name, "judge", 3.0) for name in judged.split()]
    given += [Given(Rated("d"), name, "ann", 3.0) for name in human.split()]
    return table_of(given, ["ann"])


def pairs(found: list[Mapped]) -> list[tuple[str, str, int]]:
    """Return what was mapped as plain values."""
    return [(each.judged, each.human, each.sign) for each in found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("reception=empathy", [("reception", "empathy", 1)], id="one"),
        pytest.param(" a = b , c=-d ", [("a", "b", 1), ("c", "d", -1)], id="two, one the other way"),
        pytest.param("a=b=c", [("a", "b=c", 1)], id="an equals sign in the label"),
    ],
)
def test_a_map_is_read(text: str, found: list[tuple[str, str, int]]) -> None:
    """As typed."""
    assert pairs(read_map(text)) == found


@pytest.mark.parametrize("text", ["", "a", "a=", "=b", "a=-", "a=b,", "a=b,,c=d"])
def test_what_is_no_map_is_said(text: str) -> None:
    """With what was expected."""
    with pytest.raises(SettingsError, match="expected DIMENSION=LABEL"):
        read_map(text)


@pytest.mark.parametrize(
    ("judged", "human", "found"),
    [
        pytest.param("empathy x", "empathy y", [("empathy", "empathy", 1)], id="the same name"),
        pytest.param(
            "resonation expression reception bystander reward",
            "explorations dismissing_emotions interpretations",
            [
                ("resonation", "interpretations", 1),
                ("reception", "explorations", 1),
                ("reception", "dismissing_emotions", -1),
            ],
            id="what the sets are known for",
        ),
        pytest.param("expression reward", "stars", [("reward", "stars", 1)], id="nothing known: the reward"),
    ],
)
def test_what_is_expected_is_held_against_each_other(
    judged: str, human: str, found: list[tuple[str, str, int]]
) -> None:
    """Same names before expectations before the reward."""
    assert pairs(mapping(rated(judged, human))) == found


def test_a_wish_comes_first() -> None:
    """Whatever is expected."""
    wished = [Mapped(judged="reception", human="stars", sign=-1)]

    assert mapping(rated("reception empathy", "stars empathy"), wished) == wished


@pytest.mark.parametrize(
    ("wished", "said"),
    [
        pytest.param("recption=stars", "'recption' found, expected one of the dimensions reception", id="dimension"),
        pytest.param("reception=star", "'star' found, expected one of the labels stars", id="label"),
        pytest.param("stars=stars", "'stars' found, expected one of the dimensions reception", id="label for both"),
    ],
)
def test_unknown_names_are_said_with_the_known_ones(wished: str, said: str) -> None:
    """A slip of the pen is mended at once."""
    with pytest.raises(SettingsError) as caught:
        mapping(rated("reception", "stars"), read_map(wished))

    assert said in str(caught.value)


def test_nothing_to_hold_against_is_said() -> None:
    """With what there is on both sides."""
    with pytest.raises(SettingsError, match="judges rate expression, people stars: nothing to compare"):
        mapping(rated("expression", "stars"))
