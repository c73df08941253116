"""Counts of ratings by status, and what they cost."""

from collections import Counter
from dataclasses import dataclass, field

from perm_cli.ratings.ledger import Outcome
from perm_cli.ratings.rating import Rating


@dataclass(slots=True, kw_only=True)
class Spending:
    """Sums over ratings: statuses, tokens and cost; `cost_usd` is None if the price of any is unknown."""

    statuses: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    cost_usd: float | None = 0.0

    def add(self, rating: Rating | Outcome) -> None:
        """Add a rating to the sums."""
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
        """Return the number of ratings, including those asked for and not made."""
        return sum(self.statuses.values())

    def sentence(self, expected: int = 0) -> str:
        """Return a sentence on how many of the ratings are scored, and on the status of the others."""
        asked, scored = max(expected, self.rated), self.statuses["scored"]
        others = ", ".join(f"{count:,} {name}" for name, count in sorted(self.statuses.items()) if name != "scored")
        return f"{scored:,} of {asked:,} ratings scored ({scored / asked if asked else 0:.1%})" + f"; {others}" * bool(
            others
        )
