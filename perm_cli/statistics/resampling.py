"""Resampling dialogues: the bootstrap that every interval here comes from, and the sign-flip test."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
FLIPS = 4999
SEED = 20_260_112
CELLS = 2_000_000  # of a matrix of weights or signs, in memory at a time
_LEAST_USABLE = 0.8  # what one dialogue has is in 63 to 75 % of the resamples, what two have in 86 % or more
_KEPT_BYTES = 200_000_000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """A figure and its 95 % interval; `why` says why there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None
    why: str = ""

    def __neg__(self) -> "Statistic":
        value, low, high = (None if end is None else -end for end in (self.value, self.high, self.low))
        return Statistic(value=value, low=low, high=high, why=self.why)

    def __format__(self, form: str) -> str:
        """Return the figure in a form for numbers with its interval behind it, or a dash and why there is none."""
        if self.value is None:
            return f"- ({self.why})"
        span = self.span(form)
        return f"{self.value:{form}}" if span is None else f"{self.value:{form}} ({span})"

    def span(self, form: str) -> str | None:
        """Return the interval in a form for numbers, None if there is none."""
        return None if self.low is None or self.high is None else f"{self.low:{form}} … {self.high:{form}}"

    @property
    def decisive(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


class Resamples:
    """
    Draws of clusters with replacement, the same ones every time they are asked for.

    `clusters` gives the cluster of each item, as numbers from 0. Weights take up to `cells` numbers at a time; where
    all of them fit into `kept_bytes`, they are drawn once.
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
        """Return the sums of a matrix (item, column) over each cluster: (cluster, column)."""
        totals = np.zeros((self.count, values.shape[1]))
        np.add.at(totals, self.clusters, values)
        return totals

    def weights(self) -> Iterator[Floats]:
        """Yield how often each cluster is drawn: matrices (resample, cluster), all resamples in turn."""
        if self._kept:
            yield from (kept.astype(float) for kept in self._kept)
        elif self.count > 1:  # one dialogue has no spread
            kept = []
            for weights in drawn_weights(self._draws, self.count, np.random.default_rng(self._seed), self._cells):
                if self._keeps:
                    kept.append(weights.astype(np.uint8))  # no cluster is drawn 256 times
                yield weights
            self._kept = kept  # only once whole: who stops half-way leaves nothing half

    def drawn(self, sums: Floats) -> Floats:
        """Return the sums (cluster, column) over each resample: (resample, column), with no line for one cluster."""
        found = [weights @ sums for weights in self.weights()]
        return np.vstack(found) if found else np.empty((0, sums.shape[1]))

    def interval(self, of: Callable[[Floats], Floats]) -> tuple[Floats, Floats]:
        """
        Return the ends of the 95 % percentile intervals (Efron 1979) of what `of` makes of a matrix of weights.

        `of` returns a matrix (resample, statistic). The ends are NaN where a fifth of the
        resamples or more gave nothing, as they do for what only one cluster has.
        """
        found = [of(weights) for weights in self.weights()]
        return percentile_interval(np.vstack(found) if found else of(np.ones((1, self.count)))[:0])


def drawn_weights(draws: Ints, rows: int, generator: np.random.Generator, cells: int = CELLS) -> Iterator[Floats]:
    """Yield how often each row is drawn: matrices (resample, row); `draws` says how often each resample draws."""
    step = max(cells // rows, 1)
    for start in range(0, len(draws), step):
        lines = draws[start : start + step]
        weights = np.empty((len(lines), rows))
        for place, count in enumerate(lines):  # at once it would be four matrices of that size
            weights[place] = np.bincount(generator.integers(0, rows, count), minlength=rows)
        yield weights


def percentile_interval(drawn: Floats) -> tuple[Floats, Floats]:
    """Return the 2.5th and 97.5th percentiles of each column, NaN where a fifth of it or more is missing."""
    enough = np.isfinite(drawn).sum(axis=0) > _LEAST_USABLE * len(drawn)
    ends = np.full((2, drawn.shape[1]), np.nan)
    for column in np.flatnonzero(enough):
        usable = drawn[:, column]
        ends[:, column] = np.quantile(usable[np.isfinite(usable)], [0.025, 0.975])
    return ends[0], ends[1]


def statistic(value: float, low: float = np.nan, high: float = np.nan, why: str = "") -> Statistic:
    """Return a figure from numbers that may be NaN."""
    if not np.isfinite(value):
        return Statistic(value=None, why=why or "nothing to work it out from")
    bounds = (float(low), float(high)) if np.isfinite(low) and np.isfinite(high) else (None, None)
    return Statistic(value=float(value), low=bounds[0], high=bounds[1], why="" if bounds[0] is not None else why)


def sign_flip_p(
    resamples: Resamples, differences: Floats, flips: int = FLIPS, seed: int = SEED, *, cells: int = CELLS
) -> Floats:
    """
    Return two-sided p-values for a mean difference of zero, one a column of (item, pair).

    The signs of whole dialogues are flipped at random, the same flips for every column; with the observed signs
    among them, p is never 0 (Phipson and Smyth 2010). NaN where there is nothing to flip.
    """
    sums = resamples.sums(np.where(np.isnan(differences), 0.0, differences))
    observed = np.abs(sums.sum(axis=0))
    generator = np.random.default_rng(seed)
    as_far = np.ones(len(observed))
    step = max(cells // max(resamples.count, len(observed), 1), 1)
    for start in range(0, flips, step):
        signs = generator.integers(0, 2, (min(step, flips - start), resamples.count), dtype=np.int8) * 2.0 - 1.0
        as_far += (np.abs(signs @ sums) >= observed - 1e-9 * np.maximum(observed, 1.0)).sum(axis=0)
    return np.where(np.abs(sums).sum(axis=0) > 0, as_far / (flips + 1), np.nan)


def sign_flip_bound(resamples: Resamples, differences: Floats) -> Floats:
    """
    Return what the p-values of `sign_flip_p` cannot exceed were all ways to flip the signs looked at.

    A sum of values with random signs is as far from zero as s with a chance of at most 2 exp(-s² / 2Σv²)
    (Hoeffding 1963, theorem 2).
    """
    sums = resamples.sums(np.where(np.isnan(differences), 0.0, differences))
    exponent = divided(sums.sum(axis=0) ** 2, 2 * (sums**2).sum(axis=0))
    bound: Floats = np.maximum(2 * np.exp(-exponent), np.finfo(float).tiny)
    return bound


def divided(numerator: Any, denominator: Any) -> Floats:
    """Divide, with NaN for what has nothing under it."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    quotient: Floats = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient
