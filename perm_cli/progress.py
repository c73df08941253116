"""What one sees while calls are made: a live line on a terminal, now and then a plain one in a log."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import monotonic

from rich.console import Console
from rich.live import Live
from rich.text import Text

from perm_cli.ratings import Rating
from perm_cli.reports.spending import Spending

_PLAIN_EVERY_S = 10.0
_REFRESH_HZ = 4


class ProgressLine:
    """Count ratings and say how far the run is. Counting is cheap; words are made only when they are shown."""

    def __init__(self, expected: int, write: Callable[[str], None] | None) -> None:
        self.spending = Spending()
        self._expected = expected
        self._kept = 0
        self._write = write
        self._started = monotonic()
        self._next = self._started + _PLAIN_EVERY_S

    def rated(self, rating: Rating) -> None:
        """Take note of a rating."""
        self.spending.add(rating)
        self.tick()

    def tick(self) -> None:
        """Write a plain line if it is time for one."""
        if self._write and monotonic() >= self._next:
            self._next = monotonic() + _PLAIN_EVERY_S
            self._write(str(self))

    def kept(self, ratings: int = 1) -> None:
        """Take note of ratings that were made before."""
        self._kept += ratings

    def __str__(self) -> str:
        elapsed = max(monotonic() - self._started, 1e-6)
        made = self.spending.rated
        rate = made / elapsed
        left = max(self._expected - self._kept - made, 0)
        failed = ", ".join(f"{n} {name}" for name, n in sorted(self.spending.statuses.items()) if name != "scored")
        tokens = self.spending.tokens
        cost = self.spending.cost_usd
        parts = [
            f"{self._kept + made:,}/{self._expected:,} ratings",
            f"{rate:.1f}/s",
            f"{(tokens['in'] + tokens['out']) / 1000:,.0f}k tokens",
            "" if not cost else f"{cost:.4f} USD",
            failed,
            f"{_duration(left / rate)} left" if made and left else "",
        ]
        return " · ".join(part for part in parts if part)

    def __rich__(self) -> Text:
        return Text(str(self), no_wrap=True, overflow="ellipsis")


@contextmanager
def shown_progress(console: Console, expected: int) -> Iterator[ProgressLine]:
    """Show progress on `console` for the time of the `with` block."""
    if not console.is_terminal:
        line = ProgressLine(expected, lambda text: console.print(Text(text), soft_wrap=True))
        yield line
        return
    line = ProgressLine(expected, None)
    with Live(get_renderable=line.__rich__, console=console, refresh_per_second=_REFRESH_HZ, transient=True):
        yield line


@asynccontextmanager
async def beating(line: ProgressLine) -> AsyncIterator[None]:
    """Have plain lines written even while nothing is rated, so that nobody takes a long wait for an end."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(_PLAIN_EVERY_S)
            line.tick()

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
