"""
May a judge take an annotator's place? The alternative annotator test (Calderon, Reichart and Dror, ACL 2025).

Each annotator in turn is left out: on the items that they rated, is the judge or are they closer to the others?
The judge may cost `epsilon` in chances of winning, since it costs less. The annotators it beats, after the
correction of Benjamini and Yekutieli, are its winning rate; it passes with half of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import false_discovery_control, ttest_1samp

from perm_cli.statistics.resampling import Floats

EPSILON = 0.2  # for experts; 0.15 for skilled annotators, 0.1 for a crowd
LEVEL = 0.05
PASS = 0.5
LEAST_ITEMS = 30
LEAST_ANNOTATORS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """
    The result of the test, or `why` there is none.

    `advantage` is the mean chance that the judge is as close to the others as the annotator left out, or closer;
    `p` has the adjusted p-value against each annotator.
    """

    winning_rate: float | None
    advantage: float | None
    annotators: Sequence[str] = ()
    p: Sequence[float] = ()
    epsilon: float = EPSILON
    why: str = ""

    @property
    def passed(self) -> bool:
        """Tell whether the judge may take an annotator's place."""
        return self.winning_rate is not None and self.winning_rate >= PASS


def alternative_annotator_test(
    annotators: Sequence[str], humans: Floats, judge: Floats, epsilon: float = EPSILON
) -> Replacement:
    """Test a judge's scores, (item), against those of people, (item, annotator); closeness is the negative RMSE."""
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
        why = f"{len(kept)} annotators with {LEAST_ITEMS} items or more, expected {LEAST_ANNOTATORS}"
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
    """Return for each item whether the judge is as close to the other people, or closer, and whether the human is."""
    kept = ~np.isnan(human) & ~np.isnan(judge) & (~np.isnan(others)).any(axis=1)
    of_judge, of_human = (
        np.sqrt(np.nanmean((others[kept] - each[kept, None]) ** 2, axis=1)) if kept.any() else np.empty(0)
        for each in (judge, human)
    )
    same = np.isclose(of_judge, of_human, rtol=0, atol=1e-12)
    return ((of_judge < of_human) | same).astype(float), ((of_human < of_judge) | same).astype(float)


def _less_than(differences: Floats, epsilon: float) -> float:
    """Return the p-value of the mean being `epsilon` or more."""
    if np.ptp(differences) == 0:
        return 0.0 if differences[0] < epsilon else 1.0
    return float(ttest_1samp(differences, epsilon, alternative="less").pvalue)
