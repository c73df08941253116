"""What stands in for a reward that is missing: what was asked for, counted and said, and never in what is learned."""

import logging
from itertools import count
from typing import Any

import pytest

from perm_cli.errors import RewardMissing
from perm_cli.integrations.rows import rationale_of
from perm_cli.reward import Item
from perm_cli.rewards.formula import Recipe
from perm_cli.rewards.reward import rewards_of, unrated
from perm_cli.training.items import Result
from perm_cli.training.stand_ins import Memory, filled
from perm_cli.words import OnMissing
from tests.loopback import Answer, loopback, refusal, verdict
from tests.makers import rating
from tests.rewarding import DIMENSIONS, asking, garbled, items

FLOOR = -0.3  # nothing known: 0.2 for three scores of 1, and all of the bystander's 0.5


def worth(reward: float | None, *, empty: bool = False) -> Result:
    """Return a result that came to this."""
    parts = unrated("j", "s", Recipe(), None, None)
    return Result(reward=reward, parts=parts, rationales={}, empty=empty)


def dealt_with(
    results: list[Result], groups: str, policy: OnMissing, memory: Memory | None = None
) -> list[float | None]:
    """Return the rewards; groups are letters, and a blank is none."""
    found = filled(results, [name.strip() for name in groups], policy, memory or Memory())
    assert [each.filled for each in found] == [
        before.reward is None and after.reward is not None for before, after in zip(results, found, strict=True)
    ]
    return [each.reward for each in found]


def test_nothing_missing_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """And nothing is said."""
    results = [worth(0.5), worth(-0.3, empty=True)]

    assert filled(results, ["a", "a"], "raise", Memory()) == results
    assert caplog.records == []


@pytest.mark.parametrize(
    ("policy", "wanted", "said"),
    [
        pytest.param("none", None, "left to the trainer", id="none"),
        pytest.param("floor", FLOOR, "the lowest possible stands in", id="floor"),
        pytest.param("mean", 0.5, "a mean stands in", id="mean"),
    ],
)
def test_each_way_does_and_says_what_it_is(
    policy: OnMissing, wanted: float | None, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning a batch, with how many and why the first."""
    with caplog.at_level(logging.WARNING, "perm_cli.reward"):
        found = dealt_with([worth(0.4), worth(None), worth(0.6)], "aaa", policy)

    assert found == [0.4, pytest.approx(wanted) if wanted is not None else None, 0.6]
    (record,) = caplog.records
    assert record.getMessage() == (
        "1 reply has no reward (the first: resonation not rated, expression not rated, reception not rated, "
        f"bystander not rated); {said}"
    )


def test_raise_raises_with_the_reasons() -> None:
    """For frameworks that try a sample again."""
    with pytest.raises(RewardMissing, match=r"2 replies have no reward \(the first: resonation not rated, .*is raise"):
        filled([worth(0.4), worth(None), worth(None)], ["", "", ""], "raise", Memory())


def test_the_lowest_is_what_the_scores_at_hand_allow() -> None:
    """A reply that is known to be read well cannot be worth the very least."""
    scores = {"expression": 5.0, "reception": 5.0, "bystander": 100.0}
    ratings = [rating(dimension=name, score=score) for name, score in scores.items()]
    (parts,) = rewards_of([*ratings, rating(dimension="resonation", status="refused", score=None)], Recipe())

    (found,) = filled([Result(reward=None, parts=parts, rationales={})], [""], "floor", Memory())

    assert found.reward == pytest.approx(3 / 7)  # 3 / (5/1 + 5/5 + 5/5)


def test_a_mean_is_that_of_the_own_group() -> None:
    """Prompts differ in what can be had for them; a blank is no group."""
    results = [worth(0.1), worth(None), worth(0.3), worth(0.9), worth(None), worth(None)]

    found = dealt_with(results, "aaab  ", "mean")

    all_given = (0.1 + 0.3 + 0.9) / 3
    assert found == [0.1, pytest.approx(0.2), 0.3, 0.9, pytest.approx(all_given), pytest.approx(all_given)]


def test_a_group_without_any_takes_the_latest_and_the_start_the_lowest() -> None:
    """Trainers that ask reply by reply have no group to look at."""
    memory = Memory()

    at_start = dealt_with([worth(None)], "a", "mean", memory)
    dealt_with([worth(0.2), worth(0.6)], "bb", "mean", memory)
    later = dealt_with([worth(None)], "c", "mean", memory)

    assert at_start == [pytest.approx(FLOOR)]
    assert later == [pytest.approx(0.4)]


def test_only_judged_rewards_are_remembered() -> None:
    """Neither what stood in nor what was said to nobody."""
    memory = Memory()

    for _ in range(3):
        dealt_with([worth(0.5), worth(None), worth(FLOOR, empty=True)], "   ", "mean", memory)

    assert memory.mean() == 0.5


def test_the_latest_thousand_count() -> None:
    """What an untrained policy got does not hold a trained one down."""
    memory = Memory()
    memory.note([worth(0.0)] * 5000)
    memory.note([worth(1.0)] * 1000)

    assert memory.mean() == 1.0
    assert Memory().mean() is None


def test_a_missing_bystander_is_no_loss_where_it_does_not_count() -> None:
    """With a coefficient of 0 there is a reward without it."""
    ratings = [rating(dimension=name, score=5.0) for name in ("resonation", "expression", "reception")]
    (parts,) = rewards_of(ratings, Recipe(coefficients={"bystander": 0.0}))

    assert parts.reward == pytest.approx(1.0)


@pytest.mark.parametrize(("policy", "is_filled"), [("none", False), ("floor", True), ("mean", True)])
def test_a_judge_that_mumbles_is_dealt_with_from_end_to_end(policy: OnMissing, *, is_filled: bool) -> None:
    """The scores that there are stay, and so do the reasons."""
    with loopback(garbled) as server, asking(server, on_missing=policy, reask=0) as perm:
        found = perm.score_now([*items(2), Item(query="Hello.", reply="")])

    assert [each.filled for each in found] == [is_filled, is_filled, False]
    for each in found[:2]:
        assert each.parts.reward is None
        assert each.parts.missing == {"resonation": "unparseable"}
        assert each.scores["expression"] is not None
        assert each.reward == (each.parts.reward_low if is_filled else None)


def test_a_judge_that_mumbles_raises_where_that_was_asked_for() -> None:
    """Which dimension and why are in the message."""
    with (
        loopback(garbled) as server,
        asking(server, on_missing="raise", reask=0) as perm,
        pytest.raises(RewardMissing, match=r"1 reply has no reward \(the first: resonation unparseable"),
    ):
        perm.score_now(items(1))


def test_the_cause_of_a_missing_reward_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """That a score failed is seen anyway; what to do about it is in the endpoint's own words."""
    asked = count()

    def answering(body: dict[str, Any]) -> Answer:
        return refusal(500, "out of memory") if next(asked) else verdict(body)

    with loopback(answering) as server, asking(server, patience_s=0.01) as perm:
        (result,) = perm.score_now(items(1))

    assert result.reward is None
    assert len(result.causes) == DIMENSIONS - 1
    assert all("out of memory" in cause for cause in result.causes.values())
    assert caplog.text.count("out of memory") == 1
    assert "out of memory" in rationale_of(result)
