"""The queue in front of a judge: every call waits here for a permit, and every wait can be interrupted."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic

from perm_cli.judges.budget import Budget, BudgetReached, Usage
from perm_cli.judges.pace import Allowance, Pace

_MEMORY = 0.95  # weight of the past in the moving average of tokens per call
_TICK_S = 0.001  # timers may ring a little early: a shorter wait could end before the clock shows it
Sleep = Callable[[float], Awaitable[None]]


class Limiter:
    """A first-come, first-served queue of calls, each of which may begin when `Pace` and `Budget` allow it."""

    def __init__(
        self,
        pace: Pace,
        budget: Budget | None = None,
        clock: Callable[[], float] = monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.pace = pace
        self.budget = budget
        self.clock = clock
        self._sleep = sleep
        self._waiting: deque[_Waiting] = deque()
        self._alarm: asyncio.Task[None] | None = None
        self._ended: Exception | None = None
        self._pauses: set[asyncio.Task[None]] = set()
        self._typical = 0.0

    async def permit(self, worst: Usage) -> "Permit":
        """
        Wait until a call with this worst case may begin.

        Raise `BudgetReached` if it never may, and the error given to `end` if that is called.
        """
        if self._ended:
            raise self._ended
        if not self._waiting and (permit := self._admit_now(worst)):
            return permit
        waiting = _Waiting(worst, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self.admit_waiting()
        try:
            return await waiting.permit
        except asyncio.CancelledError:
            if waiting.permit.done() and not waiting.permit.cancelled() and not waiting.permit.exception():
                waiting.permit.result().failed(billed=False)  # it was admitted and will not be made
            self.admit_waiting()
            raise

    async def pause(self, seconds: float) -> None:
        """Wait before a retry; raise the error given to `end`, whether it was called before or is called meanwhile."""
        if self._ended:
            raise self._ended
        task = asyncio.ensure_future(self._sleep(seconds))
        self._pauses.add(task)
        await asyncio.wait([task])
        self._pauses.discard(task)
        if self._ended:
            raise self._ended

    def wake(self) -> None:
        """End all pauses early: the endpoint answers again."""
        for pause in self._pauses:
            pause.cancel()

    def end(self, error: Exception) -> None:
        """Admit no further call, and raise `error` in those that wait."""
        self._ended = error
        self.wake()
        self.admit_waiting()

    def learn(self, tokens: float) -> None:
        """Record the tokens that a call used, for the estimate of the next calls."""
        # Planned with their worst case, calls would leave most of a per-minute limit unused.
        self._typical = _MEMORY * self._typical + (1 - _MEMORY) * tokens if self._typical else tokens

    def admit_waiting(self) -> None:
        """Admit waiting calls that the pace and budget now allow."""
        while self._waiting:
            first = self._waiting[0]
            if not first.permit.done():
                wait_s = self._wait_s(first)
                if wait_s > 0:
                    self._wake_in(wait_s)
                    return
            self._waiting.popleft()

    def _wait_s(self, first: "_Waiting") -> float:
        """Admit or refuse the first call in the queue and return 0, or return the seconds that it must wait."""
        if self._ended:
            first.permit.set_exception(self._ended)
            return 0.0
        # The clock is read once: a wait that ended between two readings would look like an exhausted budget.
        now = self.clock()
        wait_s = self.pace.wait_s(now, self._planned(first.worst))
        if wait_s > 0:
            return wait_s
        if self.budget and not self.budget.fits(first.worst):
            if self.pace.in_flight:  # which may use less than is reserved for them
                return float("inf")
            first.permit.set_exception(BudgetReached(f"the budget of {self.budget} is reached"))
        else:
            first.permit.set_result(self._begun(now, first.worst))
        return 0.0

    def _admit_now(self, worst: Usage) -> "Permit | None":
        """Return a permit if pace and budget allow a call now, else None."""
        now = self.clock()
        if self.pace.wait_s(now, self._planned(worst)) > 0 or (self.budget and not self.budget.fits(worst)):
            return None
        return self._begun(now, worst)

    def _begun(self, now: float, worst: Usage) -> "Permit":
        planned = self._planned(worst)
        self.pace.begin(now, planned)
        if self.budget:
            self.budget.reserve(worst)
        return Permit(self, now, worst, planned)

    def _planned(self, worst: Usage) -> float:
        return min(worst.tokens, self._typical or worst.tokens)

    def _wake_in(self, wait_s: float) -> None:
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        if wait_s < float("inf"):
            self._alarm = asyncio.get_running_loop().create_task(self._wake(wait_s))

    async def _wake(self, wait_s: float) -> None:
        await self._sleep(max(wait_s, _TICK_S))
        self._alarm = None
        self.admit_waiting()


@dataclass(frozen=True, slots=True)
class _Waiting:
    worst: Usage
    permit: "asyncio.Future[Permit]"


class Permit:
    """The permission for one call, closed with the call's outcome."""

    __slots__ = ("_begun", "_limiter", "_planned", "_worst")

    def __init__(self, limiter: Limiter, begun: float, worst: Usage, planned: float) -> None:
        self._limiter = limiter
        self._begun = begun
        self._worst = worst
        self._planned = planned

    def answered(self, used: Usage, allowances: Mapping[str, Allowance]) -> None:
        """Record an answer, its usage and the allowances in its headers."""
        now = self._limiter.clock()
        self._limiter.pace.answered(now, self._begun, used.tokens - self._planned)
        self._limiter.learn(used.tokens)
        if allowances:
            self._limiter.pace.limits_reported(now, allowances)
        self._close(used)

    def refused(self, retry_after_s: float | None) -> None:
        """Record that the endpoint refused the call because of its rate limit."""
        self._limiter.pace.refused(self._limiter.clock(), self._begun, retry_after_s)
        self._close(Usage(calls=1))

    def failed(self, *, billed: bool, slow: bool = False) -> None:
        """Record a failure; a call that may have been `billed` counts with its worst case."""
        self._limiter.pace.failed(self._limiter.clock(), self._begun, slow=slow)
        self._close(self._worst if billed else Usage(calls=1))

    def _close(self, used: Usage) -> None:
        if self._limiter.budget:
            self._limiter.budget.settle(self._worst, used)
        self._limiter.admit_waiting()
