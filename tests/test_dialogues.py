"""The dialogue and which of its turns are judged."""

from dataclasses import FrozenInstanceError

import pytest

from perm_cli.dialogues.dialogue import Dialogue, Turn, judged_turns
from perm_cli.words import Role, Turns

ROLES: dict[str, Role] = {"k": "seeker", "p": "supporter"}


def spoken(sides: str) -> Dialogue:
    """Return a dialogue of see(k)er and su(p)porter turns in the order of `sides`."""
    return Dialogue(id="d", turns=tuple(Turn(role=ROLES[side], text="words") for side in sides))


@pytest.mark.parametrize(
    ("sides", "which", "places"),
    [
        pytest.param("kp", "all", [2], id="one reply"),
        pytest.param("kpkp", "all", [2, 4], id="all of two replies"),
        pytest.param("kpkp", "last", [4], id="the last of two replies"),
        pytest.param("pkpk", "all", [1, 3], id="the supporter opens and the seeker closes"),
        pytest.param("pkpk", "last", [3], id="the last reply stands before the last turn"),
        pytest.param("kpp", "all", [2, 3], id="two replies in a row"),
        pytest.param("kk", "all", [], id="no reply"),
        pytest.param("kk", "last", [], id="no last reply"),
        pytest.param("", "all", [], id="no turn"),
    ],
)
def test_supporter_turns_are_judged_by_their_place_in_the_dialogue(sides: str, which: Turns, places: list[int]) -> None:
    """Places are counted from 1 over both sides, so that a rating can be found again in the file."""
    dialogue = spoken(sides)

    judged = list(judged_turns(dialogue, which))

    assert judged == places


def test_a_dialogue_cannot_be_changed() -> None:
    """Questions and ratings of one dialogue are made at different times and must speak of the same words."""
    dialogue = spoken("kp")

    with pytest.raises(FrozenInstanceError):
        dialogue.scenario = "another"  # type: ignore[misc]


def test_what_a_dialogue_lacks_is_empty() -> None:
    """A template asks whether there is a scenario; an absent one must not look like a present one."""
    dialogue = spoken("kp")

    assert (dialogue.scenario, dialogue.persona, dialogue.system) == ("", "", "")
    assert all(turn.analysis is None for turn in dialogue.turns)
