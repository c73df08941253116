"""
Tables that fit a window of any width: no name and no number is ever cut.

In a narrow window, names shared by many rows become headings, then optional columns are dropped, and finally each row
becomes several lines.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

_WORDS = frozenset(
    {
        "",
        "dimension",
        "judge",
        "judges",
        "measure",
        "not scored",
        "rater",
        "settings",
        "system",
    }
)
OVER_THE_TURNS = " over the turns"
_ANY_WIDTH = 10_000


@dataclass(frozen=True, slots=True)
class _Row:
    cells: Sequence[str]
    style: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """
    A table of plain text, laid out when it is shown.

    The first `names` columns identify a row; values repeated from the row above are blank, and a section ends where any
    but the last of them changes. `spare` has groups of optional columns, dropped one group after the other.
    """

    columns: Sequence[str]
    names: int = 1
    spare: Sequence[Sequence[str]] = ()
    rows: list[_Row] = field(default_factory=list)

    def add(self, *cells: str, style: str = "") -> None:
        """Add a row."""
        self.rows.append(_Row(cells, style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the first layout that fits the width."""
        for headings, left_out in self._layouts():
            parts = list(self._laid_out(headings, left_out))
            if all(_width(part, console, options) <= options.max_width for part in parts):
                yield from parts
                if left_out:
                    yield Text(f"not shown for lack of width: {', '.join(left_out)}", "dim italic")
                if headings or left_out:
                    yield Text("")
                return
        yield from self._lines()

    def _layouts(self) -> Iterator[tuple[int, Sequence[str]]]:
        """Yield the number of names that become headings and the dropped columns, from the widest layout on."""
        if self.names > 1:
            yield 0, ()
        for count in range(len(self.spare) + 1):
            yield self.names - 1, [name for group in self.spare[:count] for name in group]

    def _laid_out(self, headings: int, left_out: Sequence[str]) -> Iterator[RenderableType]:
        kept = [place for place, name in enumerate(self.columns) if place >= headings and name not in left_out]
        table = self._table(kept, narrow=bool(headings))
        for heading, section in self._sections():
            above: Sequence[str] = ()
            for row in section:
                cells = self._without_repeats(row.cells, above)
                table.add_row(*[Text(cells[place]) for place in kept], style=row.style)
                above = row.cells
            if headings:
                yield Text(", ".join(heading), "bold")
                yield table
                table = self._table(kept, narrow=True)
            elif heading:
                table.add_section()
        if not headings:
            yield table

    def _sections(self) -> Iterator[tuple[tuple[str, ...], Iterator[_Row]]]:
        return groupby(self.rows, lambda row: tuple(row.cells[: self.names - 1]))

    def _table(self, kept: Sequence[int], *, narrow: bool) -> Table:
        if narrow:
            table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="underline")
        else:
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for place in kept:
            words = place == 0 or self.columns[place] in _WORDS or self.columns[place].endswith(OVER_THE_TURNS)
            table.add_column(Text(self.columns[place]), justify="left" if words else "right", no_wrap=True)
        return table

    def _without_repeats(self, cells: Sequence[str], above: Sequence[str]) -> list[str]:
        """Return the cells of a row, with leading names that equal those of the row above blank."""
        same = 0
        while above and same < self.names - 1 and cells[same] == above[same]:
            same += 1
        return [""] * same + list(cells[same:])

    def _lines(self) -> Iterator[Text]:
        """Yield, for each row, one line with its names and one line per other cell."""
        for row in self.rows:
            yield Text(", ".join(filter(None, row.cells[: self.names])), row.style or "bold", overflow="fold")
            for column, cell in zip(self.columns[self.names :], row.cells[self.names :], strict=True):
                if cell:
                    yield Text(f"  {column}: {cell}" if column else f"  {cell}", row.style, overflow="fold")
        yield Text("")


def _width(part: RenderableType, console: Console, options: ConsoleOptions) -> int:
    """Return the natural width of a part, 0 for headings, which are folded."""
    if isinstance(part, Text):
        return 0
    return console.measure(part, options=options.update(width=_ANY_WIDTH)).maximum
