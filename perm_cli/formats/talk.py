"""What was said, piece by piece as foreign files hold it, and the turns that it makes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from perm_cli.dialogues import Turn
from perm_cli.formats.rows import RowError, text_in
from perm_cli.formats.sections import Answer, read_answer
from perm_cli.words import Role

SILENT = frozenset({"system", "developer", "tool", "function", "function_call", "tool_call", "observation"})
"""Names of instructions and tool traffic, which neither side has said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Hold what one side said at a time, and what was noted about it."""

    role: Role
    text: str
    analysis: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def turns_of(spoken: Iterable[Said | None]) -> tuple[tuple[Turn, ...], dict[str, Any]]:
    """
    Join what the same side says twice in a row, and return the turns, and the notes about each by its number.

    Turns are counted from 1, after joining; where a turn has two notes of one name, these are a list.
    """
    turns: list[Turn] = []
    notes: dict[str, Any] = {}
    for said in spoken:
        if said is None:
            continue
        if turns and turns[-1].role == said.role:
            turns[-1] = _joined(turns[-1], said)
        else:
            turns.append(Turn(role=said.role, text=said.text, analysis=said.analysis))
        if said.notes:
            number = str(len(turns))
            notes[number] = joined_notes(notes.get(number, {}), said.notes)
    return tuple(turns), notes


def answered(value: object, field: str) -> Answer:
    """Take a model's words apart; raise `RowError` if they are none, or hold no response."""
    answer = read_answer(text_in(value, field))
    if not answer.response:
        raise RowError([(field, "an answer without a response found, expected text for the seeker")])
    return answer


def joined_notes(notes: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the notes of both; what has one name in both becomes a list, or is joined in turn if it holds notes."""
    joined = dict(notes)
    for name, note in more.items():
        known = joined.get(name)
        if isinstance(known, Mapping) and isinstance(note, Mapping):
            joined[name] = joined_notes(known, note)
        elif name in joined:
            joined[name] = [*(known if isinstance(known, list) else [known]), note]
        else:
            joined[name] = note
    return joined


def with_notes(labels: Mapping[str, Any], notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the labels of a dialogue with the notes about its turns, if there are any."""
    return dict(labels) | ({"turns": notes} if notes else {})


def _joined(turn: Turn, said: Said) -> Turn:
    analysis = "\n".join(filter(None, (turn.analysis, said.analysis))) or None
    return Turn(role=turn.role, text=f"{turn.text}\n{said.text}", analysis=analysis)
