"""
The rows of the PERM authors: `{"persona": {"identity"}, "scenario", "dialogue": [query, …]}` and the model's output.

As in their training code the first entry of `dialogue` is the seeker's turn and the output, with its
`# Analysis` and `# Response` sections, the supporter's (arXiv 2601.10532, released code).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.files.fields import NonBlank, checked_row
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import RoleMap
from perm_cli.dialogues.files.rows import Record, RowError
from perm_cli.dialogues.files.sections import read_answer
from perm_cli.dialogues.files.steps import Made, one_per_row
from perm_cli.dialogues.format import Format

_OUTPUTS = ("output", "completion", "response")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Persona:
    __pydantic_config__ = ConfigDict(extra="ignore")
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fields:
    __pydantic_config__ = ConfigDict(extra="ignore")
    persona: _Persona
    scenario: str
    dialogue: Annotated[list[NonBlank], Field(min_length=1)]
    id: NonBlank | None = None
    system: str | None = None
    labels: dict[str, Any] | None = None


_FIELDS = TypeAdapter(_Fields)


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    return "dialogue" in fields


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:  # noqa: ARG001 - the order tells who speaks
    """Yield one dialogue per row."""
    return one_per_row(records, to_dialogue, {})


def to_dialogue(fields: Mapping[str, Any], roles: RoleMap, fallback_id: str) -> Dialogue:  # noqa: ARG001 - the rows name no roles
    """Return the row as a dialogue of two turns; raise `RowError` if it is not one."""
    checked = checked_row(_FIELDS, fields)
    answer = read_answer(_output(fields))
    return Dialogue(
        id=checked.id or fallback_id,
        turns=(
            Turn(role="seeker", text=checked.dialogue[0]),
            Turn(role="supporter", text=answer.response, analysis=answer.analysis),
        ),
        scenario=checked.scenario,
        persona=checked.persona.identity,
        system=checked.system or "",
        labels=checked.labels or {},
    )


def _output(fields: Mapping[str, Any]) -> str:
    found = [name for name in _OUTPUTS if isinstance(fields.get(name), str)]
    if not found and any(name in fields and fields[name] is None for name in _OUTPUTS):
        return ""
    if len(found) != 1:
        what = f"{' and '.join(found)} found" if found else "no text found"
        raise RowError([("output", f"{what}, expected the model's output in one of: {', '.join(_OUTPUTS)}")])
    return str(fields[found[0]])


FORMAT = Format(
    description="one object per line with persona.identity, scenario, dialogue and the model's output",
    recognises=recognises,
    read=read,
)
