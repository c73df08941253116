"""
Panels: several judges fused into one.

The panel's score on a dimension is the mean, median or weighted mean of the judges' scores, and its reward is fused
from these scores with the same formula as a single judge's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from perm_cli.comparing.from_runs import REWARD
from perm_cli.comparing.table import Scores
from perm_cli.errors import SettingsError
from perm_cli.rewards.formula import Formula, Recipe, formula_of
from perm_cli.statistics.agreement import intraclass, intraclass_with_intervals, spearman
from perm_cli.statistics.resampling import Floats, Resamples, Statistic
from perm_cli.words import PanelName

LEAST_JUDGES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelDimension:
    """
    The reliability of a panel on one dimension.

    `single` is ICC(A,1), the agreement of one judge with another; `reliability` is ICC(A,k), the agreement of the mean
    of k judges with the mean of k others. `without` is ICC(A,k-1) without each judge in turn: a judge adds to the panel
    if it is lower than `reliability`. It is empty for two judges.
    """

    name: str
    single: Statistic
    reliability: Statistic
    without: Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel: how its judges are fused, the weight of each (they sum to 1), and its reliability by dimension."""

    name: str
    how: PanelName
    weights: Mapping[str, float]
    dimensions: Sequence[PanelDimension]


def panel_of(scores: Scores, how: PanelName, recipe: Recipe, resamples: Resamples) -> tuple[Panel, Scores]:
    """
    Return the panel of all judges in a table, and the table with the panel as one more rater.

    Raise `SettingsError` if rewards of several packs of rubrics would have to be fused.
    """
    judges = scores.judges
    weights = dict(zip(judges, _weights(scores, how).tolist(), strict=True))
    name = f"panel ({how} of {len(judges)})"
    fused = {
        dimension: _fused(scores.of(dimension, judges), how, np.array(list(weights.values())))
        for dimension in scores.tables
        if dimension != REWARD
    }
    if REWARD in scores.tables:
        formula = _formula(scores, recipe)
        made = fused.keys() >= formula.dimensions.keys()  # a CSV file may have rewards without the scores
        fused[REWARD] = (
            _rewards(fused, formula) if made else _fused(scores.of(REWARD, judges), how, np.ones(len(judges)))
        )
    tables = {dimension: np.column_stack((table, fused[dimension])) for dimension, table in scores.tables.items()}
    panel = Panel(
        name=name,
        how=how,
        weights=weights,
        dimensions=[_dimension(scores, dimension, resamples) for dimension in scores.tables],
    )
    return panel, replace(scores, raters=[*scores.raters, name], tables=tables)


def with_panel_of(scores: Scores, seated: Scores, how: PanelName, recipe: Recipe) -> Scores:
    """Return a table with a panel of those judges in it that are `seated` as one more rater."""
    panel, fused = panel_of(seated, how, recipe, Resamples(scores.clusters))
    tables = {name: np.hstack((table, fused.of(name, [panel.name]))) for name, table in scores.tables.items()}
    return replace(scores, raters=[*scores.raters, panel.name], tables=tables)


def _weights(scores: Scores, how: PanelName) -> Floats:
    """Return the judges' weights, which sum to 1: by mean rho with the mean of the other judges, at least 0."""
    judges = scores.judges
    if how != "weighted":
        return np.full(len(judges), 1 / len(judges))
    # The reward is made of the dimensions: it would count them twice.
    names = [name for name in scores.tables if name != REWARD] or [REWARD]
    rho = np.array(
        [
            np.nan_to_num([_rho_with_others(scores.of(name, judges), place) for name in names])
            for place in range(len(judges))
        ]
    )
    found: Floats = np.maximum(rho.mean(axis=1), 0.0)
    return found / found.sum() if found.sum() > 0 else np.full(len(judges), 1 / len(judges))


def _rho_with_others(table: Floats, place: int) -> float:
    rest = _fused(np.delete(table, place, axis=1), "mean", np.ones(table.shape[1] - 1))
    return spearman(np.stack((table[:, place], rest), axis=1))


def _fused(table: Floats, how: PanelName, weights: Floats) -> Floats:
    """Return the fused score of each item, NaN where any judge's is missing: fewer judges are another panel."""
    whole = ~np.isnan(table).any(axis=1)
    fused: Floats = np.full(len(table), np.nan)
    fused[whole] = np.median(table[whole], axis=1) if how == "median" else table[whole] @ (weights / weights.sum())
    return fused


def _formula(scores: Scores, recipe: Recipe) -> Formula:
    if len(scores.packs) > 1:
        names = " and ".join(pack.name for pack in scores.packs)
        raise SettingsError(f"--panel: the runs use different rubrics ({names}); choose runs with the same rubrics")
    return formula_of(scores.packs[0], recipe)


def _rewards(fused: Mapping[str, Floats], formula: Formula) -> Floats:
    """Return the rewards of fused scores, without the length term: a table of scores has no token counts."""
    rewards = np.full(len(next(iter(fused.values()))), np.nan)
    for row in range(len(rewards)):
        scores = {}
        for name, dimension in formula.dimensions.items():
            low, high = dimension.bounds
            # Clipped, because calibration or rounding may leave a score just beyond its scale. A dimension that the
            # formula does not need may be missing without making the reward NaN.
            scores[name] = min(max(fused[name][row], low), high) if name in formula.needed else high
        if not any(map(np.isnan, scores.values())):
            rewards[row] = formula.total(scores)
    return rewards


def _dimension(scores: Scores, name: str, resamples: Resamples) -> PanelDimension:
    judges = scores.judges
    table = scores.of(name, judges)
    single, _, reliability = intraclass_with_intervals(table, resamples)
    without = {}
    for place, judge in enumerate(judges):
        if len(judges) > LEAST_JUDGES:
            value = intraclass(np.delete(table, place, axis=1))[2]
            without[judge] = None if np.isnan(value) else value
    return PanelDimension(name=name, single=single, reliability=reliability, without=without)
