"""The dialogue: the turns of a seeker and a supporter, with scenario, persona, labels and metadata."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from perm_cli.words import Role, Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn; `analysis` is the supporter's reasoning before the reply, which the seeker never sees."""

    role: Role
    text: str
    analysis: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """
    One conversation.

    `system` is the name of the model or person that wrote the supporter turns. `id` and `system` together are unique in
    an input, so that several systems may answer the same dialogue.
    """

    id: str
    turns: tuple[Turn, ...]
    scenario: str = ""
    persona: str = ""
    system: str = ""
    labels: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)


def judged_turns(dialogue: Dialogue, which: Turns) -> Iterator[int]:
    """Yield the places, counted from 1, of the supporter turns to judge."""
    return judged_places((turn.role for turn in dialogue.turns), which)


def judged_places(roles: Iterable[Role], which: Turns) -> Iterator[int]:
    """Yield the places, counted from 1, of the turns to judge among turns of these roles."""
    places = [place for place, role in enumerate(roles, 1) if role == "supporter"]
    yield from places if which == "all" else places[-1:]
