"""Which system is better: means, paired differences and ranks, against pandas, statsmodels and the hand."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.power import normal_power

from perm_cli.comparing.systems import by_dialogue, collapsed, leaderboard
from perm_cli.comparing.table import Given, Rated, Scores, table_of
from perm_cli.statistics.contrasts import detectable_difference, differences
from perm_cli.statistics.resampling import Resamples

EXACT = 1e-9


def made(seed: int = 1, dialogues: int = 60, gap: float = 0.5, missing: float = 0.1) -> Scores:
    """Return scores of three systems over dialogues of one to three turns, the first system best."""
    generator = np.random.default_rng(seed)
    given = []
    for place in range(dialogues):
        level = generator.normal(3, 0.7)
        for rank, system in enumerate("abc"):
            for turn in range(1, 2 + place % 3):
                score = level - gap * rank + generator.normal(0, 0.5)
                lost = generator.random() < missing
                given.append(Given(Rated(f"d{place}", system, turn), "reward", "j", math.nan if lost else score))
    return table_of(given)


def frame(scores: Scores) -> pd.DataFrame:
    """Return the scores as pandas holds them."""
    rows = [(item.dialogue_id, item.system, item.turn) for item in scores.items]
    table = pd.DataFrame(rows, columns=["dialogue", "system", "turn"])
    return table.assign(score=scores.tables["reward"][:, 0])


@pytest.mark.parametrize("seed", range(4))
def test_values_are_those_of_pandas(seed: int) -> None:
    """A dialogue's value is the mean over its turns, a system's the mean over its dialogues."""
    scores = made(seed)
    per_dialogue = frame(scores).pivot_table(index="dialogue", columns="system", values="score", sort=False)

    board = leaderboard(scores, "j", ["reward"])

    assert by_dialogue(scores, "reward", "j") == pytest.approx(per_dialogue.to_numpy(), nan_ok=True, abs=EXACT)
    for standing in board.standings:
        assert standing.means[0].value == pytest.approx(per_dialogue[standing.system].mean(), abs=EXACT)
        assert standing.dialogues == per_dialogue[standing.system].notna().sum()
    for each in board.contrasts.differences:
        apart = (per_dialogue[each.first] - per_dialogue[each.second]).dropna()
        assert each.mean.value == pytest.approx(apart.mean(), abs=EXACT)
        assert each.dialogues == len(apart)


def test_intervals_are_about_those_of_cluster_robust_errors() -> None:
    """Two ways to the same: resampled dialogues, and statsmodels' sandwich over them."""
    scores = made(dialogues=400, missing=0)
    per_dialogue = frame(scores).groupby(["dialogue", "system"], as_index=False)["score"].mean()
    pair = per_dialogue[per_dialogue["system"].isin(["a", "b"])]
    codes = pair["dialogue"].astype("category").cat.codes
    fitted = smf.ols("score ~ C(system, Treatment('b'))", pair).fit(cov_type="cluster", cov_kwds={"groups": codes})

    found = leaderboard(scores, "j", ["reward"]).contrasts.difference("a", "b")

    assert found
    assert found.mean.value == pytest.approx(fitted.params.iloc[1], abs=EXACT)
    low, high = fitted.conf_int().iloc[1]
    assert (found.mean.low, found.mean.high) == (pytest.approx(low, abs=0.02), pytest.approx(high, abs=0.02))


def test_the_detectable_difference_has_a_power_of_80_percent() -> None:
    """As statsmodels works power out."""
    apart = np.random.default_rng(2).normal(0, 2, 50)

    found = detectable_difference(apart)

    assert found is not None
    assert normal_power(found / apart.std(ddof=1), 50, 0.05) == pytest.approx(0.8, abs=1e-5)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan]])
def test_without_spread_nothing_is_detectable(values: list[float]) -> None:
    """One dialogue tells nothing of the next."""
    assert detectable_difference(np.array(values)) is None


def test_a_difference_by_hand() -> None:
    """Six dialogues, each better by one: of 64 ways to flip signs two are as far, and three pairs share the test."""
    grid = np.column_stack((np.arange(6) + 1.0, np.arange(6) * 1.0, np.arange(6) * 1.0))

    first, _, third = differences(["a", "b", "c"], grid, Resamples(np.arange(6)))

    assert (first.first, first.second, first.mean.value, first.dialogues) == ("a", "b", 1.0, 6)
    # Two differences can be tested, for b and c are the same throughout; each has p = 2/64, by Holm 4/64.
    assert first.p == pytest.approx(2 * 2 / 64, abs=0.01)
    assert (third.mean.value, third.p, third.decisive) == (0.0, None, False)


def test_a_difference_can_be_asked_for_either_way_round() -> None:
    """With its ends changed over."""
    board = leaderboard(made(), "j", ["reward"])

    there, back = board.contrasts.difference("a", "c"), board.contrasts.difference("c", "a")

    assert there
    assert back
    assert there.mean.value == -(back.mean.value or 0)
    assert (there.mean.low, there.mean.high) == (-(back.mean.high or 0), -(back.mean.low or 0))
    assert (there.p, there.decisive) == (back.p, back.decisive) == (back.p, True)
    assert board.contrasts.difference("a", "nobody") is None


@pytest.mark.parametrize(
    ("dialogues", "order", "places"),
    [
        pytest.param(10, ["b", "a", "c", "0"], [(1, 1), (2, 3), (2, 3), None], id="told-apart"),
        pytest.param(5, ["a", "b", "c", "0"], [(1, 3), (1, 3), (1, 3), None], id="too-few"),
    ],
)
def test_systems_stand_by_their_places(dialogues: int, order: list[str], places: list[tuple[int, int] | None]) -> None:
    """By name where they are not told apart, and last without a score."""
    given = [
        Given(Rated(f"d{place}", name), "reward", "j", score + place % 2 * wobble)
        for name, score, wobble in [("0", math.nan, 0), ("c", 1.0, 0.2), ("b", 2.0, 0.1), ("a", 1.1, 0)]
        for place in range(dialogues)
    ]
    board = leaderboard(table_of(given), "j", ["reward"])

    assert [standing.system for standing in board.standings] == order
    assert [standing.place for standing in board.standings] == places
    last = board.standings[-1]
    assert (last.means[0].value, last.dialogues, last.turns, last.coverage) == (None, 0, dialogues, 0.0)


def test_many_systems_are_told_apart_too() -> None:
    """Holm asks of 435 differences for a p that a few thousand flips of signs could not show."""
    grid = np.arange(30) + np.random.default_rng(3).normal(0, 0.01, (40, 30))

    found = differences([f"s{place}" for place in range(30)], grid, Resamples(np.arange(40)))

    assert all(each.decisive for each in found)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param([("d", "a", 3.0)], id="one-item"),
        pytest.param([("d", "a", math.nan), ("e", "b", math.nan)], id="nothing-given"),
        pytest.param([(f"d{n}", system, 3.0) for n in range(4) for system in "ab"], id="all-equal"),
        pytest.param([("d", "a", 1.0), ("e", "b", 2.0)], id="nothing-shared"),
        pytest.param([("\x1b[2J", "\x00", 1.0), ("\x1b[2J", "=1+1", 2.0)], id="hostile-names"),
    ],
)
def test_little_to_go_by_gives_reasons_and_no_nan(given: list[tuple[str, str, float]]) -> None:
    """Every figure is a number or says why it is none."""
    board = leaderboard(table_of(Given(Rated(d, s), "reward", "j", score) for d, s, score in given), "j", ["reward"])

    figures = [mean for each in board.standings for mean in each.means]
    figures += [each.mean for each in board.contrasts.differences]
    figures += [each.ranked.strength for each in board.standings]
    assert all(each.why if each.value is None else math.isfinite(each.value) for each in figures)
    assert not any(each.decisive for each in board.contrasts.differences)


def test_turns_collapse_into_their_dialogue() -> None:
    """The mean over the turns of each system, whatever their number."""
    scores = made()
    whole = collapsed(scores)
    expected = frame(scores).groupby(["dialogue", "system"], sort=False)["score"].mean()

    assert [item.turn for item in whole.items] == [0] * 180
    assert [(item.dialogue_id, item.system) for item in whole.items] == list(expected.index)
    assert whole.tables["reward"][:, 0] == pytest.approx(expected.to_numpy(), nan_ok=True, abs=EXACT)


@pytest.mark.parametrize(("dialogues", "decisive"), [(5, False), (6, True)])
def test_with_too_few_dialogues_nothing_can_be_decisive(dialogues: int, decisive: bool) -> None:
    """Five signs are all alike by chance once in sixteen times, however large the difference."""
    grid = np.stack((np.linspace(4, 5, dialogues), np.linspace(1, 2, dialogues)), axis=1)

    (found,) = differences(["a", "b"], grid, Resamples(np.arange(dialogues)))

    assert (found.decisive, found.needed, found.detectable is None) == (decisive, 6, not decisive)
