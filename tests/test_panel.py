"""Several judges as one: their mean, median or weighted mean, and whether each adds something."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from perm_cli.comparing.from_runs import REWARD
from perm_cli.comparing.panel import convene
from perm_cli.comparing.table import Given, Rated, Scores, table_of
from perm_cli.rewards.formula import Recipe
from perm_cli.statistics.agreement import intraclass
from perm_cli.statistics.resampling import Floats, Resamples
from perm_cli.words import PanelName
from tests.makers import DIMENSIONS, bystander_term, empathy_of

EXACT = 1e-9
JUDGES = ("one", "two", "three")


def made(seed: int = 1, items: int = 50, missing: float = 0.1) -> Scores:
    """Return what three judges say on all dimensions: two that agree, and one that guesses; and their rewards."""
    generator = np.random.default_rng(seed)
    given = []
    for place in range(items):
        item = Rated(f"d{place}", "s", 2)
        truth = generator.normal(3, 1, 4)
        for judge in JUDGES:
            noise = generator.normal(0, 3.0 if judge == "three" else 0.4, 4)
            levels = np.clip(np.round(truth + noise), 1, 5) * [1, 1, 1, 20]
            levels[generator.random(4) < missing] = np.nan
            scores = dict(zip(DIMENSIONS, levels.tolist(), strict=True))
            given += [Given(item, name, judge, score) for name, score in scores.items()]
            given.append(Given(item, REWARD, judge, reward_of(list(scores.values()))))
    return table_of(given)


def reward_of(scores: list[float]) -> float:
    """Return the reward by the formula."""
    return empathy_of(scores[:3], "harmonic") + bystander_term(scores[3], 0.5)


def convened(scores: Scores, how: PanelName, recipe: Recipe | None = None) -> tuple[dict[str, float], Floats, Scores]:
    """Return the weights, what the panel says by dimension, and the whole table."""
    panel, table = convene(scores, how, recipe or Recipe(), Resamples(scores.clusters))
    fused = np.column_stack([table.of(name, [panel.name]) for name in table.tables])
    return dict(panel.weights), fused, table


@pytest.mark.parametrize("how", ["mean", "median"])
def test_fused_scores_are_those_of_pandas(how: PanelName) -> None:
    """Where a judge has no score the panel has none, for fewer judges are another panel."""
    scores = made()
    _, fused, _ = convened(scores, how)

    for place, name in enumerate(DIMENSIONS):
        table = pd.DataFrame(scores.of(name, JUDGES))
        expected = table.agg(how, axis=1).where(table.notna().all(axis=1))
        assert fused[:, place] == pytest.approx(expected.to_numpy(), nan_ok=True, abs=EXACT)


def test_the_reward_is_made_of_the_fused_scores() -> None:
    """As one judge's is made of theirs, and not the mean of rewards."""
    _, fused, table = convened(made(), "mean")

    expected = [math.nan if np.isnan(row[:4]).any() else reward_of(row[:4].tolist()) for row in fused]
    assert list(table.tables)[-1] == REWARD
    assert fused[:, 4] == pytest.approx(expected, nan_ok=True, abs=EXACT)


def test_a_bystander_that_does_not_count_may_be_missing() -> None:
    """With a coefficient of 0 its score leaves nothing open."""
    _, fused, _ = convened(made(missing=0.3), "mean", Recipe(coefficients={"bystander": 0}))

    whole = ~np.isnan(fused[:, :3]).any(axis=1)
    assert (np.isnan(fused[whole, 3])).any()
    assert not np.isnan(fused[whole, 4]).any()


def test_weights_follow_how_a_judge_goes_with_the_others() -> None:
    """The mean over the dimensions of scipy's rho with the mean of the others, in shares."""
    scores = made(missing=0)
    rho = [
        np.mean(
            [
                stats.spearmanr(
                    scores.of(name, [judge])[:, 0], scores.of(name, [o for o in JUDGES if o != judge]).mean(axis=1)
                ).statistic
                for name in DIMENSIONS
            ]
        )
        for judge in JUDGES
    ]

    weights, fused, _ = convened(scores, "weighted")

    assert list(weights.values()) == pytest.approx(np.array(rho) / np.sum(rho), abs=EXACT)
    assert weights["three"] < 0.25 < weights["one"]
    expected = scores.of("reception", JUDGES) @ (np.array(rho) / np.sum(rho))
    assert fused[:, 2] == pytest.approx(expected, abs=EXACT)


def test_judges_that_say_nothing_count_alike() -> None:
    """There is nothing to weigh them by, and their weights still sum to 1."""
    given = [Given(Rated(f"d{n}"), "warmth", judge, 3.0) for n in range(5) for judge in JUDGES]

    weights, fused, _ = convened(table_of(given), "weighted")

    assert list(weights.values()) == pytest.approx([1 / 3] * 3)
    assert fused[:, 0] == pytest.approx([3.0] * 5)


def test_reliability_is_that_of_the_mean_and_falls_without_a_good_judge() -> None:
    """ICC(A,k), with and without each; the one that guesses is not missed."""
    scores = made(missing=0)
    panel, _ = convene(scores, "mean", Recipe(), Resamples(scores.clusters))

    for dimension in panel.dimensions:
        table = scores.of(dimension.name, JUDGES)
        assert dimension.single.value == pytest.approx(intraclass(table)[0], abs=EXACT)
        assert dimension.reliability.value == pytest.approx(intraclass(table)[2], abs=EXACT)
        assert dimension.without["three"] == pytest.approx(intraclass(table[:, :2])[2], abs=EXACT)
        assert dimension.without["one"] < dimension.reliability.value < dimension.without["three"]


@pytest.mark.parametrize("how", ["mean", "median", "weighted"])
def test_two_judges_are_a_panel(how: PanelName) -> None:
    """Neither can be left out, and mean and median are the same."""
    given = [
        Given(Rated(f"d{n}"), "warmth", judge, n % 3 + extra) for n in range(6) for extra, judge in enumerate("ab")
    ]
    scores = table_of(given)

    panel, table = convene(scores, how, Recipe(), Resamples(scores.clusters))

    assert panel.name == f"panel ({how} of 2)"
    assert table.of("warmth", [panel.name])[:, 0] == pytest.approx([0.5, 1.5, 2.5] * 2)
    assert panel.dimensions[0].without == {}


def test_rewards_from_elsewhere_are_fused_as_they_are() -> None:
    """A file may hold rewards, and not what they are made of."""
    given = [Given(Rated(f"d{n}"), REWARD, judge, n / 10 + extra) for n in range(6) for extra, judge in enumerate("ab")]

    _, fused, _ = convened(table_of(given), "mean")

    assert fused[:, 0] == pytest.approx([n / 10 + 0.5 for n in range(6)])


def test_people_are_in_no_panel() -> None:
    """They stand beside it."""
    given = [Given(Rated(f"d{n}"), "warmth", rater, float(n)) for n in range(4) for rater in ("ann", "a", "b")]

    panel, table = convene(table_of(given, ["ann"]), "mean", Recipe(), Resamples(np.arange(4)))

    assert (list(panel.weights), table.humans) == (["a", "b"], ["ann"])
