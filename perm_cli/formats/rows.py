"""Check one row of a file against a dataclass, and say in the file's own words what is wrong with it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from perm_cli.dialogues import Dialogue
from perm_cli.terminal import one_line
from perm_cli.words import Role

NonBlank = Annotated[str, StringConstraints(pattern=r"\S")]
RoleMap = Mapping[str, Role]
Finding = tuple[str, str]
RowT = TypeVar("RowT")


class RowError(ValueError):
    """Carry what is wrong with one row: pairs of a field and a message."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in findings))
        self.findings = findings


def checked_row(adapter: TypeAdapter[RowT], row: object) -> RowT:
    """Return `row` as the adapter's dataclass; raise `RowError` with every field that does not fit."""
    try:
        return adapter.validate_python(row)
    except ValidationError as error:
        raise RowError([_finding(detail) for detail in error.errors(include_url=False)]) from error


def checked_dialogue(dialogue: Dialogue, field: str) -> Dialogue:
    """Return `dialogue` unless it has no supporter turn; `field` is where the file keeps the turns."""
    if not any(turn.role == "supporter" for turn in dialogue.turns):
        raise RowError([(field, "no supporter turn found, expected at least one to judge")])
    return dialogue


def mapped_role(name: str, roles: RoleMap, field: str) -> Role:
    """Translate a role name of the file, or raise `RowError` naming the ones that are known."""
    try:
        return roles[name]
    except KeyError:
        known = ", ".join(roles)
        message = f"role {shown(name)} found, expected one of: {known} (other names: --roles seeker=…,supporter=…)"
        raise RowError([(field, message)]) from None


def text_in(value: object, field: str) -> str:
    """Return a value that is text, and more than blanks; raise `RowError` if it is anything else."""
    if not isinstance(value, str) or not value.strip():
        raise RowError([(field, f"{shown(value)} found, expected some text")])
    return value


def words_in(value: object, field: str) -> str:
    """Return a value that is text or absent, which is empty text; raise `RowError` if it is anything else."""
    if value is not None and not isinstance(value, str):
        raise RowError([(field, f"{shown(value)} found, expected text")])
    return value or ""


def id_in(value: object, field: str = "id") -> str:
    """Return an id, which files also write as a number; raise `RowError` if it is anything else."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else text_in(value, field)


def object_in(value: object, field: str) -> Mapping[str, Any]:
    """Return a value that is an object, an empty one for null; raise `RowError` if it is anything else."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RowError([(field, f"{shown(value)} found, expected an object")])
    return value


def list_in(value: object, field: str) -> Sequence[Any]:
    """Return a value that is a list and not empty; raise `RowError` if it is anything else."""
    if not isinstance(value, list) or not value:
        raise RowError([(field, f"{shown(value)} found, expected a list that is not empty")])
    return value


def shown(value: object) -> str:
    """Show a value from a file briefly, safely and with its type visible."""
    if isinstance(value, str | int | float | bool | None):
        return one_line(repr(value), 60)
    if isinstance(value, Mapping):
        return one_line(f"an object with {', '.join(map(str, value)) or 'no fields'}", 80)
    return f"a list of {len(value)}" if isinstance(value, Sequence) else type(value).__name__


def _finding(detail: ErrorDetails) -> Finding:
    location, value, context = detail["loc"], detail["input"], detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return _path(location), "nothing found, expected this field"
        case "unexpected_keyword_argument" | "extra_forbidden":
            return _path(location), "unknown field found, expected it to be left out"
        case "string_pattern_mismatch":
            return _path(location), f"{shown(value)} found, expected some text"
        case "too_short":
            return _path(location), f"{shown(value)} found, expected at least {context['min_length']}"
        case kind:
            return _path(location), f"{shown(value)} found, expected {_expected(kind, context)}"


def _expected(kind: str, context: Mapping[str, Any]) -> str:
    words = {
        "string_type": "text",
        "list_type": "a list",
        "tuple_type": "a list",
        "dict_type": "an object",
        "mapping_type": "an object",
        "dataclass_type": "an object",
    }
    return str(context.get("expected", words.get(kind, kind.replace("_", " "))))


def _path(location: Sequence[str | int]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{one_line(part, 60)}" for part in location)
    return path.removeprefix(".")
