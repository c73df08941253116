"""What stands in for a reward that is missing, as far as a trainer needs something to: it is counted, never hidden."""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from perm_cli.errors import RewardMissing
from perm_cli.training.items import Result
from perm_cli.words import OnMissing

_log = logging.getLogger("perm_cli.reward")
_REMEMBERED = 1000


class Memory:
    """Hold the latest rewards that were given, for trainers that ask one by one."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=_REMEMBERED)

    def note(self, results: Sequence[Result]) -> None:
        """Take note of rewards."""
        self._latest.extend(each.reward for each in results if each.reward is not None and not each.empty)

    def mean(self) -> float | None:
        """Return their mean, None if there are none."""
        latest = tuple(self._latest)  # others may add to it meanwhile
        return fmean(latest) if latest else None


def filled(results: Sequence[Result], groups: Sequence[str], policy: OnMissing, memory: Memory) -> list[Result]:
    """
    Return the results with missing rewards dealt with.

    `none` leaves them to the trainer, `floor` takes the lowest that the scores at hand allow, `mean` that of the group,
    of the last thousand rewards where the group has none, or the lowest at the very start; `raise` raises
    `RewardMissing`.
    """
    memory.note(results)
    missing = [place for place, each in enumerate(results) if each.reward is None]
    if not missing:
        return list(results)
    why = _why([results[place] for place in missing])
    if policy == "raise":
        raise RewardMissing(f"{why}; no reward was made up, as on_missing is raise")
    done = list(results)
    for place in missing if policy != "none" else ():
        mean = _mean(results, groups, place, memory) if policy == "mean" else None
        stand_in = results[place].parts.reward_low if mean is None else mean
        done[place] = replace(results[place], reward=stand_in, filled=True)
    taken = {"none": "left to the trainer", "floor": "the lowest possible stands in", "mean": "a mean stands in"}
    _log.warning("%s; %s", why, taken[policy])
    return done


def _mean(results: Sequence[Result], groups: Sequence[str], place: int, memory: Memory) -> float | None:
    own = [
        each.reward
        for each, group in zip(results, groups, strict=True)
        if group and group == groups[place] and each.reward is not None and not each.empty
    ]
    return fmean(own) if own else memory.mean()


def _why(missing: Sequence[Result]) -> str:
    first = missing[0]
    reasons = ", ".join(f"{name} {status}" for name, status in first.parts.missing.items())
    if causes := list(dict.fromkeys(first.causes.values())):
        reasons += f": {'; '.join(causes)}"
    return f"{len(missing)} {'reply has' if len(missing) == 1 else 'replies have'} no reward (the first: {reasons})"
