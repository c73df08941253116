"""Resampling: equal to a loop that draws dialogues one by one, as sure as it says, and quiet about nothing."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perm_cli.statistics.means import column_means
from perm_cli.statistics.resampling import (
    Floats,
    Ints,
    Resamples,
    Statistic,
    divided,
    percentile_interval,
    sign_flip_bound,
    sign_flip_p,
    statistic,
)

EXACT = 1e-9
NAN = np.nan


def uneven(dialogues: int = 12, seed: int = 1) -> tuple[Ints, Floats]:
    """Return dialogues of one to five items, and two columns of differences with some missing."""
    generator = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(dialogues), generator.integers(1, 6, dialogues))
    values = generator.normal(0.3, 1, (len(clusters), 2)) + generator.normal(0, 1, dialogues)[clusters][:, None]
    values[generator.random(values.shape) < 0.1] = NAN
    return clusters, values


def plain_interval(clusters: Ints, values: Floats, resamples: int, seed: int) -> tuple[float, float]:
    """Draw dialogues with the generator that the program uses, and take the mean of all that is in them."""
    generator = np.random.default_rng(seed)
    count = int(clusters.max()) + 1
    means = []
    for _ in range(resamples):
        drawn = [value for cluster in generator.integers(0, count, count) for value in values[clusters == cluster]]
        held = [value for value in drawn if not math.isnan(value)]
        if held:
            means.append(math.fsum(held) / len(held))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def test_an_interval_is_what_a_plain_loop_over_dialogues_gives() -> None:
    """Two programs that share only the generator do not share their mistakes."""
    clusters, values = uneven()

    found = column_means(values, Resamples(clusters, 150, seed=7))

    for column, each in enumerate(found):
        assert each.value == pytest.approx(np.nanmean(values[:, column]), abs=EXACT)
        assert (each.low, each.high) == pytest.approx(plain_interval(clusters, values[:, column], 150, 7), abs=EXACT)


def test_drawing_in_blocks_draws_the_same() -> None:
    """What is in memory at a time must not change a number."""
    clusters, values = uneven()
    whole = column_means(values, Resamples(clusters, 100))
    flipped = sign_flip_p(Resamples(clusters), values, 100)

    in_blocks = Resamples(clusters, 100, cells=100)

    assert len(list(in_blocks.weights())) == 13  # 12 dialogues: 8 resamples at a time
    assert column_means(values, in_blocks) == whole
    assert sign_flip_p(Resamples(clusters), values, 100, cells=100) == pytest.approx(flipped, abs=EXACT)


def test_every_resample_has_as_many_dialogues_as_there_are() -> None:
    """And all are drawn about equally often."""
    (weights,) = Resamples(np.arange(40), 500).weights()

    assert weights.shape == (500, 40)
    assert (weights.sum(axis=1) == 40).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(40), abs=0.25)  # the standard error is 0.045


@pytest.mark.parametrize("kept_bytes", [pytest.param(12 * 35, id="kept"), pytest.param(0, id="drawn-again")])
def test_the_same_draws_come_every_time(kept_bytes: int) -> None:
    """Judges are compared on the same resamples, or their difference would have the noise of both."""
    resamples = Resamples(np.arange(12), 35, cells=120, kept_bytes=kept_bytes)

    first = np.vstack(list(resamples.weights()))
    second = np.vstack(list(resamples.weights()))

    assert (first == second).all()
    assert (first == np.vstack(list(Resamples(np.arange(12), 35).weights()))).all()
    assert (first != np.vstack(list(Resamples(np.arange(12), 35, seed=2).weights()))).any()


@pytest.mark.parametrize(("kept_bytes", "drawn"), [(12 * 35, 1), (12 * 35 - 1, 2)])
def test_draws_are_kept_where_there_is_room(kept_bytes: int, drawn: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison asks for them dozens of times, and of very many dialogues they would fill the memory."""
    made: list[object] = []
    generator = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: made.append(seed) or generator(seed))
    resamples = Resamples(np.arange(12), 35, kept_bytes=kept_bytes)

    for _ in range(2):
        assert len(np.vstack(list(resamples.weights()))) == 35

    assert len(made) == drawn


def test_who_stops_half_way_leaves_the_draws_whole() -> None:
    """The next one to ask must not get half of them, nor some of them twice."""
    resamples = Resamples(np.arange(12), 35, cells=120)

    next(resamples.weights())
    pairs = list(zip(resamples.weights(), resamples.weights(), strict=True))

    assert sum(len(first) for first, _ in pairs) == 35
    assert all((first == second).all() for first, second in pairs)
    assert len(np.vstack(list(resamples.weights()))) == 35


@pytest.mark.parametrize("turns", [pytest.param(1, id="one-turn"), pytest.param(6, id="six-turns-alike")])
def test_the_interval_holds_the_truth_nineteen_times_in_twenty(turns: int) -> None:
    """Turns of one dialogue are alike, and must not make it look surer."""
    generator = np.random.default_rng(11)
    clusters = np.repeat(np.arange(50), turns)
    truth = 0.4

    held = []
    for _ in range(400):
        values = truth + generator.normal(0, 1, 50)[clusters] + generator.normal(0, 0.3, len(clusters))
        (found,) = column_means(values[:, None], Resamples(clusters, 300))
        held.append(found.low <= truth <= found.high)

    assert np.mean(held) == pytest.approx(0.95, abs=0.04)  # the standard error is 0.011; 50 dialogues are a bit short


@pytest.mark.parametrize(
    ("clusters", "column", "expected"),
    [
        pytest.param([0], [0.5], Statistic(value=0.5, why="an interval needs more than one dialogue"), id="one-item"),
        pytest.param(
            [0, 0], [0.5, 1.5], Statistic(value=1.0, why="an interval needs more than one dialogue"), id="one-cluster"
        ),
        pytest.param([0, 1], [NAN, NAN], Statistic(value=None, why="no dialogue has a score"), id="all-missing"),
        pytest.param([], [], Statistic(value=None, why="no dialogue has a score"), id="no-items"),
        pytest.param([0, 1, 2], [0.5] * 3, Statistic(value=0.5, low=0.5, high=0.5), id="all-equal"),
        pytest.param([0, 1], [0.0, 0.0], Statistic(value=0.0, low=0.0, high=0.0), id="identical-raters"),
    ],
)
def test_a_mean_at_its_edges(clusters: list[int], column: list[float], expected: Statistic) -> None:
    """Two columns, since what is missing has to have as many as what is there."""
    values = np.array([column, column]).T

    found = column_means(values, Resamples(np.array(clusters, dtype=np.int64), 50))

    assert found == [expected, expected]


@pytest.mark.parametrize("dialogues", [2, 3, 10, 400])
def test_what_one_dialogue_alone_has_gets_no_interval(dialogues: int) -> None:
    """Every resample that has it gives the same, and an interval of no width would look like certainty."""
    one, two = np.full(dialogues, NAN), np.full(dialogues, NAN)
    one[0], two[:2] = 0.5, (0.5, 0.7)

    found = column_means(np.column_stack((one, two)), Resamples(np.arange(dialogues)))

    assert found[0] == Statistic(value=0.5, why="an interval needs more than one dialogue")
    assert not found[0].decisive
    assert (found[1].low, found[1].high) == pytest.approx((0.5, 0.7), abs=EXACT)


def test_an_interval_needs_most_of_the_resamples() -> None:
    """Of the columns the first has all, the second nine of ten, the third three of four, the last none."""
    drawn = np.tile(np.arange(20.0)[:, None], 4)
    drawn[18:, 1] = NAN
    drawn[15:, 2] = np.inf
    drawn[:, 3] = NAN

    low, high = percentile_interval(drawn)

    # Of 0..19: 0.025 * 19 = 0.475 and 0.975 * 19; of 0..17: 0.025 * 17 = 0.425.
    np.testing.assert_allclose(low, [0.475, 0.425, NAN, NAN], atol=EXACT)
    np.testing.assert_allclose(high, [18.525, 16.575, NAN, NAN], atol=EXACT)


def all_flips(clusters: Ints, values: Floats) -> float:
    """Go through all signs of all dialogues: the share that is as far from nought."""
    sums = [np.nansum(values[clusters == cluster]) for cluster in np.unique(clusters)]
    flipped = [
        abs(sum(sign * each for sign, each in zip(signs, sums, strict=True)))
        for signs in product((1, -1), repeat=len(sums))
    ]
    return float(np.mean(np.array(flipped) >= abs(sum(sums)) - EXACT))


@pytest.mark.parametrize(("dialogues", "seed"), [(1, 1), (2, 2), (4, 3), (6, 4), (8, 5), (10, 6), (10, 7)])
def test_p_is_that_of_all_flips(dialogues: int, seed: int) -> None:
    """Up to chance: 4,999 random flips have a standard error of 0.007 at most."""
    clusters, values = uneven(dialogues, seed)

    p = sign_flip_p(Resamples(clusters), values)

    assert p == pytest.approx([all_flips(clusters, column) for column in values.T], abs=0.025)


def test_flips_that_only_tie_with_what_was_seen_count() -> None:
    """Ten dialogues with a difference of 0.1 each: two of 1,024 flips are as far, whatever the rounding."""
    p = sign_flip_p(Resamples(np.arange(10)), np.full((10, 1), 0.1), 100_000)

    assert p == pytest.approx([2 / 1024], abs=0.0006)


def test_p_is_never_nought() -> None:
    """The flips are drawn, and the next could have been as far."""
    assert sign_flip_p(Resamples(np.arange(60)), np.ones((60, 1))).tolist() == [1 / 5000]


def test_p_is_seldom_small_where_nothing_differs() -> None:
    """At a level of 5 %, one test in twenty."""
    generator = np.random.default_rng(5)
    clusters = np.repeat(np.arange(30), 4)
    values = generator.normal(0, 1, (30, 800))[clusters] + generator.normal(0, 1, (120, 800))

    p = sign_flip_p(Resamples(clusters), values, 999)

    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.03)  # the standard error is 0.008


@pytest.mark.parametrize(
    "column",
    [
        pytest.param([0.0] * 3, id="identical-raters"),
        pytest.param([NAN] * 3, id="all-missing"),
        pytest.param([], id="no-items"),
    ],
)
def test_p_is_missing_where_there_is_nothing_to_flip(column: list[float]) -> None:
    """And takes no part in what is adjusted."""
    p = sign_flip_p(Resamples(np.arange(len(column))), np.array(column).reshape(-1, 1))

    assert np.isnan(p).tolist() == [True]


@pytest.mark.parametrize(
    ("low", "high", "decisive"),
    [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0.0, 0.1, False), (NAN, NAN, False)],
)
def test_an_interval_that_leaves_out_nought_is_decisive(low: float, high: float, decisive: bool) -> None:
    """One that ends at it does not."""
    assert statistic(0.1, low, high).decisive is decisive


def test_a_figure_without_a_value_always_says_why() -> None:
    """An empty cell of a table has a reason beneath it."""
    assert statistic(NAN).why == "not enough data"
    assert statistic(NAN, why="only one item").why == "only one item"
    assert statistic(1.0, 0.5, 1.5, "only one item") == Statistic(value=1.0, low=0.5, high=1.5)


def test_a_quotient_of_nothing_is_missing() -> None:
    """Whichever of the two is the matrix."""
    np.testing.assert_array_equal(divided([[1.0, 2.0], [0.0, 3.0]], [2.0, 0.0]), [[0.5, NAN], [0.0, NAN]])


@settings(max_examples=60, deadline=None)
@given(
    arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.sampled_from([-1.0, 0, 0.1, 2, NAN]))
)
def test_an_interval_lies_within_the_values_it_comes_from(values: Floats) -> None:
    """No resample can have a mean outside its data."""
    for each, column in zip(column_means(values, Resamples(np.arange(len(values)) // 2, 30)), values.T, strict=True):
        assert (each.value is None) == bool(np.isnan(column).all())
        assert each.low is None or np.nanmin(column) - EXACT <= each.low <= each.high <= np.nanmax(column) + EXACT


@pytest.mark.parametrize("seed", range(5))
def test_no_p_value_of_all_flips_exceeds_its_bound(seed: int) -> None:
    """Of ten dialogues all 1,024 ways to flip their signs can be looked at."""
    values = np.random.default_rng(seed).normal(0.5 * seed, 1, (10, 1))
    signs = np.array(list(product((-1.0, 1.0), repeat=10)))
    exact = (np.abs(signs @ values) >= np.abs(values.sum()) - EXACT).mean()

    (bound,) = sign_flip_bound(Resamples(np.arange(10)), values)

    assert exact <= bound


def test_the_bound_of_very_many_is_not_zero() -> None:
    """A p of 0 would be a certainty, and there is none."""
    assert sign_flip_bound(Resamples(np.arange(5000)), np.ones((5000, 1)))[0] > 0
