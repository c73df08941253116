"""P-values of several tests, adjusted for their number."""

import numpy as np

from perm_cli.statistics.resampling import Floats


def holm(p: Floats) -> Floats:
    """Return p-values adjusted so that all of a family hold at once (Holm 1979); NaN takes no part."""
    order, m = _ascending(p)
    return _placed(p, order, np.maximum.accumulate(p[order] * (m - np.arange(m))))


def benjamini_yekutieli(p: Floats) -> Floats:
    """Return p-values adjusted for the false discovery rate, under any dependence (Benjamini and Yekutieli 2001)."""
    order, m = _ascending(p)
    numbers = np.arange(1, m + 1)
    raised = p[order] * m * (1 / numbers).sum() / numbers
    return _placed(p, order, np.minimum.accumulate(raised[::-1])[::-1])


def _ascending(p: Floats) -> tuple[np.ndarray, int]:
    given = np.flatnonzero(~np.isnan(p))
    return given[np.argsort(p[given], kind="stable")], len(given)


def _placed(p: Floats, order: np.ndarray, adjusted: Floats) -> Floats:
    placed = np.full(len(p), np.nan)
    placed[order] = np.minimum(adjusted, 1.0)
    return placed
