"""
Pass-or-fail checks of systems, for builds: against a threshold, and against earlier scores.

Noise must fail no build: a threshold is missed only if the whole 95 % interval lies below it, so never with a single
dialogue, and a system is worse only if the paired difference over the same dialogues is decisive. A system without any
score fails.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perm_cli.comparing.systems import Leaderboard, Standing, by_dialogue
from perm_cli.comparing.table import Scores
from perm_cli.errors import SettingsError
from perm_cli.statistics.contrasts import Difference, differences
from perm_cli.statistics.resampling import Floats, Resamples

_NOW, _BEFORE = "now", "before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The result of one check of one system in one rater's scores; `said` is the reason in words."""

    system: str
    name: str
    passed: bool
    said: str
    rater: str = ""


def checks_of(board: Leaderboard, scores: Scores, before: Scores | None, threshold: float | None) -> list[Check]:
    """Return the checks of a leaderboard: against a threshold, and against its own scores `before`, where given."""
    return [
        *(check_threshold(board, threshold) if threshold is not None else ()),
        *(check_against(scores, before, board.rater, board.dimensions[-1]) if before else ()),
    ]


def check_threshold(board: Leaderboard, threshold: float) -> list[Check]:
    """Return one check per system, of its mean in the leaderboard's last dimension against a threshold."""
    return [_against_threshold(standing, board, threshold) for standing in board.standings]


def _against_threshold(standing: Standing, board: Leaderboard, threshold: float) -> Check:
    mean = standing.means[-1]
    if mean.value is None:
        passed, said = False, f"no {board.dimensions[-1]}: {mean.why}"
    else:
        # Without an interval the system is undecided: it passes, since nothing shows that it misses the threshold.
        low, high = (-math.inf, math.inf) if mean.low is None or mean.high is None else (mean.low, mean.high)
        undecided = f": not decisive{mean.why and f', {mean.why}'}" if low < threshold <= high else ""
        passed, said = high >= threshold, f"{mean:z.3f} against {threshold:g}{undecided}"
    return Check(system=standing.system, rater=board.rater, name="fail-under", passed=passed, said=said)


def check_against(now: Scores, before: Scores, rater: str, dimension: str) -> list[Check]:
    """
    Return one check per system, of its scores now against its scores before, over the dialogues that both have.

    If each table has a single system, the two are compared whatever their names. Raise `SettingsError` if the tables
    share no rater or no system.
    """
    if rater not in before.raters:
        known = ", ".join(before.judges)
        raise SettingsError(f"--fail-if-worse-than: ratings by {known} found, expected ratings by {rater}")
    pairs = _same_systems(now, before)
    if not pairs:
        names = ", ".join(repr(name) for name in before.systems[0])
        raise SettingsError(f"--fail-if-worse-than: systems {names} found, expected one that is graded now")
    return [_changed(new, rater, _paired(now, before, new, old, rater, dimension)) for new, old in pairs]


def _same_systems(now: Scores, before: Scores) -> list[tuple[str, str]]:
    new, old = now.systems[0], before.systems[0]
    if len(new) == len(old) == 1:
        return [(new[0], old[0])]
    return [(name, name) for name in new if name in old]


def _paired(now: Scores, before: Scores, new: str, old: str, rater: str, dimension: str) -> Difference:
    grids = [_values(scores, name, rater, dimension) for scores, name in ((now, new), (before, old))]
    shared = sorted(grids[0].keys() & grids[1].keys())
    grid: Floats = np.array([[grids[0][key], grids[1][key]] for key in shared], dtype=float).reshape(len(shared), 2)
    return differences([_NOW, _BEFORE], grid, Resamples(np.arange(len(shared))))[0]


def _values(scores: Scores, system: str, rater: str, dimension: str) -> dict[str, float]:
    """Return a system's value for each dialogue, by the dialogue's id."""
    column = by_dialogue(scores, dimension, rater)[:, scores.systems[0].index(system)]
    ids = dict(zip(scores.clusters.tolist(), (item.dialogue_id for item in scores.items), strict=True))
    return {ids[place]: float(value) for place, value in enumerate(column) if not np.isnan(value)}


def _changed(system: str, rater: str, change: Difference) -> Check:
    if change.mean.value is None:
        passed, said = False, "no dialogue has a score both now and before"
    else:
        passed = not (change.decisive and change.mean.value < 0)
        count = "1 dialogue" if change.dialogues == 1 else f"{change.dialogues:,} dialogues"
        verdict = "worse" if not passed else "better" if change.decisive else "not decisive"
        said = f"{change.mean:+z.3f} over {count}: {verdict}"
    return Check(system=system, rater=rater, name="fail-if-worse-than", passed=passed, said=said)


def failed(checks: Sequence[Check]) -> bool:
    """Return whether any check failed."""
    return not all(check.passed for check in checks)
