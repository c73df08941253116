"""Means over dialogues, with intervals that come from resampling the dialogues."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
_SEED = 20_260_112
_CELLS = 2_000_000  # of the matrix of weights, in memory at a time


@dataclass(frozen=True, slots=True)
class Estimate:
    """Hold a mean over `n` dialogues and its 95 % interval, None where it would mean nothing."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


def bootstrap_means(values: NDArray[np.float64], resamples: int = RESAMPLES, seed: int = _SEED) -> list[Estimate]:
    """
    Estimate the mean of each column.

    `values` has a row a dialogue and a column a measure, NaN where a dialogue has no value. The interval is the
    percentile bootstrap over dialogues (Efron 1979), the same resamples for every column; fewer than two
    dialogues have none.
    """
    present = ~np.isnan(values)
    filled = np.where(present, values, 0.0)
    counts = present.sum(axis=0)
    generator = np.random.default_rng(seed)
    rows = len(values)
    drawn = np.full((resamples, values.shape[1]), np.nan)
    step = max(_CELLS // max(rows, 1), 1)
    for start in range(0, resamples if rows > 1 else 0, step):
        # How often each row is drawn, a resample a line: sums over resamples are then products of matrices.
        lines = range(min(step, resamples - start))
        drawings = [np.bincount(generator.integers(0, rows, rows), minlength=rows) for _ in lines]
        weights = np.array(drawings, dtype=np.float64)
        held = weights @ present
        np.divide(weights @ filled, held, out=drawn[start : start + len(lines)], where=held > 0)
    return [
        _estimate(filled[:, column].sum(), int(counts[column]), drawn[:, column]) for column in range(values.shape[1])
    ]


def _estimate(total: float, count: int, drawn: NDArray[np.float64]) -> Estimate:
    if not count:
        return Estimate(None, None, None, 0)
    usable = drawn[~np.isnan(drawn)]
    if count < 2 or not usable.size:  # noqa: PLR2004 - one dialogue has no spread
        return Estimate(float(total / count), None, None, count)
    low, high = np.quantile(usable, [0.025, 0.975])
    return Estimate(float(total / count), float(low), float(high), count)
