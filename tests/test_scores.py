"""The table of scores: every score in its cell, and means by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perm_cli.comparing.table import Given, Rated, Scale, numbered, table_of
from perm_cli.statistics.means import means_by
from perm_cli.statistics.resampling import Floats

NAN = np.nan
FIRST, SECOND = Rated("d1", "alpha", 1), Rated("d2", "alpha", 1)


def test_each_score_stands_in_its_cell_and_the_rest_is_missing() -> None:
    """A score that was not given is no nought."""
    scores = table_of(
        [
            Given(FIRST, "emotional", "judge", 4.0),
            Given(SECOND, "emotional", "ann", 2.0),
            Given(SECOND, "bystander", "judge", 70.0),
        ],
        people=["ann", "bert"],
    )

    assert scores.items == [FIRST, SECOND]
    assert scores.raters == ["judge", "ann"]
    np.testing.assert_array_equal(scores.tables["emotional"], [[4.0, NAN], [NAN, 2.0]])
    np.testing.assert_array_equal(scores.tables["bystander"], [[NAN, NAN], [70.0, NAN]])
    assert (scores.judges, scores.humans) == (["judge"], ["ann"])  # bert gave nothing


def test_of_two_scores_for_one_cell_the_last_counts() -> None:
    """A rating that was made again replaces the one before."""
    scores = table_of([Given(FIRST, "emotional", "judge", score) for score in (4.0, 2.0, 3.0)])

    assert scores.tables["emotional"].tolist() == [[3.0]]


def test_a_table_of_nothing_is_empty() -> None:
    """A run in which every call failed still has a report."""
    scores = table_of([], people=["ann"])

    assert (scores.items, scores.raters, scores.tables) == ([], [], {})
    assert scores.clusters.tolist() == []
    assert scores.people == frozenset()


def test_all_turns_of_a_dialogue_are_one_cluster() -> None:
    """Whatever the system: what is resampled is the dialogue."""
    items = [Rated("d2", "alpha", 1), Rated("d1", "beta", 1), Rated("d2", "beta", 2)]

    scores = table_of([Given(item, "emotional", "judge", 3.0) for item in items])

    assert scores.clusters.tolist() == [0, 1, 0]
    assert scores.systems[0] == ["alpha", "beta"]
    assert scores.systems[1].tolist() == [0, 1, 1]


def test_some_of_the_items_are_numbered_anew() -> None:
    """Else a cluster without items would be drawn, and thin the resamples."""
    scores = table_of([Given(item, "emotional", "judge", 3.0) for item in (FIRST, SECOND)])
    assert scores.clusters.tolist() == [0, 1]

    kept = scores.only(np.array([False, True]))

    assert kept.items == [SECOND]
    assert kept.clusters.tolist() == [0]
    assert kept.tables["emotional"].shape == (1, 1)


def test_columns_come_in_the_order_asked_for() -> None:
    """Pairs of raters are named by their order."""
    scores = table_of([Given(FIRST, "emotional", rater, score) for rater, score in (("a", 1.0), ("b", 2.0))])

    assert scores.of("emotional", ["b", "a"]).tolist() == [[2.0, 1.0]]
    assert scores.of("emotional", []).shape == (1, 0)


@pytest.mark.parametrize(
    ("dimension", "given_scores", "scale"),
    [
        pytest.param("bystander", [40.0], Scale(low=0, high=100), id="known"),
        pytest.param("warmth", [2.0, 7.0], Scale(low=2, high=7), id="spanned"),
        pytest.param("warmth", [NAN], Scale(low=0, high=0), id="nothing-given"),
    ],
)
def test_a_scale_is_the_known_one_or_what_the_scores_span(
    dimension: str, given_scores: list[float], scale: Scale
) -> None:
    """Rubrics of one's own have scales that nothing else names."""
    scores = table_of([Given(Rated(str(n)), dimension, "judge", score) for n, score in enumerate(given_scores)])

    assert scores.scale(dimension) == scale


@pytest.mark.parametrize(
    ("names", "different", "codes"),
    [
        pytest.param(["b", "a", "b", "c"], ["b", "a", "c"], [0, 1, 0, 2], id="in-order-of-coming"),
        pytest.param([], [], [], id="none"),
    ],
)
def test_names_are_numbered_in_the_order_they_come(names: list[str], different: list[str], codes: list[int]) -> None:
    """And the numbers can index an array, even where there are none."""
    found, numbers = numbered(names)

    assert (found, numbers.tolist()) == (different, codes)
    assert numbers.dtype == np.int64


def test_means_by_hand() -> None:
    """Of number 0: (1 + 4) / 2 and nothing; of 1: nothing at all; of 2: 3 and 5, what is missing left out."""
    values = np.array([[1.0, NAN], [3.0, 5.0], [4.0, NAN], [NAN, NAN]])

    means = means_by(np.array([0, 2, 0, 2]), 3, values)

    np.testing.assert_array_equal(means, [[2.5, NAN], [NAN, NAN], [3.0, 5.0]])


@settings(max_examples=60, deadline=None)
@given(
    arrays(float, (9, 2), elements=st.sampled_from([1.0, 2.5, 100.0, NAN])),
    arrays(np.int64, 9, elements=st.integers(0, 3)),
)
def test_means_are_those_of_pandas(values: Floats, codes: np.ndarray) -> None:
    """With holes, and with numbers that do not occur."""
    expected = pd.DataFrame(values).groupby(codes).mean().reindex(range(4)).to_numpy()

    np.testing.assert_allclose(means_by(codes, 4, values), expected, atol=1e-9)


def test_means_of_no_items_are_missing() -> None:
    """A dimension that nobody rated has a row a number all the same."""
    assert np.isnan(means_by(np.empty(0, dtype=np.int64), 2, np.empty((0, 3)))).all()
