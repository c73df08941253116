"""The alternative annotator test: equal to a plain program of it, on made-up panels and on a real one."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from perm_cli.statistics.replacement import Replacement, alternative_annotator_test
from perm_cli.statistics.resampling import Floats
from tests.conftest import SHARED

EXACT = 1e-9


def made(
    seed: int, items: int = 80, people: int = 4, missing: float = 0.15, noise: float = 0.8
) -> tuple[Floats, Floats]:
    """Return what people and a judge that is like them give, with some missing."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(3, 1, (items, 1))
    scores = np.clip(np.round(truth + generator.normal(0, noise, (items, people + 1))), 1, 5)
    scores[generator.random(scores.shape) < missing] = np.nan
    return scores[:, 1:], scores[:, 0]


def panels() -> Iterator[Any]:
    """Return made-up panels, and the judges of a real one if it is at hand."""
    for seed in range(3):
        yield pytest.param(*made(seed), id=f"made-{seed}")
    humans, judge = made(3)
    yield pytest.param(humans, judge + 0.25, id="never-ties")
    yield pytest.param(humans, judge * 0 + 3, id="says-three-of-all")
    yield pytest.param(humans[:, :3], humans[:, 3], id="one-of-them")
    yield pytest.param(np.where(np.arange(80)[:, None] < [80, 80, 80, 30], humans, np.nan), judge, id="one-rated-few")
    yield from real_panels()


def real_panels() -> Iterator[Any]:
    """Return experts and each judge of theirs, by dimension."""
    panel = SHARED / "data/ratings/expert_panel.csv"
    if not panel.exists():
        reason = "the folder ../shared with real data is not here"
        yield pytest.param(*made(9), id="real", marks=pytest.mark.skip(reason))
        return
    long = pd.read_csv(panel, dtype={"dialogue_id": str})
    for (dataset, dimension), rows in long.groupby(["dataset", "dimension"]):
        table = rows.pivot_table(index="dialogue_id", columns=["rater_kind", "rater"], values="score")
        humans = table["expert"]
        for judge in table["judge"]:
            shared = table["judge"][judge].notna() & humans.notna().any(axis=1)  # in one set two judges name others
            if shared.any():
                yield pytest.param(
                    humans.to_numpy(), table["judge"][judge].to_numpy(), id=f"{dataset}-{dimension}-{judge}"
                )


PANELS = list(panels())


def plain_test(humans: Floats, judge: Floats, epsilon: float) -> tuple[float, float, list[float]]:
    """Do what the paper says, an annotator and an item at a time."""
    advantages, p = [], []
    for left_out in range(humans.shape[1]):
        judge_wins, human_wins = [], []
        for item in range(len(humans)):
            others = [score for at, score in enumerate(humans[item]) if at != left_out and not np.isnan(score)]
            human = humans[item, left_out]
            if np.isnan(human) or np.isnan(judge[item]) or not others:
                continue
            # The negative RMSE orders two scores as the sum of squares does the other way round.
            far_judge = sum((other - judge[item]) ** 2 for other in others)
            far_human = sum((other - human) ** 2 for other in others)
            judge_wins.append(far_judge <= far_human + 1e-9)
            human_wins.append(far_human <= far_judge + 1e-9)
        if len(judge_wins) >= 30:
            differences = np.array(human_wins, float) - np.array(judge_wins, float)
            p.append(stats.ttest_1samp(differences, epsilon, alternative="less").pvalue)
            advantages.append(np.mean(judge_wins))
    rejected, adjusted, *_ = multipletests(p, alpha=0.05, method="fdr_by")
    return float(rejected.mean()), float(np.mean(advantages)), list(adjusted)


@pytest.mark.parametrize("epsilon", [0.2, 0.1])
@pytest.mark.parametrize(("humans", "judge"), PANELS)
def test_the_test_is_that_of_the_paper(humans: Floats, judge: Floats, epsilon: float) -> None:
    """A verdict on whether people may be replaced must not hang on a slip in forty lines."""
    names = [f"person {place}" for place in range(humans.shape[1])]

    found = alternative_annotator_test(names, humans, judge, epsilon)

    winning_rate, advantage, p = plain_test(humans, judge, epsilon)
    assert found.winning_rate == pytest.approx(winning_rate, abs=EXACT)
    assert found.advantage == pytest.approx(advantage, abs=EXACT)
    assert list(found.p) == pytest.approx(p, abs=EXACT)
    assert len(found.annotators) == len(p)


def test_a_judge_closer_to_the_rest_than_each_of_them_beats_all() -> None:
    """The mean of noisy people is what each of them misses."""
    humans, _ = made(1, missing=0, noise=1.2)

    found = alternative_annotator_test("abcd", humans, np.round(humans.mean(axis=1)))

    assert found.winning_rate == 1
    assert found.passed


def test_a_judge_that_says_the_contrary_beats_nobody() -> None:
    """Whatever it costs less."""
    humans, _ = made(1, missing=0)

    found = alternative_annotator_test("abcd", humans, 6 - np.round(humans.mean(axis=1)))

    assert found.winning_rate == 0
    assert not found.passed


def test_a_tie_counts_for_both() -> None:
    """Three people and a judge that all say the same differ in nothing, and that is no more than epsilon."""
    scores = np.tile(np.arange(1.0, 6), 8)

    found = alternative_annotator_test("abc", np.tile(scores[:, None], 3), scores)

    assert (found.winning_rate, found.advantage, list(found.p)) == (1.0, 1.0, [0.0, 0.0, 0.0])


def test_all_equal_but_for_nothing_given_away_is_not_won() -> None:
    """With an epsilon of 0 the judge has to be better, and alike is not."""
    found = alternative_annotator_test("abc", np.full((40, 3), 3.0), np.full(40, 3.0), epsilon=0.0)

    assert (found.winning_rate, list(found.p)) == (0.0, [1.0, 1.0, 1.0])


def test_closeness_is_to_each_of_the_others_and_not_to_their_mean() -> None:
    """Others say 1 and 5: in squares 3 is 4 and 4 away, 2 is 1 and 9, so 3 is closer; to 1 and 1, 2 is."""
    others = np.repeat([[1.0, 5.0], [1.0, 1.0]], [30, 10], axis=0)

    found = alternative_annotator_test("abc", np.column_stack((np.full(40, 2.0), others)), np.full(40, 3.0))

    assert found.annotators == ["a", "b", "c"]
    # Against a the judge has the 30 of 40. Against b, with 2 and 5 beside: b's 1 is 1 and 16 away, the judge 1 and 4;
    # with 2 and 1: 1 and 0 to 1 and 4; so 30. Against c, with 2 and 1: 5 is 9 and 16, the judge 1 and 4; again 30.
    assert found.advantage == pytest.approx(0.75, abs=EXACT)


@pytest.mark.parametrize(
    ("humans", "judge", "why"),
    [
        pytest.param(np.empty((50, 0)), np.ones(50), "0 annotators", id="no-annotators"),
        pytest.param(np.ones((50, 1)), np.ones(50), "0 annotators", id="one-annotator"),
        pytest.param(np.ones((50, 2)), np.ones(50), "2 annotators", id="two-identical"),
        pytest.param(np.ones((1, 3)), np.ones(1), "0 annotators", id="one-item"),
        pytest.param(np.ones((29, 3)), np.ones(29), "0 annotators", id="one-item-short"),
        pytest.param(np.ones((50, 3)), np.full(50, np.nan), "0 annotators", id="judge-missing"),
        pytest.param(np.full((50, 3), np.nan), np.ones(50), "0 annotators", id="people-missing"),
        pytest.param(np.empty((0, 3)), np.empty(0), "0 annotators", id="no-items"),
    ],
)
def test_too_small_a_panel_gets_no_verdict(humans: Floats, judge: Floats, why: str) -> None:
    """Neither passed nor failed is a third thing, and says how much was missing."""
    found = alternative_annotator_test([str(place) for place in range(humans.shape[1])], humans, judge)

    expected = f"{why} with 30 or more items found, expected at least 3"
    assert found == Replacement(winning_rate=None, advantage=None, why=expected)
    assert not found.passed
