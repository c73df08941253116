"""Means of the values that are present: by row, by group, and over dialogues with bootstrap intervals."""

from collections.abc import Iterable

import numpy as np

from perm_cli.statistics.resampling import (
    CELLS,
    RESAMPLES,
    SEED,
    Floats,
    Ints,
    Resamples,
    Statistic,
    divided,
    drawn_weights,
    percentile_interval,
    statistic,
)

CHUNK_ROWS = 65_536  # of dialogues in memory at a time, in the summary of a run of any size


def column_means(values: Floats, resamples: Resamples) -> list[Statistic]:
    """Return the mean of each column of a matrix (item, column), ignoring NaN, with its 95 % interval."""
    sums = resamples.sums(_with_counts(values))
    return _means(sums.sum(axis=0), resamples.drawn(sums))


def chunked_means(
    chunks: Iterable[Floats], rows: int, resamples: int = RESAMPLES, seed: int = SEED, *, cells: int = CELLS
) -> list[Statistic]:
    """
    Return `column_means` of a matrix (dialogue, column) that arrives in chunks and never is in memory as a whole.

    `rows` is the number of rows in all chunks together.
    """
    # The number of draws that fall into a chunk is binomial given those still to be made, so drawing chunk by chunk is
    # the same multinomial as drawing from all rows; with a single chunk the resamples equal those of `Resamples`.
    generator = np.random.default_rng(seed)
    totals = drawn = np.zeros(0)
    left, to_draw = rows, np.full(resamples, rows)
    for values in chunks:
        sums = _with_counts(values)
        totals = _plus(totals, sums.sum(axis=0))
        here = generator.binomial(to_draw, len(values) / left) if len(values) < left else to_draw
        left, to_draw = left - len(values), to_draw - here
        if rows > 1:  # a single dialogue is drawn the same way every time
            weights = drawn_weights(here, len(values), generator, cells)
            drawn = _plus(drawn, np.vstack([each @ sums for each in weights]))
    return _means(totals, drawn if drawn.size else np.empty((0, len(totals))))


def paired_differences(values: Floats) -> Floats:
    """Return the differences of all pairs of columns of (item, column): (item, pair), in `combinations` order."""
    first, second = np.triu_indices(values.shape[1], 1)
    return values[:, first] - values[:, second]


def mean_statistic(mean: float, low: float, high: float) -> Statistic:
    """Return a mean over dialogues as a `Statistic`, from numbers that may be NaN."""
    return statistic(
        mean, low, high, "no dialogue has a score" if np.isnan(mean) else "an interval needs more than one dialogue"
    )


def _with_counts(values: Floats) -> Floats:
    """Return the values with 0 for NaN, and beside them 1 or 0 for present or missing: (item, 2 x column)."""
    present = ~np.isnan(values)
    return np.hstack((np.where(present, values, 0.0), present))


def _means(totals: Floats, drawn: Floats) -> list[Statistic]:
    """Return means from sums with counts beside them: `totals` of all dialogues, `drawn` one row per resample."""
    columns = len(totals) // 2
    ends = percentile_interval(divided(drawn[:, :columns], drawn[:, columns:]))
    return list(map(mean_statistic, divided(totals[:columns], totals[columns:]), *ends))


def _plus(total: Floats, more: Floats) -> Floats:
    return total + more if total.size else more


def row_means(table: Floats) -> Floats:
    """Return the mean of each row, ignoring NaN; NaN for a row without a value."""
    given = (~np.isnan(table)).sum(axis=1)
    means: Floats = np.full(len(table), np.nan)
    means[given > 0] = np.nansum(table[given > 0], axis=1) / given[given > 0]
    return means


def none_if_nan(value: float) -> float | None:
    """Return a number as a Python float, None for NaN."""
    return None if np.isnan(value) else float(value)


def mean_of(values: Iterable[float]) -> float | None:
    """Return the mean of the values, ignoring NaN; None if there is none."""
    given = [value for value in values if value == value]  # noqa: PLR0124 - false for NaN
    return float(sum(given) / len(given)) if given else None


def means_by(codes: Ints, count: int, values: Floats) -> Floats:
    """Return the means of values (item, column) by the code of the item: (code, column), NaN for a code without any."""
    present = ~np.isnan(values)
    sums, counts = np.zeros((count, values.shape[1])), np.zeros((count, values.shape[1]))
    np.add.at(sums, codes, np.where(present, values, 0.0))
    np.add.at(counts, codes, present)
    means: Floats = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
