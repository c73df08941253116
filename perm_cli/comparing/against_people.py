"""
Judges against people: how far people agree among themselves, and then how near each judge comes to that.

What people say of an item is the mean of those who rated it. A judge is looked at item by item, within dialogues
and systems, and system by system, since a judge may rank systems well and items badly; before and after its levels
are mapped to people's, always on dialogues the map has not seen; and beside what mere counting would give.
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
from perm_cli.statistics.means import known, mean_of, means_by, row_means
from perm_cli.statistics.prediction import powered_mean
from perm_cli.statistics.replacement import EPSILON, Replacement, alternative_annotator_test
from perm_cli.statistics.resampling import Floats, Ints, Resamples, Statistic, percentile_interval, statistic

LEAST_ALPHA = 0.2  # below it, people agree too little to hold a judge against them
_LEAST_SYSTEMS = 3  # rho of two is 1 or -1 whatever they are
_PAIRS = 200_000  # drawn where there are more: a share of them has a standard error of 0.1 %
_SWEEPS = 1000  # a handful is enough but where hardly any system shares a dialogue with another
_SAME = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """
    How far people agree: nothing can be asked of a judge that people cannot do.

    `left_out` is the mean rho of one person with the mean of the others, `judge_left_out` what a judge reaches
    against the same means, by judge.
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
        Tell whether people agree enough to hold a judge against them.

        They are taken at their word where that is not known, as of one person alone.
        """
        return self.alpha.value is None or self.alpha.value >= LEAST_ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Shares of the pairs of replies told apart by people that a judge orders alike, ties, or turns round."""

    pairs: int
    right: float
    tied: float
    wrong: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The distance of a judge's scores from people's as numbers; `bias` is judge minus people."""

    kappa: float | None
    icc_a1: float | None
    error: float | None
    bias: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """
    The validity of one judge on one dimension.

    `within` is its correlation with people once the means of dialogues and systems are taken out, `systems` rho over
    the means of systems, which says nothing of a judge that has not `told_apart` any of them. `levels` is None where
    the scales differ. `over_counting` is rho less that of the best of the counts. `powered` has each system's mean as
    people would give it, by system, where they rated some only.
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
        """Tell whether it is shown to be more than a word counter."""
        return self.over_counting.low is not None and self.over_counting.low > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DimensionValidation:
    """
    A dimension of the judges against one of people's; `sign` is -1 where more of one means less of the other.

    `counting` is rho of what can be counted with people, by feature. `constant` is what the annotator test says of a
    score that is always the same: where even that passes, passing says little.
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
        """Return the feature that goes best with people, either way round."""
        return _best_of(self.counting)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A dimension of the judges and the one of people's that it is compared with; `sign` is -1 if they run apart."""

    judged: str
    human: str
    sign: int = 1


def validate(
    scores: Scores, mapped: Sequence[Mapped], features: Floats | None = None, epsilon: float = EPSILON
) -> list[DimensionValidation]:
    """
    Compare the judges in a table with the people in it, dimension by dimension.

    `features` is (item, feature), as `biases.feature_table` gives it, if the texts are known.
    """
    features = np.full((len(scores.items), len(NAMES)), np.nan) if features is None else features
    turns = np.array([item.turn > 0 for item in scores.items])
    levels = {}
    for by_turn in set(turns.tolist()):
        own = scores.only(turns == by_turn)
        levels[by_turn] = (own, features[turns == by_turn], Resamples(own.clusters))
    return [_Bench(*levels[_by_turn(scores, each.human, turns)], each, epsilon).validation() for each in mapped]


def _by_turn(scores: Scores, human: str, turns: NDArray[np.bool_]) -> bool:
    """Tell whether people rated single turns on this dimension, if any, or whole dialogues."""
    rated = ~np.isnan(scores.of(human, scores.humans)).all(axis=1)
    return bool(turns[rated].any())


class _Bench:
    """What the judges of one dimension are measured with: people's scores, resamples and folds."""

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
            constant=self._replacement(np.full(len(self.truth), _middle(self.truth))),
        )

    def _column(self, judge: str) -> Floats:
        return self.mapped.sign * self.scores.of(self.mapped.judged, [judge])[:, 0]

    def _ceiling(self) -> Ceiling:
        alone = Statistic(value=None, why="one person only")
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
        return {name: known(_rho(self.features[:, at], self.truth)) for at, name in enumerate(NAMES)}

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
            return Statistic(value=None, why=f"{len(means)} systems, expected {_LEAST_SYSTEMS} or more")
        value = spearman(means)
        return statistic(value, why="all systems are alike" if np.isnan(value) else f"{len(means)} systems")

    def _over_counting(self, both: Floats, draws: Floats, best: str | None) -> Statistic:
        if best is None:
            return Statistic(value=None, why="the texts are not known")
        counted = np.stack((self.features[:, NAMES.index(best)], self.truth), axis=1)
        counted[np.isnan(both[:, 0])] = np.nan
        value = spearman(both) - abs(spearman(counted))
        if not len(draws):
            return statistic(value, why="one dialogue has no spread")
        apart = draws[:, :1] - np.abs(paired_draws(counted, self.resamples)[:, :1])
        low, high = percentile_interval(apart)
        return statistic(value, low[0], high[0], "too few dialogues")

    def _powered(self, column: Floats) -> dict[str, tuple[float, Statistic]]:
        names, systems = self.scores.systems
        found = {}
        for place, name in enumerate(names):
            own = (systems == place) & ~np.isnan(column)
            labelled, rest = own & ~np.isnan(self.truth), own & np.isnan(self.truth)
            if rest.sum() > 1 and labelled.sum() > 1:
                mean = powered_mean(self.truth[labelled], column[labelled], column[rest])
                found[name] = (self.mapped.sign * float(column[own].mean()), mean)
        return found


def same_scale(scores: Scores, mapped: Mapped, humans: Floats) -> bool:
    """
    Tell whether people's numbers are of the judges' kind, as far as they show it.

    They must lie within the judges' scale and, unless both sides call it the same, reach its upper quarter.
    """
    scale = scores.scale(mapped.judged)
    given = humans[~np.isnan(humans)]
    if mapped.sign < 0 or not given.size or given.min() < scale.low or given.max() > scale.high:
        return False
    return mapped.judged == mapped.human or bool(given.max() >= scale.high - (scale.high - scale.low) / 4)


def ordered_pairs(scores: Scores, column: Floats, truth: Floats) -> Pairs | None:
    """
    Return how a judge orders the pairs that people tell apart: replies of several systems to the same turn.

    Where there are none, pairs of any two items are looked at, of very many a sample.
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
    """Return the correlation of what is left of both once the means of dialogues and of systems are taken out."""
    kept = ~np.isnan(column) & ~np.isnan(truth)
    both = np.stack((column, truth), axis=1)[kept]
    groups = [scores.clusters[kept], scores.systems[1][kept]]
    if not len(both) or len(np.unique(groups[0])) == len(both):
        return None
    left = _residuals(both, groups)
    spread = (left**2).sum(axis=0)
    if (spread <= _SAME * ((both - both.mean(axis=0)) ** 2).sum(axis=0)).any():
        return None
    return float((left[:, 0] * left[:, 1]).sum() / np.sqrt(spread[0] * spread[1]))


def _residuals(values: Floats, groups: Sequence[Ints]) -> Floats:
    """Take out the means of all groupings in turn until nothing is left to take: least squares (Halperin 1962)."""
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
        kappa=known(quadratic_kappa(both)),
        icc_a1=known(intraclass(both)[0]),
        error=float(np.abs(apart).mean()),
        bias=float(apart.mean()),
    )


def _rounded(column: Floats, humans: Floats) -> Floats:
    """Return the nearest of the levels that people used: a number between two never ties with anybody."""
    levels = np.unique(humans[~np.isnan(humans)])
    if not levels.size:
        return column
    nearest = levels[np.abs(np.nan_to_num(column)[:, None] - levels).argmin(axis=1)]
    between = (column >= levels[0]) & (column <= levels[-1])
    return np.where(between, nearest, column)


def _others(humans: Floats, place: int) -> Floats:
    """Return the means of all people but one on what that one has rated."""
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
        return f"{'1 item' if len(given) else 'no item'} rated by both"
    return "all scores of one side are equal" if np.ptp(given, axis=0).min() == 0 else "too few dialogues"


def _cleared(differences: Floats) -> Floats:
    return np.where(np.abs(differences) <= _SAME, 0.0, differences)
