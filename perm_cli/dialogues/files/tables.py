"""Tables of text (CSV, TSV): one row of cells per line, or several lines where a quoted cell has line ends."""

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from perm_cli.dialogues.files.rows import Record, Row
from perm_cli.dialogues.files.sources import (
    MAX_LINE_BYTES,
    Line,
    Remark,
    Source,
    named_byte,
    opened,
    whole_lines_of,
    wrong_byte,
)
from perm_cli.errors import Problem
from perm_cli.findings import shown
from perm_cli.text import one_line

# EmpatheticDialogues writes commas as `_comma_` and quotes nothing; some of its lines have cells after the last column.
_UNQUOTED = "conv_id,utterance_idx,"
_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # a first line by which Excel learns the delimiter


class _Lines:
    """The lines of a table for the CSV reader; problems with them are set `aside` until the row is complete."""

    def __init__(self, source: Source, stream: BinaryIO) -> None:
        self._source = source
        self._items = whole_lines_of(source, stream)
        self.aside: deque[Problem | Remark] = deque()
        self.number = 0
        self.first = self._next() or ""
        named = _SEPARATOR.fullmatch(self.first)
        if named:
            self.first = self._next() or ""
        self.delimiter = named[1] if named else max(",\t;", key=self.first.count)

    def _next(self) -> str | None:
        for item in self._items:
            if isinstance(item, Line):
                self.number = item.number
                return self._text(item)
            self.aside.append(item)
        return None

    def _text(self, line: Line) -> str:
        text = line.text.decode(errors="replace")
        wrong = wrong_byte(line.text)
        if wrong is not None:
            self.aside.append(Problem(self._source.name, line.number, "", named_byte(line.text, wrong)))
        elif "\x00" in text:
            what = f"a NUL byte found at column {text.index(chr(0)) + 1}, expected text in UTF-8"
            self.aside.append(Problem(self._source.name, line.number, "", what))
        return text

    def __iter__(self) -> Iterator[str]:
        line: str | None = self.first
        while line:
            yield line
            line = self._next()


def rows_of_table(source: Source, stream: BinaryIO) -> Iterator[Record]:
    """Yield the rows below the header, all cells as text."""
    lines = _Lines(source, stream)
    is_quoted = not lines.first.startswith(_UNQUOTED) or _quotes(source, lines.first.count(",") + 1)
    records = _records(lines, is_quoted=is_quoted)
    header: Sequence[str] | None = None
    longer, first_longer = 0, 0
    while True:
        start = lines.number + (header is not None)
        cells = next(records, None)
        yield from lines.aside
        lines.aside.clear()
        if cells is None:
            if longer:
                yield _beyond(source, longer, first_longer)
            return
        if isinstance(cells, str):
            yield Problem(source.name, start, "", f"{cells} found, expected rows of a CSV file")
            return
        if header is None:
            header = [name.strip() for name in cells]
            if repeated := sorted({name for name in header if name and header.count(name) > 1}):
                yield Problem(source.name, 1, "", f"column {shown(repeated[0])} found twice, expected it once")
                return
        elif any(cells):
            longer += not is_quoted and len(cells) > len(header)
            first_longer = first_longer or start * longer
            yield _row(source, start, header, cells, is_quoted=is_quoted)


def header_of(source: Source) -> list[str]:
    """Return the names of the columns, or none if the header cannot be read."""
    with opened(source) as stream:
        cells = next(_records(_Lines(source, stream), is_quoted=True), None)
    return [name.strip() for name in cells] if isinstance(cells, list) else []


def _records(lines: _Lines, *, is_quoted: bool) -> Iterator[list[str] | str]:
    """Yield rows of cells; an error that ends the table early is yielded as text."""
    # A limit of the whole process, raised because a turn may be as long in a cell as in a line of JSON.
    csv.field_size_limit(MAX_LINE_BYTES)
    try:
        yield from csv.reader(
            lines, delimiter=lines.delimiter, quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE
        )
    except csv.Error as error:
        yield one_line(str(error).partition(" - ")[0])


def _row(source: Source, number: int, header: Sequence[str], cells: Sequence[str], *, is_quoted: bool) -> Record:
    if len(cells) != len(header) and (is_quoted or len(cells) < len(header)):
        return Problem(source.name, number, "", f"{len(cells)} cells found, expected {len(header)}, as in the header")
    return Row(source.name, number, {name: cell for name, cell in zip(header, cells, strict=False) if name})


def _quotes(source: Source, width: int) -> bool:
    """Return whether some line has as many cells as the header only because of its quotes."""
    with opened(source) as stream:
        lines = (item.text for item in whole_lines_of(source, stream) if isinstance(item, Line) and b'"' in item.text)
        return any(_quotes_rightly(line.decode(errors="replace"), width) for line in lines)


def _quotes_rightly(line: str, width: int) -> bool:
    try:
        (cells,) = csv.reader([line], strict=True)
    except csv.Error:
        return False
    return len(cells) == width and any("," in cell or '"' in cell for cell in cells)


def _beyond(source: Source, count: int, first: int) -> Remark:
    rows = "1 row has" if count == 1 else f"{count:,} rows have"
    what = f"{rows} more cells than the header, the first at line {first}"
    return Remark(source.name, 0, f"{what}; the extra cells are ignored")
