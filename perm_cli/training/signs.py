"""
Signs of reward hacking: what the reward correlates with, whether it still separates replies, and how often it fails.

A policy that is rewarded for longer replies, questions or words of sympathy learns to write them. A reward that ties
within a group, or sits at the top of its scale, gives no training signal. All signs are computed without a second
judge.
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

_LEAST = 8  # replies; with fewer, a correlation is chance
_CORRELATED = 0.5  # |rho|
_TIED = 0.5  # share of groups
_SATURATED = 0.8  # share of scores
_FAILING = 0.1  # share of replies
_EMPTY = 0.1  # share of replies
_SAME = 1e-9  # rewards of the same scores, fused in floating point, differ by less
_NOT_SIGNS = frozenset({"step", "at", "worker"})  # the other fields of a line of signs.jsonl


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """
    One reply as the signs see it: its reward as judged, its scores, and its counted features.

    `reward` is None where the judge failed, whatever stands in for it. `at_top` has, for each fused score, whether it
    is at the top of its scale. `waited_s` is how long the trainer waited for it, `retries` the calls made again.
    """

    group: str
    reward: float | None
    scores: Mapping[str, float | None]
    at_top: Sequence[bool]
    features: Features
    empty: bool
    latency_s: float
    waited_s: float = 0.0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """
    The signs over a number of replies, usually those of one step; None where a sign is undefined.

    `reward` and `spread` are the mean and the standard deviation of the rewards, `scores` the mean score per dimension.
    `rho_…` is Spearman's rho of the reward with a counted feature, within groups where there are any. `tied` is the
    share of groups, of two replies or more, in which all rewards are equal; `saturated` the share of fused scores at
    the top of their scale; `failures` the share of non-empty replies without a reward; `empty` the share of replies
    that say nothing to the seeker. `latency_s` is the median over replies of the slowest rating. `longest_wait_s`, the
    longest wait of the trainer, and `retries`, the calls made again, show an outage of the judge.
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
        """Return the signs as one flat object, with one key per dimension."""
        line: dict[str, float | None] = {}
        for name in self.__dataclass_fields__:
            line |= self.scores if name == "scores" else {name: getattr(self, name)}
        return line

    def metrics(self) -> dict[str, float]:
        """Return the defined signs as metrics for a trainer's log, by name."""
        known = {name: value for name, value in self.record().items() if value is not None and name != "replies"}
        return {f"perm/{name}": float(value) for name, value in known.items()}


def read_signs(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Signs` from what `record` wrote in any release; every other number is a score."""
    names = Signs.__dataclass_fields__
    scores = {
        name: value
        for name, value in line.items()
        if name not in names and name not in _NOT_SIGNS and (value is None or isinstance(value, int | float))
    }
    return {name: line[name] for name in names if name in line} | {"scores": scores}


def signs_of(observations: Sequence[Observation]) -> Signs:
    """Return the signs over some replies."""
    # Empty replies have the lowest reward by rule: among the others they would pass for a correlation with length.
    judged = [each for each in observations if not each.empty]
    given = [each for each in judged if each.reward is not None]
    rewards = np.array([each.reward for each in given], dtype=float)
    groups = [each.group for each in given]
    names = list(dict.fromkeys(name for each in judged for name in each.scores))
    latencies = [each.latency_s for each in judged]
    return Signs(
        replies=len(observations),
        reward=mean_of(rewards.tolist()),
        spread=float(rewards.std(ddof=1)) if len(rewards) > 1 else None,
        scores={name: mean_of(_on(name, judged)) for name in names},
        **_correlations(rewards, np.array([as_row(each.features) for each in given]), groups),
        tied=_tied(rewards, groups),
        saturated=mean_of([at_top for each in judged for at_top in each.at_top]),
        failures=1 - len(given) / len(judged) if judged else 0.0,
        empty=1 - len(judged) / len(observations) if observations else 0.0,
        latency_s=float(np.median(latencies)) if latencies else None,
        longest_wait_s=max((each.waited_s for each in observations), default=None),
        retries=sum(each.retries for each in observations) if observations else None,
    )


def _on(dimension: str, judged: Sequence[Observation]) -> list[float]:
    return [score for each in judged if (score := each.scores.get(dimension)) is not None]


def warnings_of(signs: Signs) -> dict[str, str]:
    """Return a warning in one sentence for each sign beyond its threshold, by the name of the sign."""
    if signs.replies < _LEAST:
        return {}
    said = {}
    for name in NAMES:
        rho = getattr(signs, f"rho_{name}")
        if rho is not None and abs(rho) > _CORRELATED:
            said[f"rho_{name}"] = (
                f"the reward correlates with {DESCRIPTIONS[name]} (rho {rho:+.2f}); read the replies it scores highest"
            )
    if signs.tied is not None and signs.tied > _TIED:
        said["tied"] = f"in {signs.tied:.0%} of the groups all replies have the same reward: no training signal"
    if signs.saturated is not None and signs.saturated > _SATURATED:
        said["saturated"] = f"{signs.saturated:.0%} of the scores are at the top of the scale: little left to learn"
    if signs.failures > _FAILING:
        said["failures"] = f"{signs.failures:.0%} of the replies have no reward; check the judge"
    if signs.empty > _EMPTY:
        said["empty"] = f"{signs.empty:.0%} of the replies say nothing to the seeker; check their length and headings"
    return said


def _correlations(rewards: Floats, features: Floats, groups: Sequence[str]) -> dict[str, float | None]:
    table = _within(np.column_stack((rewards, features)), groups)
    if len(table) < _LEAST:
        return dict.fromkeys(f"rho_{name}" for name in NAMES)
    return {f"rho_{name}": none_if_nan(spearman(table[:, [0, place]])) for place, name in enumerate(NAMES, 1)}


def _within(table: Floats, groups: Sequence[str]) -> Floats:
    """Return the rows minus the means of their groups, or as they are if no group has two replies."""
    # Prompts differ in how long or sympathetic a good reply is. Only differences between replies to the same prompt are
    # what the policy learns from.
    places = [own for own in _by_group(groups) if len(own) > 1]
    if not places:
        return table
    centred = [table[own] - table[own].mean(axis=0) for own in places]
    return np.vstack(centred).round(9)  # values equal but for rounding error must tie in the ranks


def _tied(rewards: Floats, groups: Sequence[str]) -> float | None:
    own = [rewards[places] for places in _by_group(groups) if len(places) > 1]
    return mean_of([float(np.ptp(each) < _SAME) for each in own])


def _by_group(groups: Sequence[str]) -> list[list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        if group:
            places[group].append(place)
    return list(places.values())
