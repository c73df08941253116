"""Means of what is there, by row and by group; and over dialogues, with intervals that resampling them gives."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perm_cli.statistics.resampling import Floats, Ints

RESAMPLES = 2000
_SEED = 20_260_112
CHUNK_ROWS = 65_536
_CELLS = 2_000_000  # of the matrix of weights, in memory at a time


@dataclass(frozen=True, slots=True)
class Estimate:
    """Hold a mean over `n` dialogues and its 95 % interval, None where it would mean nothing."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


def bootstrap_means(
    chunks: Iterable[NDArray[np.float64]], rows: int, resamples: int = RESAMPLES, seed: int = _SEED
) -> list[Estimate]:
    """
    Estimate the mean of each column of a matrix that comes in chunks of at most `CHUNK_ROWS` of its `rows`.

    The matrix has a row a dialogue and a column a measure, NaN where a dialogue has no value. The interval is the
    percentile bootstrap over dialogues (Efron 1979), the same resamples for every column; fewer than two
    dialogues have none.
    """
    generator = np.random.default_rng(seed)
    counts = totals = held = drawn = np.zeros(0)
    left, to_draw = rows, np.full(resamples, rows)
    for values in chunks:
        present = ~np.isnan(values)
        filled = np.where(present, values, 0.0)
        counts, totals = _plus(counts, present.sum(axis=0)), _plus(totals, filled.sum(axis=0))
        # A resample draws `rows` times from all rows; how many of its draws fall into this chunk is binomial.
        here = generator.binomial(to_draw, len(values) / left) if len(values) < left else to_draw
        left, to_draw = left - len(values), to_draw - here
        if rows > 1:
            sums = _resampled(np.hstack((present, filled)), here, generator)
            held, drawn = _plus(held, sums[:, : values.shape[1]]), _plus(drawn, sums[:, values.shape[1] :])
    means = np.divide(drawn, held, out=np.full(drawn.shape, np.nan), where=held > 0)
    if rows < 2:  # noqa: PLR2004 - one dialogue has no spread
        means = np.full((0, len(counts)), np.nan)
    return [_estimate(totals[column], int(counts[column]), means[:, column]) for column in range(len(counts))]


def _resampled(values: NDArray[np.float64], draws: NDArray[Any], generator: np.random.Generator) -> NDArray[np.float64]:
    """Return the sums over each resample, which draws so many of the rows."""
    rows = len(values)
    step = max(_CELLS // rows, 1)
    sums = []
    for start in range(0, len(draws), step):
        # How often each row is drawn, a resample a line: sums over resamples are then products of matrices.
        lines = draws[start : start + step]
        weights = np.empty((len(lines), rows))
        for place, count in enumerate(lines):
            weights[place] = np.bincount(generator.integers(0, rows, count), minlength=rows)
        sums.append(weights @ values)
    return np.vstack(sums)


def _plus(total: NDArray[Any], more: NDArray[Any]) -> NDArray[Any]:
    return total + more if total.size else more


def _estimate(total: float, count: int, drawn: NDArray[np.float64]) -> Estimate:
    if not count:
        return Estimate(None, None, None, 0)
    usable = drawn[~np.isnan(drawn)]
    if count < 2 or not usable.size:  # noqa: PLR2004 - one dialogue has no spread
        return Estimate(float(total / count), None, None, count)
    low, high = np.quantile(usable, [0.025, 0.975])
    return Estimate(float(total / count), float(low), float(high), count)


def row_means(table: Floats) -> Floats:
    """Return the mean of each row over what is there, NaN where nothing is."""
    given = (~np.isnan(table)).sum(axis=1)
    means: Floats = np.full(len(table), np.nan)
    means[given > 0] = np.nansum(table[given > 0], axis=1) / given[given > 0]
    return means


def known(value: float) -> float | None:
    """Return a figure, None for NaN."""
    return None if np.isnan(value) else float(value)


def mean_of(values: Iterable[float]) -> float | None:
    """Return the mean of what is there, None if nothing is."""
    given = [value for value in values if value == value]  # noqa: PLR0124 - NaN is not there
    return float(sum(given) / len(given)) if given else None


def means_by(codes: Ints, count: int, values: Floats) -> Floats:
    """Return the mean of each column over the items with the same number: (number, column); NaN where none is."""
    present = ~np.isnan(values)
    sums, counts = np.zeros((count, values.shape[1])), np.zeros((count, values.shape[1]))
    np.add.at(sums, codes, np.where(present, values, 0.0))
    np.add.at(counts, codes, present)
    means: Floats = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
