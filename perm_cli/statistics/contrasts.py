"""
Which of several systems are told apart by the dialogues that both have: paired differences, and the order they give.

A system's value of a dialogue is one number, NaN where there is none; every test is adjusted for all pairs of systems.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import NormalDist

import numpy as np

from perm_cli.statistics.means import column_means, known, paired_differences
from perm_cli.statistics.multiple import holm
from perm_cli.statistics.resampling import Floats, Resamples, Statistic, sign_flip_bound, sign_flip_p

ALPHA = 0.05
_POWER = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    The mean of `first` minus `second` over the dialogues that both have answered.

    `p` is of a sign-flip test, adjusted by Holm for all differences of the table. `detectable` is the smallest
    difference that would be found four times in five with as many dialogues; with fewer than `needed` none would,
    since too few signs can be flipped.
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
        """Whether it is too large for chance."""
        return self.p is not None and self.p < ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrasts:
    """The paired differences of all systems as one rater sees them, and the order that they bear out."""

    rater: str
    systems: Sequence[str]
    differences: Sequence[Difference]

    def difference(self, first: str, second: str) -> Difference | None:
        """Return the difference of two systems that way round, None if it is not known."""
        found = next((each for each in self.differences if {each.first, each.second} == {first, second}), None)
        if found is None or found.first == first:
            return found
        return replace(found, first=first, second=second, mean=-found.mean)

    def place(self, system: str) -> tuple[int, int] | None:
        """
        Return the first and the last place that a system may have, None if it shares no dialogue with another.

        Those decisively better stand before it, those decisively worse behind it; nothing else is known.
        """
        own = [each for each in self.differences if each.dialogues and system in {each.first, each.second}]
        if not own:
            return None
        ahead = [(each.mean.value or 0.0) * (1 if each.first == system else -1) for each in own if each.decisive]
        compared = {name for each in self.differences if each.dialogues for name in (each.first, each.second)}
        return 1 + sum(by < 0 for by in ahead), len(compared) - sum(by > 0 for by in ahead)

    def in_order(self) -> list[str]:
        """Return the systems by their places, by name where these are the same: that is seen to be no ranking."""
        last = (len(self.systems) + 1,) * 2
        return sorted(self.systems, key=lambda system: (self.place(system) or last, system))

    @property
    def leaders(self) -> list[str]:
        """Return the systems that none is decisively better than."""
        return [system for system in self.in_order() if (self.place(system) or (0,))[0] == 1]

    @property
    def best(self) -> str | None:
        """Return the system that is decisively better than every other one, if there is one."""
        return next((system for system in self.systems if self.place(system) == (1, 1)), None)

    @property
    def told_apart(self) -> bool:
        """Whether any two of the systems are."""
        return any(each.decisive for each in self.differences)


def differences(names: Sequence[str], grid: Floats, resamples: Resamples) -> list[Difference]:
    """Return the differences of all pairs of columns of a matrix (dialogue, system)."""
    pairs = list(combinations(names, 2))
    if not pairs:
        return []
    apart = paired_differences(grid)
    shared = (~np.isnan(apart)).sum(axis=0).tolist()
    # With many pairs Holm asks for smaller p than a few thousand flips can show; the bound goes on where they end.
    p = holm(np.minimum(sign_flip_p(resamples, apart), sign_flip_bound(resamples, apart)))
    # If all signs are alike, two of 2^n ways to flip them are as far from zero; Holm asks for that times the pairs.
    needed = math.floor(math.log2(2 * len(pairs) / ALPHA)) + 1
    return [
        Difference(
            first=first,
            second=second,
            dialogues=shared[place],
            mean=mean,
            p=known(p[place]),
            detectable=detectable_difference(apart[:, place]) if shared[place] >= needed else None,
            needed=needed,
        )
        for place, ((first, second), mean) in enumerate(zip(pairs, column_means(apart, resamples), strict=True))
    ]


def detectable_difference(apart: Floats) -> float | None:
    """Return the difference found with a power of 80 % at a level of 5 %, by the normal approximation."""
    given = apart[~np.isnan(apart)]
    if len(given) < 2:  # noqa: PLR2004 - no spread
        return None
    error = given.std(ddof=1) / np.sqrt(len(given))
    normal = NormalDist()
    return float((normal.inv_cdf(1 - ALPHA / 2) + normal.inv_cdf(_POWER)) * error)
