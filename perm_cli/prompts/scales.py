"""
Scales: which numbers a verdict on a dimension states, how they are read, and what score they make.

There are two kinds. *Levels* describe every score in words, and a verdict is one of them. *Items* are rated one by
one, and the score is their sum. All other modules use the `Scale` protocol and need not know which kind it is.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Literal, Protocol

from pydantic import ConfigDict, Field, StringConstraints

SCORE = "score"
"""The field of a verdict that states a single number."""

STRICT = ConfigDict(extra="forbid")
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_ITEM_RANGE = (0, 20)
_WIDEST = 100  # the JSON schema of a field lists every value
_TAKEN = frozenset({SCORE, "rationale", "reason", "reasoning", "total"})  # other fields of a verdict
_ItemName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
_Whole = Annotated[int, Field(ge=-1000, le=1000)]

_OPEN, _CLOSE = r"[\s*_`\"'(\[<{]*+", r"[\s*_`\"')\]>}]*+"
_VALUE = re.compile(
    rf"^{_OPEN}(?P<number>[+\-−–]?\d{{1,9}}(?:[.,]\d{{1,9}})?+)(?![\d.,]*\d){_CLOSE}分?+"
    rf"(?:(?:/|out\s+of|of){_OPEN}(?P<top>\d{{1,9}})(?:\.0+)?+(?![\d.,]*\d)分?+)?{_CLOSE}(?P<rest>.*)$",
    re.IGNORECASE | re.DOTALL,
)
# After a verdict, text with digits is accepted only as a remark that is set off from it; a second number is never one.
_REMARK = re.compile(r"[\s.]*+(?:,\s|[(\[—–（，；。]|-\s|because\b|since\b|[:;]\s|\|)", re.IGNORECASE)
_ANOTHER = re.compile(
    r"[\s.,(\[]*+(?:[-–—~/]?\d|(?:[-–—~]|to\b|or\b|maybe\b)\s*+\d+\s*+(?:$|[^\w\s]|of\b|out\b))", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Stated:
    """A number stated by a verdict, or the reason why it is not valid; `position` is where it stands in the text."""

    status: Literal["scored", "truncated", "unparseable", "out_of_range"]
    number: int | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A field of a verdict: a whole number from `low` to `high`."""

    name: str
    low: int
    high: int

    @property
    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the field."""
        return {"type": "integer", "enum": list(range(self.low, self.high + 1))}

    def read(self, value: object) -> Stated:
        """Return the number that a value of a JSON object states."""
        if isinstance(value, str):
            return self.read_text(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return Stated("unparseable")
        if isinstance(value, float) and not math.isfinite(value):  # an integer too large for a float is out of range
            return Stated("unparseable")
        return self._placed(value)

    def read_text(self, text: str, offset: int = 0) -> Stated:
        """Return the number that a text begins with; the text begins at position `offset` of the reply."""
        match = _VALUE.match(text)
        if not match or (match["top"] and int(match["top"]) != self.high):
            return Stated("unparseable")
        rest = match["rest"]
        if re.search(r"\d", rest) and (_ANOTHER.match(rest) or not _REMARK.match(rest)):
            return Stated("unparseable")
        number = match["number"].replace(",", ".").replace("−", "-").replace("–", "-")
        return replace(self._placed(float(number)), position=offset + match.start("number"))

    def _placed(self, number: float) -> Stated:
        if not self.low <= number <= self.high:
            return Stated("out_of_range")
        return Stated("scored", int(number)) if number == int(number) else Stated("unparseable")


def is_bare(text: str) -> bool:
    """Return whether a text is only a number, such as `4 out of 5`, without a reason."""
    value = _VALUE.match(text.strip())
    return value is not None and not re.search(r"\w", value["rest"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level of a scale and its meaning."""

    score: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One of the items whose scores are summed, and what its lowest and highest score mean."""

    name: str
    question: str
    low: str
    high: str


class Scale(Protocol):
    """The scale of a dimension: the numbers that a verdict states, and the score that they make."""

    @property
    def fields(self) -> Sequence[Number]:
        """Return the numbers that a verdict states; a single one is called `score`."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Return the lowest and the highest score."""

    @property
    def levels(self) -> Sequence[Level]:
        """Return the levels in ascending order, empty if the scale has items."""

    @property
    def items(self) -> Sequence[Item]:
        """Return the items, empty if the scale has levels."""

    @property
    def text(self) -> str:
        """Return the scale in words, such as `1 to 5`."""

    @property
    def table(self) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        """Return the wording as a table: its column names and its rows."""

    def score(self, stated: Mapping[str, int]) -> float:
        """Return the score for the stated numbers by field name."""


@dataclass(frozen=True)
class Levels:
    """A scale that describes every score in words; a verdict is one of its levels."""

    levels: Sequence[Level]
    items: Sequence[Item] = ()

    @cached_property
    def fields(self) -> Sequence[Number]:
        """Return the one field."""
        return (Number(name=SCORE, low=self.levels[0].score, high=self.levels[-1].score),)

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """Return the lowest and the highest level."""
        return self.levels[0].score, self.levels[-1].score

    @property
    def text(self) -> str:
        """Return the lowest and the highest level in words."""
        return f"{self.levels[0].score} to {self.levels[-1].score}"

    @property
    def table(self) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        """Return what each level means."""
        return ("level", "means"), [(str(level.score), level.text) for level in self.levels]

    def score(self, stated: Mapping[str, int]) -> float:
        """Return the level that was stated."""
        return stated[SCORE]


@dataclass(frozen=True)
class Items:
    """A scale of several items, each rated from `lowest` to `highest`; the score is their sum."""

    items: Sequence[Item]
    lowest: int
    highest: int
    levels: Sequence[Level] = ()

    @cached_property
    def fields(self) -> Sequence[Number]:
        """Return one field per item."""
        return tuple(Number(name=item.name, low=self.lowest, high=self.highest) for item in self.items)

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """Return the lowest and the highest sum."""
        return self.lowest * len(self.items), self.highest * len(self.items)

    @property
    def text(self) -> str:
        """Return the range of the sum, and of what it is made of, in words."""
        low, high = self.bounds
        return f"{low:g} to {high:g}, the sum of {len(self.items)} items of {self.lowest} to {self.highest}"

    @property
    def table(self) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        """Return what each item asks, and what its lowest and highest score mean."""
        columns = ("item", "question", f"{self.lowest} is", f"{self.highest} is")
        return columns, [(item.name, item.question, item.low, item.high) for item in self.items]

    def score(self, stated: Mapping[str, int]) -> float:
        """Return the sum."""
        return sum(stated[item.name] for item in self.items)


@dataclass(frozen=True, kw_only=True)
class _ItemWords:
    __pydantic_config__ = STRICT
    question: Words
    low: Words
    high: Words


@dataclass(frozen=True, kw_only=True)
class ScaleFile:
    """The part of a dimension's file that describes its scale: exactly one of `levels` and `items`."""

    levels: Annotated[dict[_Whole, Words], Field(min_length=2, max_length=10)] | None = None
    items: Annotated[dict[_ItemName, _ItemWords], Field(min_length=1, max_length=20)] | None = None
    lowest: _Whole | None = None
    highest: _Whole | None = None

    def wrong(self) -> tuple[str, str] | None:
        """Return a field that contradicts another one and the reason, None if there is none."""
        if self.levels and self.items:
            return "levels", "levels and items cannot be combined; keep one of them"
        if self.levels:
            return self._wrong_levels(sorted(self.levels))
        if self.items:
            return self._wrong_items(*self._ends)
        return "levels", "levels and items are both missing; add one of them"

    def scale(self) -> Scale:
        """Return the scale; the file must have passed `wrong`."""
        if self.levels:
            return Levels(tuple(Level(score=score, text=text) for score, text in sorted(self.levels.items())))
        items = (self.items or {}).items()
        return Items(
            tuple(Item(name=name, question=each.question, low=each.low, high=each.high) for name, each in items),
            *self._ends,
        )

    @property
    def _ends(self) -> tuple[int, int]:
        low, high = _ITEM_RANGE
        return low if self.lowest is None else self.lowest, high if self.highest is None else self.highest

    def _wrong_levels(self, scores: list[int]) -> tuple[str, str] | None:
        if scores != list(range(scores[0], scores[0] + len(scores))):
            return "levels", f"{scores} found, expected consecutive whole numbers such as 1 to 5"
        if self.lowest is not None or self.highest is not None:
            return "levels", "levels cannot be combined with lowest or highest, which belong to items"
        return None

    def _wrong_items(self, low: int, high: int) -> tuple[str, str] | None:
        if not low < high <= low + _WIDEST:
            place = "highest" if self.highest is not None else "lowest"
            return place, f"{low} to {high} found, expected a highest that is 1 to {_WIDEST} above the lowest"
        if taken := sorted(_TAKEN & (self.items or {}).keys()):
            return "items", f"{taken[0]!r} is already a field of every verdict; choose another name"
        return None
