"""
Several judges fused into one.

Each dimension's score is their mean, median or weighted mean, and the reward is made of those as of one judge's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from perm_cli.comparing.from_runs import REWARD
from perm_cli.comparing.table import Scores
from perm_cli.rewards.reward import BOUNDS, Recipe, bystander_term, empathy_of
from perm_cli.statistics.agreement import intraclass, intraclass_with_intervals, spearman
from perm_cli.statistics.resampling import Floats, Resamples, Statistic
from perm_cli.words import EMPATHY, PanelName

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
        made = all(name in fused for name in BOUNDS)  # a file may hold rewards, and not what they are made of
        fused[REWARD] = (
            _rewards(fused, recipe) if made else _fused(scores.of(REWARD, judges), how, np.ones(len(judges)))
        )
    tables = {dimension: np.column_stack((table, fused[dimension])) for dimension, table in scores.tables.items()}
    panel = Panel(
        name=name,
        how=how,
        weights=weights,
        dimensions=[_dimension(scores, dimension, resamples) for dimension in scores.tables],
    )
    return panel, Scores(items=scores.items, raters=[*scores.raters, name], tables=tables, people=scores.people)


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


def _rewards(fused: Mapping[str, Floats], recipe: Recipe) -> Floats:
    """Return the rewards of fused scores, without a length term, whose tokens a table of scores does not know."""
    names = (*EMPATHY, "bystander")
    low, high = np.array([BOUNDS[name] for name in names]).T
    columns = np.clip(np.stack([fused[name] for name in names], axis=1), low, high)
    if not recipe.bystander_coef:  # it is left out, and whether it is missing too
        columns[:, 3] = high[3]
    weights = [recipe.weights[name] for name in EMPATHY]
    return np.array(
        [
            np.nan
            if np.isnan(row).any()
            else empathy_of(row[:3].tolist(), recipe.fusion, weights) + bystander_term(row[3], recipe.bystander_coef)
            for row in columns
        ]
    )


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
