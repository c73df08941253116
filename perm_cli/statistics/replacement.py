"""
The alternative annotator test: whether a judge may replace an annotator (Calderon, Reichart, Dror; ACL 2025).

Each annotator is left out in turn, and on the items they rated, the judge and the annotator are compared by their
distance to the remaining annotators. Because a judge is cheaper, it may win less often by up to `epsilon`. The share
of annotators it beats, after the correction of Benjamini and Yekutieli (2001), is its winning rate (omega); it passes
with a winning rate of one half or more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import false_discovery_control, ttest_1samp

from perm_cli.statistics.resampling import Floats

EPSILON = 0.2  # the paper's value for experts; 0.15 for skilled annotators, 0.1 for a crowd
LEVEL = 0.05  # false discovery rate
PASS = 0.5
LEAST_ITEMS = 30  # per annotator: with fewer, a t-test does not hold
LEAST_ANNOTATORS = 3  # with two, the "others" would be one person


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """
    The result of the test, or the reason (`why`) that there is none.

    `winning_rate` is the share of annotators beaten (omega). `advantage` is the average advantage probability (rho):
    the mean share of items on which the judge is at least as close to the others as the annotator left out. `p` has
    the adjusted p-value against each of `annotators`.
    """

    winning_rate: float | None
    advantage: float | None
    annotators: Sequence[str] = ()
    p: Sequence[float] = ()
    epsilon: float = EPSILON
    why: str = ""

    @property
    def passed(self) -> bool:
        """Whether the judge may replace an annotator."""
        return self.winning_rate is not None and self.winning_rate >= PASS


def alternative_annotator_test(
    annotators: Sequence[str], humans: Floats, judge: Floats, epsilon: float = EPSILON
) -> Replacement:
    """Return the test of a judge's scores, (item), against people's, (item, annotator); closeness is negative RMSE."""
    kept: list[str] = []
    p: list[float] = []
    advantages: list[float] = []
    for place, name in enumerate(annotators):
        judge_wins, human_wins = _wins(np.delete(humans, place, axis=1), humans[:, place], judge)
        if len(judge_wins) < LEAST_ITEMS:
            continue
        kept.append(name)
        advantages.append(float(judge_wins.mean()))
        p.append(_less_than(human_wins - judge_wins, epsilon))
    if len(kept) < LEAST_ANNOTATORS:
        why = f"{len(kept)} annotators with {LEAST_ITEMS} or more items found, expected at least {LEAST_ANNOTATORS}"
        return Replacement(winning_rate=None, advantage=None, epsilon=epsilon, why=why)
    adjusted = false_discovery_control(p, method="by")
    return Replacement(
        winning_rate=float((adjusted <= LEVEL).mean()),
        advantage=float(np.mean(advantages)),
        annotators=kept,
        p=[float(each) for each in adjusted],
        epsilon=epsilon,
    )


def _wins(others: Floats, human: Floats, judge: Floats) -> tuple[Floats, Floats]:
    """Return for each item 1 if the judge is at least as close to the others, else 0, and the same for the human."""
    kept = ~np.isnan(human) & ~np.isnan(judge) & (~np.isnan(others)).any(axis=1)
    of_judge, of_human = (
        np.sqrt(np.nanmean((others[kept] - each[kept, None]) ** 2, axis=1)) if kept.any() else np.empty(0)
        for each in (judge, human)
    )
    # Equal distances count for both, as in the paper; without a tolerance rounding would decide them.
    same = np.isclose(of_judge, of_human, rtol=0, atol=1e-12)
    return ((of_judge < of_human) | same).astype(float), ((of_human < of_judge) | same).astype(float)


def _less_than(differences: Floats, epsilon: float) -> float:
    """Return the p-value of the null hypothesis that the mean difference is `epsilon` or more (one-sided t-test)."""
    if np.ptp(differences) == 0:  # a t-test of a constant divides by zero
        return 0.0 if differences[0] < epsilon else 1.0
    return float(ttest_1samp(differences, epsilon, alternative="less").pvalue)
