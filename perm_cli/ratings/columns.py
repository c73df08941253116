"""The columns of a file of ratings, derived from the dataclass of one line, so that a field is declared once."""

from dataclasses import MISSING, dataclass, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_IN_JSON = {str: (str,), int: (int,), float: (float, int), dict: (dict,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One field: the `kind` of its values, whether they may be null, and its default, `MISSING` if it has none."""

    name: str
    kind: type
    nullable: bool
    default: Any

    @property
    def types(self) -> frozenset[type]:
        """Return the types that its values may have once JSON is read."""
        return frozenset((*_IN_JSON[self.kind], *([NoneType] if self.nullable else [])))

    @property
    def is_count(self) -> bool:
        """Return whether its values are whole numbers from 0."""
        return self.kind is int and not self.nullable


def columns_of(line: type) -> tuple[Column, ...]:
    """Return the columns of a dataclass: texts, numbers and mappings, each alone or with None."""
    hints = get_type_hints(line)
    return tuple(_column(each.name, hints[each.name], each.default) for each in fields(line))


def _column(name: str, hint: Any, default: Any) -> Column:
    options = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    (kind,) = (each for each in options if each is not NoneType)
    origin = get_origin(kind)
    kind = str if origin is Literal else dict if origin else kind
    return Column(name=name, kind=kind, nullable=NoneType in options, default=default)


def defaults_of(columns: tuple[Column, ...]) -> dict[str, Any]:
    """Return the values of columns that a line need not have."""
    return {each.name: each.default for each in columns if each.default is not MISSING}
