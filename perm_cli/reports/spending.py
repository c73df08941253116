"""What ratings came to and what they cost, added up one by one."""

from collections import Counter
from dataclasses import dataclass, field

from perm_cli.ledger import Outcome
from perm_cli.ratings import Rating


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Add up statuses, tokens and cost of ratings; `cost_usd` is None where no price is known."""

    statuses: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    costs: list[float] = field(default_factory=lambda: [0.0])
    unpriced: Counter[str] = field(default_factory=Counter)

    def add(self, rating: Rating | Outcome) -> None:
        """Take a rating into account."""
        self.statuses[rating.status] += 1
        if rating.reused:  # another run paid for it
            return
        self.tokens["in"] += rating.tokens_in
        self.tokens["out"] += rating.tokens_out
        self.tokens["cached"] += rating.cached_tokens
        self.tokens["calls"] += rating.attempts
        if rating.cost_usd is not None:
            self.costs[0] += rating.cost_usd
        elif rating.tokens_in or rating.tokens_out:  # a call that never got an answer was not billed
            self.unpriced[rating.judge] += rating.attempts

    @property
    def cost_usd(self) -> float | None:
        """Return what was paid, None if any call's price is unknown."""
        return None if sum(self.unpriced.values()) else self.costs[0]

    @property
    def rated(self) -> int:
        """Return the number of ratings."""
        return sum(self.statuses.values())
