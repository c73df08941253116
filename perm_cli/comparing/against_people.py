"""
Validation of judges against people: how far people agree with each other, then how close each judge comes to them.

People's score of an item is the mean over those who rated it. A judge is evaluated per item, within dialogues and
systems, and per system, since it may rank systems well and items badly; before and after calibration, which is always
cross-fitted on other dialogues; and beside a baseline of features that can be counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perm_cli.comparing.systems import contrasts_of
from perm_cli.comparing.table import Scores
from perm_cli.dialogues.features import NAMES
from perm_cli.statistics.agreement import (
    intraclass,
    intraclass_with_intervals,
    kendall_tau_b,
    ordinal_alpha_with_interval,
    paired_draws,
    quadratic_kappa,
    spearman,
)
from perm_cli.statistics.calibrating import cross_fitted, folds_of
from perm_cli.statistics.means import mean_of, means_by, none_if_nan, row_means
from perm_cli.statistics.prediction import powered_mean
from perm_cli.statistics.replacement import EPSILON, Replacement, alternative_annotator_test
from perm_cli.statistics.resampling import Floats, Ints, Resamples, Statistic, percentile_interval, statistic

LEAST_ALPHA = 0.2  # below it, people agree too little for a verdict on any judge
_LEAST_SYSTEMS = 3  # rho over two systems is 1 or -1 whatever their means
_PAIRS = 200_000  # sampled where there are more: a share of so many has a standard error of 0.1 %
_SWEEPS = 1000  # a few are enough unless hardly any system shares a dialogue with another
_SAME = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """
    Agreement between people on a dimension: the ceiling of what can be expected of a judge.

    `left_out` is leave-one-out rho: Spearman's rho of each person with the mean of the others, averaged over people.
    `judge_left_out` is the same for each judge against the same means.
    """

    people: Sequence[str]
    items: int
    alpha: Statistic
    icc_a1: Statistic
    left_out: float | None
    judge_left_out: Mapping[str, float | None]

    @property
    def usable(self) -> bool:
        """
        Whether people agree enough to validate a judge against them.

        Where their agreement is unknown, as with one person, they are taken to agree.
        """
        return self.alpha.value is None or self.alpha.value >= LEAST_ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Of the pairs of replies that people rate differently, the shares that a judge orders alike, ties, or reverses."""

    pairs: int
    right: float
    tied: float
    wrong: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Absolute agreement of a judge with people; `error` is the mean absolute error, `bias` judge minus people."""

    kappa: float | None
    icc_a1: float | None
    error: float | None
    bias: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """
    The validity of one judge on one dimension.

    `rho` and `tau_b` are rank correlations with people's mean over items. `within` is Pearson's correlation after
    dialogue and system means are removed. `systems` is rho over the means of systems, which is meaningless for a judge
    that has `told_apart` none of them. `levels` is None where the scales differ. `over_counting` is rho minus the
    largest absolute rho of a counted feature. `powered` has, by system, the judge's mean and the prediction-powered
    mean of people, for the systems that people rated in part.
    """

    rater: str
    items: int
    rho: Statistic
    tau_b: Statistic
    within: float | None
    systems: Statistic
    told_apart: bool
    pairs: Pairs | None
    levels: Levels | None
    calibrated: Levels | None
    replacement: Replacement
    replacement_calibrated: Replacement
    over_counting: Statistic
    powered: Mapping[str, tuple[float, Statistic]]

    @property
    def beats_counting(self) -> bool:
        """Whether the judge correlates with people more than every counted feature does (95 % interval above 0)."""
        return self.over_counting.low is not None and self.over_counting.low > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DimensionValidation:
    """
    The judges on one dimension against people on one label; `sign` is -1 where more of one means less of the other.

    `counting` is the rho of each counted feature with people. `constant` is the annotator test of a constant score
    (people's median): where it passes too, passing the test is not informative.
    """

    judged: str
    human: str
    sign: int
    ceiling: Ceiling
    judges: Sequence[Validity]
    counting: Mapping[str, float | None]
    constant: Replacement

    @property
    def best_count(self) -> str | None:
        """Return the feature with the largest absolute rho with people, None if no feature has one."""
        return _best_of(self.counting)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A judged dimension and the label it is compared with; `sign` is -1 if more of one means less of the other."""

    judged: str
    human: str
    sign: int = 1


def validate(
    scores: Scores, mapped: Sequence[Mapped], features: Floats | None = None, epsilon: float = EPSILON
) -> list[DimensionValidation]:
    """
    Return the validation of all judges in a table against the people in it, one entry per pair in `mapped`.

    `features` is (item, feature), as `biases.feature_table` returns it, or None without the texts. `epsilon` is the
    margin of the annotator test.
    """
    features = np.full((len(scores.items), len(NAMES)), np.nan) if features is None else features
    turns = np.array([item.turn > 0 for item in scores.items])
    levels = {}
    for by_turn in set(turns.tolist()):
        own = scores.only(turns == by_turn)
        levels[by_turn] = (own, features[turns == by_turn], Resamples(own.clusters))
    return [_Validator(*levels[_by_turn(scores, each.human, turns)], each, epsilon).validation() for each in mapped]


def _by_turn(scores: Scores, human: str, turns: NDArray[np.bool_]) -> bool:
    """Return whether people rated single turns on this dimension rather than whole dialogues."""
    rated = ~np.isnan(scores.of(human, scores.humans)).all(axis=1)
    return bool(turns[rated].any())


class _Validator:
    """The inputs shared by all judges of one dimension: people's scores, resamples and cross-fitting folds."""

    def __init__(self, scores: Scores, features: Floats, resamples: Resamples, mapped: Mapped, epsilon: float) -> None:
        self.scores = scores
        self.mapped = mapped
        self.features = features
        self.resamples = resamples
        self.epsilon = epsilon
        people = scores.of(mapped.human, scores.humans)
        rated = np.asarray(~np.isnan(people).all(axis=0))
        self.people = [name for name, given in zip(scores.humans, rated, strict=True) if given]
        self.humans = people[:, rated]
        self.truth = row_means(self.humans)
        # By dialogue, not by item: turns of one dialogue in two folds would let a calibration see what it is tested on.
        self.folds = folds_of([item.dialogue_id for item in scores.items])
        self.same_scale = same_scale(scores, mapped, people)
        self.judges = [name for name in scores.judges if not np.isnan(scores.of(mapped.judged, [name])).all()]

    def validation(self) -> DimensionValidation:
        counting = self._counting()
        best = _best_of(counting)
        return DimensionValidation(
            judged=self.mapped.judged,
            human=self.mapped.human,
            sign=self.mapped.sign,
            ceiling=self._ceiling(),
            judges=[self._validity(name, best) for name in self.judges],
            counting=counting,
            # Where people agree on one level, always giving that level beats most annotators.
            constant=self._replacement(np.full(len(self.truth), _middle(self.truth))),
        )

    def _column(self, judge: str) -> Floats:
        return self.mapped.sign * self.scores.of(self.mapped.judged, [judge])[:, 0]

    def _ceiling(self) -> Ceiling:
        alone = Statistic(value=None, why="only one person rated it")
        others = [_others(self.humans, place) for place in range(len(self.people))]
        several = len(self.people) > 1
        return Ceiling(
            people=self.people,
            items=int((~np.isnan(self.truth)).sum()),
            alpha=ordinal_alpha_with_interval(self.humans, self.resamples) if several else alone,
            icc_a1=intraclass_with_intervals(self.humans, self.resamples)[0] if several else alone,
            left_out=mean_of([_rho(self.humans[:, at], rest) for at, rest in enumerate(others)]) if several else None,
            judge_left_out={
                judge: mean_of([_rho(self._column(judge), rest) for rest in others]) if several else None
                for judge in self.judges
            },
        )

    def _counting(self) -> dict[str, float | None]:
        if np.isnan(self.features).all():
            return {}
        return {name: none_if_nan(_rho(self.features[:, at], self.truth)) for at, name in enumerate(NAMES)}

    def _validity(self, judge: str, best: str | None) -> Validity:
        column = self._column(judge)
        both = np.stack((column, self.truth), axis=1)
        draws = paired_draws(both, self.resamples)
        low, high = percentile_interval(draws)
        why = _why_not(both)
        calibrated = cross_fitted(column, self.truth, self.folds)
        return Validity(
            rater=judge,
            items=int((~np.isnan(both).any(axis=1)).sum()),
            rho=statistic(spearman(both), low[0], high[0], why),
            tau_b=statistic(kendall_tau_b(both), low[1], high[1], why),
            within=_within(self.scores, column, self.truth),
            systems=self._systems(column),
            # Rho over the means of systems ranks noise as readily as differences: this tells which of the two it was.
            told_apart=contrasts_of(self.scores, judge, self.mapped.judged).told_apart,
            pairs=ordered_pairs(self.scores, column, self.truth),
            levels=_levels(column, self.truth) if self.same_scale else None,
            calibrated=_levels(calibrated, self.truth),
            replacement=self._replacement(column if self.same_scale else np.full(len(column), np.nan)),
            replacement_calibrated=self._replacement(calibrated),
            over_counting=self._over_counting(both, draws, best),
            powered=self._powered(column),
        )

    def _replacement(self, column: Floats) -> Replacement:
        return alternative_annotator_test(self.people, self.humans, _rounded(column, self.humans), self.epsilon)

    def _systems(self, column: Floats) -> Statistic:
        names, systems = self.scores.systems
        kept = ~np.isnan(column) & ~np.isnan(self.truth)
        means = means_by(systems[kept], len(names), np.stack((column, self.truth), axis=1)[kept])
        means = means[~np.isnan(means).any(axis=1)]
        if len(means) < _LEAST_SYSTEMS:
            return Statistic(value=None, why=f"{len(means)} systems found, expected {_LEAST_SYSTEMS} or more")
        value = spearman(means)
        return statistic(value, why="all systems have equal means" if np.isnan(value) else f"{len(means)} systems")

    def _over_counting(self, both: Floats, draws: Floats, best: str | None) -> Statistic:
        if best is None:
            return Statistic(value=None, why="the texts are not known")
        counted = np.stack((self.features[:, NAMES.index(best)], self.truth), axis=1)
        counted[np.isnan(both[:, 0])] = np.nan  # the same items for both, or their difference could be one of items
        value = spearman(both) - abs(spearman(counted))
        if not len(draws):
            return statistic(value, why="an interval needs more than one dialogue")
        apart = draws[:, :1] - np.abs(paired_draws(counted, self.resamples)[:, :1])
        low, high = percentile_interval(apart)
        return statistic(value, low[0], high[0], "too few dialogues")

    def _powered(self, column: Floats) -> dict[str, tuple[float, Statistic]]:
        names, systems = self.scores.systems
        found = {}
        for place, name in enumerate(names):
            own = (systems == place) & ~np.isnan(column)
            labelled, rest = own & ~np.isnan(self.truth), own & np.isnan(self.truth)
            # Where people rated everything or nothing there is nothing to predict.
            if rest.sum() > 1 and labelled.sum() > 1:
                mean = powered_mean(self.truth[labelled], column[labelled], column[rest])
                found[name] = (self.mapped.sign * float(column[own].mean()), mean)
        return found


def same_scale(scores: Scores, mapped: Mapped, humans: Floats) -> bool:
    """
    Return whether people's scores appear to be on the judges' scale.

    They must lie within that scale and, unless the label has the dimension's name, reach its upper quarter.
    """
    # No file states the scale of its labels. Labels from 1 to 3 also lie within a scale of 1 to 5, so some must come
    # near its top before differences in level mean anything.
    scale = scores.scale(mapped.judged)
    given = humans[~np.isnan(humans)]
    if mapped.sign < 0 or not given.size or given.min() < scale.low or given.max() > scale.high:
        return False
    return mapped.judged == mapped.human or bool(given.max() >= scale.high - (scale.high - scale.low) / 4)


def ordered_pairs(scores: Scores, column: Floats, truth: Floats) -> Pairs | None:
    """
    Return how a judge orders the pairs of replies that people rate differently, None if there are none.

    Pairs are replies of two systems to the same turn; where no turn has two replies, any two items, at most `_PAIRS`.
    `column` and `truth` have one score per item, NaN where it is missing.
    """
    kept = np.flatnonzero(~np.isnan(column) & ~np.isnan(truth))
    first, second = _pairs(scores.prompts[kept])
    first, second = kept[first], kept[second]
    people = np.sign(_cleared(truth[first] - truth[second]))
    apart = people != 0
    if not apart.any():
        return None
    judged = np.sign(_cleared(column[first] - column[second]))[apart]
    alike = judged * people[apart]
    return Pairs(
        pairs=int(apart.sum()),
        right=float((alike > 0).mean()),
        tied=float((alike == 0).mean()),
        wrong=float((alike < 0).mean()),
    )


def _pairs(prompts: Ints) -> tuple[Ints, Ints]:
    order = np.argsort(prompts, kind="stable")
    # Sorted by prompt, pairs at a distance of 1, 2, … stop at the size of the largest group: no double loop over items.
    firsts, seconds = [], []
    for step in range(1, len(order)):
        same = prompts[order[step:]] == prompts[order[:-step]]
        if not same.any():
            break
        firsts.append(order[:-step][same])
        seconds.append(order[step:][same])
    if firsts:
        return np.concatenate(firsts), np.concatenate(seconds)
    if len(order) * (len(order) - 1) // 2 <= _PAIRS:
        return np.triu_indices(len(order), 1)
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, len(order), (2, _PAIRS))
    return drawn[0], drawn[1]


def _within(scores: Scores, column: Floats, truth: Floats) -> float | None:
    """Return Pearson's correlation of the residuals after dialogue and system means, None if there are none."""
    kept = ~np.isnan(column) & ~np.isnan(truth)
    both = np.stack((column, truth), axis=1)[kept]
    groups = [scores.clusters[kept], scores.systems[1][kept]]
    if not len(both) or len(np.unique(groups[0])) == len(both):
        return None
    left = _residuals(both, groups)
    # What remains of a column that is constant within groups is rounding error, whose correlation means nothing.
    spread = (left**2).sum(axis=0)
    if (spread <= _SAME * ((both - both.mean(axis=0)) ** 2).sum(axis=0)).any():
        return None
    return float((left[:, 0] * left[:, 1]).sum() / np.sqrt(spread[0] * spread[1]))


def _residuals(values: Floats, groups: Sequence[Ints]) -> Floats:
    """Return the least-squares residuals of all groupings, by removing group means in turn (Halperin 1962)."""
    for _ in range(_SWEEPS):
        before = values
        for codes in groups:
            values = values - means_by(codes, int(codes.max()) + 1, values)[codes]
        if np.abs(values - before).max() < _SAME:
            break
    return values


def _levels(column: Floats, truth: Floats) -> Levels | None:
    kept = ~np.isnan(column) & ~np.isnan(truth)
    if not kept.any():
        return None
    both = np.stack((column, truth), axis=1)[kept]
    apart = both[:, 0] - both[:, 1]
    return Levels(
        kappa=none_if_nan(quadratic_kappa(both)),
        icc_a1=none_if_nan(intraclass(both)[0]),
        error=float(np.abs(apart).mean()),
        bias=float(apart.mean()),
    )


def _rounded(column: Floats, humans: Floats) -> Floats:
    """Return scores rounded to the nearest level that people used; scores beyond those levels stay as they are."""
    # The annotator test counts ties for the judge, and a score between two levels never ties with an annotator.
    levels = np.unique(humans[~np.isnan(humans)])
    if not levels.size:
        return column
    nearest = levels[np.abs(np.nan_to_num(column)[:, None] - levels).argmin(axis=1)]
    between = (column >= levels[0]) & (column <= levels[-1])
    return np.where(between, nearest, column)


def _others(humans: Floats, place: int) -> Floats:
    """Return the mean of all people but one, on the items that this one has rated."""
    return np.where(np.isnan(humans[:, place]), np.nan, row_means(np.delete(humans, place, axis=1)))


def _best_of(counting: Mapping[str, float | None]) -> str | None:
    strengths = {name: abs(rho) for name, rho in counting.items() if rho is not None}
    return max(strengths, key=lambda name: strengths[name]) if strengths else None


def _middle(truth: Floats) -> float:
    given = truth[~np.isnan(truth)]
    return float(np.median(given)) if given.size else np.nan


def _rho(first: Floats, second: Floats) -> float:
    return spearman(np.stack((first, second), axis=1))


def _why_not(both: Floats) -> str:
    given = both[~np.isnan(both).any(axis=1)]
    if len(given) < 2:  # noqa: PLR2004 - no spread
        return f"{'only 1 item' if len(given) else 'no item'} is scored by both"
    return "all scores of one side are equal" if np.ptp(given, axis=0).min() == 0 else "too few dialogues"


def _cleared(differences: Floats) -> Floats:
    return np.where(np.abs(differences) <= _SAME, 0.0, differences)
