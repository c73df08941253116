"""Two consoles: results on standard output, everything else on standard error."""

import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from perm_cli.text import harmless


class _Harmless(Console):
    """A console that prints control characters of outside text spelled out, in tables as in lines."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as any console does, with the unsafe characters of texts spelled out."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=harmless(segment.text))


WIDE = 200
"""Columns of a table with intervals, where no window says how wide it is."""


def output(width: int = 100) -> Console:
    """Return the console for results; `width` holds where standard output is not a terminal."""
    return _Harmless(width=None if sys.stdout.isatty() else width, highlight=False, emoji=False, markup=False)


class _Unread:
    """A stream that ignores failed writes: a run must not end because nobody reads its messages any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, ignoring failure."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, ignoring failure."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def messages() -> Console:
    """Return the console for everything else."""
    return _Harmless(file=cast("TextIO", _Unread(sys.stderr)), highlight=False, emoji=False, markup=False)


def say(console: Console, text: str, style: str = "") -> None:
    """Print a line of plain text."""
    _print_line(console, Text(text, style=style))


def show(console: Console, parts: Iterable[RenderableType]) -> None:
    """Print tables, and texts as lines."""
    for part in parts:
        if isinstance(part, Text):
            _print_line(console, part)
        else:
            console.print(part)


def _print_line(console: Console, line: Text) -> None:
    # Only where a window shows results is a line broken, and then between words.
    console.print(line, soft_wrap=console.file is not sys.stdout or not console.is_terminal)
