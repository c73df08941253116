"""Progress while calls are made: a live line in a terminal, a plain line now and then in a log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.live import Live
from rich.text import Text

from perm_cli.ratings.rating import Rating
from perm_cli.ratings.spending import Spending

_PLAIN_EVERY_S = 10.0
_AT_FIRST_EVERY_S = 3.0
_AT_FIRST_S = 60.0  # while somebody looks on who wants to know that it works at all
_REFRESH_HZ = 4
# From fewer ratings, or after less time, nothing can be said of how long the others will take.
_GROUND = 10
_GROUND_S = 5.0


class ProgressLine:
    """The progress of a run. Counting is cheap; the text is made only when it is shown."""

    def __init__(self, expected: int, write: Callable[[str], None] | None) -> None:
        self.spending = Spending()
        self._expected = expected
        self._kept = 0
        self._write = write
        self._started = monotonic()
        self._next = self._started + _AT_FIRST_EVERY_S

    def rated(self, rating: Rating) -> None:
        """Count a rating that was just made."""
        self.spending.add(rating)
        self.tick()

    def tick(self) -> None:
        """Write a plain line if it is time for one."""
        now = monotonic()
        if self._write and now >= self._next:
            self._next = now + (_AT_FIRST_EVERY_S if now - self._started < _AT_FIRST_S else _PLAIN_EVERY_S)
            self._write(str(self))

    def kept(self, ratings: int = 1) -> None:
        """Count ratings that were made before."""
        self._kept += ratings

    def __str__(self) -> str:
        elapsed = monotonic() - self._started
        made = self.spending.rated
        left = max(self._expected - self._kept - made, 0)
        grounded = made >= _GROUND and elapsed >= _GROUND_S
        failed = ", ".join(f"{n} {name}" for name, n in sorted(self.spending.statuses.items()) if name != "scored")
        tokens = self.spending.tokens
        cost = self.spending.cost_usd
        parts = [
            f"{self._kept + made:,}/{self._expected:,} ratings",
            _speed(made, elapsed) if made and elapsed else f"{elapsed:.0f} s",
            f"{(tokens['in'] + tokens['out']) / 1000:,.0f}k tokens" if made else "",
            "" if not cost else f"{cost:.4f} USD",
            failed,
            f"{_duration(left * elapsed / made)} left" if left and grounded else "",
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


def _speed(made: int, elapsed: float) -> str:
    return f"{made / elapsed:.1f}/s" if made >= elapsed else f"{elapsed / made:.1f} s each"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
