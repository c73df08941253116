"""The cells of a table: text that may mean a number, and text that a spreadsheet would run."""

import csv
import math
import re
from collections.abc import Iterable
from typing import Any, TextIO

HEADER = ("id", "system", "turn", "role", "text", "analysis", "scenario", "persona", "labels", "meta")
"""The columns of the tables that perm writes, one row per turn; the last two hold JSON."""

_INTEGER = re.compile(r"[+-]?(?:0|[1-9]\d{0,14})", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_LEADING_ZERO = re.compile(r"[+-]?0\d", re.ASCII)
# What starts a formula, and what spreadsheets strip before they look for it; marks of full width count for some.
_STARTS = r"'*(?:[\t\r\n]|\s*[=+\-@＝＋－＠])"
# In half of the world spreadsheets part cells at semicolons, and then see no quotes around a text: a semicolon or a
# line end in it starts a cell. There, a smiley or the dash of a list is no formula.
_STARTS_WITHIN = r"'* *(?:[=@＝＠]|[+\-＋－][\w(.])"
_BEFORE = re.compile(rf"\A(?={_STARTS})|(?<=[;\r\n])(?={_STARTS_WITHIN})")
_GUARD, _GUARD_WITHIN = re.compile(rf"\A'(?={_STARTS})"), re.compile(rf"(?<=[;\r\n])'(?={_STARTS_WITHIN})")


def number_or_text(cell: Any) -> Any:
    """Return a cell as the number that it spells, or else as it is; 007 is a name."""
    if not isinstance(cell, str) or _LEADING_ZERO.match(cell.strip()):
        return cell
    text = cell.strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return cell


def guarded(cell: str) -> str:
    """Return text as no spreadsheet runs it: an apostrophe stands before what would be a formula."""
    return _BEFORE.sub("'", cell.replace("\x00", "\ufffd"))


def write_guarded(rows: Iterable[Iterable[Any]], text: TextIO, *, line_end: str = "\r\n") -> None:
    """Write rows as CSV, in which every text is `guarded`: the one way that tables leave the program."""
    writer = csv.writer(text, lineterminator=line_end)
    writer.writerows([guarded(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)


def unguarded(cell: str) -> str:
    """Undo `guarded`, which sets its apostrophe also before one that was there."""
    # The first apostrophe last: whether it was set shows only in the text as it was.
    return _GUARD.sub("", _GUARD_WITHIN.sub("", cell))
