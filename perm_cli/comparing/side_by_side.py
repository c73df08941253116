"""
Comparison of judges on the same dialogues: use of the scale, agreement, rankings of systems, and disagreements.

Agreement is not accuracy: `against_people` compares judges with people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from perm_cli.comparing.biases import FeatureCorrelations, Structure, feature_correlations, feature_table, structures
from perm_cli.comparing.from_runs import REWARD
from perm_cli.comparing.systems import Leaderboard, leaderboard
from perm_cli.comparing.table import Rated, Scores
from perm_cli.statistics.agreement import Agreement, agreement, ordinal_alpha, rank_biserial
from perm_cli.statistics.means import column_means, mean_of, none_if_nan, paired_differences
from perm_cli.statistics.multiple import holm
from perm_cli.statistics.ranking import kendall_w
from perm_cli.statistics.resampling import Floats, Resamples, Statistic, sign_flip_p

DISPUTES = 10  # shown
_SAME = 1e-9  # scores that differ by less are equal but for rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleUse:
    """
    One rater's use of the scale of one dimension.

    `levels` counts the distinct scores, `ceiling` and `floor` are the shares of scores at the top and the bottom of the
    scale, and `ties` is the share of pairs of systems that get the same score for the same turn.
    """

    rater: str
    items: int
    mean: float | None
    deviation: float | None
    levels: int
    ceiling: float | None
    floor: float | None
    ties: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelDifference:
    """
    The difference in level between two raters on one dimension.

    `bias` is the mean of `first` minus `second`, `p` is of a sign-flip test, Holm-adjusted for all pairs of the
    dimension, and `effect` is the matched-pairs rank-biserial correlation (Kerby 2014).
    """

    first: str
    second: str
    bias: Statistic
    p: float | None
    effect: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DimensionComparison:
    """
    The comparison of judges on one dimension.

    `agreement` is between the judges alone, None for a single judge. `people_alpha` is each judge's ordinal alpha with
    one person, averaged over the people; it is empty without people.
    """

    name: str
    use: Sequence[ScaleUse]
    agreement: Agreement | None
    differences: Sequence[LevelDifference]
    people_alpha: Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """An item that raters disagree on; `spread` is the range of the judges' scores as a share of the scale."""

    item: Rated
    dimension: str
    spread: float
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """
    The full comparison: agreement, use of the scale, rankings and biases of the judges.

    `boards` has each rater's leaderboard on the `main` dimension, which is the reward if there is one. `concordance` is
    Kendall's W of the rankings by those judges that tell any systems apart.
    """

    raters: Sequence[str]
    people: Sequence[str]
    items: int
    dialogues: int
    dimensions: Sequence[DimensionComparison]
    main: str
    boards: Sequence[Leaderboard]
    concordance: float | None
    structure: Sequence[Structure]
    leans: Sequence[FeatureCorrelations]
    disputes: Sequence[Dispute]


def compare(scores: Scores, features: Floats | None = None, boards: Sequence[Leaderboard] | None = None) -> Comparison:
    """
    Return the comparison of all judges in a table.

    `features` is (item, feature), as `biases.feature_table` returns it, or None without the texts. `boards` are the
    raters' leaderboards by reward where they have been computed already.
    """
    resamples = Resamples(scores.clusters)
    # The reward is fused from the dimensions: among them it would look like halo, and count disagreement twice.
    dimensions = [name for name in scores.tables if name != REWARD] or [REWARD]
    everything = sorted(scores.tables, key=lambda name: name == REWARD)  # the reward last
    main = REWARD if REWARD in scores.tables else dimensions[0]
    boards = _boards(scores, main) if boards is None else boards
    features = feature_table(scores.items, ()) if features is None else features
    return Comparison(
        raters=scores.judges,
        people=scores.humans,
        items=len(scores.items),
        dialogues=resamples.count,
        dimensions=[_dimension(scores, name, resamples) for name in everything],
        main=main,
        boards=boards,
        concordance=_concordance([board for board in boards if board.rater not in scores.people]),
        structure=structures(scores, dimensions),
        leans=feature_correlations(scores, main, features, resamples),
        disputes=_disputes(scores, dimensions),
    )


# --- one dimension ---


def _dimension(scores: Scores, name: str, resamples: Resamples) -> DimensionComparison:
    given = [rater for rater in scores.judges if not np.isnan(scores.of(name, [rater])).all()]
    table = scores.of(name, given)
    return DimensionComparison(
        name=name,
        use=[_use(scores, name, rater) for rater in [*scores.humans, *given]],
        agreement=agreement(given, table, resamples) if len(given) > 1 else None,
        differences=_level_differences(given, table, resamples),
        people_alpha={judge: _with_people(scores, name, judge) for judge in given} if scores.humans else {},
    )


def _use(scores: Scores, name: str, rater: str) -> ScaleUse:
    column = scores.of(name, [rater])[:, 0]
    given = column[~np.isnan(column)]
    if not given.size:
        return ScaleUse(rater=rater, items=0, mean=None, deviation=None, levels=0, ceiling=None, floor=None, ties=None)
    scale = scores.scale(name)
    has_ends = scale.high > scale.low
    return ScaleUse(
        rater=rater,
        items=len(given),
        mean=float(given.mean()),
        deviation=float(given.std(ddof=1)) if len(given) > 1 else None,
        levels=len(np.unique(given)),
        ceiling=float((given >= scale.high - _SAME).mean()) if has_ends else None,
        floor=float((given <= scale.low + _SAME).mean()) if has_ends else None,
        ties=tie_share(scores, column),
    )


def tie_share(scores: Scores, column: Floats) -> float | None:
    """Return the share of pairs of systems with the same score for the same turn, None without pairs."""
    kept = ~np.isnan(column)
    prompts = scores.prompts[kept]
    per_prompt = np.bincount(prompts)
    pairs = (per_prompt * (per_prompt - 1) / 2).sum()
    same = np.unique(np.stack((prompts, np.round(column[kept], 9))), axis=1, return_counts=True)[1]
    return float((same * (same - 1) / 2).sum() / pairs) if pairs else None


def _level_differences(raters: Sequence[str], table: Floats, resamples: Resamples) -> list[LevelDifference]:
    apart = paired_differences(table)
    p = holm(sign_flip_p(resamples, apart))
    return [
        LevelDifference(
            first=first,
            second=second,
            bias=bias,
            p=none_if_nan(p[place]),
            effect=none_if_nan(rank_biserial(apart[:, place])),
        )
        for place, ((first, second), bias) in enumerate(
            zip(combinations(raters, 2), column_means(apart, resamples), strict=True)
        )
    ]


def _with_people(scores: Scores, name: str, judge: str) -> float | None:
    return mean_of(ordinal_alpha(scores.of(name, [human, judge])) for human in scores.humans)


# --- systems ---


def _boards(scores: Scores, main: str) -> list[Leaderboard]:
    names, _ = scores.systems
    if len(names) < 2:  # noqa: PLR2004 - nothing to rank
        return []
    return [leaderboard(scores, rater, [main]) for rater in scores.raters]


def _concordance(boards: Sequence[Leaderboard]) -> float | None:
    # A judge that separates no systems ranks them by noise, which would lower W.
    boards = [board for board in boards if board.contrasts.told_apart]
    if len(boards) < 2:  # noqa: PLR2004 - nothing to compare
        return None
    names = sorted(standing.system for standing in boards[0].standings)
    means = [{standing.system: standing.means[-1].value for standing in board.standings} for board in boards]
    return none_if_nan(kendall_w(np.array([[of[name] for name in names] for of in means], dtype=float)))


# --- disagreements ---


def _disputes(scores: Scores, dimensions: Sequence[str]) -> list[Dispute]:
    """Return the items with the widest range of scores, averaged over the dimensions."""
    ranges = np.stack([ranges_of(scores, name) for name in dimensions], axis=1)
    rated = np.flatnonzero(~np.isnan(ranges).all(axis=1))
    mean = np.nanmean(ranges[rated], axis=1)
    widest = rated[np.argsort(-mean, kind="stable")][:DISPUTES]
    return [_dispute(scores, dimensions, place, ranges[place]) for place in widest if np.nanmax(ranges[place]) > 0]


def ranges_of(scores: Scores, name: str) -> Floats:
    """Return the range of the judges' scores of each item as a share of the scale, NaN with fewer than two scores."""
    table = scores.of(name, scores.judges)
    rated = (~np.isnan(table)).sum(axis=1) > 1
    spread: Floats = np.full(len(table), np.nan)
    spread[rated] = np.nanmax(table[rated], axis=1) - np.nanmin(table[rated], axis=1)
    scale = scores.scale(name)
    return spread / (scale.high - scale.low) if scale.high > scale.low else spread


def _dispute(scores: Scores, dimensions: Sequence[str], place: int, ranges: Floats) -> Dispute:
    widest = dimensions[int(np.nanargmax(ranges))]
    row = scores.tables[widest][place]
    return Dispute(
        item=scores.items[place],
        dimension=widest,
        spread=float(np.nanmax(ranges)),
        scores={rater: float(score) for rater, score in zip(scores.raters, row, strict=True) if not np.isnan(score)},
    )
