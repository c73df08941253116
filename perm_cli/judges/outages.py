"""Whether an endpoint is away: told once when it goes and once when it is back."""

from collections.abc import Callable

from perm_cli.errors import CallFailed
from perm_cli.text import one_line

_UNSURE_S = 3.0  # without an answer, before an outage is more than a call that failed


class Outage:
    """The state of one endpoint, by the times of its calls; `tell` is called when it goes and when it comes back."""

    def __init__(self, where: str, patience_s: float, tell: Callable[[str], None] | None = None) -> None:
        self.lasts = False
        self._where = where
        self._patience_s = patience_s
        self._tell = tell or (lambda _: None)
        self._since: float | None = None
        self._answered_at = float("-inf")

    def failed(self, begun: float, now: float, failure: CallFailed) -> None:
        """Record a call that was `begun` then and failed."""
        if self._since is None:
            self._since = begun if begun > self._answered_at else now
        if not self.lasts and now - self._since >= _UNSURE_S:
            self.lasts = True
            self._tell(
                f"{self._where} is away: {one_line(failure.message)}; calls wait until it answers, "
                f"each for {self._patience_s:g} s at most"
            )

    def answered(self, now: float) -> bool:
        """Record an answer; return whether it ends an outage."""
        ended, since = self.lasts, self._since
        self.lasts, self._since, self._answered_at = False, None, now
        if ended and since is not None:
            self._tell(f"{self._where} answers again, after {now - since:.0f} s")
        return ended
