"""The columns of a file of ratings, as the fields of one line declare them."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from types import NoneType
from typing import Literal

from perm_cli.ratings.columns import columns_of, defaults_of


@dataclass
class Line:
    """One of each kind of field."""

    word: str
    choice: Literal["a", "b"]
    count: int = 0
    cost: float | None = None
    parts: Mapping[str, int] | None = None


def test_a_column_has_the_kind_of_its_field() -> None:
    """Checks, Parquet and the ledger all follow from it."""
    found = {each.name: (each.kind, each.types, each.is_count) for each in columns_of(Line)}

    assert found == {
        "word": (str, {str}, False),
        "choice": (str, {str}, False),
        "count": (int, {int}, True),
        "cost": (float, {float, int, NoneType}, False),
        "parts": (dict, {dict, NoneType}, False),
    }


def test_only_a_field_with_a_default_may_be_absent() -> None:
    """Lines of earlier releases lack what came later, and None is a default as good as any."""
    columns = columns_of(Line)

    assert [each.name for each in columns if each.default is MISSING] == ["word", "choice"]
    assert defaults_of(columns) == {"count": 0, "cost": None, "parts": None}
