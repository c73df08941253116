"""The native format: `{"id", "scenario"?, "persona"?, "system"?, "turns": [{"role", "text", "analysis"?}], …}`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
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

SAYS = "one object a line with id and turns"
ROLES: RoleMap = {"seeker": "seeker", "supporter": "supporter"}
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class _TurnRow:
    __pydantic_config__ = _STRICT
    role: str
    text: str
    analysis: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    __pydantic_config__ = _STRICT
    id: NonBlank
    turns: Annotated[list[_TurnRow], Field(min_length=1)]
    scenario: str | None = None
    persona: str | None = None
    system: str | None = None
    labels: dict[str, Any] | None = field(default=None)
    meta: dict[str, Any] | None = field(default=None)


_ROW = TypeAdapter(_Row)


def recognises(row: Mapping[str, Any]) -> bool:
    """Tell whether the row looks like this format."""
    return "turns" in row


def read(items: Iterable[Item], reading: Reading) -> Iterator[Made]:
    """Yield a dialogue a row."""
    return one_a_row(items, to_dialogue, reading.roles or ROLES)


def to_dialogue(row: Mapping[str, Any], roles: RoleMap, fallback_id: str) -> Dialogue:  # noqa: ARG001 - the id is required here
    """Return the row as a dialogue; raise `RowError` if it is not one."""
    checked = checked_row(_ROW, row)
    turns = tuple(_turn(turn, place, roles) for place, turn in enumerate(checked.turns))
    dialogue = Dialogue(
        id=checked.id,
        turns=turns,
        scenario=checked.scenario or "",
        persona=checked.persona or "",
        system=checked.system or "",
        labels=checked.labels or {},
        meta=checked.meta or {},
    )
    return checked_dialogue(dialogue, "turns")


def _turn(row: _TurnRow, place: int, roles: RoleMap) -> Turn:
    role = mapped_role(row.role, roles, f"turns[{place}].role")
    if role == "seeker":
        text_in(row.text, f"turns[{place}].text")
    analysis = row.analysis if row.analysis and row.analysis.strip() else None
    if analysis and role == "seeker":
        raise RowError([(f"turns[{place}].analysis", "an analysis found on a seeker turn, expected none")])
    return Turn(role=role, text=row.text, analysis=analysis)
