"""The trial that every judge stands at the start of a run: one that never gives a verdict is not paid to the end."""

from collections import Counter

from perm_cli.errors import JudgeUnusable
from perm_cli.ratings.rating import GROWTH, Rating, RatingRules
from perm_cli.text import one_line

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

    def look(self, rating: Rating) -> None:
        """
        Take a rating into account; raise `JudgeUnusable` if it is one too many without a verdict.

        The trial goes on after a reply that cannot be read and after a request that was refused without a reason.
        What a filter has refused and what failed for now says nothing of the judge.
        """
        self.passed = self.passed or rating.status == "scored"
        self.goes_on = not self.passed and (is_rejected(rating) or is_unreadable(rating))
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


def lacks_chances(rating: Rating, rules: RatingRules) -> bool:
    """Tell whether expectations were asked for of a judge that gives no probabilities, with one sample to go by."""
    return (
        rules.expected and not rules.seeded and rating.status == "scored" and not (rating.items or rating.distribution)
    )


def no_chances(rating: Rating) -> JudgeUnusable:
    """Return what stops a run whose judge gives no probabilities, before it costs more."""
    return JudgeUnusable(
        f"{rating.judge} gives no log-probabilities, so --score expected has nothing to go by; "
        "use --score mean --samples 5"
    )


def is_rejected(rating: Rating) -> bool:
    """Tell whether the judge refused the request without saying what about it."""
    return (rating.error or {}).get("kind") == "rejected"


def is_unreadable(rating: Rating) -> bool:
    """Tell whether a reply came that holds no verdict; a refusal is one if the judge wrote it itself."""
    empty = (rating.error or {}).get("kind") in _EMPTY
    return empty or rating.status in _UNREADABLE or (rating.status == "refused" and rating.raw != "")
