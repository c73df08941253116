"""
Is a system good enough, or worse than it was? Told by intervals, so that noise fails nobody.

A bar is missed only if the whole 95 % interval lies under it, so never with one dialogue, and a system is worse only
if the paired difference over the same dialogues is decisive. What has no score at all has passed nothing.
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
    """One question to one system, as one rater sees it if so said: whether it passed, and in words why."""

    system: str
    name: str
    passed: bool
    said: str
    rater: str = ""


def checks_of(board: Leaderboard, scores: Scores, before: Scores | None, bar: float | None) -> list[Check]:
    """Check the systems of a leaderboard against a bar, and against their own scores `before`, where given."""
    return [
        *(check_bar(board, bar) if bar is not None else ()),
        *(check_against(scores, before, board.rater, board.dimensions[-1]) if before else ()),
    ]


def check_bar(board: Leaderboard, bar: float) -> list[Check]:
    """Check every system's mean against a bar."""
    return [_against_bar(standing, board, bar) for standing in board.standings]


def _against_bar(standing: Standing, board: Leaderboard, bar: float) -> Check:
    mean = standing.means[-1]
    if mean.value is None:
        passed, said = False, f"no {board.dimensions[-1]}: {mean.why}"
    else:
        low, high = (-math.inf, math.inf) if mean.low is None or mean.high is None else (mean.low, mean.high)
        undecided = f": not decisive{mean.why and f', {mean.why}'}" if low < bar <= high else ""
        passed, said = high >= bar, f"{mean:z.3f} against {bar:g}{undecided}"
    return Check(system=standing.system, rater=board.rater, name="fail-under", passed=passed, said=said)


def check_against(now: Scores, before: Scores, rater: str, dimension: str) -> list[Check]:
    """
    Check every system against its own scores in another table, over the dialogues that both have.

    One system in each are compared whatever they are called. Raise `SettingsError` if nothing can be compared.
    """
    if rater not in before.raters:
        known = ", ".join(before.judges)
        raise SettingsError(f"--fail-if-worse-than: ratings by {known} found, expected some by {rater}")
    pairs = _same_systems(now, before)
    if not pairs:
        names = ", ".join(repr(name) for name in before.systems[0])
        raise SettingsError(f"--fail-if-worse-than: the systems {names} found, expected one that is graded now")
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
    """Return a system's value of each dialogue, by its id."""
    column = by_dialogue(scores, dimension, rater)[:, scores.systems[0].index(system)]
    ids = dict(zip(scores.clusters.tolist(), (item.dialogue_id for item in scores.items), strict=True))
    return {ids[place]: float(value) for place, value in enumerate(column) if not np.isnan(value)}


def _changed(system: str, rater: str, change: Difference) -> Check:
    if change.mean.value is None:
        passed, said = False, "no dialogue is rated both now and before"
    else:
        passed = not (change.decisive and change.mean.value < 0)
        count = "1 dialogue" if change.dialogues == 1 else f"{change.dialogues:,} dialogues"
        verdict = "worse" if not passed else "better" if change.decisive else "not decisive"
        said = f"{change.mean:+z.3f} over {count}: {verdict}"
    return Check(system=system, rater=rater, name="fail-if-worse-than", passed=passed, said=said)


def failed(checks: Sequence[Check]) -> bool:
    """Tell whether any check failed."""
    return not all(check.passed for check in checks)
