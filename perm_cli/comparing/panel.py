"""
Several judges fused into one.

Each dimension's score is their mean, median or weighted mean, and the reward is made of those as of one judge's.
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
    Hold how reliable a panel is on one dimension.

    `single` is the agreement of one judge with another, ICC(A,1), `reliability` that of the mean of all with the
    mean of as many others, ICC(A,k). `without` is the latter with a judge left out, by judge: a judge adds something
    if it is lower.
    """

    name: str
    single: Statistic
    reliability: Statistic
    without: Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Hold a panel: its judges, how much each counts, and how reliable it is."""

    name: str
    how: PanelName
    weights: Mapping[str, float]
    dimensions: Sequence[PanelDimension]


def convene(scores: Scores, how: PanelName, recipe: Recipe, resamples: Resamples) -> tuple[Panel, Scores]:
    """Return a panel of all judges in a table, and the table with the panel as one more rater."""
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
        made = fused.keys() >= formula.dimensions.keys()  # a file may hold rewards, and not what they are made of
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


def _weights(scores: Scores, how: PanelName) -> Floats:
    """Return the weights, which sum to 1: by how a judge's scores go with the mean of the others' on the dimensions."""
    judges = scores.judges
    if how != "weighted":
        return np.full(len(judges), 1 / len(judges))
    names = [name for name in scores.tables if name != REWARD] or [REWARD]
    rho = np.array(
        [
            np.nan_to_num([_with_the_rest(scores.of(name, judges), place) for name in names])
            for place in range(len(judges))
        ]
    )
    found: Floats = np.maximum(rho.mean(axis=1), 0.0)
    return found / found.sum() if found.sum() > 0 else np.full(len(judges), 1 / len(judges))


def _with_the_rest(table: Floats, place: int) -> float:
    rest = _fused(np.delete(table, place, axis=1), "mean", np.ones(table.shape[1] - 1))
    return spearman(np.stack((table[:, place], rest), axis=1))


def _fused(table: Floats, how: PanelName, weights: Floats) -> Floats:
    """Fuse the judges' scores of each item; where one is missing there is none, for fewer judges are another panel."""
    whole = ~np.isnan(table).any(axis=1)
    fused: Floats = np.full(len(table), np.nan)
    fused[whole] = np.median(table[whole], axis=1) if how == "median" else table[whole] @ (weights / weights.sum())
    return fused


def _formula(scores: Scores, recipe: Recipe) -> Formula:
    if len(scores.packs) > 1:
        names = " and ".join(pack.name for pack in scores.packs)
        raise SettingsError(f"--panel: runs with the rubrics {names} found, expected one pack of rubrics")
    return formula_of(scores.packs[0], recipe)


def _rewards(fused: Mapping[str, Floats], formula: Formula) -> Floats:
    """Return the rewards of fused scores, without a length term, whose tokens a table of scores does not know."""
    rewards = np.full(len(next(iter(fused.values()))), np.nan)
    for row in range(len(rewards)):
        scores = {}
        for name, dimension in formula.dimensions.items():
            low, high = dimension.bounds
            # A dimension that is left out adds nothing, whether its score is there or not.
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
