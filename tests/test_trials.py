"""The trial of a judge: which calls go alone, and what ends it."""

import asyncio

import pytest

from perm_cli.errors import JudgeUnusable
from perm_cli.ratings.rating import RatingRules
from perm_cli.scoring.trials import UNREADABLE_MOST, FirstAlone, Trial
from tests.makers import rating

RULES = RatingRules(settings="x", judge="j", max_tokens=16)


async def test_all_wait_for_the_first_and_then_go_at_once() -> None:
    """A wrong key costs one call and not a thousand."""
    first, going, most = FirstAlone(), 0, []

    async def make() -> None:
        nonlocal going
        going += 1
        most.append(going)
        for _ in range(9):  # turns of the loop, in which the others would begin
            await asyncio.sleep(0)
        going -= 1

    await asyncio.gather(*(first.made(make) for _ in range(4)))

    assert most == [1, 1, 2, 3]


async def test_while_the_first_fails_the_next_goes_alone() -> None:
    """Whoever waited is not let loose on a judge that has answered nobody."""
    first, going, most = FirstAlone(), 0, 0

    async def fail() -> None:
        nonlocal going, most
        going += 1
        most = max(most, going)
        for _ in range(9):
            await asyncio.sleep(0)
        going -= 1
        raise JudgeUnusable("a wrong key")

    ends = await asyncio.gather(*(first.made(fail) for _ in range(3)), return_exceptions=True)

    assert most == 1
    assert all(isinstance(each, JudgeUnusable) for each in ends)


def test_a_judge_without_a_verdict_is_not_paid_to_the_end() -> None:
    """Some replies may be odd; so many are no accident."""
    trial = Trial(RULES, passed=False)
    garbled = rating(status="unparseable", score=None, raw="Certainly!")
    for _ in range(UNREADABLE_MOST - 1):
        trial.observe(garbled)

    with pytest.raises(JudgeUnusable, match="8 replies and no verdict that can be read, the last: 'Certainly!'"):
        trial.observe(garbled)


@pytest.mark.parametrize("seen", [False, True])
def test_a_score_without_the_chances_asked_for_ends_the_trial_unless_there_were_some(seen: bool) -> None:
    """An endpoint that leaves them out once may give them otherwise; one that never gives any is of no use."""
    trial = Trial(RatingRules(settings="x", judge="j", max_tokens=16, expected=True), passed=True)
    if seen:
        trial.observe(rating(distribution={"3": 1.0, "missing": 0.0}))
        trial.observe(rating())
        return

    with pytest.raises(JudgeUnusable, match="j gives no log-probabilities"):
        trial.observe(rating())
