"""Checks of the values in a row's fields, with errors that name the fields as the file does."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import StringConstraints, TypeAdapter, ValidationError

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.rows import RowError
from perm_cli.findings import NON_BLANK, finding_of, shown

NonBlank = Annotated[str, StringConstraints(pattern=NON_BLANK)]
FieldsT = TypeVar("FieldsT")


def checked_row(adapter: TypeAdapter[FieldsT], row: object) -> FieldsT:
    """Return `row` as the adapter's dataclass; raise `RowError` with every field that does not fit."""
    try:
        return adapter.validate_python(row)
    except ValidationError as error:
        raise RowError([finding_of(detail) for detail in error.errors(include_url=False)]) from error


def checked_dialogue(dialogue: Dialogue, field: str) -> Dialogue:
    """Return `dialogue` unless it has no supporter turn; `field` is where the file keeps the turns."""
    if not any(turn.role == "supporter" for turn in dialogue.turns):
        raise RowError([(field, "no supporter turn found, expected at least one to judge")])
    return dialogue


def text_in(value: object, field: str) -> str:
    """Return a text that is not blank; raise `RowError` if the value is anything else."""
    if not isinstance(value, str) or not value.strip():
        raise RowError([(field, f"{shown(value)} found, expected some text")])
    return value


def words_in(value: object, field: str) -> str:
    """Return a text, empty for None; raise `RowError` if the value is anything else."""
    if value is not None and not isinstance(value, str):
        raise RowError([(field, f"{shown(value)} found, expected text")])
    return value or ""


def id_in(value: object, field: str = "id") -> str:
    """Return an id as text, from a text or a whole number; raise `RowError` if the value is anything else."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else text_in(value, field)


def object_in(value: object, field: str) -> Mapping[str, Any]:
    """Return an object, an empty one for None; raise `RowError` if the value is anything else."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RowError([(field, f"{shown(value)} found, expected an object")])
    return value


def list_in(value: object, field: str) -> Sequence[Any]:
    """Return a list that is not empty; raise `RowError` if the value is anything else."""
    if not isinstance(value, list) or not value:
        raise RowError([(field, f"{shown(value)} found, expected a list that is not empty")])
    return value
