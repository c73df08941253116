"""Bars: missed only where the interval says so, in both directions and at every edge."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from perm_cli.comparing.checks import check_against, check_threshold, failed
from perm_cli.comparing.systems import leaderboard
from perm_cli.comparing.table import Given, Rated, Scores, table_of
from perm_cli.errors import SettingsError


def made(system: str, values: Sequence[float], rater: str = "j", prefix: str = "d") -> Scores:
    """Return one value a dialogue."""
    given = (Given(Rated(f"{prefix}{n}", system, 2), "reward", rater, value) for n, value in enumerate(values))
    return table_of(given)


NOISE = np.random.default_rng(4).normal(0, 0.1, 40)
EVEN = NOISE - NOISE.mean()


@pytest.mark.parametrize(
    ("values", "bar", "passed", "said"),
    [
        pytest.param(0.7 + EVEN, 0.5, True, "against 0.5", id="over"),
        pytest.param(0.7 + EVEN, 0.71, True, "against 0.71: not decisive", id="under-by-less-than-noise"),
        pytest.param(0.7 + EVEN, 0.69, True, "against 0.69: not decisive", id="over-by-less-than-noise"),
        pytest.param(0.7 + EVEN, 0.9, False, "against 0.9", id="decisively-under"),
        pytest.param([0.5] * 5, 0.5, True, "0.500 (0.500 … 0.500) against 0.5", id="on-the-bar"),
        pytest.param([0.5] * 5, 0.6, False, "0.500 (0.500 … 0.500) against 0.6", id="all-equal-and-under"),
        pytest.param(
            [0.1], 0.9, True, "0.100 against 0.9: not decisive, an interval needs more than one dialogue", id="one"
        ),
        pytest.param([0.1, math.nan], 0.9, True, "0.100 against 0.9: not decisive", id="one-of-two"),
        pytest.param([math.nan] * 3, -1.0, False, "no reward: no dialogue has a score", id="nothing-given"),
    ],
)
def test_a_bar_is_missed_only_decisively(values: Sequence[float], bar: float, passed: bool, said: str) -> None:
    """Noise fails nobody; what has no score has passed nothing."""
    (check,) = check_threshold(leaderboard(made("s", values), "j", ["reward"]), bar)

    assert (check.passed, check.system, check.rater, check.name) == (passed, "s", "j", "fail-under")
    assert said in check.said
    assert failed([check]) is not passed


@pytest.mark.parametrize(
    ("change", "passed", "verdict"),
    [
        pytest.param(-0.2 + EVEN, False, "worse", id="decisively-worse"),
        pytest.param(-0.01 + EVEN, True, "not decisive", id="worse-by-less-than-noise"),
        pytest.param(np.zeros(40), True, "not decisive", id="the-same"),
        pytest.param(0.2 + EVEN, True, "better", id="better"),
    ],
)
def test_a_system_is_worse_only_decisively(change: Sequence[float], passed: bool, verdict: str) -> None:
    """Whatever it is called now and was called before, if there is one of each."""
    before = np.linspace(0, 1, 40)

    (check,) = check_against(made("new", before + change), made("old", before), "j", "reward")

    assert (check.passed, check.system, check.name) == (passed, "new", "fail-if-worse-than")
    assert check.said.endswith(f"over 40 dialogues: {verdict}")


def test_pairs_tell_what_means_would_not() -> None:
    """A small loss on every dialogue is decisive, however far apart the dialogues are."""
    before = np.linspace(-100, 100, 40)

    (check,) = check_against(made("s", before - 0.1 + EVEN), made("s", before), "j", "reward")

    assert not check.passed
    assert check.said.startswith("-0.100 (")


def test_only_dialogues_that_both_have_are_compared() -> None:
    """One that is rated on one side alone says nothing of a change."""
    now = made("s", [0.5, 0.6, math.nan, 100.0])

    (check,) = check_against(now, made("s", [0.5, 0.6, 0.7]), "j", "reward")

    assert check.said.endswith("over 2 dialogues: not decisive")


def test_systems_are_matched_by_name_where_there_are_several() -> None:
    """One that is there now or before only is not compared."""

    def of(systems: str) -> Scores:
        return table_of(Given(Rated(f"d{n}", s), "reward", "j", n + ord(s)) for n in range(4) for s in systems)

    assert [check.system for check in check_against(of("abc"), of("bcd"), "j", "reward")] == ["b", "c"]
    with pytest.raises(SettingsError, match="systems 'x', 'y' found, expected one that is graded now"):
        check_against(of("abc"), of("xy"), "j", "reward")


def test_nothing_in_common_is_no_pass() -> None:
    """A file of other dialogues must not wave a system through."""
    (check,) = check_against(made("s", [1.0]), made("s", [1.0], prefix="e"), "j", "reward")

    assert (check.passed, check.said) == (False, "no dialogue has a score both now and before")


def test_one_dialogue_in_common_is_never_decisive() -> None:
    """It has no spread."""
    (check,) = check_against(made("s", [0.0]), made("s", [1.0]), "j", "reward")

    assert (check.passed, check.said) == (True, "-1.000 over 1 dialogue: not decisive")


def test_another_judge_is_no_comparison() -> None:
    """Judges differ in level by more than systems do."""
    with pytest.raises(SettingsError, match="ratings by k found, expected ratings by j"):
        check_against(made("s", [1.0]), made("s", [1.0], rater="k"), "j", "reward")


def test_no_checks_have_not_failed() -> None:
    """Who sets no bar misses none."""
    assert not failed([])
