"""
The pace at which one judge is called: learned from its answers, within the user's limits.

It controls two quantities, each with additive increase and multiplicative decrease:

- the window: how many calls may be in flight. It grows quickly until the first refusal or slowdown, then slowly; it
  shrinks on a 429 and when latency rises sharply, never on a 5xx alone.
- the rate: how many calls may begin per second. It is unlimited until a 429; then it is what the endpoint accepted from
  one refusal to the next, minus a small margin, and grows faster the longer nothing is refused.

After a refusal a single call probes the endpoint, no earlier than `Retry-After` says and later each time it is refused
again, so that an endpoint with a per-minute limit is not called in vain for a whole minute.

All of it is arithmetic on times that the caller passes in: seconds of one monotonic clock.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

OPENING = 64  # calls in flight at the start; from there the window doubles with every round of answers
MINUTE_S = 60.0
_WINDOW_CUT = 0.5
_IN_VAIN = 8  # refusals in a row after which `Retry-After: 0` is no longer believed
_LATENCY_CUT = 0.7
_SLOWDOWN = 3.0  # times the usual latency
_BETTER = 0.8  # of the latency before a cut: anything above means that the cut did not help
_VAIN_CUTS = 3
_USUAL_DRIFT = 1.01  # per round, so that a permanently slower endpoint becomes the usual one
_ROUND = 16  # least number of answers in a median latency
_REOPENING = 32  # rounds for the window to grow from nothing to the ceiling
_PRIOR_S = 5.0  # weight of the earlier rate, in seconds of observation
_RATE_MARGIN = 0.98
_RATE_GROWTH = 0.001  # per second, at first
_RATE_GROWTH_MOST = 0.05
_FEW = 8  # answers: no rate is learned from fewer
_PATIENCE_S = 30.0  # without a refusal, after which the growth has doubled
_PROBES_APART = 3.0  # each wait between probes is this many times the one before
_LONGEST_PROBE_S = 30.0
_MANY_PROBES = 9  # from here on the wait is the longest anyway
_SLACK_S = 0.5  # for the network delay between our minute and the endpoint's
_UNSAID_S = 0.5  # to wait after a refusal without `Retry-After`
_BURST_S = 1.0  # seconds' worth of a hard limit that may be used at once
_LEAST_DRAIN = 0.1  # of the limit, which remains after a call larger than the limit itself
_TOKEN_BURST_S = 3.0  # more for tokens, since calls differ in size


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What the headers of an answer say is left of a limit; it is full again after `reset_s` seconds."""

    remaining: float
    reset_s: float


class Bucket:
    """A hard per-minute limit, a leaky bucket: never exceeded in any window of 60 s."""

    def __init__(self, per_minute: float, burst_s: float = _BURST_S) -> None:
        # A burst of the whole room and a minute of draining together make exactly the limit.
        self._room = per_minute * burst_s / MINUTE_S
        self._per_minute = per_minute
        self._drain = (per_minute - self._room) / MINUTE_S
        self._level = 0.0
        self._at = -math.inf

    def wait_s(self, now: float, amount: float) -> float:
        """Return the seconds until `amount` fits; an amount larger than the bucket waits until the bucket is empty."""
        over = self._now(now) + min(amount, max(self._room, 1.0)) - max(self._room, 1.0)
        return max(over, 0.0) / self._drain

    def add(self, now: float, amount: float) -> None:
        """Add an amount to the bucket, or return one if it is negative."""
        # An amount beyond the room drains slower from then on, or the minute that it falls into would exceed the limit.
        if amount > max(self._room, 1):
            self._drain = min(self._drain, max(self._per_minute - amount, _LEAST_DRAIN * self._per_minute) / MINUTE_S)
        self._level = max(self._now(now) + amount, 0.0)
        self._at = now

    def _now(self, now: float) -> float:
        return max(self._level - (now - self._at) * self._drain, 0.0) if self._level else 0.0


class Pace:
    """The window and the rate of one judge, controlled by the outcomes of its calls."""

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
        self._slow_s = math.inf  # the latency that the window was last cut for
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
        """Return the seconds that the next call must wait; infinity means until another call ends."""
        if self.in_flight >= max(int(self.window), 1) or self._probing:
            return math.inf
        waits = [0.0, self._held_until - now]
        if self.rate is None and not (self._requests or self._tokens or self._allowances):  # the usual case
            return max(waits)
        if self.rate is not None:
            waits.append(self._next_at - now)
        if self._requests:
            waits.append(self._requests.wait_s(now, 1))
        if self._tokens:
            waits.append(self._tokens.wait_s(now, tokens))
        for left, reset_at in self._allowances.values():
            if left < 1 and reset_at > now:
                # The calls in flight will bring newer headers, so only without any is the reset waited for.
                waits.append(math.inf if self.in_flight else reset_at - now)
        return max(waits)

    def begin(self, now: float, tokens: float) -> None:
        """Record that a call begins; `tokens` is its planned use."""
        self.in_flight += 1
        self._epoch_at = now if math.isnan(self._epoch_at) else self._epoch_at
        self._probing = self._strikes > 0
        if self.rate is not None:
            calm_s = now - self._learned_at
            growth = min(_RATE_GROWTH * (1 + calm_s / _PATIENCE_S), _RATE_GROWTH_MOST)
            if now - self._next_at <= 1 / self.rate:  # else the rate is not what limits the calls
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
        """Record an answer to a call that began at `begun`; `tokens` is its use beyond what was planned."""
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
        """Record a 429, the refusal of a call that began at `begun`."""
        self._ended(begun)
        if begun <= self._refused_at:  # part of the same burst as an earlier refusal, so no new evidence
            self._held_until = max(self._held_until, now + (retry_after_s or 0.0))
            return
        self._refused_at = now
        self._in_vain += 1
        self._cut(now, _WINDOW_CUT)
        # Servers that refuse calls for other reasons than their rate send `Retry-After: 0`.
        if retry_after_s == 0 and self._in_vain < _IN_VAIN:
            return
        self._strikes += 1
        wait_s = _UNSAID_S if retry_after_s is None else retry_after_s
        if self._strikes > 1:
            probes = min(self._strikes - 1, _MANY_PROBES)  # an unbounded power would overflow
            backoff_s = min(_UNSAID_S * _PROBES_APART**probes, _LONGEST_PROBE_S)
            # With a per-minute limit, the endpoint forgets the first calls of the epoch at this time.
            free_s = self._epoch_at + MINUTE_S + _SLACK_S - now
            wait_s = max(wait_s, min(backoff_s, abs(free_s)))
        # Strictly later than now, even on a coarse clock, so that the probe counts as begun after the refusal.
        self._held_until = max(now + wait_s, math.nextafter(now, math.inf))

    def failed(self, now: float, begun: float, *, slow: bool = False) -> None:
        """Record a call that failed for another reason; `slow` means that it timed out."""
        self._ended(begun)
        if slow:
            self._timed(now, begun)

    def limits_reported(self, now: float, allowances: Mapping[str, Allowance]) -> None:
        """Record what the headers of an answer say is left."""
        # The endpoint may not have counted the calls in flight yet, so they are subtracted.
        self._allowances = {
            name: (allowance.remaining - self.in_flight, now + min(allowance.reset_s, MINUTE_S))
            for name, allowance in allowances.items()
        }

    def _ended(self, begun: float) -> None:
        self.in_flight -= 1
        if begun > self._refused_at:
            self._probing = False

    def _recovered(self, now: float, begun: float) -> None:
        """End a phase of refusals: learn the rate from what was accepted since the previous one ended."""
        self._strikes = 0
        self._probing = False
        elapsed_s = now - self._epoch_at
        if self.rate is None and self._taken < _FEW:  # too few to estimate a rate from
            return
        if now - self._refused_at >= _UNSAID_S:
            # The earlier rate counts as some seconds of observation: a short interval alone says little.
            prior = 0.0 if self.rate is None else self.rate * _PRIOR_S
            prior_s = 0.0 if self.rate is None else _PRIOR_S
            self.rate = _RATE_MARGIN * (self._taken + prior) / (elapsed_s + prior_s)
            self._learned_at = now
            self._next_at = begun + 1 / self.rate
        self._epoch_at = now
        self._taken = 0

    def _timed(self, now: float, begun: float) -> None:
        """Cut the window if the median latency of a round of answers is much longer than usual."""
        if begun <= self._cut_at:
            return
        self._latencies.append(now - begun)
        if len(self._latencies) < self._round:
            return
        self._round = max(int(self.window), _ROUND)
        taken_s = median(self._latencies)
        if taken_s <= _SLOWDOWN * self._usual or self.window <= 1:
            self._usual, self._slow_s, self._vain_cuts = min(taken_s, self._usual * _USUAL_DRIFT), math.inf, 0
        elif self._vain_cuts < _VAIN_CUTS:
            self._vain_cuts = 0 if taken_s < _BETTER * self._slow_s < math.inf else self._vain_cuts + 1
            self._slow_s = taken_s
            self._cut(now, _LATENCY_CUT)
        else:  # cutting has not helped, so this latency is not caused by our load: undo the cuts
            self.window = min(self.window / _LATENCY_CUT**self._vain_cuts, self.ceiling)
            self._usual, self._slow_s, self._vain_cuts = taken_s, math.inf, 0
        self._latencies.clear()

    def _cut(self, now: float, factor: float) -> None:
        self.window = max(self.window * factor, 1.0)
        self._troubled = True
        self._cut_at = now
        self._latencies.clear()
