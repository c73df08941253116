"""
The trial that every judge stands at the start of a run: one that never gives a verdict is not paid to the end.

The first call goes alone, so that a wrong key or an unknown model costs one call and not a thousand, and so do those
after it as long as the judge has not shown that it can judge.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from itertools import chain
from typing import TypeVar

from perm_cli.errors import JudgeUnusable
from perm_cli.ratings.rating import GROWTH, Call, Rating, RatingRules
from perm_cli.text import one_line

T = TypeVar("T")

UNREADABLE_MOST = 8
_QUOTED = 120
_UNREADABLE = frozenset({"unparseable", "truncated", "out_of_range"})
_EMPTY = frozenset({"malformed", "too_large"})


class Trial:
    """
    What a judge has shown so far; it has `passed` with its first verdict.

    While the trial `goes_on`, calls are made one by one, each about another dialogue: the last may be at fault.
    """

    def __init__(self, rules: RatingRules, *, passed: bool) -> None:
        self.passed = passed
        self.goes_on = not passed
        self._rules = rules
        self._unreadable: Counter[str] = Counter()
        self._chances_seen = False
        self._passed_over: list[Call] = []

    def alone(self, calls: Iterator[Call]) -> Iterator[Call]:
        """
        Yield the calls to make one by one: the first, and one of each dialogue after it while the trial goes on.

        What is yielded, or passed over, is gone from `calls`; `left` returns what is still to be made.
        """
        tried: int | None = None
        for call in calls:
            if call.rank == tried:
                self._passed_over.append(call)
                continue
            tried = call.rank
            self.goes_on = False  # unless the rating of this call shows that it must
            yield call
            if not self.goes_on:
                return

    def left(self, calls: Iterator[Call]) -> Iterator[Call]:
        """Return the calls that were passed over, and those after them."""
        return chain(self._passed_over, calls)

    def look(self, rating: Rating) -> None:
        """
        Take a rating into account; raise `JudgeUnusable` if it shows that others would be paid for in vain.

        That is so after too many without a verdict, and after one without the probabilities that were asked for.

        The trial goes on after a reply that cannot be read and after a request that was refused without a reason.
        What a filter has refused and what failed for now says nothing of the judge.
        """
        self.passed = self.passed or rating.status == "scored"
        self.goes_on = not self.passed and (is_rejected(rating) or is_unreadable(rating))
        self._chances_seen = self._chances_seen or rating.distribution is not None
        if not self._chances_seen:
            check_chances(rating, self._rules)
        if self.passed or not is_unreadable(rating):
            return
        self._unreadable[rating.status] += 1
        if self._unreadable.total() == UNREADABLE_MOST:  # calls in flight come in later
            raise JudgeUnusable(self._said(rating))

    def _said(self, rating: Rating) -> str:
        count = self._unreadable.total()
        if self._unreadable["truncated"] == count:
            room = self._rules.max_tokens * GROWTH
            return (
                f"{rating.judge}: {count} replies and no verdict, cut off at up to {room:,} tokens ({rating.note}); "
                'raise --max-tokens or let it think less, as with params = { reasoning_effort = "low" } in perm.toml'
            )
        quoted = f"{one_line(rating.raw, _QUOTED)!r}" if rating.raw.strip() else rating.note
        said = (rating.error or {}).get("message") or quoted
        return (
            f"{rating.judge}: {count} replies and no verdict that can be read, the last: {said}; "
            f"try --structured text or another judge; perm judges check {rating.judge} shows what it can do"
        )


class First:
    """Lets the first of many calls that are about to be made at once go alone, and the others once it has come back."""

    def __init__(self) -> None:
        self.is_made = False
        self._alone = asyncio.Lock()

    async def made(self, make: Callable[[], Awaitable[T]]) -> T:
        """Return what `make` makes; whoever comes while the first is made waits for that, and goes next if it fails."""
        if not self.is_made:
            async with self._alone:
                if not self.is_made:
                    first = await make()
                    self.is_made = True
                    return first
        return await make()

    def again(self) -> None:
        """Send the next call alone: something may be wrong with all of them."""
        self.is_made = False


def check_chances(rating: Rating, rules: RatingRules) -> None:
    """Raise `JudgeUnusable` if expectations were asked for, with one sample to go by, of a judge without chances."""
    wanted = rules.expected and not rules.seeded
    if wanted and rating.status == "scored" and not (rating.items or rating.distribution):
        raise JudgeUnusable(
            f"{rating.judge} gives no log-probabilities, so --score expected has nothing to go by; "
            "use --score mean --samples 5"
        )


def is_rejected(rating: Rating) -> bool:
    """Return whether the judge refused the request without saying what about it."""
    return (rating.error or {}).get("kind") == "rejected"


def is_unreadable(rating: Rating) -> bool:
    """Return whether a reply came that holds no verdict; a refusal is one if the judge wrote it itself."""
    empty = (rating.error or {}).get("kind") in _EMPTY
    return empty or rating.status in _UNREADABLE or (rating.status == "refused" and rating.raw != "")
