"""
The retry policy: how often and how late a call is tried again, and when a judge is given up.

`chat` carries it out. What an endpoint that says "too many" is asked again at is the limiter's to say.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from tenacity import RetryCallState, wait_random_exponential

from perm_cli.errors import CallFailed

UNREACHED = frozenset({"connection", "not_json"})
_ODD = frozenset({"malformed"})  # answers in form and empty in substance: filters and overloaded routers give them
# Refusals and connections that fail cost nothing: a server may take minutes to start again.
_FREE = frozenset({"connection", "rate_limited"})
_BACKOFF = wait_random_exponential(multiplier=0.5, max=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """
    Limits on attempts, and the waits between them; the judge's patience, in seconds, is a limit of its own.

    `backoff` gives the wait after an attempt. `few_attempts` are made of calls that fail in ways that more seldom
    cure: of all that come to nothing before anything ever answered, since the address is the likelier mistake then,
    and of empty answers. `probe_s` is the longest wait between two attempts in an outage that is to be outlived.
    A judge is given up after `rejected_most` dialogues that were refused without a reason before anything ever
    answered, and after `dead_after` calls in a row that came to nothing, each after all its attempts.
    """

    attempts: int = 8
    few_attempts: int = 3
    backoff: Callable[[RetryCallState], float] = _BACKOFF
    probe_s: float = 5.0
    rejected_most: int = 2
    dead_after: int = 8

    def attempts_at(self, failure: CallFailed, *, answered: bool, outlasting: bool) -> float:
        """Return how many attempts there are of a call that fails like this, now that the judge has ever `answered`."""
        if failure.kind in _ODD or (failure.kind in UNREACHED and not answered):
            return self.few_attempts
        return float("inf") if outlasting or failure.kind in _FREE else self.attempts

    def wait_s(self, failure: CallFailed, state: RetryCallState, *, outlasting: bool) -> float:
        """Return how long to wait before the next attempt, as late as the endpoint asks for."""
        if failure.kind == "rate_limited":  # the limiter waits for all calls at once
            return 0.0
        wait_s = min(self.backoff(state), self.probe_s) if outlasting else self.backoff(state)
        return max(failure.retry_after_s or 0.0, wait_s)

    def counts(self, failure: CallFailed) -> bool:
        """Return whether a call that failed for good is a sign of a dead judge."""
        return failure.transient and failure.kind not in _ODD


USUAL = RetryPolicy()
_usual = ContextVar("retry policy", default=USUAL)


def usual_policy() -> RetryPolicy:
    """Return the policy of judges that are opened here."""
    return _usual.get()


@contextmanager
def retrying(policy: RetryPolicy) -> Iterator[None]:
    """Open all judges of the `with` block with another policy, whoever opens them: a test waits for nothing."""
    token = _usual.set(policy)
    try:
        yield
    finally:
        _usual.reset(token)
