"""A judge's levels mapped to people's: isotonic regression, and what it is worth on dialogues it has not seen."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from scipy.optimize import isotonic_regression

from perm_cli.statistics.resampling import Floats, Ints

FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Isotonic:
    """A map that never falls: straight lines between the knots, level beyond them."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __call__(self, scores: Floats) -> Floats:
        """Return the scores mapped; what is missing stays missing."""
        return np.interp(scores, self.x, self.y)


def isotonic(x: Floats, y: Floats) -> Isotonic:
    """
    Return the rising map with the least squared error, by pooling adjacent violators (Ayer et al. 1955).

    Both are of equal length, at least 1, and have no NaN.
    """
    levels, codes, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(codes, y) / counts
    fitted = isotonic_regression(means, weights=counts).x
    ends = np.ones(len(fitted), dtype=bool)  # knots within a flat stretch say nothing
    ends[1:-1] = (fitted[1:-1] != fitted[:-2]) | (fitted[1:-1] != fitted[2:])
    return Isotonic(x=tuple(levels[ends].tolist()), y=tuple(fitted[ends].tolist()))


def cross_fitted(x: Floats, y: Floats, folds: Ints) -> Floats:
    """Map each score by what the other folds teach; NaN where x is missing or the others have nothing."""
    mapped = np.full(len(x), np.nan)
    for held_out, taught in _splits(x, y, folds):
        mapped[held_out] = isotonic(x[taught], y[taught])(x[held_out])
    return mapped


def folds_of(groups: list[str], folds: int = FOLDS) -> Ints:
    """Put groups into folds by a hash of their name, so that a group is never on both sides."""
    in_order = sorted(set(groups), key=lambda group: (blake2b(group.encode(), digest_size=4).digest(), group))
    places = {group: place % folds for place, group in enumerate(in_order)}
    return np.array([places[group] for group in groups], dtype=np.int64)


def _splits(x: Floats, y: Floats, folds: Ints) -> Iterator[tuple[Ints, Ints]]:
    known = ~np.isnan(x) & ~np.isnan(y)
    for fold in np.unique(folds):
        taught = np.flatnonzero(known & (folds != fold))
        if taught.size:
            yield np.flatnonzero(~np.isnan(x) & (folds == fold)), taught
