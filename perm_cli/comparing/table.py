"""
The table of scores that all statistics of judges are computed from: items by raters, per dimension.

An item is one supporter turn of one system, or a whole dialogue. Raters are people and judges, one rater per judge and
settings. A missing score is NaN.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from perm_cli.prompts.rubrics import Dimension, Pack, default_pack
from perm_cli.statistics.resampling import Floats, Ints


class Rated(NamedTuple):
    """An item: one system's reply in a dialogue; `turn` counts from 1, and 0 is the dialogue as a whole."""

    dialogue_id: str
    system: str = ""
    turn: int = 0


class Given(NamedTuple):
    """One score by one rater."""

    item: Rated
    dimension: str
    rater: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The lowest and the highest score of a dimension."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Scores:
    """
    The scores of all raters: per dimension a matrix (item, rater).

    `people` names the human raters. `packs` are the packs of rubrics that were used, one of each shape.
    """

    items: Sequence[Rated]
    raters: Sequence[str]
    tables: Mapping[str, Floats]
    people: frozenset[str] = field(default_factory=frozenset)
    packs: Sequence[Pack] = field(default_factory=lambda: (default_pack(),))

    @property
    def dimensions(self) -> Mapping[str, Dimension]:
        """Return the dimensions of all packs by name."""
        return {name: each for pack in self.packs for name, each in pack.dimensions.items()}

    @cached_property
    def clusters(self) -> Ints:
        """Return the dialogue of each item as a number from 0: the unit of resampling."""
        return numbered([item.dialogue_id for item in self.items])[1]

    @cached_property
    def prompts(self) -> Ints:
        """Return the dialogue and turn of each item as a number from 0, the same for all systems that reply there."""
        return numbered([f"{item.dialogue_id}\x00{item.turn}" for item in self.items])[1]

    @cached_property
    def systems(self) -> tuple[list[str], Ints]:
        """Return the names of the systems, and each item's system as an index into them."""
        return numbered([item.system for item in self.items])

    @property
    def judges(self) -> list[str]:
        """Return the raters that are judges."""
        return [rater for rater in self.raters if rater not in self.people]

    @property
    def humans(self) -> list[str]:
        """Return the raters that are people."""
        return [rater for rater in self.raters if rater in self.people]

    def of(self, dimension: str, raters: Sequence[str]) -> Floats:
        """Return the scores of some raters: (item, rater)."""
        return self.tables[dimension][:, [self.raters.index(rater) for rater in raters]]

    def scale(self, dimension: str) -> Scale:
        """Return the scale of a dimension: that of its rubric if it covers all scores, else their range."""
        given = self.tables[dimension][~np.isnan(self.tables[dimension])]
        known = self.known_scale(dimension)
        if not given.size:
            return known or Scale(low=0.0, high=0.0)
        spanned = Scale(low=float(given.min()), high=float(given.max()))
        return known if known and known.low <= spanned.low and spanned.high <= known.high else spanned

    def known_scale(self, dimension: str) -> Scale | None:
        """Return the scale of a dimension in its rubric, None if no pack has the dimension."""
        known = self.dimensions.get(dimension)
        return Scale(low=known.bounds[0], high=known.bounds[1]) if known else None

    def given(self) -> Iterator[Given]:
        """Yield the scores one by one."""
        for dimension, table in self.tables.items():
            for row, column in np.argwhere(~np.isnan(table)):
                yield Given(self.items[row], dimension, self.raters[column], float(table[row, column]))

    def with_people(self, people: Iterable[str]) -> "Scores":
        """Return the table with these raters marked as people."""
        return replace(self, people=frozenset(people))

    def without(self, raters: Iterable[str]) -> "Scores":
        """Return the table without these raters."""
        kept = [rater for rater in self.raters if rater not in set(raters)]
        tables = {name: self.of(name, kept) for name in self.tables}
        return replace(self, raters=kept, tables=tables, people=self.people & set(kept))

    def only(self, kept: NDArray[np.bool_]) -> "Scores":
        """Return the table of the items for which `kept`, (item), is true."""
        return replace(
            self,
            items=[item for item, keep in zip(self.items, kept, strict=True) if keep],
            tables={name: table[kept] for name, table in self.tables.items()},
        )


def table_of(given: Iterable[Given], people: Iterable[str] = (), packs: Sequence[Pack] = ()) -> Scores:
    """
    Return single scores as a table; of two scores by one rater for the same item the last counts.

    `people` names the human raters. Dimensions take their scales from `packs`, or else from the default pack.
    """
    items: dict[Rated, int] = {}
    raters: dict[str, int] = {}
    cells: dict[str, tuple[list[int], list[int], list[float]]] = {}
    for each in given:
        rows, columns, values = cells.setdefault(each.dimension, ([], [], []))
        rows.append(items.setdefault(each.item, len(items)))
        columns.append(raters.setdefault(each.rater, len(raters)))
        values.append(each.score)
    tables = {}
    for dimension, (rows, columns, values) in cells.items():
        table = np.full((len(items), len(raters)), np.nan)
        table[rows, columns] = values
        tables[dimension] = table
    return Scores(
        items=list(items),
        raters=list(raters),
        tables=tables,
        people=frozenset(people) & raters.keys(),
        packs=packs or (default_pack(),),
    )


def numbered(names: Sequence[str]) -> tuple[list[str], Ints]:
    """Return the distinct names in order of appearance, and each name as an index into them."""
    numbers: dict[str, int] = {}
    codes = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)
    return list(numbers), codes
