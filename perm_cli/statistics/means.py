"""Means of what is there, by row and by group; and over dialogues, with intervals that resampling them gives."""

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

CHUNK_ROWS = 65_536


def column_means(values: Floats, resamples: Resamples) -> list[Statistic]:
    """Return the mean of each column of a matrix (item, column), NaN where one has no value, with its interval."""
    sums = resamples.sums(_with_counts(values))
    return _means(sums.sum(axis=0), resamples.drawn(sums))


def chunked_means(
    chunks: Iterable[Floats], rows: int, resamples: int = RESAMPLES, seed: int = SEED, *, cells: int = CELLS
) -> list[Statistic]:
    """
    Return what `column_means` does of a matrix that comes in chunks, each row of which is a dialogue.

    It has so many rows in all, and never needs to be in memory whole. How many draws of a resample fall into a chunk
    is binomial, so in one chunk the resamples are those of `Resamples`, and in several as good ones.
    """
    generator = np.random.default_rng(seed)
    totals = drawn = np.zeros(0)
    left, to_draw = rows, np.full(resamples, rows)
    for values in chunks:
        sums = _with_counts(values)
        totals = _plus(totals, sums.sum(axis=0))
        here = generator.binomial(to_draw, len(values) / left) if len(values) < left else to_draw
        left, to_draw = left - len(values), to_draw - here
        if rows > 1:  # one dialogue has no spread
            weights = drawn_weights(here, len(values), generator, cells)
            drawn = _plus(drawn, np.vstack([each @ sums for each in weights]))
    return _means(totals, drawn if drawn.size else np.empty((0, len(totals))))


def paired_differences(values: Floats) -> Floats:
    """Return the differences of all pairs of columns of (item, column): (item, pair), as `combinations` orders them."""
    first, second = np.triu_indices(values.shape[1], 1)
    return values[:, first] - values[:, second]


def mean_statistic(mean: float, low: float, high: float) -> Statistic:
    """Return a mean over dialogues as a figure, from numbers that may be NaN."""
    return statistic(mean, low, high, "no dialogue has a value" if np.isnan(mean) else "one dialogue has no spread")


def _with_counts(values: Floats) -> Floats:
    """Return the values, nought where one is missing, and beside them which are there."""
    present = ~np.isnan(values)
    return np.hstack((np.where(present, values, 0.0), present))


def _means(totals: Floats, drawn: Floats) -> list[Statistic]:
    """Return means from sums with their counts beside them: of all dialogues, and a resample a line."""
    columns = len(totals) // 2
    ends = percentile_interval(divided(drawn[:, :columns], drawn[:, columns:]))
    return list(map(mean_statistic, divided(totals[:columns], totals[columns:]), *ends))


def _plus(total: Floats, more: Floats) -> Floats:
    return total + more if total.size else more


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
