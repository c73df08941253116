"""Agreement: equal to other people's programs, and right where those give a NaN."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import krippendorff
import numpy as np
import pandas as pd
import pingouin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from perm_cli.statistics.agreement import (
    agreement,
    intraclass,
    kendall_tau_b,
    ordinal_alpha,
    quadratic_kappa,
    spearman,
)
from perm_cli.statistics.resampling import Floats, Resamples
from tests.conftest import SHARED

EXACT = 1e-9


def made(seed: int = 1, items: int = 60, raters: int = 3, missing: float = 0.1) -> Floats:
    """Return scores that agree somewhat, with some missing."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(3, 1, items)
    scores = np.clip(np.round(truth[:, None] + generator.normal(0, 0.7, (items, raters))), 1, 5)
    scores[generator.random(scores.shape) < missing] = np.nan
    return scores


def tables() -> Iterator[Any]:
    """Return made-up tables, and those of real people and judges if they are at hand."""
    for seed in range(4):
        yield pytest.param(made(seed), id=f"made-{seed}")
    yield pytest.param(np.where(made(5) > 3, 77.25, made(5)), id="uneven-levels")
    yield from real_tables()


def real_tables() -> Iterator[Any]:
    """Return what real people and judges gave, a table a dimension."""
    panel, align = SHARED / "data/ratings/expert_panel.csv", SHARED / "data/ratings/mentalalign.csv"
    if not panel.exists():
        yield pytest.param(
            made(9), id="real", marks=pytest.mark.skip("the folder ../shared with real data is not here")
        )
        return
    long = pd.read_csv(panel, dtype={"dialogue_id": str})
    for (dataset, dimension), rows in long.groupby(["dataset", "dimension"]):
        shared = rows[rows["rater"].str.startswith("expert") | (rows["dataset"] != "epitome")]  # others have other ids
        table = shared.pivot_table(index="dialogue_id", columns="rater", values="score")
        yield pytest.param(table.to_numpy(), id=f"{dataset}-{dimension}")
    wide = pd.read_csv(align)
    for attribute, rows in wide.groupby("attribute"):
        yield pytest.param(rows[["human", "gpt-4o", "o4-mini"]].to_numpy()[:1500], id=f"align-{attribute}")


TABLES = list(tables())


@pytest.mark.parametrize("scores", TABLES)
def test_alpha_is_that_of_the_krippendorff_package(scores: Floats) -> None:
    """Its author's own worked example is among what that package is tested with."""
    expected = krippendorff.alpha(scores.T, level_of_measurement="ordinal")

    assert ordinal_alpha(scores) == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("scores", TABLES)
def test_pairs_are_those_of_scipy_and_sklearn(scores: Floats) -> None:
    """Each pair of raters, on the items that both have."""
    for second in range(1, scores.shape[1]):
        pair = scores[:, [0, second]]
        both = pair[~np.isnan(pair).any(axis=1)]
        levels = np.unique(both)
        coded = np.searchsorted(levels, both)

        assert spearman(pair) == pytest.approx(stats.spearmanr(*both.T).statistic, abs=EXACT)
        assert kendall_tau_b(pair) == pytest.approx(stats.kendalltau(*both.T).statistic, abs=EXACT)
        # sklearn weighs by the places of the labels, so it is given places.
        kappa = cohen_kappa_score(*coded.T, weights="quadratic", labels=np.arange(len(levels)))
        assert quadratic_kappa(coded.astype(float)) == pytest.approx(kappa, abs=EXACT)


@pytest.mark.parametrize("scores", TABLES)
def test_intraclass_correlations_are_those_of_pingouin(scores: Floats) -> None:
    """Under McGraw and Wong's names."""
    whole = scores[~np.isnan(scores).any(axis=1)]
    items, raters = whole.shape
    long = pd.DataFrame(
        {
            "item": np.repeat(np.arange(items), raters),
            "rater": np.tile(np.arange(raters), items),
            "score": whole.ravel(),
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pingouin's own, where raters agree in everything
        found = pingouin.intraclass_corr(long, targets="item", raters="rater", ratings="score")
    by_type = dict(zip(found["Type"], found["ICC"], strict=True))

    a1, c1, ak = intraclass(scores)
    expected = [by_type.get(name, by_type.get(old)) for name, old in (("ICC(A,1)", "ICC2"), ("ICC(C,1)", "ICC3"))]
    assert [a1, c1] == pytest.approx(expected, abs=EXACT)
    assert ak == pytest.approx(by_type.get("ICC(A,k)", by_type.get("ICC2k")), abs=EXACT)


def test_alpha_by_hand() -> None:
    """Two raters, three items: 1-1, 1-2, 2-2."""
    # Coincidences: 1-1 twice, 1-2 once and 2-1 once, 2-2 twice; n1 = n2 = 3, n = 6. The ordinal distance of the two
    # levels is (6 - 3)^2 = 9. Observed: 2 * 9 / 6 = 3; expected: 2 * 3 * 3 * 9 / (6 * 5) = 5.4; alpha = 1 - 3 / 5.4.
    assert ordinal_alpha(np.array([[1.0, 1], [1, 2], [2, 2]])) == pytest.approx(1 - 3 / 5.4, abs=EXACT)


def test_kappa_by_hand() -> None:
    """Two raters, three items: 1-1, 1-3, 3-3."""
    # Observed squared distance: 4 / 3. By chance: row shares (2/3, 1/3), column shares (1/3, 2/3), so a distance of 4
    # with probability 4/9 + 1/9 = 5/9: 20/9. Kappa = 1 - (4/3) / (20/9) = 0.4.
    assert quadratic_kappa(np.array([[1.0, 1], [1, 3], [3, 3]])) == pytest.approx(0.4, abs=EXACT)


@pytest.mark.parametrize("scores", TABLES)
def test_resampled_figures_are_the_exact_ones_where_nothing_is_drawn_twice(
    scores: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts and sums must say the same as the scores they stand for."""
    monkeypatch.setattr(Resamples, "weights", lambda self: iter([np.ones((2, self.count))]))
    resamples = Resamples(np.arange(len(scores)) // 2)

    found = agreement([str(place) for place in range(scores.shape[1])], scores, resamples)

    everything = [found.alpha, found.icc_a1, found.icc_c1, found.icc_ak, *found.alpha_without]
    for pair in found.pairs:
        everything += [pair.spearman, pair.kendall_tau_b, pair.quadratic_kappa]
    assert all(each.low == pytest.approx(each.value, abs=EXACT) for each in everything)


def test_fine_scores_are_exact_and_their_intervals_close() -> None:
    """Scores from probabilities are no whole numbers."""
    generator = np.random.default_rng(3)
    truth = generator.normal(0, 1, 400)
    scores = truth[:, None] + generator.normal(0, 0.8, (400, 2))
    resamples = Resamples(np.arange(400))

    pair = agreement(["a", "b"], scores, resamples).pairs[0]

    assert pair.spearman.value == pytest.approx(stats.spearmanr(*scores.T).statistic, abs=EXACT)
    drawn = [stats.spearmanr(*scores[generator.integers(0, 400, 400)].T).statistic for _ in range(600)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (pair.spearman.low, pair.spearman.high) == pytest.approx((low, high), abs=0.02)


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        pytest.param([[3.0, 4.0]], "only one item", id="one-item"),
        pytest.param([[3.0, 3.0], [3.0, 3.0]], "all scores of a rater are equal", id="all-equal"),
        pytest.param([[np.nan, 3.0], [2.0, np.nan]], "no item is scored by all raters", id="nothing-shared"),
        pytest.param([[3.0, 1.0], [3.0, 5.0]], "all scores of a rater are equal", id="one-is-constant"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_cannot_be_worked_out_says_why(scores: list[list[float]], why: str) -> None:
    """A NaN says nothing, and a warning is for the one who wrote the program."""
    table = np.array(scores)

    found = agreement(["a", "b"], table, Resamples(np.arange(len(table))))

    assert found.pairs[0].spearman.value is None
    assert found.pairs[0].spearman.why == why
    assert found.pairs[0].kendall_tau_b.value is None


def test_two_identical_judges_agree_in_everything() -> None:
    """And their interval has no width."""
    one = made(missing=0)[:, :1]

    found = agreement(["a", "b"], np.hstack((one, one)), Resamples(np.arange(len(one))))

    pair = found.pairs[0]
    figures = [found.alpha, found.icc_a1, found.icc_c1, pair.spearman, pair.kendall_tau_b, pair.quadratic_kappa]
    assert [figure.value for figure in figures] == pytest.approx([1.0] * 6, abs=EXACT)
    assert [figure.low for figure in figures] == pytest.approx([1.0] * 6, abs=EXACT)


def test_the_same_data_give_the_same_intervals() -> None:
    """Numbers in a paper must come out again."""
    scores, clusters = made(), np.arange(60) // 3

    assert agreement("abc", scores, Resamples(clusters)) == agreement("abc", scores, Resamples(clusters))


def test_scores_of_one_dialogue_do_not_count_as_many() -> None:
    """Ten copies of every item in its own dialogue tell no more than one."""
    once = made(missing=0, items=80)[:, :2]
    tenfold, dialogues = np.repeat(once, 10, axis=0), np.repeat(np.arange(80), 10)

    single = agreement("ab", once, Resamples(np.arange(80))).pairs[0].kendall_tau_b
    grouped = agreement("ab", tenfold, Resamples(dialogues)).pairs[0].kendall_tau_b
    naive = agreement("ab", tenfold, Resamples(np.arange(800))).pairs[0].kendall_tau_b

    width = {name: each.high - each.low for name, each in (("single", single), ("grouped", grouped), ("naive", naive))}
    assert width["grouped"] == pytest.approx(width["single"], rel=0.1)
    assert width["naive"] < 0.5 * width["grouped"]


_SCORES = arrays(
    float, st.tuples(st.integers(1, 12), st.integers(2, 4)), elements=st.sampled_from([1.0, 2, 3, 5, np.nan])
)


@settings(max_examples=60, deadline=None)
@given(_SCORES)
@pytest.mark.parametrize("of", [spearman, kendall_tau_b, quadratic_kappa])
def test_figures_are_within_their_bounds_or_missing(of: Callable[[Floats], float], scores: Floats) -> None:
    """Whatever is thrown at them."""
    figure = of(scores[:, :2])

    assert np.isnan(figure) or -1 - EXACT <= figure <= 1 + EXACT


@settings(max_examples=40, deadline=None)
@given(_SCORES)
def test_no_table_of_scores_ends_the_program(scores: Floats) -> None:
    """Holes, constants and single items included."""
    raters = [str(place) for place in range(scores.shape[1])]

    found = agreement(raters, scores, Resamples(np.arange(len(scores)), resamples=20))

    assert len(found.pairs) == len(raters) * (len(raters) - 1) // 2
    assert found.alpha.value is None or found.alpha.value <= 1 + EXACT
