"""Figures as text: with their interval, or with the reason why there is none."""

from collections.abc import Iterable

from perm_cli.statistics.resampling import Statistic
from perm_cli.text import one_line

NONE = "-"
_WIDE = 10  # levels of a scale


def number(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """Return a number with so many digits, a dash for none."""
    return NONE if value is None else f"{value:{_form(digits, signed=signed)}}"


def figure(statistic: Statistic, digits: int = 2, *, signed: bool = False) -> str:
    """Return a figure with its 95 % interval."""
    return f"{statistic:{_form(digits, signed=signed)}}"


def span(statistic: Statistic, digits: int = 2, *, signed: bool = False) -> str:
    """Return the 95 % interval of a figure, a dash for none."""
    return statistic.span(_form(digits, signed=signed)) or NONE


def _form(digits: int, *, signed: bool) -> str:
    return f"{'+' if signed else ''}z.{digits}f"  # z: no minus before what is rounded to nought


def percent(share: float | None) -> str:
    """Return a share in whole percent."""
    return NONE if share is None else f"{share:.0%}"


def chance(p: float | None) -> str:
    """Return a p-value."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"  # noqa: PLR2004 - as papers write it


def listed(words: list[str]) -> str:
    """Return words as a sentence lists them."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def name_of(text: str) -> str:
    """Return a name from outside on a line of its own length, a dash for none."""
    return one_line(text) or NONE


def with_scale(dimension: str, top: float | None) -> str:
    """Return a dimension with the highest score of its scale, where that is known."""
    return name_of(dimension) if top is None else f"{name_of(dimension)} /{top:g}"


def decimals_of(low: float, high: float) -> int:
    """Return with how many decimals the mean of scores between two ends is told."""
    return 1 if high - low > _WIDE else 2


def counted(count: int, what: str) -> str:
    """Return a number of things in words: one thing, two things."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def sparkline(values: Iterable[float | None], low: float, high: float, bars: str = "▁▂▃▄▅▆▇█") -> str:
    """Return each value as a bar between the ends of a scale, in the middle where these meet; a dot for none."""
    top = len(bars) - 1

    def bar(value: float) -> str:
        return bars[round(top * (value - low) / (high - low)) if high > low else top // 2]

    return "".join("·" if value is None else bar(value) for value in values)
