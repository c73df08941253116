"""
The retry policy: how often and when a call is retried, and when a judge is given up.

`chat` applies it. After a 429, the limiter decides when the next call begins.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from tenacity import RetryCallState, wait_random_exponential

from perm_cli.errors import CallFailed

UNREACHED = frozenset({"connection", "not_json"})
_ODD = frozenset({"malformed"})  # well-formed but empty answers, as content filters and overloaded routers give
# Retried without a limit on attempts, within the patience: they cost nothing, and a server may take minutes to restart.
_FREE = frozenset({"connection", "rate_limited"})
_BACKOFF = wait_random_exponential(multiplier=0.5, max=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """
    Limits on attempts, and the waits between them; the judge's patience, in seconds, is a separate limit.

    `backoff` gives the wait in seconds after an attempt. Only `few_attempts` are made where more seldom help: for empty
    answers, and for unreachable endpoints before the first answer, since a wrong address is likelier than an outage.
    `probe_s` is the longest wait between two attempts during an outage that the judge waits out. A judge is given up
    after `rejected_most` dialogues refused without a reason before the first answer, and after `dead_after` calls in
    a row that failed, each after all its attempts.
    """

    attempts: int = 8
    few_attempts: int = 3
    backoff: Callable[[RetryCallState], float] = _BACKOFF
    probe_s: float = 5.0
    rejected_most: int = 2
    dead_after: int = 8

    def attempts_at(self, failure: CallFailed, *, answered: bool, outlasting: bool) -> float:
        """Return the allowed attempts of a call that fails like this; `answered` is whether the judge ever has."""
        if failure.kind in _ODD or (failure.kind in UNREACHED and not answered):
            return self.few_attempts
        return float("inf") if outlasting or failure.kind in _FREE else self.attempts

    def wait_s(self, failure: CallFailed, state: RetryCallState, *, outlasting: bool) -> float:
        """Return the seconds to wait before the next attempt, at least what the endpoint asks for."""
        if failure.kind == "rate_limited":  # the limiter already waits, for all calls together
            return 0.0
        wait_s = min(self.backoff(state), self.probe_s) if outlasting else self.backoff(state)
        return max(failure.retry_after_s or 0.0, wait_s)

    def counts(self, failure: CallFailed) -> bool:
        """Return whether a call that failed after all its attempts suggests that the judge is down."""
        return failure.transient and failure.kind not in _ODD


USUAL = RetryPolicy()
_usual = ContextVar("retry policy", default=USUAL)


def usual_policy() -> RetryPolicy:
    """Return the policy that new judges get in this context."""
    return _usual.get()


@contextmanager
def retrying(policy: RetryPolicy) -> Iterator[None]:
    """Use another policy for all judges opened in the `with` block, so that tests need not wait."""
    token = _usual.set(policy)
    try:
        yield
    finally:
        _usual.reset(token)
