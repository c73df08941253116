"""
What a kind of judge is: a `Route`, which says how its judges are reached and what is known of them.

Each kind has a module of its own, which ends with its route; `routes` lists them.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from perm_cli.judges.batch_api import BatchApi
from perm_cli.judges.budget import Budget
from perm_cli.judges.dialects import Dialect
from perm_cli.judges.judge import Judge
from perm_cli.judges.settings import JudgeSettings, Price

FREE = Price(input=0.0, output=0.0)


class OpenJudge(Judge, Protocol):
    """A judge that is ready to be asked; `dialect` is how its endpoint takes requests, as far as that is known."""

    @property
    def dialect(self) -> Dialect:
        """Return the dialect."""

    def effective(self) -> dict[str, Any]:
        """Return how it was in the end asked, for the record of the run."""

    def stop(self, reason: Exception) -> None:
        """Begin no further call: calls that wait raise `reason`, calls in flight are finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """
    What a judge is opened with beside its settings: limits, price and patience, with all defaults filled in.

    With `lasting`, the judge outlives its endpoint's outages and tells of them, where any other is given up.
    """

    concurrency: int
    timeout_s: float
    price: Price | None
    budget: Budget | None = None
    lasting: Callable[[str], None] | None = None


def _nothing(_: JudgeSettings) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """
    A kind of judge; what is not said holds for a judge that computes on this machine and needs nothing.

    - `takes`: whether a judge is of this kind; `opened` opens one for the time of a `with` block.
    - `is_known`: whether the model of a judge that it takes is known to exist; `providers` are the names before a
      slash that it reaches.
    - `missing`: what the judge lacks before it can be called, each with its cure; `where` it is asked.
    - `identity`: what a rating depends on besides its prompt; `caveat`: what its verdicts are known not to be worth;
      `is_control`: whether it is here for other judges to be compared with, and has no seat on a panel.
    - `gives_logprobs`: whether it may give log-probabilities; `price`: its price where the settings have none.
    - `concurrency` and `timeout_s`: the defaults; `by_dimension`: whether it is best asked all questions of one
      dimension before those of the next; `spreads`: whether Ray may open it on many machines.
    - `pinned`: the judge with the address and the key's variable that are found here, for a machine whose environment
      says something else; `variables`: those that it reads.
    - `served_as`: the model's name at its endpoint; `exports`: whether its requests may be made by a batch at all;
      `batch_url` and `batch_api`: its provider's batch API, `None` where none is known.
    """

    takes: Callable[[JudgeSettings], bool]
    opened: Callable[[JudgeSettings, Terms], AbstractAsyncContextManager[OpenJudge]]
    is_known: Callable[[JudgeSettings], bool] = lambda _: True
    providers: Callable[[], frozenset[str]] = frozenset
    missing: Callable[[JudgeSettings], list[str]] = lambda _: []
    where: Callable[[JudgeSettings], str] = lambda _: "on this machine"
    identity: Callable[[JudgeSettings], dict[str, Any]] = JudgeSettings.identity
    caveat: Callable[[JudgeSettings], str | None] = _nothing
    is_control: bool = False
    gives_logprobs: Callable[[JudgeSettings], bool] = lambda _: False
    price: Callable[[JudgeSettings], Price | None] = lambda _: FREE
    concurrency: int = 32
    timeout_s: float = 120.0
    by_dimension: bool = False
    spreads: bool = True
    pinned: Callable[[JudgeSettings], JudgeSettings] = lambda judge: judge
    variables: Callable[[JudgeSettings], frozenset[str]] = lambda _: frozenset()
    served_as: Callable[[JudgeSettings], str] = lambda judge: judge.model
    exports: bool = False
    batch_url: Callable[[JudgeSettings], str | None] = _nothing
    batch_api: Callable[[JudgeSettings], BatchApi | None] = _nothing
