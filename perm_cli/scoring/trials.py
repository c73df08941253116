"""
The trial of a judge at the start of a run, which ends the run early if the judge never gives a verdict.

The first call is made alone, so that a wrong key or an unknown model costs one call and not a thousand. Further calls
are made one by one until the judge has given a verdict.
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

UNREADABLE_MOST = 8  # replies without a verdict after which the judge is given up
_QUOTED = 120
_UNREADABLE = frozenset({"unparseable", "truncated", "out_of_range"})
_EMPTY = frozenset({"malformed", "too_large"})


class Trial:
    """
    The trial of one judge; it has `passed` with its first verdict.

    While the trial `goes_on`, calls are made one by one, each about another dialogue, since a dialogue may be at fault.
    """

    def __init__(self, rules: RatingRules, *, passed: bool) -> None:
        self.passed = passed
        self.goes_on = not passed
        self._rules = rules
        self._unreadable: Counter[str] = Counter()
        self._chances_seen = False
        self._passed_over: list[Call] = []

    def one_by_one(self, calls: Iterator[Call]) -> Iterator[Call]:
        """
        Yield the calls to make one by one: the first call, then one per dialogue while the trial goes on.

        Calls that are yielded or passed over are consumed from `calls`; `remaining` returns those still to be made.
        """
        tried: int | None = None
        for call in calls:
            if call.rank == tried:
                self._passed_over.append(call)
                continue
            tried = call.rank
            self.goes_on = False  # unless `observe` finds that it must
            yield call
            if not self.goes_on:
                return

    def remaining(self, calls: Iterator[Call]) -> Iterator[Call]:
        """Return the calls that were passed over, followed by `calls`."""
        return chain(self._passed_over, calls)

    def observe(self, rating: Rating) -> None:
        """
        Update the trial with a rating; raise `JudgeUnusable` if paying for more would be pointless.

        That is the case after too many replies without a verdict, and after one without the probabilities that were
        asked for. The trial goes on after an unreadable reply and after a request refused without a reason. Refusals by
        a content filter and transient failures say nothing about the judge.
        """
        self.passed = self.passed or rating.status == "scored"
        self.goes_on = not self.passed and (is_rejected(rating) or is_unreadable(rating))
        self._chances_seen = self._chances_seen or rating.distribution is not None
        if not self._chances_seen:
            check_chances(rating, self._rules)
        if self.passed or not is_unreadable(rating):
            return
        self._unreadable[rating.status] += 1
        if (
            self._unreadable.total() == UNREADABLE_MOST
        ):  # equal, not more: ratings of calls in flight arrive after it was raised
            raise JudgeUnusable(self._reason(rating))

    def _reason(self, rating: Rating) -> str:
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


class FirstAlone:
    """A gate for concurrent calls: the first one is made alone, the others when it has returned."""

    def __init__(self) -> None:
        self.is_made = False
        self._alone = asyncio.Lock()

    async def made(self, make: Callable[[], Awaitable[T]]) -> T:
        """Return what `make` returns; callers wait while the first call is made, and the next is first if it fails."""
        if not self.is_made:
            async with self._alone:
                if not self.is_made:
                    first = await make()
                    self.is_made = True
                    return first
        return await make()

    def again(self) -> None:
        """Make the next call alone again, because all of them may be failing."""
        self.is_made = False


def check_chances(rating: Rating, rules: RatingRules) -> None:
    """Raise `JudgeUnusable` if expectations were asked for and a scored rating of one sample has no probabilities."""
    wanted = rules.expected and not rules.seeded
    if wanted and rating.status == "scored" and not (rating.items or rating.distribution):
        raise JudgeUnusable(
            f"{rating.judge} gives no log-probabilities, which --score expected needs; use --score mean --samples 5"
        )


def is_rejected(rating: Rating) -> bool:
    """Return whether the endpoint refused the request without a reason that could be acted on."""
    return (rating.error or {}).get("kind") == "rejected"


def is_unreadable(rating: Rating) -> bool:
    """Return whether there is a reply without a verdict, including a refusal written by the judge itself."""
    empty = (rating.error or {}).get("kind") in _EMPTY
    return empty or rating.status in _UNREADABLE or (rating.status == "refused" and rating.raw != "")
