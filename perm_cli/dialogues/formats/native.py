"""The native format: `{"id", "scenario"?, "persona"?, "system"?, "turns": [{"role", "text", "analysis"?}], …}`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.files.fields import NonBlank, checked_dialogue, checked_row, text_in
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import RoleMap, mapped_role
from perm_cli.dialogues.files.rows import Record, RowError
from perm_cli.dialogues.files.steps import Made, one_per_row
from perm_cli.dialogues.format import Format

ROLES: RoleMap = {"seeker": "seeker", "supporter": "supporter"}
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class _TurnFields:
    __pydantic_config__ = _STRICT
    role: str
    text: str
    analysis: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fields:
    __pydantic_config__ = _STRICT
    id: NonBlank
    turns: Annotated[list[_TurnFields], Field(min_length=1)]
    scenario: str | None = None
    persona: str | None = None
    system: str | None = None
    labels: dict[str, Any] | None = field(default=None)
    meta: dict[str, Any] | None = field(default=None)


_FIELDS = TypeAdapter(_Fields)


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    return "turns" in fields


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:
    """Yield one dialogue per row."""
    return one_per_row(records, to_dialogue, reading.roles or ROLES)


def to_dialogue(fields: Mapping[str, Any], roles: RoleMap, fallback_id: str) -> Dialogue:  # noqa: ARG001 - the id is required here
    """Return the row as a dialogue; raise `RowError` if it is not one."""
    checked = checked_row(_FIELDS, fields)
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


def _turn(row: _TurnFields, place: int, roles: RoleMap) -> Turn:
    role = mapped_role(row.role, roles, f"turns[{place}].role")
    if role == "seeker":
        text_in(row.text, f"turns[{place}].text")
    analysis = row.analysis if row.analysis and row.analysis.strip() else None
    if analysis and role == "seeker":
        raise RowError([(f"turns[{place}].analysis", "an analysis found on a seeker turn, expected none")])
    return Turn(role=role, text=row.text, analysis=analysis)


FORMAT = Format(description="one object per line with id and turns", recognises=recognises, read=read)
