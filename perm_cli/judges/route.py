"""
The definition of a kind of judge: a `Route` says how its judges are opened and what is known about them.

Each kind has its own module, which ends with its `ROUTE`; `routes` lists them.
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
    """A judge that is ready to be asked; `dialect` is the form of requests that its endpoint accepts, if known."""

    @property
    def dialect(self) -> Dialect:
        """Return the dialect."""

    def effective(self) -> dict[str, Any]:
        """Return how it was finally asked, for the record of the run."""

    def stop(self, reason: Exception) -> None:
        """Begin no further call: calls that wait raise `reason`, calls in flight are finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """
    What a judge is opened with besides its settings: limits and price, with all defaults filled in.

    With `on_outage`, the judge waits out outages of its endpoint and reports each to that function; without it, the
    judge is given up.
    """

    concurrency: int
    timeout_s: float
    price: Price | None
    budget: Budget | None = None
    on_outage: Callable[[str], None] | None = None


def _nothing(_: JudgeSettings) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """
    A kind of judge; the defaults suit a judge that runs on this machine and needs nothing.

    - `takes`: whether a judge is of this kind; `opened`: opens one for the duration of a `with` block.
    - `is_known`: whether the judge's model is known to exist; `providers`: the prefixes before a slash that it serves.
    - `missing`: what the judge lacks before it can be called, each with its remedy; `where`: its address, for messages.
    - `identity`: what a rating depends on besides its prompt; `caveat`: a known limit of its verdicts;
      `is_control`: whether it only serves as a baseline for other judges, and so is never on a panel.
    - `gives_logprobs`: whether it may give log-probabilities; `price`: its price if the settings have none.
    - `concurrency` and `timeout_s`: the defaults; `by_dimension`: whether it is faster to ask all questions of one
      dimension before those of the next; `spreads`: whether Ray may open it on several machines.
    - `pinned`: the judge with the address and key variable resolved here, for machines with another environment;
      `variables`: the environment variables that it reads.
    - `served_as`: the model's name at its endpoint; `exports`: whether its requests can be sent in batches;
      `batch_url` and `batch_api`: its provider's batch API, None if none is known.
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
