"""
Which system is better, and is the difference real? Means, paired differences and ranks over the same dialogues.

A dialogue's value for a system is the mean over its rated turns, a system's the mean over its dialogues. Means are over
the dialogues that each system has a value for, so only the paired differences say who is before whom.
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
    What one rater says of one system: `means` by dimension, in the leaderboard's order of dimensions.

    `place` is the one that paired differences leave it, `ranked` what wins and losses within dialogues come to.
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
    The systems as one rater sees them, in the order that differences in the last dimension bear out.

    `tops` has the highest score of each dimension whose scale is known.
    """

    rater: str
    dimensions: Sequence[str]
    standings: Sequence[Standing]
    contrasts: Contrasts
    tops: Mapping[str, float] = field(default_factory=dict)


def leaderboard(scores: Scores, rater: str, dimensions: Sequence[str]) -> Leaderboard:
    """Return the systems as a rater sees them; the last of the dimensions is the one they are ranked by."""
    names, _ = scores.systems
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
    """Return the paired differences of all systems in a dimension."""
    names, grid = scores.systems[0], by_dialogue(scores, dimension, rater)
    return Contrasts(rater=rater, systems=names, differences=differences(names, grid, Resamples(np.arange(len(grid)))))


def main_leaderboard(scores: Scores, rater: str) -> Leaderboard:
    """Return the systems ranked by the reward or, in a file without one, by its first dimension."""
    main = REWARD if REWARD in scores.tables else next(iter(scores.tables))
    return leaderboard(scores, rater, [*(name for name in scores.tables if name != main), main])


def by_dialogue(scores: Scores, dimension: str, rater: str) -> Floats:
    """Return a rater's scores as a table (dialogue, system), NaN where a dialogue has no score."""
    names, systems = scores.systems
    dialogues = int(scores.clusters.max()) + 1
    means = means_by(scores.clusters * len(names) + systems, dialogues * len(names), scores.of(dimension, [rater]))
    return means.reshape(dialogues, len(names))


def collapsed(scores: Scores) -> Scores:
    """Return the scores of whole dialogues: for each system and dialogue the mean over its turns."""
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
