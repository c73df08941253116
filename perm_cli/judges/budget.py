"""The budget of a run: a limit in US dollars, tokens or calls that is never exceeded."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from perm_cli.errors import NotAsked, SettingsError
from perm_cli.text import one_line

_AMOUNT = re.compile(r"\$?(\d+(?:\.\d+)?)([kKmM]?)[\s-]*(usd|dollars?|tokens?|calls?)?", re.IGNORECASE)
_MOST = 1e12
_AHEAD = 0.02  # share of the limit recorded ahead: what a killed run may lose, in return for few writes
_FACTORS = {"": 1.0, "k": 1e3, "m": 1e6}


class BudgetReached(NotAsked):
    """A call that could exceed the limit, while no call in flight could still turn out cheaper than reserved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What calls use, in each of the three units."""

    calls: float = 0.0
    tokens: float = 0.0
    usd: float = 0.0


class Budget:
    """
    A limit on what is spent, plus the worst case of the calls in flight.

    `unit` is a field of `Usage`. A call whose cost is unknown, because the connection was lost, it timed out or the
    judge reports no usage, counts with its worst case. `keep` records an upper bound of what will be spent until it is
    called again, so the record of a killed process is never less than what it spent.
    """

    def __init__(
        self, limit: float, unit: str, spent: Usage | None = None, keep: Callable[[float], None] | None = None
    ) -> None:
        self.limit = limit
        self.unit = unit
        self.spent = self._of(spent or Usage())
        self.reserved = 0.0
        self._keep = keep
        self._kept = 0.0

    def fits(self, worst: Usage) -> bool:
        """Return whether a call with this worst case may begin."""
        return self.spent + self.reserved + self._of(worst) <= self.limit

    def reserve(self, worst: Usage) -> None:
        """Reserve the worst case of a call."""
        self.reserved += self._of(worst)
        in_use = self.spent + self.reserved
        if self._keep and in_use > self._kept:
            self._kept = min(in_use + self.limit * _AHEAD, max(self.limit, in_use))
            self._keep(self._kept)

    def settle(self, worst: Usage, actual: Usage) -> None:
        """Replace the reservation of a call by its actual usage."""
        self.reserved -= self._of(worst)
        self.spent += self._of(actual)

    def _of(self, use: Usage) -> float:
        return float(getattr(use, self.unit))

    def __str__(self) -> str:
        return f"{self.limit:,.10g} {'USD' if self.unit == 'usd' else self.unit}"


def read_budget(text: str) -> tuple[float, str]:
    """Return limit and unit of `5usd`, `$5`, `2M-tokens` or `1000calls`; raise `SettingsError` for anything else."""
    found = _AMOUNT.fullmatch(text.strip())
    dollars = text.strip().startswith("$")
    named = found and (found[3] or "usd" * dollars)
    if not found or not named or (dollars and named[0] not in "uUdD") or float(found[1]) > _MOST:
        raise SettingsError(
            f"--budget: {one_line(text, 40)!r} found, expected an amount such as 5usd, 2M-tokens or 1000calls"
        )
    name = named.lower()
    unit = "tokens" if name.startswith("token") else "calls" if name.startswith("call") else "usd"
    return float(found[1]) * _FACTORS[found[2].lower()], unit
