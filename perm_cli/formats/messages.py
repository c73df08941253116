"""OpenAI chat rows: `{"messages": [{"role", "content"}, …]}`; instructions and tool traffic are nobody's turn."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter

from perm_cli.dialogues import Dialogue, Turn
from perm_cli.formats.reading import Reading
from perm_cli.formats.records import Item, Made, one_a_row
from perm_cli.formats.rows import (
    NonBlank,
    RoleMap,
    RowError,
    checked_dialogue,
    checked_row,
    mapped_role,
    shown,
)
from perm_cli.formats.sections import read_answer

SAYS = "one object a line with messages"
ROLES: RoleMap = {"user": "seeker", "assistant": "supporter"}
_SILENT = frozenset({"system", "developer", "tool", "function"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    __pydantic_config__ = ConfigDict(extra="ignore")
    role: str
    content: Any = None
    tool_calls: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    __pydantic_config__ = ConfigDict(extra="ignore")
    messages: Annotated[list[_Message], Field(min_length=1)]
    id: NonBlank | None = None
    scenario: str | None = None
    persona: str | None = None
    system: str | None = None
    labels: dict[str, Any] | None = None


_ROW = TypeAdapter(_Row)


def recognises(row: Mapping[str, Any]) -> bool:
    """Tell whether the row looks like this format."""
    return "messages" in row


def read(items: Iterable[Item], reading: Reading) -> Iterator[Made]:
    """Yield a dialogue a row."""
    return one_a_row(items, to_dialogue, reading.roles or ROLES)


def to_dialogue(row: Mapping[str, Any], roles: RoleMap, fallback_id: str) -> Dialogue:
    """Return the row as a dialogue; raise `RowError` if it is not one."""
    checked = checked_row(_ROW, row)
    spoken = [(place, m) for place, m in enumerate(checked.messages) if m.role in roles or m.role not in _SILENT]
    turns = [_turn(message, f"messages[{place}]", roles) for place, message in spoken]
    dialogue = Dialogue(
        id=checked.id or fallback_id,
        turns=tuple(turn for turn in turns if turn is not None),
        scenario=checked.scenario or "",
        persona=checked.persona or "",
        system=checked.system or "",
        labels=checked.labels or {},
    )
    return checked_dialogue(dialogue, "messages")


def _turn(message: _Message, field: str, roles: RoleMap) -> Turn | None:
    role = mapped_role(message.role, roles, f"{field}.role")
    if role == "supporter" and (message.content is None or (message.tool_calls and message.content == "")):
        return None  # an assistant message that only calls a tool
    text = _text(message.content, f"{field}.content")
    if role == "seeker":
        return Turn(role=role, text=text)
    answer = read_answer(text)
    if not answer.response:
        raise RowError([(f"{field}.content", "an answer without a response found, expected text for the seeker")])
    return Turn(role=role, text=answer.response, analysis=answer.analysis)


def _text(content: object, field: str) -> str:
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, list):
        raise RowError([(field, f"{shown(content)} found, expected text or a list of parts")])
    for part in parts:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            what = shown(part.get("type")) if isinstance(part, dict) else shown(part)
            raise RowError([(field, f"{what} part found, expected text only")])
    text = "\n".join(part["text"] for part in parts)
    if not text.strip():
        raise RowError([(field, f"{shown(text)} found, expected some text")])
    return text
