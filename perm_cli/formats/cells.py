"""The cells of a table: text that may mean a number, and text that a spreadsheet would run."""

import math
import re
from typing import Any

HEADER = ("id", "system", "turn", "role", "text", "analysis", "scenario", "persona", "labels", "meta")
"""The columns of the tables that perm writes, a row a turn; the last two hold JSON."""

_INTEGER = re.compile(r"[+-]?(?:0|[1-9]\d{0,14})", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_LEADING_ZERO = re.compile(r"[+-]?0\d", re.ASCII)
# What starts a formula, and what spreadsheets strip before they look for it; marks of full width count for some.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")


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
    cell = cell.replace("\x00", "\ufffd")
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    """Undo `guarded`, which sets its apostrophe also before one that was there."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
