"""Cells of tables: reading numbers in text, and guarding text that a spreadsheet would run as a formula."""

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
# The characters that start a formula, after those that spreadsheets strip first; some accept full-width ones.
_STARTS = r"'*(?:[\t\r\n]|\s*[=+\-@＝＋－＠])"
# In many locales spreadsheets split cells at semicolons and then ignore the quotes around a text, so that a semicolon
# or a line end inside it starts a cell. The pattern there is narrower, so that smileys and list dashes stay.
_STARTS_WITHIN = r"'* *(?:[=@＝＠]|[+\-＋－][\w(.])"
_BEFORE = re.compile(rf"\A(?={_STARTS})|(?<=[;\r\n])(?={_STARTS_WITHIN})")
_GUARD, _GUARD_WITHIN = re.compile(rf"\A'(?={_STARTS})"), re.compile(rf"(?<=[;\r\n])'(?={_STARTS_WITHIN})")


def number_or_text(cell: Any) -> Any:
    """Return the number that a cell spells, or else the cell; 007 is a name and not a number."""
    if not isinstance(cell, str) or _LEADING_ZERO.match(cell.strip()):
        return cell
    text = cell.strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return cell


def guarded(cell: str) -> str:
    """Return text that no spreadsheet runs: with an apostrophe before everything that would be a formula."""
    return _BEFORE.sub("'", cell.replace("\x00", "\ufffd"))


def write_guarded(rows: Iterable[Iterable[Any]], text: TextIO, *, line_end: str = "\r\n") -> None:
    """Write rows as CSV with every text `guarded`; all CSV files of the program are written here."""
    writer = csv.writer(text, lineterminator=line_end)
    writer.writerows([guarded(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)


def unguarded(cell: str) -> str:
    """Return a text without the apostrophes of `guarded`, which adds one also before an apostrophe in the text."""
    # The first apostrophe last: only the rest of the text as written shows whether it was added.
    return _GUARD.sub("", _GUARD_WITHIN.sub("", cell))
