"""What ratings came to and what they cost, added up one by one."""

from collections import Counter
from dataclasses import dataclass, field

from perm_cli.ratings.ledger import Outcome
from perm_cli.ratings.rating import Rating


@dataclass(slots=True, kw_only=True)
class Spending:
    """Statuses, tokens and cost of ratings, summed; `cost_usd` is None where no price is known."""

    statuses: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    cost_usd: float | None = 0.0

    def add(self, rating: Rating | Outcome) -> None:
        """Add a rating."""
        self.statuses[rating.status] += 1
        if rating.reused:  # another run paid for it
            return
        self.tokens["in"] += rating.tokens_in
        self.tokens["out"] += rating.tokens_out
        self.tokens["cached"] += rating.cached_tokens
        self.tokens["calls"] += rating.attempts
        if rating.cost_usd is None:
            if rating.tokens_in or rating.tokens_out:  # a call that never got an answer was not billed
                self.cost_usd = None
        elif self.cost_usd is not None:
            self.cost_usd += rating.cost_usd

    @property
    def rated(self) -> int:
        """Return the number of ratings, those included that were asked for and not made."""
        return sum(self.statuses.values())

    def said(self, expected: int = 0) -> str:
        """Return how many of the ratings have a score, and what became of the others."""
        asked, scored = max(expected, self.rated), self.statuses["scored"]
        others = ", ".join(f"{count:,} {name}" for name, count in sorted(self.statuses.items()) if name != "scored")
        return f"{scored:,} of {asked:,} ratings scored ({scored / asked if asked else 0:.1%})" + f"; {others}" * bool(
            others
        )
