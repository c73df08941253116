"""Utterances and messages of foreign files, and the turns made of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter

from perm_cli.dialogues.dialogue import Turn
from perm_cli.dialogues.files.fields import checked_row, text_in, words_in
from perm_cli.dialogues.files.roles import RoleMap, role_of_speaker
from perm_cli.dialogues.files.rows import RowError
from perm_cli.dialogues.files.sections import read_answer
from perm_cli.findings import shown
from perm_cli.words import Role

_WORDS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_TRAFFIC = frozenset({"tool_use", "tool_result", "tool_call", "server_tool_use", "function_call"})
_UNSAID = _TRAFFIC | {"thinking", "redacted_thinking", "reasoning"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    __pydantic_config__ = ConfigDict(extra="ignore")
    role: str
    content: Any = None
    tool_calls: Any = None
    function_call: Any = None


_MESSAGES = TypeAdapter(Annotated[list[_Message], Field(min_length=1)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One utterance, and the annotations (`notes`) that its file has about it."""

    role: Role
    text: str
    analysis: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def turns_of(spoken: Iterable[Utterance | None]) -> tuple[tuple[Turn, ...], dict[str, Any]]:
    """
    Return the turns of utterances, joining consecutive ones by the same side, and the notes of each turn by its number.

    Turns are numbered from 1, after joining; two notes of the same name on one turn become a list.
    """
    turns: list[Turn] = []
    notes: dict[str, Any] = {}
    for said in spoken:
        if said is None:
            continue
        if turns and turns[-1].role == said.role:
            turns[-1] = _joined(turns[-1], said)
        else:
            turns.append(_turn_of(said))
        if said.notes:
            number = str(len(turns))
            notes[number] = joined_notes(notes.get(number, {}), said.notes)
    return tuple(turns), notes


def said_in(role: Role, value: object, field: str) -> str:
    """Return the text of one side; a reply may be empty. Raise `RowError` if the value is not text."""
    return text_in(value, field) if role == "seeker" else words_in(value, field)


def said_by(role: Role, value: object, field: str, notes: Mapping[str, Any] | None = None) -> Utterance:
    """Return an utterance of one side, with the analysis of a reply apart; raise `RowError` if it is not text."""
    text = said_in(role, value, field)
    if role == "seeker":
        return Utterance(role=role, text=text, notes=notes or {})
    answer = read_answer(text)
    return Utterance(role=role, text=answer.response, analysis=answer.analysis, notes=notes or {})


def turns_said(role: Role, value: object, field: str, roles: RoleMap) -> tuple[Turn, ...]:
    """Return the turns in a text by one side, or in one or more messages; raise `RowError` if it is neither."""
    if isinstance(value, list | Mapping):
        return turns_in_messages(value if isinstance(value, list) else [value], field, roles)
    return (_turn_of(said_by(role, value, field)),)


def turns_in_messages(value: object, field: str, roles: RoleMap) -> tuple[Turn, ...]:
    """Return the turns in a list of messages; raise `RowError` if it is not one."""
    try:
        messages = checked_row(_MESSAGES, value)
    except RowError as error:
        raise RowError([(f"{field}{path}", message) for path, message in error.findings]) from error
    spoken = (_said_in_message(message, f"{field}[{place}]", roles) for place, message in enumerate(messages))
    return tuple(_turn_of(said) for said in spoken if said is not None)


def _said_in_message(message: _Message, field: str, roles: RoleMap) -> Utterance | None:
    role = role_of_speaker(message.role, roles, f"{field}.role")
    if role is None:
        return None
    text = content_in(message.content, f"{field}.content")
    if is_tool_traffic(message.content) or (not text and (message.tool_calls or message.function_call)):
        return None
    return said_by(role, text, f"{field}.content")


def content_in(value: object, field: str) -> str:
    """
    Return the text of a message, whose content may be in parts; thinking and tool traffic are left out.

    Raise `RowError` if a part is not text, such as an image.
    """
    if not isinstance(value, list):
        return words_in(value, field)
    texts = [text_of_part(part) for part in value]
    if None in texts:
        part = value[texts.index(None)]
        kind = part.get("type") if isinstance(part, Mapping) else part
        raise RowError([(field, f"{shown(kind)} part found, expected text only")])
    return "\n".join(filter(None, texts))


def text_of_part(part: object) -> str | None:
    """Return the text of one part of a message, empty for thinking and tool traffic, None if it is not text."""
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        return None
    kind = str(part.get("type", "text"))
    text = part.get(_WORDS.get(kind, ""))
    return text if isinstance(text, str) else "" if kind in _UNSAID else None


def is_tool_traffic(value: object) -> bool:
    """Return whether all parts of a message are tool calls, their results, or thinking."""
    kinds = {str(part.get("type")) for part in value if isinstance(part, dict)} if isinstance(value, list) else set()
    return bool(kinds & _TRAFFIC) and kinds <= _UNSAID


def joined_notes(notes: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the notes of both; values of the same name become a list, or are merged if both are mappings."""
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


def _turn_of(said: Utterance) -> Turn:
    return Turn(role=said.role, text=said.text, analysis=said.analysis)


def _joined(turn: Turn, said: Utterance) -> Turn:
    analysis = "\n".join(filter(None, (turn.analysis, said.analysis))) or None
    return Turn(role=turn.role, text="\n".join(filter(None, (turn.text, said.text))), analysis=analysis)
