"""Two consoles: results on standard output, everything else on standard error."""

import sys

from rich.console import Console
from rich.text import Text


def output() -> Console:
    """Return the console for results; where it is no terminal, lines are as wide as their content needs."""
    return Console(width=None if sys.stdout.isatty() else 100, highlight=False, emoji=False, markup=False)


def messages() -> Console:
    """Return the console for everything else."""
    return Console(stderr=True, highlight=False, emoji=False, markup=False)


def say(console: Console, text: str, style: str = "") -> None:
    """Print a line of plain text."""
    console.print(Text(text, style=style), soft_wrap=True)
