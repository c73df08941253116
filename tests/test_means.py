"""Statistics: means by hand, and intervals that a second, plainer program agrees with."""

import math
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from perm_cli.statistics.means import CHUNK_ROWS, chunked_means, column_means
from perm_cli.statistics.resampling import Resamples, Statistic

NAN = math.nan


def columns(*values: list[float]) -> NDArray[np.float64]:
    """Return columns as the rows they make."""
    return np.array(values, dtype=np.float64).T


def plain_interval(values: list[float], resamples: int, seed: int) -> tuple[float, float]:
    """Bootstrap in plain Python, with the generator that the program uses."""
    generator = np.random.default_rng(seed)
    means = []
    for _ in range(resamples):
        drawn = [values[place] for place in generator.integers(0, len(values), len(values))]
        held = [value for value in drawn if not math.isnan(value)]
        if held:
            means.append(sum(held) / len(held))
    means.sort()
    return plain_quantile(means, 0.025), plain_quantile(means, 0.975)


def plain_quantile(ordered: list[float], share: float) -> float:
    """Interpolate between the two values next to a share of a sorted list."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def means_of(values: NDArray[np.float64], *options: int) -> list[Statistic]:
    """Return the means of a matrix that comes whole."""
    return chunked_means([values], len(values), *options)


def test_a_mean_leaves_out_what_is_missing() -> None:
    """A dialogue without a value is not a dialogue with a nought."""
    first, second = means_of(columns([1.0, NAN, 4.0], [NAN, 2.0, NAN]))

    assert first.value == 2.5  # (1 + 4) / 2
    assert second.value == 2.0


def test_one_dialogue_has_a_mean_and_no_interval() -> None:
    """An interval of no width would look like certainty."""
    assert means_of(columns([0.7])) == [Statistic(value=0.7, why="an interval needs more than one dialogue")]


def test_one_value_among_missing_ones_has_no_interval() -> None:
    """What counts is how many dialogues have a value, not how many there are."""
    assert means_of(columns([NAN, 0.7, NAN])) == [Statistic(value=0.7, why="an interval needs more than one dialogue")]


@pytest.mark.parametrize(
    "values",
    [pytest.param(columns([NAN, NAN]), id="all-missing"), pytest.param(np.empty((0, 1)), id="no-dialogues")],
)
def test_without_a_value_there_is_no_mean(values: NDArray[np.float64]) -> None:
    """A judge that failed every call must not end in a division by nought or a warning."""
    assert means_of(values) == [Statistic(value=None, why="no dialogue has a score")]


def test_equal_values_have_an_interval_of_no_width() -> None:
    """Every resample is the same."""
    assert means_of(columns([0.5] * 4)) == [Statistic(value=0.5, low=0.5, high=0.5)]


def test_the_same_values_give_the_same_interval() -> None:
    """A report made twice must not differ in its last digit."""
    values = columns([0.1, 0.5, 0.9, 0.3])

    assert means_of(values) == means_of(values)


def test_another_seed_gives_another_interval() -> None:
    """Else the interval would not come from resampling at all."""
    values = columns([0.1, 0.5, 0.9, 0.3, 0.35])

    assert means_of(values, 50, 1) != means_of(values, 50, 2)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([0.1, 0.5, 0.9], id="complete"),
        pytest.param([0.1, NAN, 0.9, 0.4], id="one-missing"),
        pytest.param([NAN, 0.2, NAN, 0.8], id="resamples-without-any"),
    ],
)
def test_an_interval_is_what_a_plain_bootstrap_gives(values: list[float]) -> None:
    """Two programs that share only the generator do not share their mistakes."""
    (found,) = means_of(columns(values), 200, 7)

    assert (found.low, found.high) == pytest.approx(plain_interval(values, 200, 7), abs=1e-12)


def test_columns_are_resampled_together() -> None:
    """The reward is the sum of its parts in every resample, as it is in the data."""
    alone = means_of(columns([0.1, 0.5, 0.9]))
    beside = means_of(columns([0.1, 0.5, 0.9], [0.1, 0.5, 0.9]))

    assert beside == alone * 2


def test_an_interval_over_many_normal_values_is_the_textbook_s() -> None:
    """With 2,000 values the mean's spread is their deviation over the root of 2,000, and 95 % is 1.96 of that."""
    values = np.random.default_rng(3).normal(0.4, 0.2, 2000)
    half = 1.96 * values.std(ddof=1) / math.sqrt(2000)  # about 0.0088

    (found,) = means_of(values.reshape(-1, 1))

    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1) | st.just(NAN), min_size=1, max_size=12))
def test_an_interval_lies_within_the_values_it_comes_from(values: list[float]) -> None:
    """No resample can have a mean outside its data."""
    present = [value for value in values if not math.isnan(value)]

    (found,) = means_of(columns(values), 40)

    assert (found.value is None) == (not present)
    assert found.value is None or found.value == pytest.approx(fmean(present), abs=1e-12)
    if found.low is not None and found.high is not None:
        assert min(present) - 1e-12 <= found.low <= found.high <= max(present) + 1e-12


def test_an_interval_holds_its_mean() -> None:
    """Over values without an outlier the mean stands inside."""
    (found,) = means_of(columns([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))

    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.35 < found.high


def test_a_matrix_in_chunks_has_the_interval_of_the_whole() -> None:
    """Runs of a million dialogues are resampled from disk, and must not come out otherwise."""
    generator = np.random.default_rng(5)
    values = np.where(generator.random((3000, 2)) < 0.1, NAN, generator.normal(0.4, 0.2, (3000, 2)))

    whole = means_of(values)
    pieces = chunked_means([values[:1000], values[1000:1001], values[1001:]], 3000)

    for one, other in zip(whole, pieces, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-12)
        assert one.low == pytest.approx(other.low, abs=0.001)  # the standard error is about 0.0038
        assert one.high == pytest.approx(other.high, abs=0.001)


def test_chunks_are_bounded() -> None:
    """What is in memory at a time does not grow with the run."""
    assert CHUNK_ROWS * 16 * 8 <= 16 * 2**20


def test_a_matrix_in_one_chunk_is_resampled_as_one_in_memory() -> None:
    """The summary of a run and the comparison of its systems must not give two intervals for one mean."""
    values = np.random.default_rng(5).normal(0.4, 0.2, (300, 2))

    for one, other in zip(means_of(values), column_means(values, Resamples(np.arange(300))), strict=True):
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), abs=1e-12)


@pytest.mark.parametrize("chunks", [1, 3])
def test_weights_in_blocks_are_the_same_weights(chunks: int) -> None:
    """What is in memory at a time must not change a number."""
    values = np.random.default_rng(5).normal(0.4, 0.2, (300, 2))
    parts = np.split(values, chunks)

    for one, other in zip(chunked_means(parts, 300), chunked_means(parts, 300, cells=1000), strict=True):
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), abs=1e-12)
