"""
How fast one judge may be asked: found out while it answers, within what the user allows.

Two things are steered, each with additive increase and multiplicative decrease:

- the window, how many calls are in flight. It opens quickly until the first trouble, then slowly; it closes on a
  429 and when latency blows up, never on a 5xx alone.
- the rate, how many calls begin a second. It is free until the endpoint says to wait; then it is what the endpoint
  took from one refusal to the next, a little less at first and more the longer nothing is refused.

After a refusal one call goes alone, as late as `Retry-After` says and later each time it is refused again, so that
an endpoint with a limit a minute is not asked in vain all minute long.

Everything here is arithmetic over a clock that others read: times are seconds of one monotonic clock.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

OPENING = 64  # calls in flight to begin with; from there the window doubles with every round of answers
MINUTE_S = 60.0
_WINDOW_CUT = 0.5
_IN_VAIN = 8  # refusals in a row after which a "try again at once" is not believed
_LATENCY_CUT = 0.7
_BLOW_UP = 3.0  # times the usual latency
_BETTER = 0.8  # of the latency before a cut, or the cut was of no use
_VAIN_CUTS = 3
_USUAL_DRIFT = 1.01  # a round; what is slow for good becomes usual
_ROUND = 16  # answers, at least, that a latency is the median of
_REOPENING = 32  # rounds from nothing to the ceiling
_PRIOR_S = 5.0  # that an earlier rate counts for
_RATE_MARGIN = 0.98
_RATE_GROWTH = 0.001  # a second, at first
_RATE_GROWTH_MOST = 0.05
_FEW = 8  # answers, that no rate is learned from
_PATIENCE_S = 30.0  # in which the growth doubles
_PROBES_APART = 3.0  # times as far as the last
_LONGEST_PROBE_S = 30.0
_LONG_AGO = 9  # probes: from there on all are as far apart as any
_SLACK_S = 0.5  # for the way there
_UNSAID_S = 0.5  # to wait where a refusal does not say how long
_BURST_S = 1.0  # of a hard limit may be used at once
_LEAST_DRAIN = 0.1
_TOKEN_BURST_S = 3.0  # of tokens, whose calls differ in size


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What the headers of an answer say is left of a limit; it is full again in `reset_s`."""

    remaining: float
    reset_s: float


class Bucket:
    """A hard limit a minute: whatever window of 60 s one looks at, no more than that."""

    def __init__(self, per_minute: float, burst_s: float = _BURST_S) -> None:
        self._room = per_minute * burst_s / MINUTE_S
        self._per_minute = per_minute
        self._drain = (per_minute - self._room) / MINUTE_S
        self._level = 0.0
        self._at = -math.inf

    def wait_s(self, now: float, amount: float) -> float:
        """Return how long to wait before so much more fits; what never fits goes when all else is gone."""
        over = self._now(now) + min(amount, max(self._room, 1.0)) - max(self._room, 1.0)
        return max(over, 0.0) / self._drain

    def add(self, now: float, amount: float) -> None:
        """Use an amount, or give one back."""
        if amount > max(self._room, 1):  # it goes alone, and must not be too much for the minute that it ends
            self._drain = min(self._drain, max(self._per_minute - amount, _LEAST_DRAIN * self._per_minute) / MINUTE_S)
        self._level = max(self._now(now) + amount, 0.0)
        self._at = now

    def _now(self, now: float) -> float:
        return max(self._level - (now - self._at) * self._drain, 0.0) if self._level else 0.0


class Pace:
    """The window and the rate of one judge, steered by what comes of its calls."""

    def __init__(self, ceiling: int, rpm: float | None = None, tpm: float | None = None) -> None:
        self.in_flight = 0
        self.window = float(min(ceiling, OPENING))
        self.rate: float | None = None
        self.ceiling = ceiling
        self._requests = Bucket(rpm) if rpm else None
        self._tokens = Bucket(tpm, _TOKEN_BURST_S) if tpm else None
        self._troubled = False
        self._cut_at = -math.inf
        self._next_at = -math.inf
        self._sent_at = -math.inf
        self._learned_at = -math.inf
        self._latencies: list[float] = []
        self._round = max(int(self.window), _ROUND)
        self._usual = math.inf
        self._blown_s = math.inf  # the latency that the window was last cut for
        self._vain_cuts = 0
        self._refused_at = -math.inf
        self._held_until = -math.inf
        self._strikes = 0
        self._in_vain = 0
        self._probing = False
        self._epoch_at = math.nan
        self._taken = 0
        self._allowances: dict[str, tuple[float, float]] = {}

    def wait_s(self, now: float, tokens: float) -> float:
        """Return how long the next call must wait; infinity means until another one ends."""
        if self.in_flight >= max(int(self.window), 1) or self._probing:
            return math.inf
        waits = [0.0, self._held_until - now]
        if self.rate is None and not (self._requests or self._tokens or self._allowances):  # as with most
            return max(waits)
        if self.rate is not None:
            waits.append(self._next_at - now)
        if self._requests:
            waits.append(self._requests.wait_s(now, 1))
        if self._tokens:
            waits.append(self._tokens.wait_s(now, tokens))
        for left, reset_at in self._allowances.values():
            if left < 1 and reset_at > now:
                waits.append(math.inf if self.in_flight else reset_at - now)
        return max(waits)

    def begin(self, now: float, tokens: float) -> None:
        """Record a call that begins."""
        self.in_flight += 1
        self._epoch_at = now if math.isnan(self._epoch_at) else self._epoch_at
        self._probing = self._strikes > 0
        if self.rate is not None:
            calm_s = now - self._learned_at
            growth = min(_RATE_GROWTH * (1 + calm_s / _PATIENCE_S), _RATE_GROWTH_MOST)
            if now - self._next_at <= 1 / self.rate:  # else it is not the rate that holds calls back
                self.rate *= (1 + growth) ** min(now - self._sent_at, MINUTE_S)
            self._next_at = max(self._next_at, now - 1 / self.rate) + 1 / self.rate
        self._sent_at = now
        if self._requests:
            self._requests.add(now, 1)
        if self._tokens:
            self._tokens.add(now, tokens)
        if self._allowances:
            self._allowances = {name: (left - 1, at) for name, (left, at) in self._allowances.items()}

    def answered(self, now: float, begun: float, tokens: float = 0.0) -> None:
        """Record an answer to a call that was `begun` then; `tokens` is what it used beyond what was planned."""
        self._ended(begun)
        self._taken += 1
        self._in_vain = 0
        if self._tokens:
            self._tokens.add(now, tokens)
        if self._strikes and begun > self._refused_at:
            self._recovered(now, begun)
        if not self._troubled:
            self.window = min(self.window + 1, self.ceiling)
        elif begun > self._cut_at:
            self.window = min(self.window + max(self.ceiling / _REOPENING, 1) / self.window, self.ceiling)
        self._timed(now, begun)

    def refused(self, now: float, begun: float, retry_after_s: float | None) -> None:
        """Record a 429."""
        self._ended(begun)
        if begun <= self._refused_at:  # it began before the refusal that is being waited for
            self._held_until = max(self._held_until, now + (retry_after_s or 0.0))
            return
        self._refused_at = now
        self._in_vain += 1
        self._cut(now, _WINDOW_CUT)
        if retry_after_s == 0 and self._in_vain < _IN_VAIN:  # said by servers that refuse some calls, not too many
            return
        self._strikes += 1
        wait_s = _UNSAID_S if retry_after_s is None else retry_after_s
        if self._strikes > 1:
            probes = min(self._strikes - 1, _LONG_AGO)  # a power without end would pass all numbers
            backoff_s = min(_UNSAID_S * _PROBES_APART**probes, _LONGEST_PROBE_S)
            # Where a minute is what is counted, the calls of its beginning are forgotten then.
            free_s = self._epoch_at + MINUTE_S + _SLACK_S - now
            wait_s = max(wait_s, min(backoff_s, abs(free_s)))
        # Later than now on the coarsest clock: a probe begins after the refusal it is to follow.
        self._held_until = max(now + wait_s, math.nextafter(now, math.inf))

    def failed(self, now: float, begun: float, *, slow: bool = False) -> None:
        """Record a call that failed for another reason; a timeout is `slow`."""
        self._ended(begun)
        if slow:
            self._timed(now, begun)

    def told(self, now: float, allowances: Mapping[str, Allowance]) -> None:
        """Record what headers say is left; the calls in flight may or may not be counted in it."""
        self._allowances = {
            name: (allowance.remaining - self.in_flight, now + min(allowance.reset_s, MINUTE_S))
            for name, allowance in allowances.items()
        }

    def _ended(self, begun: float) -> None:
        self.in_flight -= 1
        if begun > self._refused_at:
            self._probing = False

    def _recovered(self, now: float, begun: float) -> None:
        """Take what was accepted since the last recovery, over that time, for what the endpoint allows."""
        self._strikes = 0
        self._probing = False
        elapsed_s = now - self._epoch_at
        if self.rate is None and self._taken < _FEW:  # which says nothing about what is allowed
            return
        if now - self._refused_at >= _UNSAID_S:
            # A short time says little against what was learned before.
            prior = 0.0 if self.rate is None else self.rate * _PRIOR_S
            prior_s = 0.0 if self.rate is None else _PRIOR_S
            self.rate = _RATE_MARGIN * (self._taken + prior) / (elapsed_s + prior_s)
            self._learned_at = now
            self._next_at = begun + 1 / self.rate
        self._epoch_at = now
        self._taken = 0

    def _timed(self, now: float, begun: float) -> None:
        """Look whether a whole round of answers took much longer than is usual."""
        if begun <= self._cut_at:
            return
        self._latencies.append(now - begun)
        if len(self._latencies) < self._round:
            return
        self._round = max(int(self.window), _ROUND)
        taken_s = median(self._latencies)
        if taken_s <= _BLOW_UP * self._usual or self.window <= 1:
            self._usual, self._blown_s, self._vain_cuts = min(taken_s, self._usual * _USUAL_DRIFT), math.inf, 0
        elif self._vain_cuts < _VAIN_CUTS:
            self._vain_cuts = 0 if taken_s < _BETTER * self._blown_s < math.inf else self._vain_cuts + 1
            self._blown_s = taken_s
            self._cut(now, _LATENCY_CUT)
        else:  # fewer calls do not mend it, so it is usual now
            self.window = min(self.window / _LATENCY_CUT**self._vain_cuts, self.ceiling)
            self._usual, self._blown_s, self._vain_cuts = taken_s, math.inf, 0
        self._latencies.clear()

    def _cut(self, now: float, factor: float) -> None:
        self.window = max(self.window * factor, 1.0)
        self._troubled = True
        self._cut_at = now
        self._latencies.clear()
