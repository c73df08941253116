"""Prediction-powered means: equal to a plain derivation, right on average, and as sure as they say."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perm_cli.statistics.prediction import powered_mean
from perm_cli.statistics.resampling import Floats

EXACT = 1e-9


def simulated(
    generator: np.random.Generator, labelled: int, others: int, slope: float = 1.0, bias: float = 0.0
) -> tuple[Floats, Floats, Floats]:
    """Return what people say, whose mean is 3, what a judge says of the same items, and what it says of others."""
    truth = generator.normal(3, 1, labelled + others)
    judged = bias + slope * truth + generator.normal(0, 0.6, len(truth))
    return truth[:labelled], judged[:labelled], judged[labelled:]


def plain_mean(labels: Floats, judged: Floats, unlabelled: Floats) -> tuple[float, float, float]:
    """
    Derive the mean and its interval anew.

    The estimate is the mean of labels - t * judged, plus t times the judge's mean of the others. Its variance is
    (Vy - 2 t C + t^2 Vf) / n + t^2 Vf / N, a parabola in t with its lowest point at C / (Vf (1 + n / N)).
    """
    n, more = len(labels), len(unlabelled)
    both = [*judged, *unlabelled]
    middle = math.fsum(both) / len(both)
    spread = math.fsum((value - middle) ** 2 for value in both) / (len(both) - 1)
    mean_label, mean_judged = math.fsum(labels) / n, math.fsum(judged) / n
    shared = math.fsum((a - mean_label) * (b - mean_judged) for a, b in zip(labels, judged, strict=True)) / (n - 1)
    trust = min(max(shared / (spread * (1 + n / more)), 0.0), 1.0) if spread else 0.0
    rectified = [a - trust * b for a, b in zip(labels, judged, strict=True)]
    middle = math.fsum(rectified) / n
    others = math.fsum(unlabelled) / more
    variance = math.fsum((each - middle) ** 2 for each in rectified) / (n - 1) / n
    variance += trust**2 * math.fsum((each - others) ** 2 for each in unlabelled) / (more - 1) / more
    value, reach = middle + trust * others, NormalDist().inv_cdf(0.975) * math.sqrt(variance)
    return value, value - reach, value + reach


@pytest.mark.parametrize(
    ("labelled", "others", "slope"),
    [
        pytest.param(50, 500, 0.8, id="usual"),
        pytest.param(200, 20, 0.8, id="few-others"),
        pytest.param(2, 2, 0.8, id="least"),
        pytest.param(60, 600, 0.0, id="worthless-judge"),
        pytest.param(60, 600, -0.7, id="contrary-judge"),
        pytest.param(60, 6000, 0.3, id="timid-judge"),  # its best weight is above 1
    ],
)
def test_the_mean_is_the_plain_one(labelled: int, others: int, slope: float) -> None:
    """Two programs that share nothing do not share their mistakes."""
    data = simulated(np.random.default_rng(labelled), labelled, others, slope)

    found = powered_mean(*data)

    assert (found.value, found.low, found.high) == pytest.approx(plain_mean(*data), abs=EXACT)


_LEVELS = st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.5]), min_size=2, max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1.0, 3.0, 4.0]), st.sampled_from([0.0, 2.0, 5.0])), min_size=2), _LEVELS)
def test_few_levels_have_the_plain_mean_too(pairs: list[tuple[float, float]], unlabelled: list[float]) -> None:
    """Judges and people that never vary included."""
    labels, judged = np.array(pairs).T

    found = powered_mean(labels, judged, np.array(unlabelled))

    expected = plain_mean(labels, judged, np.array(unlabelled))
    assert (found.value, found.low, found.high) == pytest.approx(expected, abs=1e-7)  # a root of nearly nought


def test_by_hand() -> None:
    """Two labels, 1 and 3, that the judge gives 2 and 4, and two others, 2 and 4."""
    # Covariance 2; the judge's variance over 2, 4, 2, 4 is 4/3; trust 2 / ((1 + 1) 4/3) = 3/4. Value 2 + 3/4 (3 - 3).
    # labels - 3/4 judged: -1/2 and 0, variance 1/8, over 2; others 9/16 * 2 / 2: 1/16 + 9/16 = 5/8.
    found = powered_mean(np.array([1.0, 3.0]), np.array([2.0, 4.0]), np.array([2.0, 4.0]))

    assert found.value == pytest.approx(2, abs=EXACT)
    assert found.high == pytest.approx(2 + 1.959963984540054 * math.sqrt(5 / 8), abs=EXACT)


@pytest.mark.parametrize(
    ("slope", "bias"),
    [
        pytest.param(1.0, 0.0, id="good-judge"),
        pytest.param(0.5, 2.0, id="kind-judge"),
        pytest.param(0.0, -1.0, id="worthless-judge"),
    ],
)
def test_the_interval_holds_the_truth_nineteen_times_in_twenty(slope: float, bias: float) -> None:
    """And the mean is right on average, whatever the judge is worth."""
    generator = np.random.default_rng(7)

    found = [powered_mean(*simulated(generator, 80, 400, slope, bias)) for _ in range(1000)]

    held = np.mean([each.low <= 3 <= each.high for each in found])
    assert held == pytest.approx(0.95, abs=0.02)  # the standard error is 0.007, and 80 labels are a little few
    values = np.array([each.value for each in found])
    assert values.mean() == pytest.approx(3, abs=4 * values.std() / math.sqrt(1000))


def test_a_good_judge_narrows_the_interval_and_a_worthless_one_leaves_it() -> None:
    """What a judge adds is the reason to have it."""
    generator = np.random.default_rng(3)
    labels, good, others = simulated(generator, 100, 5000)
    alone = 2 * 1.96 * labels.std(ddof=1) / 10

    helped = powered_mean(labels, good, others)
    unhelped = powered_mean(labels, generator.normal(0, 1, 100), generator.normal(0, 1, 5000))

    assert helped.high - helped.low < 0.7 * alone
    assert unhelped.high - unhelped.low == pytest.approx(alone, rel=0.03)


def test_a_constant_judge_leaves_the_mean_of_the_labels() -> None:
    """One that says 0.1 of everything, which is no number a computer holds, has no spread to divide by."""
    labels = np.array([1.0, 2.0, 4.0])

    found = powered_mean(labels, np.full(3, 0.1), np.full(7, 0.1))

    assert found.value == pytest.approx(labels.mean(), abs=EXACT)
    assert found.high - found.low == pytest.approx(2 * 1.959963984540054 * labels.std(ddof=1) / math.sqrt(3), abs=EXACT)


@pytest.mark.parametrize(
    ("labelled", "others", "why"),
    [
        pytest.param(0, 0, "0 labelled and 0 unlabelled items found, expected 2 or more of each", id="nothing"),
        pytest.param(1, 9, "1 labelled and 9 unlabelled items found, expected 2 or more of each", id="one-label"),
        pytest.param(9, 1, "9 labelled and 1 unlabelled items found, expected 2 or more of each", id="one-other"),
    ],
)
def test_too_little_to_go_by_says_how_little(labelled: int, others: int, why: str) -> None:
    """One item has no spread."""
    found = powered_mean(np.ones(labelled), np.ones(labelled), np.ones(others))

    assert (found.value, found.low, found.high, found.why) == (None, None, None, why)


def test_missing_scores_give_no_mean() -> None:
    """What is not known is neither nought nor a warning."""
    found = powered_mean(np.full(3, np.nan), np.ones(3), np.ones(3))

    assert (found.value, found.why) == (None, "not enough data")
