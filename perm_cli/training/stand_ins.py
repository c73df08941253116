"""Stand-ins for missing rewards, for trainers that need a number: they are flagged and logged, never hidden."""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from perm_cli.errors import RewardMissing
from perm_cli.training.items import Result
from perm_cli.words import OnMissing

_log = logging.getLogger("perm_cli.reward")
_REMEMBERED = 1000  # rewards


class RecentRewards:
    """The latest rewards given, whose mean stands in where a trainer asks one by one and a reply has no group."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=_REMEMBERED)

    def add(self, results: Sequence[Result]) -> None:
        """Add the rewards of results."""
        # Not those of empty replies: they are the lowest by rule, and would drag down the stand-ins of judged replies.
        self._latest.extend(each.reward for each in results if each.reward is not None and not each.empty)

    def mean(self) -> float | None:
        """Return their mean, None if there are none."""
        latest = tuple(self._latest)  # other threads may append meanwhile
        return fmean(latest) if latest else None


def filled(results: Sequence[Result], groups: Sequence[str], policy: OnMissing, recent: RecentRewards) -> list[Result]:
    """
    Return the results with missing rewards replaced as `policy` says.

    `none` leaves them missing for the trainer to mask; `floor` takes the lowest reward that the known scores allow;
    `mean` takes the mean of the group, or of the last thousand rewards if the group has none, or the floor before any
    reward; `raise` raises `RewardMissing`. `groups` has the group of each result.
    """
    recent.add(results)
    missing = [place for place, each in enumerate(results) if each.reward is None]
    if not missing:
        return list(results)
    why = _why([results[place] for place in missing])
    if policy == "raise":
        raise RewardMissing(f"{why}; on_missing is raise, so no reward stands in")
    done = list(results)
    for place in missing if policy != "none" else ():
        mean = _mean(results, groups, place, recent) if policy == "mean" else None
        stand_in = results[place].parts.reward_low if mean is None else mean
        done[place] = replace(results[place], reward=stand_in, filled=True)
    taken = {
        "none": "left to the trainer",
        "floor": "the lowest possible reward stands in",
        "mean": "a mean stands in",
    }
    _log.warning("%s; %s", why, taken[policy])
    return done


def _mean(results: Sequence[Result], groups: Sequence[str], place: int, recent: RecentRewards) -> float | None:
    own = [
        each.reward
        for each, group in zip(results, groups, strict=True)
        if group and group == groups[place] and each.reward is not None and not each.empty
    ]
    return fmean(own) if own else recent.mean()


def _why(missing: Sequence[Result]) -> str:
    first = missing[0]
    reasons = ", ".join(f"{name} {status}" for name, status in first.parts.missing.items())
    if causes := list(dict.fromkeys(first.causes.values())):
        reasons += f": {'; '.join(causes)}"
    return f"{len(missing)} {'reply has' if len(missing) == 1 else 'replies have'} no reward (the first: {reasons})"
