"""Resampling of dialogues: the cluster bootstrap behind every interval, and the sign-flip test."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
FLIPS = 4999
SEED = 20_260_112  # fixed, so that the same ratings give the same intervals and p-values in every command
CELLS = 2_000_000  # the largest matrix of weights or signs in memory at a time: 16 MB
# A value that one dialogue alone has is in 63 to 75 % of the resamples, one that two have in 86 % or more: below this
# share, an interval would show the luck of a single dialogue.
_MIN_USABLE_SHARE = 0.8
_KEPT_BYTES = 200_000_000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """An estimate with its 95 % interval; `why` is the reason where the estimate or its interval is missing."""

    value: float | None
    low: float | None = None
    high: float | None = None
    why: str = ""

    def __neg__(self) -> "Statistic":
        value, low, high = (None if end is None else -end for end in (self.value, self.high, self.low))
        return Statistic(value=value, low=low, high=high, why=self.why)

    def __format__(self, form: str) -> str:
        """Return the estimate in a number format with its interval in brackets, or a dash and the reason."""
        if self.value is None:
            return f"- ({self.why})"
        span = self.span(form)
        return f"{self.value:{form}}" if span is None else f"{self.value:{form}} ({span})"

    def span(self, form: str) -> str | None:
        """Return the interval in a number format, None if there is none."""
        return None if self.low is None or self.high is None else f"{self.low:{form}} … {self.high:{form}}"

    @property
    def decisive(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


class Resamples:
    """
    Bootstrap resamples of clusters, drawn with replacement and identical on every iteration.

    `clusters` is the cluster of each item, numbered from 0. Weights are produced in matrices of up to `cells` numbers;
    if all of them fit into `kept_bytes`, they are drawn only once.
    """

    def __init__(
        self,
        clusters: Ints,
        resamples: int = RESAMPLES,
        seed: int = SEED,
        *,
        cells: int = CELLS,
        kept_bytes: int = _KEPT_BYTES,
    ) -> None:
        self.clusters = clusters
        self.count = int(clusters.max()) + 1 if clusters.size else 0
        self._draws = np.full(resamples, self.count)
        self._seed = seed
        self._cells = cells
        self._keeps = self.count * resamples <= kept_bytes
        self._kept: list[NDArray[np.uint8]] = []

    def sums(self, values: Floats) -> Floats:
        """Return the column sums of a matrix (item, column) per cluster: (cluster, column)."""
        totals = np.zeros((self.count, values.shape[1]))
        np.add.at(totals, self.clusters, values)
        return totals

    def weights(self) -> Iterator[Floats]:
        """Yield the number of times that each cluster is drawn, as matrices (resample, cluster) over all resamples."""
        if self._kept:
            yield from (kept.astype(float) for kept in self._kept)
        elif self.count > 1:  # a single cluster is drawn the same way every time
            kept = []
            for weights in drawn_weights(self._draws, self.count, np.random.default_rng(self._seed), self._cells):
                if self._keeps:
                    kept.append(weights.astype(np.uint8))  # no cluster is drawn 256 times
                yield weights
            self._kept = kept  # assigned when complete: a caller that stops early must not leave a part

    def drawn(self, sums: Floats) -> Floats:
        """Return the totals of sums (cluster, column) per resample: (resample, column), no rows for one cluster."""
        found = [weights @ sums for weights in self.weights()]
        return np.vstack(found) if found else np.empty((0, sums.shape[1]))

    def interval(self, of: Callable[[Floats], Floats]) -> tuple[Floats, Floats]:
        """
        Return the lower and upper ends of 95 % percentile intervals (Efron 1979) of statistics.

        `of` maps weights (resample, cluster) to statistics (resample, statistic). The ends are NaN for a statistic
        that is undefined in a fifth of the resamples or more, as one is that rests on a single cluster.
        """
        found = [of(weights) for weights in self.weights()]
        return percentile_interval(np.vstack(found) if found else of(np.ones((1, self.count)))[:0])


def drawn_weights(draws: Ints, rows: int, generator: np.random.Generator, cells: int = CELLS) -> Iterator[Floats]:
    """Yield the times that each row is drawn, as matrices (resample, row); `draws` is the draws per resample."""
    step = max(cells // rows, 1)
    for start in range(0, len(draws), step):
        lines = draws[start : start + step]
        weights = np.empty((len(lines), rows))
        for place, count in enumerate(lines):  # drawing all rows at once would take four matrices of this size
            weights[place] = np.bincount(generator.integers(0, rows, count), minlength=rows)
        yield weights


def percentile_interval(drawn: Floats) -> tuple[Floats, Floats]:
    """Return the 2.5th and 97.5th percentiles per column, NaN where a fifth of a column or more is missing."""
    enough = np.isfinite(drawn).sum(axis=0) > _MIN_USABLE_SHARE * len(drawn)
    ends = np.full((2, drawn.shape[1]), np.nan)
    for column in np.flatnonzero(enough):
        usable = drawn[:, column]
        ends[:, column] = np.quantile(usable[np.isfinite(usable)], [0.025, 0.975])
    return ends[0], ends[1]


def statistic(value: float, low: float = np.nan, high: float = np.nan, why: str = "") -> Statistic:
    """Return an estimate and its interval from numbers that may be NaN, with `why` for what is missing."""
    if not np.isfinite(value):
        return Statistic(value=None, why=why or "not enough data")
    bounds = (float(low), float(high)) if np.isfinite(low) and np.isfinite(high) else (None, None)
    return Statistic(value=float(value), low=bounds[0], high=bounds[1], why="" if bounds[0] is not None else why)


def sign_flip_p(
    resamples: Resamples, differences: Floats, flips: int = FLIPS, seed: int = SEED, *, cells: int = CELLS
) -> Floats:
    """
    Return two-sided p-values of a mean difference of zero, one per column of (item, pair).

    The signs of whole dialogues are flipped at random, the same flips for every column. The observed signs count as
    one of the flips, so that p is never 0 (Phipson and Smyth 2010). NaN where all differences are zero or missing.
    """
    sums = resamples.sums(np.where(np.isnan(differences), 0.0, differences))
    observed = np.abs(sums.sum(axis=0))
    generator = np.random.default_rng(seed)
    as_far = np.ones(len(observed))  # the observed signs themselves
    step = max(cells // max(resamples.count, len(observed), 1), 1)
    for start in range(0, flips, step):
        signs = generator.integers(0, 2, (min(step, flips - start), resamples.count), dtype=np.int8) * 2.0 - 1.0
        # Flips that give the observed sum but for rounding must count as reaching it.
        as_far += (np.abs(signs @ sums) >= observed - 1e-9 * np.maximum(observed, 1.0)).sum(axis=0)
    return np.where(np.abs(sums).sum(axis=0) > 0, as_far / (flips + 1), np.nan)


def sign_flip_bound(resamples: Resamples, differences: Floats) -> Floats:
    """
    Return upper bounds of the exact p-values that `sign_flip_p` estimates, one per column of (item, pair).

    A sum of values v with random signs is at least s away from zero with a probability of at most
    2 exp(-s² / 2Σv²) (Hoeffding 1963, theorem 2).
    """
    sums = resamples.sums(np.where(np.isnan(differences), 0.0, differences))
    exponent = divided(sums.sum(axis=0) ** 2, 2 * (sums**2).sum(axis=0))
    bound: Floats = np.maximum(2 * np.exp(-exponent), np.finfo(float).tiny)
    return bound


def divided(numerator: Any, denominator: Any) -> Floats:
    """Return the quotient, with NaN where the denominator is zero."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    quotient: Floats = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient
