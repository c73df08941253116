"""Outages of an endpoint, reported once when they begin and once when they end."""

from collections.abc import Callable

from perm_cli.errors import CallFailed
from perm_cli.text import one_line

_UNSURE_S = 3.0  # without any answer; shorter than that, calls fail without there being an outage


class Outage:
    """Whether one endpoint is down, judged by its calls; `tell` is called when an outage begins and when it ends."""

    def __init__(self, where: str, patience_s: float, tell: Callable[[str], None] | None = None) -> None:
        self.lasts = False
        self._where = where
        self._patience_s = patience_s
        self._tell = tell or (lambda _: None)
        self._since: float | None = None
        self._answered_at = float("-inf")

    def failed(self, begun: float, now: float, failure: CallFailed) -> None:
        """Record a call that began at `begun` and failed at `now`."""
        # The outage began with the call, unless the endpoint has answered another one since.
        if self._since is None:
            self._since = begun if begun > self._answered_at else now
        if not self.lasts and now - self._since >= _UNSURE_S:
            self.lasts = True
            self._tell(
                f"{self._where} does not answer: {one_line(failure.message)}; calls wait until it answers, "
                f"each for at most {self._patience_s:g} s"
            )

    def answered(self, now: float) -> bool:
        """Record an answer; return whether it ends an outage."""
        ended, since = self.lasts, self._since
        self.lasts, self._since, self._answered_at = False, None, now
        if ended and since is not None:
            self._tell(f"{self._where} answers again, after {now - since:.0f} s")
        return ended
