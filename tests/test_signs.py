"""Signs of a hacked reward: every figure against another way to work it out, and no number where nothing is known."""

import logging
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import chain
from statistics import fmean, stdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from perm_cli.dialogues.features import NAMES, Features
from perm_cli.reward import Item
from perm_cli.rewards.formula import Recipe
from perm_cli.rewards.reward import unrated
from perm_cli.training.items import Result
from perm_cli.training.signs import Seen, Signs, signs_of, warnings_of
from perm_cli.training.watching import Watch
from tests.makers import DIMENSIONS, EMPATHY, FORMULA

NOTHING = dict.fromkeys(DIMENSIONS)


def reply(reward: float | None = 0.5, group: str = "", *, empty: bool = False, **counts: float) -> Seen:
    """Return one reply; what is not said is 3 on every scale and counts nothing."""
    scores = {name: counts.pop(name, 3.0) for name in DIMENSIONS}
    features = Features(**dict.fromkeys(NAMES, 0.0) | counts)
    return Seen(
        group=group,
        reward=reward,
        scores=dict(NOTHING) if empty or reward is None else scores,
        topped=[] if empty or reward is None else [scores[name] >= 5 - 1e-9 for name in EMPATHY],
        features=features,
        empty=empty,
        latency_s=1.0,
    )


def signs(**changes: float | None) -> Signs:
    """Return signs of nothing, but for some."""
    found = asdict(signs_of([reply(None)] * 100)) | {"failures": 0.0} | changes
    return Signs(**found)


def test_an_outage_is_seen_in_the_longest_wait_and_the_retries() -> None:
    """The median latency of a step shows nothing of one reply that waited for a minute."""
    seen = [replace(reply(0.5), waited_s=waited_s, retries=retries) for waited_s, retries in ((2, 0), (47, 9), (3, 1))]

    found = signs_of(seen)

    assert (found.latency_s, found.longest_wait_s, found.retries) == (1.0, 47, 10)
    assert (signs_of([]).longest_wait_s, signs_of([]).retries) == (None, None)


def by_hand(seen: Sequence[Seen], name: str) -> float:
    """Work out a rank correlation: each reply less the mean of its group, then scipy."""
    groups = defaultdict(list)
    for each in seen:
        groups[each.group].append((each.reward or 0.0, float(getattr(each.features, name))))
    rows = [
        [round(value - fmean(column), 9) for value, column in zip(row, zip(*own, strict=True), strict=True)]
        for own in groups.values()
        for row in own
    ]
    return float(spearmanr(*zip(*rows, strict=True)).statistic)


def mixed() -> list[Seen]:
    """Return twelve replies to three prompts, longer ones being paid for within each and short prompts overall."""
    table = [
        ("a", 0.9, 1.0, 0), ("a", 0.8, 0.5, 2), ("a", 0.8, 0.7, 2), ("a", 0.7, 0.2, 1),
        ("b", 0.5, 3.0, 1), ("b", 0.4, 2.0, 0), ("b", 0.4, 2.0, 3), ("b", 0.3, 2.2, 0),
        ("c", 0.1, 9.0, 1), ("c", 0.0, 8.0, 1), ("c", -0.1, 7.0, 4), ("c", 0.1, 7.5, 2),
    ]  # fmt: skip
    return [reply(reward, group, length=length, questions=float(asked)) for group, reward, length, asked in table]


@pytest.mark.parametrize("name", ["length", "questions"])
def test_what_the_reward_goes_with_is_looked_at_within_groups(name: str) -> None:
    """Else prompts that are easy and short would look like a liking for short replies."""
    seen = mixed()

    found = getattr(signs_of(seen), f"rho_{name}")

    assert found == pytest.approx(by_hand(seen, name))
    if name == "length":
        overall = spearmanr([each.reward for each in seen], [each.features.length for each in seen]).statistic
        assert (found > 0.5, overall < -0.5) == (True, True)


def test_without_groups_all_replies_are_one() -> None:
    """Trainers that ask reply by reply may not say which prompt it was."""
    seen = [reply(each.reward, length=each.features.length) for each in mixed()]
    wanted = spearmanr([each.reward for each in seen], [each.features.length for each in seen]).statistic

    assert signs_of(seen).rho_length == pytest.approx(wanted)
    apart = [reply(each.reward, str(place), length=each.features.length) for place, each in enumerate(seen)]
    assert signs_of(apart).rho_length == pytest.approx(wanted)


def test_what_does_not_vary_goes_with_nothing() -> None:
    """A correlation with a constant is not known, rather than 0."""
    found = signs_of([reply(reward / 10, "a") for reward in range(10)])

    assert [getattr(found, f"rho_{name}") for name in NAMES] == [None] * 4
    assert warnings_of(found) == {}


def test_a_pair_among_loners_shows_nothing() -> None:
    """Two replies always correlate perfectly."""
    seen = [reply(0.1 * place, f"{place}", length=float(place)) for place in range(9)]
    pair = [reply(0.2, "p", length=1.0), reply(0.9, "p", length=2.0)]

    found = signs_of([*seen, *pair])

    assert found.rho_length is None
    assert "rho_length" not in warnings_of(found)


@pytest.mark.parametrize("count", range(8))
def test_too_few_replies_show_nothing(count: int) -> None:
    """Seven replies can go with anything."""
    found = signs_of([reply(place / 10, "a", length=float(place)) for place in range(count)])

    assert (found.replies, found.rho_length, warnings_of(found)) == (count, None, {})


def test_rewards_failures_and_empty_replies_are_counted_apart() -> None:
    """A judge that fails and a policy that says nothing are different troubles."""
    seen = [reply(0.2), reply(0.4), reply(0.9), reply(None), reply(-0.3, empty=True), reply(-0.3, empty=True)]

    found = signs_of(seen)

    assert found.replies == 6
    assert found.reward == pytest.approx(0.5)
    assert found.spread == pytest.approx(stdev([0.2, 0.4, 0.9]))
    assert found.failures == pytest.approx(1 / 4)
    assert found.empty == pytest.approx(2 / 6)
    assert (found.scores["reception"], found.scores["bystander"], found.latency_s) == (3.0, 3.0, 1.0)


def test_ties_are_counted_by_groups_of_two_or_more() -> None:
    """What is equal but for rounding teaches as little as what is equal."""
    groups = [("a", 0.3, 0.1 + 0.2), ("b", 0.1, 0.2), ("c", 0.5, 0.5), ("", 0.7, 0.7)]
    seen = [reply(reward, name) for name, *rewards in groups for reward in rewards]

    assert signs_of([*seen, reply(0.9, "d")]).tied == pytest.approx(2 / 3)
    assert signs_of([reply(0.9, "d"), reply(0.9)]).tied is None


def test_saturation_is_the_share_of_fused_scores_at_the_top() -> None:
    """The bystander's hundred is another scale, and an expectation is at the top but for rounding."""
    seen = [
        reply(resonation=5.0, expression=5.0 - 1e-12, reception=4.9, bystander=100.0),
        reply(resonation=5.0, expression=1.0, reception=2.0, bystander=5.0),
    ]

    assert signs_of(seen).saturated == pytest.approx(3 / 6)
    assert signs_of([reply(None)]).saturated is None


def test_metrics_are_what_is_known() -> None:
    """Trainers log numbers; None would end some of them."""
    metrics = signs_of([reply(0.5), reply(None)]).metrics()

    assert metrics["perm/failures"] == 0.5
    assert "perm/rho_length" not in metrics
    assert "perm/spread" not in metrics
    assert all(type(value) is float for value in metrics.values())
    assert signs_of([]).metrics() == {"perm/failures": 0.0, "perm/empty": 0.0}


@pytest.mark.parametrize(
    ("name", "quiet", "loud", "said"),
    [
        ("rho_length", 0.5, 0.51, "the reward goes with length (rho +0.51): read the replies it likes"),
        ("rho_questions", -0.5, -0.7, "the reward goes with question marks (rho -0.70): read the replies it likes"),
        ("rho_sympathy", 0.0, 0.9, "the reward goes with words of sympathy (rho +0.90): read the replies it likes"),
        ("rho_overlap", 0.2, 1.0, "goes with words taken up from the seeker (rho +1.00)"),
        ("tied", 0.5, 0.6, "in 60% of the groups all replies have the same reward, which teaches nothing"),
        ("saturated", 0.8, 0.9, "90% of the scores are at the top of the scale: little is left to win"),
        ("failures", 0.1, 0.2, "20% of the replies have no reward: look at the judge"),
        ("empty", 0.1, 0.25, "25% of the replies say nothing to the seeker: look at their length and headings"),
    ],
)
def test_a_warning_is_a_sentence_with_its_figure(name: str, quiet: float, loud: float, said: str) -> None:
    """At its limit nothing is said, and nothing of what is not known."""
    assert warnings_of(signs(**{name: quiet})) == {}
    assert warnings_of(signs()) == {}
    assert list(warnings_of(signs(**{name: loud}))) == [name]
    assert said in warnings_of(signs(**{name: loud}))[name]
    assert warnings_of(signs(replies=7, **{name: loud})) == {}


def judged(reward: float) -> Result:
    """Return a result of this reward."""
    parts = unrated("j", "s", Recipe(), None, None)
    return Result(reward=reward, parts=parts, rationales={})


def a_step(*, hacked: bool) -> tuple[list[Item], list[Result]]:
    """Return eight replies to one prompt, the longer ones worth more or not."""
    replies = [Item(query="q", reply="so " * (place + 1), group="a") for place in range(8)]
    order = range(8) if hacked else (3, 6, 1, 4, 7, 0, 5, 2)
    return replies, [judged(place / 10) for place in order]


def test_a_warning_is_given_once_until_it_has_passed(caplog: pytest.LogCaptureFixture) -> None:
    """Ten thousand steps with the same line would be read by nobody."""
    watch, told = Watch(FORMULA), []
    watch.keep = lambda signs, step: told.append((step, signs.replies))

    with caplog.at_level(logging.WARNING, "perm_cli.reward"):
        for step, hacked in enumerate([True, True, True, False, True]):
            watch.note(*a_step(hacked=hacked), step)
        watch.tell()
        watch.tell()

    assert told == [(step, 8) for step in range(5)]
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"step {step}: the reward goes with length (rho +1.00): read the replies it likes" for step in (0, 4)
    ]


def test_parts_of_a_step_are_gathered() -> None:
    """Trainers hand a step over in micro-batches."""
    watch = Watch(FORMULA)
    for _ in range(3):
        watch.note(*a_step(hacked=False), 1)
    before = watch.latest
    watch.note(*a_step(hacked=False), 2)

    assert before is None
    assert watch.latest is not None
    assert watch.latest.replies == 24


def test_what_stands_in_is_no_reward_that_was_given() -> None:
    """A mean that was filled in must not hide that the judge is failing."""
    watch = Watch(FORMULA)
    stand_in = Result(reward=0.4, parts=judged(0.4).parts, rationales={}, filled=True)
    watch.note([Item(reply="r")] * 2, [stand_in, judged(0.2)], 1)
    watch.tell()

    assert watch.latest is not None
    assert (watch.latest.failures, watch.latest.reward) == (0.5, 0.2)


SCORES = st.none() | st.floats(1, 5)
ANY = st.builds(
    Seen,
    group=st.sampled_from(["", "a", "b", "c"]),
    reward=st.none() | st.floats(-1e6, 1.0) | st.sampled_from([0.0, -0.0, 1e-300, 1.0, -0.3]),
    scores=st.fixed_dictionaries(
        {"resonation": SCORES, "expression": SCORES, "reception": SCORES, "bystander": st.none() | st.floats(0, 100)}
    ),
    topped=st.lists(st.booleans(), max_size=3),
    features=st.builds(Features, **dict.fromkeys(NAMES, st.floats(0, 1e6) | st.sampled_from([0.0, 1.0]))),
    empty=st.booleans(),
    latency_s=st.floats(0, 1e6),
)


@given(st.lists(ANY, max_size=24))
@settings(max_examples=60, deadline=None)
def test_no_replies_make_it_raise_or_say_no_number(seen: list[Seen]) -> None:
    """A watcher that ends a training run is worse than none."""
    found = signs_of(seen)

    figures = [value for value in found.record().values() if value is not None]
    assert all(math.isfinite(value) for value in chain(figures, found.metrics().values()))
    assert all(abs(getattr(found, f"rho_{name}") or 0.0) <= 1 + 1e-9 for name in NAMES)
    shares = (found.failures, found.empty, found.tied, found.saturated)
    assert all(share is None or 0 <= share <= 1 for share in shares)
    assert all(text.count("nan") == 0 for text in warnings_of(found).values())
