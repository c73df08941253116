"""Tables of text, CSV or TSV: a row of cells a line, or over several lines where a cell is quoted."""

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from perm_cli.errors import Problem
from perm_cli.formats.records import Item, Row
from perm_cli.formats.rows import shown
from perm_cli.formats.sources import MAX_LINE_BYTES, Line, Remark, Source, named_byte, whole_lines_of, wrong_byte
from perm_cli.terminal import one_line

# EmpatheticDialogues writes its commas as `_comma_` and quotes nothing; some of its lines go on behind the last column.
_UNQUOTED = "conv_id,utterance_idx,"


class _Lines:
    """Give the CSV reader lines of text, and keep what was wrong with them until the row is there."""

    def __init__(self, source: Source, stream: BinaryIO) -> None:
        self._source = source
        self._items = whole_lines_of(source, stream)
        self.aside: deque[Problem | Remark] = deque()
        self.number = 0
        self.delimiter = ","
        self.is_quoted = True
        self.first = self._next()

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
        line = self.first
        while line is not None:
            yield line
            line = self._next()


def rows_of_table(source: Source, stream: BinaryIO) -> Iterator[Item]:
    """Yield the rows below the header, all cells as text."""
    # The limit is the process's; a turn may be as long here as in a line of JSON.
    csv.field_size_limit(MAX_LINE_BYTES)
    lines = _Lines(source, stream)
    is_quoted = not (lines.first or "").startswith(_UNQUOTED)
    records = _records(lines, is_quoted=is_quoted)
    header: Sequence[str] | None = None
    while True:
        start = lines.number + (header is not None)
        cells = next(records, None)
        yield from lines.aside
        lines.aside.clear()
        if cells is None:
            return
        if isinstance(cells, str):
            yield Problem(source.name, start, "", f"{cells} found, expected rows of a CSV file")
            return
        if header is None:
            header = [name.strip() for name in cells]
            if repeated := sorted({name for name in header if header.count(name) > 1}):
                yield Problem(source.name, 1, "", f"column {shown(repeated[0])} found twice, expected it once")
                return
        elif any(cells):
            yield _row(source, start, header, cells, is_quoted=is_quoted)


def _records(lines: _Lines, *, is_quoted: bool) -> Iterator[list[str] | str]:
    """Yield rows of cells; what ends the table before its time, as text."""
    delimiter = max(",\t;", key=(lines.first or "").count)
    try:
        yield from csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE)
    except csv.Error as error:
        yield one_line(str(error).partition(" - ")[0])


def _row(source: Source, number: int, header: Sequence[str], cells: Sequence[str], *, is_quoted: bool) -> Item:
    if len(cells) != len(header) and (is_quoted or len(cells) < len(header)):
        return Problem(source.name, number, "", f"{len(cells)} cells found, expected {len(header)}, as in the header")
    return Row(source.name, number, dict(zip(header, cells, strict=False)))
