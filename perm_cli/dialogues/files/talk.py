"""What was said, piece by piece as foreign files hold it, and the turns that it makes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from perm_cli.dialogues.dialogue import Turn
from perm_cli.dialogues.files.rows import RoleMap, RowError, shown, text_in, words_in
from perm_cli.dialogues.files.sections import Answer, read_answer
from perm_cli.words import Role

ROLE_NAMES: RoleMap = {
    **dict.fromkeys(("user", "human", "client", "patient", "seeker", "求助者", "来访者"), "seeker"),
    **dict.fromkeys(("assistant", "gpt", "bot", "chatbot", "agent", "model", "ai"), "supporter"),
    **dict.fromkeys(
        ("supporter", "therapist", "counselor", "counsellor", "支持者", "咨询师", "心理咨询师"), "supporter"
    ),
}
"""What people call the two sides in files of their own making."""

SILENT = frozenset({"system", "developer", "tool", "function", "function_call", "tool_call", "observation"})
"""Names of instructions and tool traffic, which neither side has said."""

_WORDS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_TRAFFIC = frozenset({"tool_use", "tool_result", "tool_call", "server_tool_use", "function_call"})
_UNSAID = _TRAFFIC | {"thinking", "redacted_thinking", "reasoning"}


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


def said_in(role: Role, value: object, field: str) -> str:
    """Return what one side has said; a reply may be empty. Raise `RowError` if it is no text."""
    return text_in(value, field) if role == "seeker" else words_in(value, field)


def answered(value: object, field: str) -> Answer:
    """Return a model's words as response and analysis, which may both be empty; raise `RowError` if it is no text."""
    return read_answer(words_in(value, field))


def content_in(value: object, field: str) -> str:
    """
    Return the words of a message, which may come in parts; what a model thinks, and tool traffic, is nobody's words.

    Raise `RowError` if there is something that is no text, as a picture.
    """
    if not isinstance(value, list):
        return words_in(value, field)
    return "\n".join(filter(None, (_part(part, field) for part in value)))


def is_tool_traffic(value: object) -> bool:
    """Return whether the parts of a message are calls of tools or their results, apart from thinking."""
    kinds = {str(part.get("type")) for part in value if isinstance(part, dict)} if isinstance(value, list) else set()
    return bool(kinds & _TRAFFIC) and kinds <= _UNSAID


def _part(part: object, field: str) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, dict) else part
    text = part.get(_WORDS.get(str(kind), "")) if isinstance(part, dict) else None
    if isinstance(text, str):
        return text
    if not isinstance(kind, str) or kind not in _UNSAID:
        raise RowError([(field, f"{shown(kind)} part found, expected text only")])
    return ""


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
    return Turn(role=turn.role, text="\n".join(filter(None, (turn.text, said.text))), analysis=analysis)
