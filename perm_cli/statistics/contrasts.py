"""
Paired differences between systems over the dialogues they share, and the ranks that these support.

A system has one value per dialogue, NaN where it is missing. Each difference is tested by flipping the signs of whole
dialogues, and p-values are adjusted for all pairs of systems (Holm 1979).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import NormalDist

import numpy as np

from perm_cli.statistics.means import column_means, none_if_nan, paired_differences
from perm_cli.statistics.multiple import holm
from perm_cli.statistics.resampling import Floats, Resamples, Statistic, sign_flip_bound, sign_flip_p

ALPHA = 0.05  # level of significance, after adjustment
_POWER = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    The mean of `first` minus `second` over the dialogues that both have a value for.

    `p` is of a sign-flip test, adjusted by Holm's method for all differences of the table. `detectable` is the smallest
    true difference that as many dialogues would detect with a power of 80 %, in the unit of the values. With fewer
    than `needed` dialogues no difference can be significant, since too few signs can be flipped.
    """

    first: str
    second: str
    dialogues: int
    mean: Statistic
    p: float | None
    detectable: float | None
    needed: int

    @property
    def decisive(self) -> bool:
        """Whether the difference is significant at the level `ALPHA` after adjustment."""
        return self.p is not None and self.p < ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrasts:
    """The paired differences of all pairs of systems in the scores of one rater."""

    rater: str
    systems: Sequence[str]
    differences: Sequence[Difference]

    def difference(self, first: str, second: str) -> Difference | None:
        """Return the difference `first` minus `second`, None if the two were not compared."""
        found = next((each for each in self.differences if {each.first, each.second} == {first, second}), None)
        if found is None or found.first == first:
            return found
        return replace(found, first=first, second=second, mean=-found.mean)

    def place(self, system: str) -> tuple[int, int] | None:
        """
        Return the best and the worst rank that a system may have, from 1; None if it shares no dialogue with another.

        Systems decisively better rank above it and systems decisively worse below it; the rest are undecided.
        """
        own = [each for each in self.differences if each.dialogues and system in {each.first, each.second}]
        if not own:
            return None
        ahead = [(each.mean.value or 0.0) * (1 if each.first == system else -1) for each in own if each.decisive]
        compared = {name for each in self.differences if each.dialogues for name in (each.first, each.second)}
        return 1 + sum(by < 0 for by in ahead), len(compared) - sum(by > 0 for by in ahead)

    def in_order(self) -> list[str]:
        """Return the systems by their ranks, and by name where ranks are equal, which shows no order."""
        last = (len(self.systems) + 1,) * 2
        return sorted(self.systems, key=lambda system: (self.place(system) or last, system))

    @property
    def leaders(self) -> list[str]:
        """Return the systems that no other one is decisively better than."""
        return [system for system in self.in_order() if (self.place(system) or (0,))[0] == 1]

    @property
    def best(self) -> str | None:
        """Return the system that is decisively better than every other one, if there is one."""
        return next((system for system in self.systems if self.place(system) == (1, 1)), None)

    @property
    def told_apart(self) -> bool:
        """Whether any two of the systems differ decisively."""
        return any(each.decisive for each in self.differences)


def differences(names: Sequence[str], grid: Floats, resamples: Resamples) -> list[Difference]:
    """Return the differences of all pairs of columns of a matrix (dialogue, system), NaN where a value is missing."""
    pairs = list(combinations(names, 2))
    if not pairs:
        return []
    apart = paired_differences(grid)
    shared = (~np.isnan(apart)).sum(axis=0).tolist()
    # With many pairs Holm's method needs smaller p-values than a few thousand flips can show. The bound is never below
    # the exact p-value, so taking the smaller of the two keeps the test valid.
    p = holm(np.minimum(sign_flip_p(resamples, apart), sign_flip_bound(resamples, apart)))
    # With all n signs alike, the exact p-value is its smallest, 2 / 2^n; Holm's method multiplies it by the pairs.
    needed = math.floor(math.log2(2 * len(pairs) / ALPHA)) + 1
    return [
        Difference(
            first=first,
            second=second,
            dialogues=shared[place],
            mean=mean,
            p=none_if_nan(p[place]),
            detectable=detectable_difference(apart[:, place]) if shared[place] >= needed else None,
            needed=needed,
        )
        for place, ((first, second), mean) in enumerate(zip(pairs, column_means(apart, resamples), strict=True))
    ]


def detectable_difference(apart: Floats) -> float | None:
    """Return the true mean difference detected with 80 % power at an unadjusted 5 % level (normal approximation)."""
    given = apart[~np.isnan(apart)]
    if len(given) < 2:  # noqa: PLR2004 - no standard deviation
        return None
    error = given.std(ddof=1) / np.sqrt(len(given))
    normal = NormalDist()
    return float((normal.inv_cdf(1 - ALPHA / 2) + normal.inv_cdf(_POWER)) * error)
