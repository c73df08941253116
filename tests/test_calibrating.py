"""Calibration: equal to scikit-learn's isotonic regression, and never taught by what it is asked about."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from perm_cli.statistics.calibrating import FOLDS, Isotonic, cross_fitted, folds_of, isotonic
from perm_cli.statistics.resampling import Floats

EXACT = 1e-9
EVERYWHERE = np.linspace(-2, 8, 201)  # between the levels and beyond them
_PAIRS = st.lists(
    st.tuples(st.sampled_from([0.5, 1.0, 2.0, 3.0, 4.25, 5.0]), st.sampled_from([1.0, 2.0, 2.5, 4.0, 5.0])),
    min_size=1,
    max_size=25,
)


def by_sklearn(x: Floats, y: Floats, asked: Floats) -> Floats:
    """Fit and ask scikit-learn."""
    return np.asarray(IsotonicRegression(out_of_bounds="clip").fit(x, y).predict(asked))


@settings(deadline=None)
@given(_PAIRS)
def test_the_map_is_that_of_sklearn(pairs: list[tuple[float, float]]) -> None:
    """At the levels, between them and beyond, with levels that come many times."""
    x, y = np.array(pairs).T

    assert isotonic(x, y)(EVERYWHERE) == pytest.approx(by_sklearn(x, y, EVERYWHERE), abs=EXACT)


@pytest.mark.parametrize("seed", range(4))
def test_the_map_of_fine_scores_is_that_of_sklearn(seed: int) -> None:
    """Scores from probabilities are all different."""
    generator = np.random.default_rng(seed)
    x = generator.uniform(1, 5, 300)
    y = np.clip(np.round(x + generator.normal(0, 1.5, 300)), 1, 5)

    assert isotonic(x, y)(EVERYWHERE) == pytest.approx(by_sklearn(x, y, EVERYWHERE), abs=EXACT)


def test_pooling_by_hand() -> None:
    """Levels 1, 2, 3 with means 3, 1 (twice), 4."""
    # 3 and 1 fall, so they are pooled: (3 + 1 + 1) / 3. Without the second 1 it would be 2.
    found = isotonic(np.array([1.0, 2, 2, 3]), np.array([3.0, 1, 1, 4]))

    assert found.x == (1, 2, 3)
    assert found.y == pytest.approx((5 / 3, 5 / 3, 4), abs=EXACT)
    assert found(np.array([0.0, 2.5, 9.0])) == pytest.approx([5 / 3, (5 / 3 + 4) / 2, 4], abs=EXACT)


def test_only_the_ends_of_a_flat_stretch_are_knots() -> None:
    """The map is kept in a file that people read."""
    found = isotonic(np.arange(6.0), np.array([1.0, 1, 1, 1, 2, 3]))

    assert found == Isotonic(x=(0, 3, 4, 5), y=(1, 1, 2, 3))


@pytest.mark.parametrize(
    ("x", "y", "knots"),
    [
        pytest.param([3.0], [4.0], ((3.0,), (4.0,)), id="single"),
        pytest.param([3.0, 3.0], [4.0, 2.0], ((3.0,), (3.0,)), id="one-level"),
        pytest.param([1.0, 2.0, 5.0], [2.0] * 3, ((1.0, 5.0), (2.0, 2.0)), id="people-constant"),
        pytest.param([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], ((1.0, 3.0), (2.0, 2.0)), id="falling"),
    ],
)
def test_what_teaches_nothing_maps_everything_to_the_mean(
    x: list[float], y: list[float], knots: tuple[tuple[float, ...], tuple[float, ...]]
) -> None:
    """A judge whose scores say nothing of people's leaves their mean."""
    found = isotonic(np.array(x), np.array(y))

    assert (found.x, found.y) == knots
    assert found(EVERYWHERE) == pytest.approx(np.full(len(EVERYWHERE), np.mean(y)), abs=EXACT)


def test_what_is_missing_stays_missing() -> None:
    """A judgement that failed has no level to map."""
    mapped = isotonic(np.array([1.0, 2]), np.array([1.0, 2]))(np.array([np.nan, 1.5]))

    np.testing.assert_allclose(mapped, [np.nan, 1.5], atol=EXACT)


def test_each_fold_is_mapped_by_the_others() -> None:
    """What is printed must hold for dialogues not seen."""
    generator = np.random.default_rng(1)
    x, folds = generator.integers(1, 6, 80).astype(float), generator.integers(0, 5, 80)
    y = np.clip(x + generator.integers(-1, 2, 80), 1, 5)
    x[3], y[7] = np.nan, np.nan

    mapped = cross_fitted(x, y, folds)

    expected = np.full(80, np.nan)
    for place in range(80):
        taught = [at for at in range(80) if folds[at] != folds[place] and at not in {3, 7}]
        if place != 3:
            expected[place] = by_sklearn(x[taught], y[taught], x[[place]])[0]
    np.testing.assert_allclose(mapped, expected, atol=EXACT)
    assert not np.isnan(mapped[7])  # people have no score, so it teaches nothing, but it can be mapped


@pytest.mark.parametrize(
    ("x", "y", "folds"),
    [
        pytest.param([1.0, 2.0], [1.0, 2.0], [0, 0], id="one-fold"),
        pytest.param([np.nan] * 2, [1.0, 2.0], [0, 1], id="judge-missing"),
        pytest.param([1.0, 2.0], [np.nan] * 2, [0, 1], id="people-missing"),
        pytest.param([], [], [], id="nothing"),
    ],
)
def test_without_others_to_learn_from_nothing_is_mapped(x: list[float], y: list[float], folds: list[int]) -> None:
    """One dialogue cannot both teach and be asked."""
    mapped = cross_fitted(np.array(x), np.array(y), np.array(folds, dtype=np.int64))

    assert len(mapped) == len(x)
    assert np.isnan(mapped).all()


def test_a_dialogue_is_in_one_fold_and_folds_are_even() -> None:
    """Its turns are alike, so half of them would give away the rest."""
    groups = [f"dialogue-{number % 23}" for number in range(100)]

    folds = folds_of(groups)

    assert all(len({folds[at] for at in range(100) if groups[at] == group}) == 1 for group in set(groups))
    sizes = np.bincount([folds[groups.index(group)] for group in set(groups)])
    assert len(sizes) == FOLDS
    assert np.ptp(sizes) <= 1


def test_folds_do_not_hang_on_the_order_of_the_dialogues() -> None:
    """The same data in another order must calibrate the same."""
    groups = [f"dialogue-{number}" for number in range(50)]

    assert folds_of(groups[::-1]).tolist() == folds_of(groups)[::-1].tolist()


@pytest.mark.parametrize("pair", [("39506", "40625"), ("56111", "92206"), ("176053", "85897"), ("209951", "52571")])
def test_names_with_the_same_hash_go_by_name(pair: tuple[str, str]) -> None:
    """Among 100,000 dialogues some share four bytes, and a set of names has another order in every process."""
    assert folds_of(list(pair)).tolist() == [0, 1]
    assert folds_of(list(pair[::-1])).tolist() == [1, 0]


def test_no_dialogues_have_no_folds() -> None:
    """An empty table is asked like any other."""
    assert folds_of([]).tolist() == []
