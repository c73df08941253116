"""
A discrete-event simulation: a `Pace` that asks a server as often as it may, on a clock that stands still in between.

A server is a function from the time at which a call arrives to its refusal, or to None where the call is accepted.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

from perm_cli.judges.pace import Pace

MINUTE_S = 60.0
_UNDER_WAY = 0.3  # of its latency a call takes to arrive
_REFUSED_IN = 0.4  # of its latency a call takes to be refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Say no, and when to come again if the server says that much."""

    retry_after_s: float | None = None


Server = Callable[[float], Refusal | None]
Latency = Callable[[float, int], float]
"""What a call takes that begins at this time, with so many in flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Say how many tokens are planned for a call, and how many it uses."""

    planned: float = 0.0
    used: float = 0.0


@dataclass(slots=True, kw_only=True)
class Course:
    """Hold what happened: when calls began, were accepted and were refused, and how the window stood after each."""

    begun: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    windows: list[tuple[float, float]] = field(default_factory=list)
    peak: int = 0

    @property
    def share_refused(self) -> float:
        """Return the share of calls that were refused."""
        return len(self.refused) / len(self.begun)

    def windows_from(self, start_s: float) -> list[float]:
        """Return how the window stood from then on."""
        return [window for at, window in self.windows if at >= start_s]


def steady(seconds: float) -> Latency:
    """Return the latency of a server that takes always as long."""
    return lambda _now, _in_flight: seconds


QUICK = steady(0.2)
NO_TOKENS = Use()


def simulate(
    pace: Pace,
    server: Server,
    seconds: float,
    latency: Latency = QUICK,
    tokens: Use = NO_TOKENS,
) -> Course:
    """Let calls go for so long; latencies vary by a fifth, always in the same way."""
    random, course, now = Random(0), Course(), 0.0  # noqa: S311 - a game
    ends: list[tuple[float, int, float, Refusal | None]] = []
    while now < seconds:
        wait_s = pace.wait_s(now, tokens.planned)
        if wait_s <= 0:
            pace.begin(now, tokens.planned)
            takes_s = latency(now, pace.in_flight) * random.uniform(0.8, 1.2)
            refusal = server(now + takes_s * _UNDER_WAY)
            heappush(ends, (now + takes_s * (_REFUSED_IN if refusal else 1), len(course.begun), now, refusal))
            course.begun.append(now)
            course.peak = max(course.peak, pace.in_flight)
        elif now + wait_s < (ends[0][0] if ends else math.inf):
            now += wait_s + 1e-9
        else:
            now, _, begun, refusal = heappop(ends)
            _end(pace, course, now, begun, refusal, tokens)
    return course


def _end(pace: Pace, course: Course, now: float, begun: float, refusal: Refusal | None, tokens: Use) -> None:
    if refusal:
        pace.refused(now, begun, refusal.retry_after_s)
        course.refused.append(now)
    else:
        pace.answered(now, begun, tokens.used - tokens.planned)
        course.accepted.append(now)
    course.windows.append((now, pace.window))


def unlimited(_: float) -> None:
    """Accept every call."""


def sliding(limit: float, retry_after_s: float | None = 1.0, amount: float = 1.0) -> Server:
    """Return a server that accepts this much in any 60 s; refused calls do not count."""
    accepted: deque[float] = deque()

    def serve(now: float) -> Refusal | None:
        while accepted and accepted[0] < now - MINUTE_S:
            accepted.popleft()
        if (len(accepted) + 1) * amount > limit:
            return Refusal(retry_after_s=retry_after_s)
        accepted.append(now)
        return None

    return serve


def token_bucket(per_minute: float, burst: float, retry_after_s: float | None = 1.0) -> Server:
    """Return a server that fills a bucket of `burst` calls all the time."""
    level, at = burst, 0.0

    def serve(now: float) -> Refusal | None:
        nonlocal level, at
        level, at = min(burst, level + (now - at) * per_minute / MINUTE_S), now
        if level < 1:
            return Refusal(retry_after_s=retry_after_s)
        level -= 1
        return None

    return serve


def fixed_minute(limit: int) -> Server:
    """Return a server that counts anew every full minute, and says how long that is."""
    accepted: Counter[int] = Counter()

    def serve(now: float) -> Refusal | None:
        minute = int(now // MINUTE_S)
        if accepted[minute] >= limit:
            return Refusal(retry_after_s=(minute + 1) * MINUTE_S - now)
        accepted[minute] += 1
        return None

    return serve


def between(start_s: float, end_s: float, during: Server, otherwise: Server = unlimited) -> Server:
    """Return a server that is `during` for a while and `otherwise` before and after."""
    return lambda now: (during if start_s <= now < end_s else otherwise)(now)


def fullest_minute(times: Sequence[float]) -> int:
    """Return the most that fell into any 60 s."""
    most, first = 0, 0
    for last, at in enumerate(times):
        while at - times[first] >= MINUTE_S:
            first += 1
        most = max(most, last - first + 1)
    return most
