"""Adjustment of p-values for multiple tests."""

import numpy as np

from perm_cli.statistics.resampling import Floats


def holm(p: Floats) -> Floats:
    """Return p-values adjusted for the family-wise error rate (Holm 1979); NaN is not counted as a test."""
    given = np.flatnonzero(~np.isnan(p))
    order = given[np.argsort(p[given], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted
