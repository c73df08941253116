"""
Signs of a hacked reward: what it goes with, whether it still tells replies apart, and how often there is none.

A policy that finds out that longer replies, questions or words of sympathy are paid for will give them; a reward that
ties within a group, or sits at the top of its scale, teaches nothing. All of it is counted without a second judge.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perm_cli.dialogues.features import DESCRIPTIONS, NAMES, Features, as_row
from perm_cli.statistics.agreement import spearman
from perm_cli.statistics.means import mean_of, none_if_nan
from perm_cli.statistics.resampling import Floats

_LEAST = 8  # replies that show anything
_LED = 0.5
_TIED = 0.5
_SATURATED = 0.8
_FAILING = 0.1
_EMPTY = 0.1
_SAME = 1e-9
_BESIDE = frozenset({"step", "at", "worker"})  # what stands in a line besides the signs


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """
    What is looked at in one reply: its reward as judged, its scores, and what can be counted in it.

    `topped` says of each score that is fused whether it is at the top of its scale.
    """

    group: str
    reward: float | None
    scores: Mapping[str, float | None]
    topped: Sequence[bool]
    features: Features
    empty: bool
    latency_s: float
    waited_s: float = 0.0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """
    What a number of replies show; None where it cannot be known.

    `scores` has the mean score on each dimension. `rho_…` is the rank correlation of the reward with what can be
    counted, within groups where there are any. Of the
    groups of two replies or more, `tied` is the share in which all have the same reward; `saturated` is the share of
    fused scores at the top of their scale, `failures` that of replies without a reward, `empty` that of replies that
    say nothing to the seeker. `latency_s` is the median of their slowest ratings, `longest_wait_s` the longest that the
    trainer stood still for rewards, `retries` the calls that had to be made again: those two tell of an outage.
    """

    replies: int
    reward: float | None
    spread: float | None
    scores: Mapping[str, float | None]
    rho_length: float | None
    rho_questions: float | None
    rho_sympathy: float | None
    rho_overlap: float | None
    tied: float | None
    saturated: float | None
    failures: float
    empty: float
    latency_s: float | None
    longest_wait_s: float | None = None
    retries: int | None = None

    def record(self) -> dict[str, float | None]:
        """Return all of it as one line, with a column per dimension."""
        line: dict[str, float | None] = {}
        for name in self.__dataclass_fields__:
            line |= self.scores if name == "scores" else {name: getattr(self, name)}
        return line

    def metrics(self) -> dict[str, float]:
        """Return what is known as a trainer logs it, by name."""
        known = {name: value for name, value in self.record().items() if value is not None and name != "replies"}
        return {f"perm/{name}": float(value) for name, value in known.items()}


def read_signs(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Signs` in what `record` wrote; any other number is a score, in whatever release."""
    names = Signs.__dataclass_fields__
    scores = {
        name: value
        for name, value in line.items()
        if name not in names and name not in _BESIDE and (value is None or isinstance(value, int | float))
    }
    return {name: line[name] for name in names if name in line} | {"scores": scores}


def signs_of(seen: Sequence[Seen]) -> Signs:
    """Return what some replies show."""
    judged = [each for each in seen if not each.empty]
    given = [each for each in judged if each.reward is not None]
    rewards = np.array([each.reward for each in given], dtype=float)
    groups = [each.group for each in given]
    names = list(dict.fromkeys(name for each in judged for name in each.scores))
    latencies = [each.latency_s for each in judged]
    return Signs(
        replies=len(seen),
        reward=mean_of(rewards.tolist()),
        spread=float(rewards.std(ddof=1)) if len(rewards) > 1 else None,
        scores={name: mean_of(_on(name, judged)) for name in names},
        **_led_by(rewards, np.array([as_row(each.features) for each in given]), groups),
        tied=_tied(rewards, groups),
        saturated=mean_of([topped for each in judged for topped in each.topped]),
        failures=1 - len(given) / len(judged) if judged else 0.0,
        empty=1 - len(judged) / len(seen) if seen else 0.0,
        latency_s=float(np.median(latencies)) if latencies else None,
        longest_wait_s=max((each.waited_s for each in seen), default=None),
        retries=sum(each.retries for each in seen) if seen else None,
    )


def _on(dimension: str, judged: Sequence[Seen]) -> list[float]:
    return [score for each in judged if (score := each.scores.get(dimension)) is not None]


def warnings_of(signs: Signs) -> dict[str, str]:
    """Return in a sentence each what should worry whoever trains, by the sign that shows it."""
    if signs.replies < _LEAST:
        return {}
    said = {}
    for name in NAMES:
        rho = getattr(signs, f"rho_{name}")
        if rho is not None and abs(rho) > _LED:
            said[f"rho_{name}"] = f"the reward goes with {DESCRIPTIONS[name]} (rho {rho:+.2f}): read the replies it likes"
    if signs.tied is not None and signs.tied > _TIED:
        said["tied"] = f"in {signs.tied:.0%} of the groups all replies have the same reward, which teaches nothing"
    if signs.saturated is not None and signs.saturated > _SATURATED:
        said["saturated"] = f"{signs.saturated:.0%} of the scores are at the top of the scale: little is left to win"
    if signs.failures > _FAILING:
        said["failures"] = f"{signs.failures:.0%} of the replies have no reward: look at the judge"
    if signs.empty > _EMPTY:
        said["empty"] = f"{signs.empty:.0%} of the replies say nothing to the seeker: look at their length and headings"
    return said


def _led_by(rewards: Floats, features: Floats, groups: Sequence[str]) -> dict[str, float | None]:
    table = _within(np.column_stack((rewards, features)), groups)
    if len(table) < _LEAST:
        return dict.fromkeys(f"rho_{name}" for name in NAMES)
    return {f"rho_{name}": none_if_nan(spearman(table[:, [0, place]])) for place, name in enumerate(NAMES, 1)}


def _within(table: Floats, groups: Sequence[str]) -> Floats:
    """Take the means of the groups out, unless no group has two replies."""
    places = [own for own in _by_group(groups) if len(own) > 1]
    if not places:
        return table
    centred = [table[own] - table[own].mean(axis=0) for own in places]
    return np.vstack(centred).round(9)  # what is equal but for rounding is a tie


def _tied(rewards: Floats, groups: Sequence[str]) -> float | None:
    own = [rewards[places] for places in _by_group(groups) if len(places) > 1]
    return mean_of([float(np.ptp(each) < _SAME) for each in own])


def _by_group(groups: Sequence[str]) -> list[list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        if group:
            places[group].append(place)
    return list(places.values())
