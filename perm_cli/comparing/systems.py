"""
Leaderboards of systems: means, paired differences and ranks over the same dialogues.

A system's value for a dialogue is the mean over its rated turns, and its mean is over its dialogues. Systems may have
different dialogues, so their means are not comparable; ranks rest on the paired differences over shared dialogues.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from perm_cli.comparing.from_runs import REWARD
from perm_cli.comparing.table import Scores, numbered
from perm_cli.statistics.contrasts import Contrasts, differences
from perm_cli.statistics.means import column_means, means_by
from perm_cli.statistics.ranking import Ranked, ranking
from perm_cli.statistics.resampling import Floats, Resamples, Statistic


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """
    One system on one rater's leaderboard: its `means`, in the leaderboard's order of dimensions.

    `coverage` is the share of its turns with a score. `place` is the range of ranks consistent with the paired
    differences, and `ranked` its place in Davidson's model of wins, ties and losses within dialogues.
    """

    system: str
    dialogues: int
    turns: int
    coverage: float
    means: Sequence[Statistic]
    place: tuple[int, int] | None
    ranked: Ranked


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """
    The systems as scored by one rater, ordered by the paired differences in the last dimension.

    `tops` has the highest possible score of each dimension whose scale is known.
    """

    rater: str
    dimensions: Sequence[str]
    standings: Sequence[Standing]
    contrasts: Contrasts
    tops: Mapping[str, float] = field(default_factory=dict)


def leaderboard(scores: Scores, rater: str, dimensions: Sequence[str]) -> Leaderboard:
    """Return one rater's leaderboard; systems are ranked by the last of the dimensions."""
    names, _ = scores.systems
    # Per dialogue and not per turn, so that long dialogues do not count for more.
    grids = {dimension: by_dialogue(scores, dimension, rater) for dimension in dimensions}
    main = grids[dimensions[-1]]
    resamples = Resamples(np.arange(len(main)))
    contrasts = Contrasts(rater=rater, systems=names, differences=differences(names, main, resamples))
    means = [column_means(grids[dimension], resamples) for dimension in dimensions]
    ranked = {each.system: each for each in ranking(names, main, resamples)}
    standings = [
        Standing(
            system=system,
            means=[of_dimension[place] for of_dimension in means],
            place=contrasts.place(system),
            ranked=ranked[system],
            **_counts(scores, rater, dimensions[-1], place, main),
        )
        for system in contrasts.in_order()
        for place in [names.index(system)]
    ]
    tops = {name: known.high for name in dimensions if (known := scores.known_scale(name))}
    return Leaderboard(rater=rater, dimensions=dimensions, standings=standings, contrasts=contrasts, tops=tops)


def contrasts_of(scores: Scores, rater: str, dimension: str) -> Contrasts:
    """Return the paired differences of all systems in one rater's scores on a dimension."""
    names, grid = scores.systems[0], by_dialogue(scores, dimension, rater)
    return Contrasts(rater=rater, systems=names, differences=differences(names, grid, Resamples(np.arange(len(grid)))))


def main_leaderboard(scores: Scores, rater: str) -> Leaderboard:
    """Return the systems ranked by the reward or, in a file without one, by its first dimension."""
    main = REWARD if REWARD in scores.tables else next(iter(scores.tables))
    return leaderboard(scores, rater, [*(name for name in scores.tables if name != main), main])


def by_dialogue(scores: Scores, dimension: str, rater: str) -> Floats:
    """Return one rater's mean score per dialogue and system: (dialogue, system), NaN where there is no score."""
    names, systems = scores.systems
    dialogues = int(scores.clusters.max()) + 1
    means = means_by(scores.clusters * len(names) + systems, dialogues * len(names), scores.of(dimension, [rater]))
    return means.reshape(dialogues, len(names))


def collapsed(scores: Scores) -> Scores:
    """Return the table with one item per dialogue and system, whose scores are the means over its turns."""
    keys, codes = numbered([f"{item.dialogue_id}\x00{item.system}" for item in scores.items])
    firsts = np.unique(codes, return_index=True)[1]
    return replace(
        scores,
        items=[scores.items[place]._replace(turn=0) for place in firsts],
        tables={name: means_by(codes, len(keys), table) for name, table in scores.tables.items()},
    )


def _counts(scores: Scores, rater: str, dimension: str, system: int, grid: Floats) -> dict[str, Any]:
    own = scores.systems[1] == system
    given = ~np.isnan(scores.of(dimension, [rater])[own, 0])
    return {
        "dialogues": int((~np.isnan(grid[:, system])).sum()),
        "turns": int(own.sum()),
        "coverage": float(given.mean()) if own.any() else 0.0,
    }
