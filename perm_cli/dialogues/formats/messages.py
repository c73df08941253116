"""OpenAI chat rows: `{"messages": [{"role", "content"}, …]}`; instructions and tool traffic are skipped."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.fields import NonBlank, checked_dialogue, checked_row
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import ROLE_NAMES, RoleMap
from perm_cli.dialogues.files.rows import Record
from perm_cli.dialogues.files.steps import Made, one_per_row
from perm_cli.dialogues.files.talk import turns_in_messages
from perm_cli.dialogues.format import Format


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fields:
    __pydantic_config__ = ConfigDict(extra="ignore")
    messages: Any
    id: NonBlank | None = None
    scenario: str | None = None
    persona: str | None = None
    system: str | None = None
    labels: dict[str, Any] | None = None


_FIELDS = TypeAdapter(_Fields)


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    return "messages" in fields


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:
    """Yield one dialogue per row."""
    return one_per_row(records, to_dialogue, reading.roles or ROLE_NAMES)


def to_dialogue(fields: Mapping[str, Any], roles: RoleMap, fallback_id: str) -> Dialogue:
    """Return the row as a dialogue; raise `RowError` if it is not one."""
    checked = checked_row(_FIELDS, fields)
    dialogue = Dialogue(
        id=checked.id or fallback_id,
        turns=turns_in_messages(checked.messages, "messages", roles),
        scenario=checked.scenario or "",
        persona=checked.persona or "",
        system=checked.system or "",
        labels=checked.labels or {},
    )
    return checked_dialogue(dialogue, "messages")


FORMAT = Format(description="one object per line with messages", recognises=recognises, read=read)
