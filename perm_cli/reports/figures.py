"""Numbers as text: estimates with their intervals, or with the reason why there is none."""

from collections.abc import Iterable

from perm_cli.statistics.resampling import Statistic
from perm_cli.text import one_line

NONE = "-"
_WIDE = 10  # levels of a scale


def number(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """Return a number with this many decimals, a dash for None."""
    return NONE if value is None else f"{value:{_form(digits, signed=signed)}}"


def figure(statistic: Statistic, digits: int = 2, *, signed: bool = False) -> str:
    """Return an estimate with its 95 % interval, or a dash and the reason."""
    return f"{statistic:{_form(digits, signed=signed)}}"


def span(statistic: Statistic, digits: int = 2, *, signed: bool = False) -> str:
    """Return the 95 % interval of an estimate, a dash for None."""
    return statistic.span(_form(digits, signed=signed)) or NONE


def _form(digits: int, *, signed: bool) -> str:
    return f"{'+' if signed else ''}z.{digits}f"  # z: no minus sign before a number that rounds to zero


def percent(share: float | None) -> str:
    """Return a share as a whole percentage, a dash for None."""
    return NONE if share is None else f"{share:.0%}"


def chance(p: float | None) -> str:
    """Return a p-value with three decimals, a dash for None."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"  # noqa: PLR2004 - as papers write it


def listed(words: list[str]) -> str:
    """Return words as a list in a sentence: a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def name_of(text: str) -> str:
    """Return a name from outside on one line, a dash for an empty one."""
    return one_line(text) or NONE


def with_scale(dimension: str, top: float | None) -> str:
    """Return the name of a dimension, with the top of its scale if that is known."""
    return name_of(dimension) if top is None else f"{name_of(dimension)} /{top:g}"


def decimals_of(low: float, high: float) -> int:
    """Return the number of decimals for means of scores between two ends: 1 on a wide scale, else 2."""
    return 1 if high - low > _WIDE else 2


def counted(count: int, one: str, several: str = "") -> str:
    """Return a count with its noun: 1 turn, 2 turns; `several` is an irregular plural."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def sparkline(values: Iterable[float | None], low: float, high: float, bars: str = "▁▂▃▄▅▆▇█") -> str:
    """Return one bar per value by its place on the scale, the middle bar if the scale has no width, a dot for None."""
    top = len(bars) - 1

    def bar(value: float) -> str:
        return bars[round(top * (value - low) / (high - low)) if high > low else top // 2]

    return "".join("·" if value is None else bar(value) for value in values)
