"""The gate before a judge: every call waits here for a permit, and every wait can be cut short."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic

from perm_cli.judges.budget import Budget, BudgetReached, Use
from perm_cli.judges.pace import Allowance, Pace

_MEMORY = 0.95
_TICK_S = 0.001  # shorter waits do not move a clock
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

    async def permit(self, worst: Use) -> "Permit":
        """
        Wait until a call may begin that uses this much at worst.

        Raise `BudgetReached` if it may never, and whatever `end` was given.
        """
        if self._ended:
            raise self._ended
        if not self._waiting and (permit := self._let_through(worst)):
            return permit
        waiting = _Waiting(worst, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self.look()
        try:
            return await waiting.permit
        except asyncio.CancelledError:
            if waiting.permit.done() and not waiting.permit.cancelled() and not waiting.permit.exception():
                waiting.permit.result().failed(billed=False)  # it was let through and will not go
            self.look()
            raise

    async def pause(self, seconds: float) -> None:
        """Wait before a call is tried again; raise what `end` is given, before or meanwhile."""
        if self._ended:
            raise self._ended
        task = asyncio.ensure_future(self._sleep(seconds))
        self._pauses.add(task)
        await asyncio.wait([task])
        self._pauses.discard(task)
        if self._ended:
            raise self._ended

    def wake(self) -> None:
        """End all pauses: what they waited for is there."""
        for pause in self._pauses:
            pause.cancel()

    def end(self, error: Exception) -> None:
        """Admit no further call, and raise `error` in those that wait."""
        self._ended = error
        self.wake()
        self.look()

    def learn(self, tokens: float) -> None:
        """Record what a call used: planned at their worst, calls would leave most of a per-minute limit idle."""
        self._typical = _MEMORY * self._typical + (1 - _MEMORY) * tokens if self._typical else tokens

    def look(self) -> None:
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
        """Settle the first in the queue, or return how long it must wait."""
        if self._ended:
            first.permit.set_exception(self._ended)
            return 0.0
        # Read once: between two readings a wait may end, and would be taken for a budget that is used up.
        now = self.clock()
        wait_s = self.pace.wait_s(now, self._planned(first.worst))
        if wait_s > 0:
            return wait_s
        if self.budget and not self.budget.fits(first.worst):
            if self.pace.in_flight:  # which may turn out cheaper than the budget fears
                return float("inf")
            first.permit.set_exception(BudgetReached(f"the budget of {self.budget} is reached"))
        else:
            first.permit.set_result(self._begun(now, first.worst))
        return 0.0

    def _let_through(self, worst: Use) -> "Permit | None":
        """Begin a call now, or return None if pace or budget are against it."""
        now = self.clock()
        if self.pace.wait_s(now, self._planned(worst)) > 0 or (self.budget and not self.budget.fits(worst)):
            return None
        return self._begun(now, worst)

    def _begun(self, now: float, worst: Use) -> "Permit":
        planned = self._planned(worst)
        self.pace.begin(now, planned)
        if self.budget:
            self.budget.reserve(worst)
        return Permit(self, now, worst, planned)

    def _planned(self, worst: Use) -> float:
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
        self.look()


@dataclass(frozen=True, slots=True)
class _Waiting:
    worst: Use
    permit: "asyncio.Future[Permit]"


class Permit:
    """The admission of one call, to be closed with what came of it."""

    __slots__ = ("_begun", "_gate", "_planned", "_worst")

    def __init__(self, gate: Limiter, begun: float, worst: Use, planned: float) -> None:
        self._gate = gate
        self._begun = begun
        self._worst = worst
        self._planned = planned

    def answered(self, used: Use, allowances: Mapping[str, Allowance]) -> None:
        """Record an answer, its cost and the allowances in its headers."""
        now = self._gate.clock()
        self._gate.pace.answered(now, self._begun, used.tokens - self._planned)
        self._gate.learn(used.tokens)
        if allowances:
            self._gate.pace.told(now, allowances)
        self._close(used)

    def refused(self, retry_after_s: float | None) -> None:
        """Record that the endpoint refused the call as one too many."""
        self._gate.pace.refused(self._gate.clock(), self._begun, retry_after_s)
        self._close(Use(calls=1))

    def failed(self, *, billed: bool, slow: bool = False) -> None:
        """Record a failure; what may have been `billed` unseen counts with its worst case."""
        self._gate.pace.failed(self._gate.clock(), self._begun, slow=slow)
        self._close(self._worst if billed else Use(calls=1))

    def _close(self, used: Use) -> None:
        if self._gate.budget:
            self._gate.budget.settle(self._worst, used)
        self._gate.look()
