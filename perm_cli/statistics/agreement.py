"""
Agreement between raters who score the same items.

`spearman`, `kendall_tau_b`, `quadratic_kappa`, `ordinal_alpha` and `intraclass` take a matrix (item, rater), with
NaN where a rater has no score, and are exact. `agreement`, `paired_draws` and the `…_with_interval` functions
bootstrap them: each depends on the scores only through counts and sums that add up over dialogues, so all resamples
are evaluated at once as matrix products. For the intervals only, scores finer than `GRID` levels are rounded to that
many.

Sources: Krippendorff (2011) for alpha; Cohen (1968) and Fleiss and Cohen (1973) for weighted kappa; Kendall (1945)
for tau-b; McGraw and Wong (1996) for the intraclass correlations, whose notation is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import kendalltau, rankdata

from perm_cli.statistics.resampling import (
    Floats,
    Ints,
    Resamples,
    Statistic,
    divided,
    percentile_interval,
    statistic,
)

GRID = 41  # the joint table of two raters has GRID squared cells per resample, which bounds the memory
_ROUNDING = 1e-12  # relative; what is left of a sum of squares below it is rounding error, not variance
_SAME = 1e-9  # differences of equal means, added up in another order, are smaller than this


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAgreement:
    """Agreement of two raters over the `items` that both have scored."""

    first: str
    second: str
    items: int
    spearman: Statistic
    kendall_tau_b: Statistic
    quadratic_kappa: Statistic


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """
    Agreement of all raters, and of each pair of them.

    `alpha` is Krippendorff's ordinal alpha, `alpha_without` the same without each rater in turn, in the order of
    `raters`, and empty for two raters. `icc_a1` and `icc_c1` are ICC(A,1), absolute agreement, and ICC(C,1),
    consistency, of a single rater; `icc_ak` is ICC(A,k) of the mean of all. `items` counts the items that all raters
    have scored.
    """

    raters: Sequence[str]
    items: int
    alpha: Statistic
    alpha_without: Sequence[Statistic]
    icc_a1: Statistic
    icc_c1: Statistic
    icc_ak: Statistic
    pairs: Sequence[PairAgreement]


# --- exact ---


def spearman(scores: Floats) -> float:
    """Return Spearman's rho of two columns (item, 2), with mean ranks for ties; NaN if a column is constant."""
    return _pearson(*(rankdata(column) for column in _both(scores).T))


def kendall_tau_b(scores: Floats) -> float:
    """Return Kendall's tau-b (Kendall 1945) of two columns (item, 2); NaN if a column is constant."""
    both = _both(scores)
    if len(both) < 2 or np.ptp(both, axis=0).min() == 0:  # noqa: PLR2004 - nothing to order
        return np.nan
    return float(kendalltau(*both.T).statistic)


def quadratic_kappa(scores: Floats) -> float:
    """
    Return Cohen's kappa of two columns (item, 2) with quadratic weights.

    With quadratic weights it depends on the means, variances and covariance alone (Fleiss and Cohen 1973):
    2 cov / (var_1 + var_2 + (mean_1 - mean_2)²).
    """
    both = _both(scores)
    return float(_kappa_of(_moments(both).sum(axis=0)[None])[0]) if len(both) else np.nan


def ordinal_alpha(scores: Floats) -> float:
    """
    Return Krippendorff's alpha with the ordinal difference function (Krippendorff 2011).

    It is taken over the items that two or more raters have scored; NaN with fewer than two such items or two levels.
    """
    given = (~np.isnan(scores)).sum(axis=1)
    levels, codes = _levels(scores[given > 1])
    if len(levels) < 2 or (given > 1).sum() < 2:  # noqa: PLR2004 - no disagreement is possible
        return np.nan
    counts = np.bincount(codes[codes >= 0]).astype(float)
    ranks = np.append(_mid_ranks(counts), 0.0)[codes]  # a missing score has code -1 and takes the appended 0
    shared = ((ranks.sum(axis=1) ** 2 - (ranks**2).sum(axis=1)) / (given[given > 1] - 1)).sum()
    return float(_alpha_from(counts, _mid_ranks(counts), shared))


def intraclass(scores: Floats) -> tuple[float, float, float]:
    """Return ICC(A,1), ICC(C,1), ICC(A,k) (McGraw and Wong 1996) over the items that all raters have scored."""
    whole = scores[_complete(scores)]
    found = _icc_of(_squares(whole).sum(axis=0)[None], scores.shape[1])[0] if len(whole) else [np.nan] * 3
    return float(found[0]), float(found[1]), float(found[2])


def rank_biserial(differences: Floats) -> float:
    """
    Return the matched-pairs rank-biserial correlation of paired differences (Kerby 2014), from -1 to 1.

    It is the share of the rank sum of positive differences minus that of negative ones; zeros and NaN are dropped.
    """
    moved = differences[~np.isnan(differences) & (np.abs(differences) > _SAME)]
    if not moved.size:
        return np.nan
    ranks = rankdata(np.abs(moved))
    return float((ranks * np.sign(moved)).sum() / ranks.sum())


# --- with intervals ---


def agreement(raters: Sequence[str], scores: Floats, resamples: Resamples) -> Agreement:
    """Return the agreement of two or more raters; `scores` is (item, rater)."""
    without = [np.delete(scores, place, axis=1) for place in range(len(raters))] if len(raters) > 2 else []  # noqa: PLR2004
    a1, c1, ak = intraclass_with_intervals(scores, resamples)
    return Agreement(
        raters=raters,
        items=int(_complete(scores).sum()),
        alpha=ordinal_alpha_with_interval(scores, resamples),
        alpha_without=[ordinal_alpha_with_interval(each, resamples) for each in without],
        pairs=[
            _pair(raters, scores, first, second, resamples) for first, second in combinations(range(len(raters)), 2)
        ],
        icc_a1=a1,
        icc_c1=c1,
        icc_ak=ak,
    )


def paired_draws(columns: Floats, resamples: Resamples) -> Floats:
    """Return rho, tau-b and weighted kappa of two columns per resample: (resample, 3), or (0, 3) without resamples."""
    kept = _complete(columns)
    moments = resamples.sums(np.where(kept[:, None], _moments(np.nan_to_num(columns)), 0.0))
    cells, shape = _joint(columns, resamples)

    def drawn(weights: Floats) -> Floats:
        joint = np.asarray((cells.T @ weights.T).T).reshape(len(weights), *shape)
        return np.stack((_spearman_of(joint), _tau_b_of(joint), _kappa_of(weights @ moments)), axis=1)

    found = [drawn(weights) for weights in resamples.weights()] if kept.any() else []
    return np.vstack(found) if found else np.empty((0, 3))


def _pair(raters: Sequence[str], scores: Floats, first: int, second: int, resamples: Resamples) -> PairAgreement:
    columns = scores[:, [first, second]]
    both = _both(columns)
    draws = paired_draws(columns, resamples)
    low, high = percentile_interval(draws)
    values = (spearman(both), kendall_tau_b(both), quadratic_kappa(both))
    found = [statistic(*each, why=_why_not(both)) for each in zip(values, low, high, strict=True)]
    return PairAgreement(
        first=raters[first],
        second=raters[second],
        items=len(both),
        spearman=found[0],
        kendall_tau_b=found[1],
        quadratic_kappa=found[2],
    )


def ordinal_alpha_with_interval(scores: Floats, resamples: Resamples) -> Statistic:
    """Return `ordinal_alpha` with its 95 % bootstrap interval."""
    levels, codes = _levels(_on_grid(scores))
    size = len(levels)
    value = ordinal_alpha(scores)
    why = _why_no_alpha(scores)
    if not size:
        return statistic(value, why=why)
    cells = _coincidences(codes, size, resamples.clusters, resamples.count)

    def drawn(weights: Floats) -> Floats:
        return _alpha_of(np.asarray((cells.T @ weights.T).T).reshape(len(weights), size, size))[:, None]

    low, high = resamples.interval(drawn)
    return statistic(value, low[0], high[0], why)


def intraclass_with_intervals(scores: Floats, resamples: Resamples) -> tuple[Statistic, Statistic, Statistic]:
    """Return ICC(A,1), ICC(C,1) and ICC(A,k), as `intraclass` does, each with its 95 % bootstrap interval."""
    kept = _complete(scores)
    sums = resamples.sums(np.where(kept[:, None], _squares(np.nan_to_num(scores)), 0.0))
    low, high = resamples.interval(lambda weights: _icc_of(weights @ sums, scores.shape[1]))
    why = _why_not(scores[kept])
    a1, c1, ak = (statistic(*each, why=why) for each in zip(intraclass(scores), low, high, strict=True))
    return a1, c1, ak


def _why_not(both: Floats) -> str:
    if not len(both):
        return "no item is scored by all raters"
    if len(both) == 1:
        return "only one item"
    return "all scores of a rater are equal" if np.ptp(both, axis=0).min() == 0 else "too few dialogues"


def _why_no_alpha(scores: Floats) -> str:
    pairable = (~np.isnan(scores)).sum(axis=1) > 1
    if pairable.sum() < 2:  # noqa: PLR2004 - one item shows no disagreement by chance
        return "only one item" if pairable.any() else "no item has two scores"
    return "all scores are equal" if np.nanmax(scores[pairable]) == np.nanmin(scores[pairable]) else "too few dialogues"


# --- counts and sums that add up over dialogues ---


def _complete(scores: Floats) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(scores).any(axis=1))


def _both(scores: Floats) -> Floats:
    return scores[_complete(scores)]


def _on_grid(scores: Floats) -> Floats:
    """Return the scores rounded to `GRID` evenly spaced levels, or as they are if they have no more levels."""
    given = scores[~np.isnan(scores)]
    if len(np.unique(given)) <= GRID:
        return scores
    low, high = given.min(), given.max()
    return np.asarray(np.round((scores - low) / (high - low) * (GRID - 1)) * (high - low) / (GRID - 1) + low)


def _levels(scores: Floats) -> tuple[Floats, Ints]:
    """Return the distinct scores in ascending order, and each score as an index into them, -1 if it is missing."""
    missing = np.isnan(scores)
    levels, codes = np.unique(scores[~missing], return_inverse=True)
    numbered = np.full(scores.shape, -1, dtype=np.int64)
    numbered[~missing] = codes
    return levels, numbered


def _joint(columns: Floats, resamples: Resamples) -> tuple[sparse.csr_array, tuple[int, int]]:
    """Return the count of each pair of levels per cluster, (cluster, first x second), and both numbers of levels."""
    levels, codes = zip(*(_levels(_on_grid(column)) for column in columns.T), strict=True)
    shape = (max(len(levels[0]), 1), max(len(levels[1]), 1))
    kept = _complete(columns)
    cells = codes[0][kept] * shape[1] + codes[1][kept]
    ones = np.ones(kept.sum())
    return _counted(resamples.clusters[kept], cells, ones, (resamples.count, shape[0] * shape[1])), shape


def _coincidences(codes: Ints, size: int, clusters: Ints, count: int) -> sparse.csr_array:
    """Return Krippendorff's coincidence matrix per cluster: (cluster, level x level)."""
    rows, cells, shares = [], [], []
    given = (codes >= 0).sum(axis=1)
    for first in range(codes.shape[1]):
        for second in range(codes.shape[1]):
            kept = (codes[:, first] >= 0) & (codes[:, second] >= 0)
            if first != second and kept.any():
                rows.append(clusters[kept])
                cells.append(codes[kept, first] * size + codes[kept, second])
                shares.append(1.0 / (given[kept] - 1))
    if not rows:
        return sparse.csr_array((count, size * size))
    return _counted(np.concatenate(rows), np.concatenate(cells), np.concatenate(shares), (count, size * size))


def _counted(rows: Ints, cells: Ints, shares: Floats, shape: tuple[int, int]) -> sparse.csr_array:
    return sparse.csr_array(sparse.coo_array((shares, (rows, cells)), shape=shape))


def _moments(both: Floats) -> Floats:
    a, b = both[:, 0], both[:, 1]
    return np.stack((np.ones(len(both)), a, b, a * a, b * b, a * b), axis=1)


def _squares(whole: Floats) -> Floats:
    """Return the terms per item whose totals give the sums of squares of a two-way analysis of variance."""
    total = whole.sum(axis=1)
    return np.column_stack((np.ones(len(whole)), total**2, (whole**2).sum(axis=1), whole))


# --- from counts and sums, one row per resample ---


def _pearson(a: Floats, b: Floats) -> float:
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:  # noqa: PLR2004 - a constant has no correlation
        return np.nan
    a, b = a - a.mean(), b - b.mean()
    return float((a @ b) / np.sqrt((a @ a) * (b @ b)))


def _mid_ranks(counts: Floats) -> Floats:
    """Return the mean rank of each level from the counts of the levels."""
    return np.cumsum(counts, axis=-1) - counts / 2


def _spearman_of(joint: Floats) -> Floats:
    row, column = joint.sum(axis=2), joint.sum(axis=1)
    n = row.sum(axis=1)
    a = _mid_ranks(row) - n[:, None] / 2
    b = _mid_ranks(column) - n[:, None] / 2
    return _correlation(_products(joint, a, b), (row * a * a).sum(axis=1), (column * b * b).sum(axis=1))


def _tau_b_of(joint: Floats) -> Floats:
    below = np.cumsum(np.cumsum(joint, axis=1), axis=2)  # the count of all cells at or below, in both directions
    before = np.zeros_like(joint)
    before[:, 1:, 1:] = below[:, :-1, :-1]
    rows_before = np.zeros_like(joint)
    rows_before[:, 1:] = below[:, :-1]
    after = rows_before[:, :, -1:] - rows_before
    row, column = joint.sum(axis=2), joint.sum(axis=1)
    n = row.sum(axis=1)
    pairs = n * (n - 1) / 2
    tied = [(each * (each - 1) / 2).sum(axis=1) for each in (row, column)]
    return _correlation((joint * (before - after)).sum(axis=(1, 2)), pairs - tied[0], pairs - tied[1])


def _kappa_of(moments: Floats) -> Floats:
    n, a, b, aa, bb, ab = moments.T  # of each resample: the count, sums, sums of squares, sum of products
    covariance = divided(ab, n) - divided(a * b, n * n)
    spread = divided(aa + bb, n) - divided(2 * a * b, n * n)
    return divided(2 * covariance, np.where(spread > _ROUNDING, spread, 0.0))


def _alpha_of(cells: Floats) -> Floats:
    counts = cells.sum(axis=2)
    ranks = _mid_ranks(counts)
    return _alpha_from(counts, ranks, _products(cells, ranks, ranks))


def _alpha_from(counts: Floats, ranks: Floats, shared: Floats) -> Floats:
    """Return alpha from the counts of the levels, their mean ranks, and the mean ranks' products within items."""
    # The ordinal difference of two levels is the squared distance of their mean ranks, so that both disagreements are
    # sums of squares and products, without a loop over the pairs of levels.
    n = counts.sum(axis=-1)
    square = (counts * ranks**2).sum(axis=-1)
    expected = n * square - ((counts * ranks).sum(axis=-1)) ** 2
    alone = (counts > 0).sum(axis=-1) < 2  # noqa: PLR2004 - one level only
    return 1 - divided((n - 1) * (square - shared), np.where(alone, 0.0, expected))


def _products(joint: Floats, first: Floats, second: Floats) -> Floats:
    """Return the sum of count times row value times column value over the cells, one number per resample."""
    return np.asarray(((joint @ second[:, :, None])[:, :, 0] * first).sum(axis=1))


def _icc_of(sums: Floats, raters: int) -> Floats:
    """Return ICC(A,1), ICC(C,1) and ICC(A,k) per resample, (resample, 3), from the mean squares of McGraw and Wong."""
    n, row_squares, squares, columns = sums[:, 0], sums[:, 1], sums[:, 2], sums[:, 3:]
    k = raters
    middle = divided(columns.sum(axis=1) ** 2, n * k)
    of_rows = row_squares / k - middle
    of_columns = divided((columns**2).sum(axis=1), n) - middle
    left = squares - middle - of_rows - of_columns
    tiny = _ROUNDING * np.maximum(squares, 1.0)
    left = np.where(np.abs(left) < tiny, 0.0, left)  # raters who differ by a constant must get ICC(C,1) of exactly 1
    msr, msc = divided(of_rows, n - 1), of_columns / max(k - 1, 1)
    mse = divided(left, (n - 1) * max(k - 1, 1))
    gap = divided(msc - mse, n)
    signal = msr - mse

    def share(whole: Floats) -> Floats:
        return divided(signal, np.where(whole > tiny, whole, 0.0))

    return np.stack((share(msr + (k - 1) * mse + k * gap), share(msr + (k - 1) * mse), share(msr + gap)), axis=1)


def _correlation(shared: Floats, first: Floats, second: Floats) -> Floats:
    return divided(shared, np.sqrt(np.maximum(first, 0.0) * np.maximum(second, 0.0)))
