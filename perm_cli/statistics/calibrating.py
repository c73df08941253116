"""Calibration of a judge's scores to people's by isotonic regression, cross-fitted over held-out dialogues."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from scipy.optimize import isotonic_regression

from perm_cli.statistics.resampling import Floats, Ints

FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Isotonic:
    """A monotone map: linear between its knots, constant beyond them."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __call__(self, scores: Floats) -> Floats:
        """Return the scores mapped; NaN stays NaN."""
        return np.interp(scores, self.x, self.y)


def isotonic(x: Floats, y: Floats) -> Isotonic:
    """
    Return the non-decreasing map from x to y with the least squared error (Ayer et al. 1955, pool adjacent violators).

    `x` and `y` are of equal length, at least 1, and without NaN.
    """
    levels, codes, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(codes, y) / counts
    fitted = isotonic_regression(means, weights=counts).x
    ends = np.ones(len(fitted), dtype=bool)  # knots inside a flat stretch are redundant
    ends[1:-1] = (fitted[1:-1] != fitted[:-2]) | (fitted[1:-1] != fitted[2:])
    return Isotonic(x=tuple(levels[ends].tolist()), y=tuple(fitted[ends].tolist()))


def cross_fitted(x: Floats, y: Floats, folds: Ints) -> Floats:
    """Return each score mapped by a fit on the other folds; NaN where x is missing or the other folds have no data."""
    mapped = np.full(len(x), np.nan)
    for held_out, train in _splits(x, y, folds):
        mapped[held_out] = isotonic(x[train], y[train])(x[held_out])
    return mapped


def folds_of(groups: list[str], folds: int = FOLDS) -> Ints:
    """Return the fold of each item from the name of its group, so that no group is in two folds."""
    # Ordered by a hash of the name: the folds do not depend on the order of the file, and neighbours are spread.
    in_order = sorted(set(groups), key=lambda group: (blake2b(group.encode(), digest_size=4).digest(), group))
    places = {group: place % folds for place, group in enumerate(in_order)}
    return np.array([places[group] for group in groups], dtype=np.int64)


def _splits(x: Floats, y: Floats, folds: Ints) -> Iterator[tuple[Ints, Ints]]:
    known = ~np.isnan(x) & ~np.isnan(y)
    for fold in np.unique(folds):
        train = np.flatnonzero(known & (folds != fold))
        if train.size:
            yield np.flatnonzero(~np.isnan(x) & (folds == fold)), train
