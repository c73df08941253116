"""What a run may cost: a limit in US dollars, tokens or calls, which is never passed."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from perm_cli.errors import NotAsked, SettingsError
from perm_cli.text import one_line

_AMOUNT = re.compile(r"\$?(\d+(?:\.\d+)?)([kKmM]?)[\s-]*(usd|dollars?|tokens?|calls?)?", re.IGNORECASE)
_MOST = 1e12
_AHEAD = 0.02  # of the limit, which a kill may cost and which few writes go through
_TIMES = {"": 1.0, "k": 1e3, "m": 1e6}


class BudgetReached(NotAsked):
    """One call more could exceed the limit, and none is in flight that may turn out cheap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What calls use, in all three units."""

    calls: float = 0.0
    tokens: float = 0.0
    usd: float = 0.0


class Budget:
    """
    A limit, against what is spent and what calls in flight may come to at worst.

    `unit` is a field of `Use`. Calls whose bill nobody saw, since the connection was lost, time ran out or the judge
    names no usage, count with their worst case. `keep` is told ahead how much may be spent until it is told again:
    what it has kept is then never less than what a process that is killed has spent.
    """

    def __init__(
        self, limit: float, unit: str, spent: Use | None = None, keep: Callable[[float], None] | None = None
    ) -> None:
        self.limit = limit
        self.unit = unit
        self.spent = self._of(spent or Use())
        self.reserved = 0.0
        self._keep = keep
        self._kept = 0.0

    def fits(self, worst: Use) -> bool:
        """Return whether a call may begin."""
        return self.spent + self.reserved + self._of(worst) <= self.limit

    def reserve(self, worst: Use) -> None:
        """Set aside what a call may come to."""
        self.reserved += self._of(worst)
        in_use = self.spent + self.reserved
        if self._keep and in_use > self._kept:
            self._kept = min(in_use + self.limit * _AHEAD, max(self.limit, in_use))
            self._keep(self._kept)

    def settle(self, worst: Use, actual: Use) -> None:
        """Put what it did come to in its place."""
        self.reserved -= self._of(worst)
        self.spent += self._of(actual)

    def _of(self, use: Use) -> float:
        return float(getattr(use, self.unit))

    def __str__(self) -> str:
        return f"{self.limit:,.10g} {'USD' if self.unit == 'usd' else self.unit}"


def read_budget(text: str) -> tuple[float, str]:
    """Read `5usd`, `$5`, `2M-tokens` or `1000calls` into a limit and its unit; raise `SettingsError`."""
    found = _AMOUNT.fullmatch(text.strip())
    dollars = text.strip().startswith("$")
    named = found and (found[3] or "usd" * dollars)
    if not found or not named or (dollars and named[0] not in "uUdD") or float(found[1]) > _MOST:
        raise SettingsError(
            f"--budget: {one_line(text, 40)!r} found, expected an amount such as 5usd, 2M-tokens or 1000calls"
        )
    name = named.lower()
    unit = "tokens" if name.startswith("token") else "calls" if name.startswith("call") else "usd"
    return float(found[1]) * _TIMES[found[2].lower()], unit
