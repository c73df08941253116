"""The columns of a ratings file, derived from the dataclass of its lines, so that each is declared once."""

from dataclasses import MISSING, dataclass, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_IN_JSON = {str: (str,), int: (int,), float: (float, int), dict: (dict,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: the type of its values, whether they may be null, and its default, `MISSING` if it has none."""

    name: str
    kind: type
    nullable: bool
    default: Any

    @property
    def types(self) -> frozenset[type]:
        """Return the types that its values may have after JSON is parsed."""
        return frozenset((*_IN_JSON[self.kind], *([NoneType] if self.nullable else [])))

    @property
    def is_count(self) -> bool:
        """Return whether its values are counts: integers of 0 or more."""
        return self.kind is int and not self.nullable


def columns_of(line: type) -> tuple[Column, ...]:
    """Return the columns of a dataclass whose fields are strings, numbers or mappings, each optionally None."""
    hints = get_type_hints(line)
    return tuple(_column(each.name, hints[each.name], each.default) for each in fields(line))


def _column(name: str, hint: Any, default: Any) -> Column:
    options = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    (kind,) = (each for each in options if each is not NoneType)
    origin = get_origin(kind)
    kind = str if origin is Literal else dict if origin else kind
    return Column(name=name, kind=kind, nullable=NoneType in options, default=default)


def defaults_of(columns: tuple[Column, ...]) -> dict[str, Any]:
    """Return the defaults of the columns that a line may lack."""
    return {each.name: each.default for each in columns if each.default is not MISSING}
