"""OpenAI chat rows: `{"messages": [{"role", "content"}, …]}`; instructions and tool traffic are nobody's turn."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.records import Item, Made, one_a_row
from perm_cli.dialogues.files.rows import (
    NonBlank,
    RoleMap,
    RowError,
    checked_dialogue,
    checked_row,
    mapped_role,
    text_in,
)
from perm_cli.dialogues.files.sections import read_answer
from perm_cli.dialogues.files.talk import ROLE_NAMES, SILENT, content_in, is_tool_traffic

SAYS = "one object a line with messages"
ROLES = ROLE_NAMES


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    __pydantic_config__ = ConfigDict(extra="ignore")
    role: str
    content: Any = None
    tool_calls: Any = None
    function_call: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    __pydantic_config__ = ConfigDict(extra="ignore")
    messages: Any
    id: NonBlank | None = None
    scenario: str | None = None
    persona: str | None = None
    system: str | None = None
    labels: dict[str, Any] | None = None


_MESSAGES = TypeAdapter(Annotated[list[_Message], Field(min_length=1)])
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
    dialogue = Dialogue(
        id=checked.id or fallback_id,
        turns=turns_in(checked.messages, "messages", roles),
        scenario=checked.scenario or "",
        persona=checked.persona or "",
        system=checked.system or "",
        labels=checked.labels or {},
    )
    return checked_dialogue(dialogue, "messages")


def turns_in(value: object, field: str, roles: RoleMap) -> tuple[Turn, ...]:
    """Return the turns in a list of messages; raise `RowError` if it is none."""
    try:
        messages = checked_row(_MESSAGES, value)
    except RowError as error:
        raise RowError([(f"{field}{path}", message) for path, message in error.findings]) from error
    spoken = [(place, each) for place, each in enumerate(messages) if each.role in roles or each.role not in SILENT]
    turns = [_turn(message, f"{field}[{place}]", roles) for place, message in spoken]
    return tuple(turn for turn in turns if turn is not None)


def _turn(message: _Message, field: str, roles: RoleMap) -> Turn | None:
    role = mapped_role(message.role, roles, f"{field}.role")
    text = content_in(message.content, f"{field}.content")
    if is_tool_traffic(message.content) or (not text and (message.tool_calls or message.function_call)):
        return None
    if role == "seeker":
        return Turn(role=role, text=text_in(text, f"{field}.content"))
    answer = read_answer(text)
    return Turn(role=role, text=answer.response, analysis=answer.analysis)
