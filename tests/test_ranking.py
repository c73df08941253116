"""Rankings: Davidson's strengths at the top of his likelihood, and places that mean what they say."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.optimize import minimize
from scipy.special import logsumexp

from perm_cli.statistics.ranking import comparisons, davidson, kendall_w, ranking
from perm_cli.statistics.resampling import Floats, Resamples

EXACT = 1e-9
# Both programs climb; the one that sees only the likelihood's height stops where it is flat to about the root of 1e-16.
CLIMBED = 2e-6
NAN = np.nan


def made(systems: int = 4, dialogues: int = 40, seed: int = 1, missing: float = 0.1) -> Floats:
    """Return scores of systems that get better one by one, on five levels, with some missing."""
    generator = np.random.default_rng(seed)
    scores = np.clip(np.round(generator.normal(np.linspace(2.5, 3.5, systems), 1, (dialogues, systems))), 1, 5)
    scores[generator.random(scores.shape) < missing] = NAN
    return scores


def by_scipy(wins: Floats, ties: Floats) -> Floats:
    """
    Return the strengths and the tie parameter, as logarithms, by maximum likelihood.

    Written from Davidson's formula, with a third of a win, a tie and a loss more for every pair.
    """
    systems = len(wins)
    pairs = list(itertools.combinations(range(systems), 2))
    seen = np.array([[wins[i, j], wins[j, i], ties[i, j]] for i, j in pairs]) + 1 / 3
    outcomes = np.zeros((len(pairs), 3, systems + 1))
    for at, (i, j) in enumerate(pairs):
        outcomes[at, 0, i] = outcomes[at, 1, j] = outcomes[at, 2, systems] = 1
        outcomes[at, 2, [i, j]] = 1 / 2

    def height(at: Floats) -> tuple[float, Floats]:
        logs = outcomes @ at
        logs -= logsumexp(logs, axis=1, keepdims=True)
        expected = np.exp(logs) * seen.sum(axis=1, keepdims=True)
        return -float((seen * logs).sum()), -np.einsum("po,pok->k", seen - expected, outcomes)

    start = np.zeros(systems + 1)
    found = minimize(height, start, jac=True, method="L-BFGS-B", options={"maxiter": 20_000, "ftol": 0, "gtol": 1e-9})
    found.x[:-1] -= found.x[:-1].mean()
    return np.asarray(found.x)


def counts(scores: Floats) -> tuple[Floats, Floats]:
    """Count wins and ties, a dialogue and a pair of systems at a time."""
    systems = scores.shape[1]
    wins, ties = np.zeros((systems, systems)), np.zeros((systems, systems))
    for line in scores:
        for i, j in itertools.permutations(range(systems), 2):
            wins[i, j] += line[i] > line[j]
            ties[i, j] += line[i] == line[j]
    return wins, ties


def upper(systems: int, count: float) -> Floats:
    """Return wins of every system over all that come after it."""
    return np.triu(np.full((systems, systems), count), 1)


@pytest.mark.parametrize(
    ("wins", "ties"),
    [
        *[pytest.param(*counts(made(seed=seed)), id=f"made-{seed}") for seed in range(3)],
        pytest.param(*counts(made(missing=0.6)), id="many-missing"),
        pytest.param(upper(6, 300) + upper(6, 1).T, np.zeros((6, 6)), id="a-chain-that-hardly-ever-breaks"),
        pytest.param(upper(4, 500), np.zeros((4, 4)), id="a-chain-that-never-breaks"),
        pytest.param(upper(3, 4) + upper(3, 1).T, 500 * (1 - np.eye(3)), id="nearly-all-ties"),
        pytest.param(np.array([[0.0, 20, 20], [0, 0, 0], [0, 0, 0]]), 5 * (1 - np.eye(3)), id="one-never-loses"),
        pytest.param(np.diag([9.0, 9.0], 1), np.zeros((3, 3)), id="two-that-never-meet"),
    ],
)
def test_strengths_are_at_the_top_of_the_likelihood(wins: Floats, ties: Floats) -> None:
    """Lopsided counts have a flat top, where a climb that is given up too early looks like one that has ended."""
    assert davidson(wins[None], ties[None])[0] == pytest.approx(by_scipy(wins, ties), abs=CLIMBED, rel=CLIMBED)


@pytest.mark.parametrize(
    ("won", "tied", "lost"),
    [
        pytest.param(7, 4, 2, id="usual"),
        pytest.param(20, 5, 0, id="never-loses"),
        pytest.param(10_000, 0, 0, id="always-wins"),
        pytest.param(0, 50, 0, id="always-ties"),
        pytest.param(6, 0, 6, id="never-ties"),
        pytest.param(0, 0, 0, id="never-meet"),
    ],
)
def test_two_systems_have_a_closed_form(won: int, tied: int, lost: int) -> None:
    """With three outcomes and two parameters the model gives each its share."""
    # With w, t and l, a third more of each: a / b = w / l, so with mean 0 log a = log(w / l) / 2; and as
    # v sqrt(a b) / a = t / w, v = t / sqrt(w l).
    w, t, loss = won + 1 / 3, tied + 1 / 3, lost + 1 / 3

    (found,) = davidson(np.array([[[0.0, won], [lost, 0]]]), np.array([[[0.0, tied], [tied, 0]]]))

    half = math.log(w / loss) / 2
    assert found == pytest.approx([half, -half, math.log(t / math.sqrt(w * loss))], abs=EXACT)


def test_strengths_do_not_hang_on_where_the_climb_starts() -> None:
    """Resamples start from the whole, and one of them may be far from it."""
    wins, ties = counts(made())
    far = np.array([[9.0, -9.0, 4.0, -4.0, 6.0]])

    started = davidson(wins[None], ties[None], start=far)

    assert started == pytest.approx(davidson(wins[None], ties[None]), abs=EXACT)


def test_many_resamples_at_once_are_each_alone() -> None:
    """They climb together, the steep ones longer than the rest."""
    wins = np.array([counts(made(seed=seed))[0] for seed in range(5)] + [upper(4, 500)])
    ties = np.array([counts(made(seed=seed))[1] for seed in range(5)] + [np.zeros((4, 4))])

    together = davidson(wins, ties)

    alone = np.vstack([davidson(wins[[at]], ties[[at]]) for at in range(6)])
    assert together == pytest.approx(alone, abs=EXACT)


def test_comparisons_are_those_of_a_plain_count() -> None:
    """Of what both have a score for."""
    scores = made()

    wins, ties = comparisons(scores)

    expected = counts(scores)
    assert (wins.sum(axis=0) == expected[0]).all()
    assert (ties.sum(axis=0) == expected[1]).all()
    assert wins.shape == (40, 4, 4)


def test_equal_up_to_rounding_is_a_tie() -> None:
    """A mean over turns may differ in its last digit with their order."""
    wins, ties = comparisons(np.array([[0.1 + 0.2, 0.3]]))

    assert (wins.sum(), ties.sum()) == (0, 2)


def test_intervals_places_and_chances_are_those_of_a_plain_loop() -> None:
    """It draws the same dialogues and has each drawn table ranked by the other program."""
    scores, names = made(systems=3, dialogues=12), ["a", "b", "c"]
    resamples = Resamples(np.arange(12), 25)

    found = {each.system: each for each in ranking(names, scores, resamples)}

    generator = np.random.default_rng(20_260_112)
    drawn = np.array([by_scipy(*counts(scores[generator.integers(0, 12, 12)]))[:-1] for _ in range(25)])
    places = np.array([[1 + sum(other > mine + 1e-5 for other in line) for mine in line] for line in drawn])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    for at, name in enumerate(names):
        each, ordered = found[name], sorted(places[:, at])
        assert each.strength.value == pytest.approx(by_scipy(*counts(scores))[at], abs=CLIMBED)
        assert (each.strength.low, each.strength.high) == pytest.approx((low[at], high[at]), abs=CLIMBED)
        # 2.5 % of the way from the 1st to the 25th is 0.6 places, so nearest to the 2nd; and so from above.
        assert (each.rank_low, each.rank_high) == (ordered[1], ordered[23])
        assert each.best == pytest.approx(np.mean(places[:, at] == 1), abs=EXACT)


def test_systems_come_best_first_with_their_counts() -> None:
    """The table is read from the top."""
    scores = np.array([[1.0, 3.0, 2.0], [1.0, 2.0, 2.0], [3.0, 5.0, NAN]])

    found = ranking(["poor", "good", "fair"], scores, Resamples(np.arange(3), 200))

    assert [(each.system, each.rank) for each in found] == [("good", 1), ("fair", 2), ("poor", 3)]
    assert [(each.wins, each.ties, each.losses) for each in found] == [(4, 1, 0), (2, 1, 1), (0, 0, 5)]
    assert sum(each.strength.value for each in found) == pytest.approx(0, abs=1e-8)


def test_two_systems_alike_share_their_place() -> None:
    """One may not come first by the last digit of a sum."""
    generator = np.random.default_rng(2)
    scores = generator.integers(1, 6, (30, 3)).astype(float)
    scores[:, 2] = scores[:, 0]

    found = {each.system: each for each in ranking(["a", "b", "c"], scores, Resamples(np.arange(30), 100))}

    one, other = found["a"], found["c"]
    assert one.strength == other.strength
    assert (one.rank, one.rank_low, one.rank_high, one.best) == (
        other.rank,
        other.rank_low,
        other.rank_high,
        other.best,
    )


def test_systems_that_always_tie_are_all_first() -> None:
    """With a strength of 0, not of minus 0."""
    found = ranking(["b", "a"], np.full((5, 2), 3.0), Resamples(np.arange(5), 50))

    assert [(each.system, each.rank, each.rank_low, each.rank_high) for each in found] == [
        ("a", 1, 1, 1),
        ("b", 1, 1, 1),
    ]
    assert [str(each.strength.value) for each in found] == ["0.0", "0.0"]


def test_one_dialogue_has_a_ranking_without_intervals() -> None:
    """What would come out of another dialogue is not known."""
    first, second = ranking(["a", "b"], np.array([[1.0, 2.0]]), Resamples(np.arange(1)))

    assert (first.system, first.rank, second.rank) == ("b", 1, 2)
    assert (first.strength.low, first.strength.why) == (None, "too few dialogues")
    assert (first.rank_low, first.rank_high, first.best) == (None, None, None)


@pytest.mark.parametrize(
    "scores",
    [
        pytest.param(np.ones((5, 1)), id="one-system"),
        pytest.param(np.full((5, 3), NAN), id="all-missing"),
        pytest.param(np.array([[1.0, NAN], [NAN, 2.0]]), id="never-in-one-dialogue"),
        pytest.param(np.empty((0, 2)), id="no-dialogues"),
        pytest.param(np.empty((3, 0)), id="no-systems"),
    ],
)
def test_a_system_compared_with_no_other_has_no_place(scores: Floats) -> None:
    """To be the first of one says nothing."""
    found = ranking("abc"[: scores.shape[1]], scores, Resamples(np.arange(len(scores)), 50))

    assert len(found) == scores.shape[1]
    assert all((each.rank, each.best, each.strength.value) == (None, None, None) for each in found)
    assert all(each.strength.why == "compared with no other system" for each in found)


def test_a_system_without_scores_changes_nothing_for_the_others() -> None:
    """A run in which one system failed ranks the rest, and has that one last."""
    scores = made(systems=3, missing=0)
    alone = ranking(["a", "b", "c"], scores, Resamples(np.arange(40), 50))

    beside = ranking(["a", "0", "b", "c"], np.insert(scores, 1, NAN, axis=1), Resamples(np.arange(40), 50))

    assert beside[:3] == alone
    assert (beside[3].system, beside[3].rank) == ("0", None)


def test_the_strength_s_interval_holds_the_truth_about_nineteen_times_in_twenty() -> None:
    """Two systems, of which the first wins 0.5, ties 0.3 and loses 0.2 of the time: its strength is log(2.5) / 2."""
    generator = np.random.default_rng(4)

    held = []
    for _ in range(120):
        scores = np.column_stack((generator.choice([1.0, 0.0, -1.0], 60, p=[0.5, 0.3, 0.2]), np.zeros(60)))
        found = {each.system: each for each in ranking(["a", "b"], scores, Resamples(np.arange(60), 200))}["a"].strength
        held.append(found.low <= math.log(2.5) / 2 <= found.high)

    assert np.mean(held) == pytest.approx(0.95, abs=0.06)  # the standard error is 0.02


@settings(max_examples=40, deadline=None)
@given(
    arrays(float, st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.sampled_from([1.0, 2.0, 2.5, NAN])),
)
def test_no_table_of_scores_ends_the_program(scores: Floats) -> None:
    """Holes, constants and single dialogues included."""
    names = [str(place) for place in range(scores.shape[1])]

    found = ranking(names, scores, Resamples(np.arange(len(scores)), 20))

    assert sorted(each.system for each in found) == names
    for each in found:
        assert (each.rank is None) == (each.wins + each.ties + each.losses == 0)
        assert each.rank_low is None or 1 <= each.rank_low <= each.rank_high <= len(names)


# --- Kendall's W ---


@pytest.mark.parametrize("seed", range(6))
def test_w_is_that_of_friedman_s_test(seed: int) -> None:
    """Chi-squared is W times raters times systems less one, ties and all."""
    values = np.random.default_rng(seed).integers(1, 5, (3 + seed, 5)).astype(float)
    raters, systems = values.shape

    expected = stats.friedmanchisquare(*values.T).statistic / (raters * (systems - 1))

    assert kendall_w(values) == pytest.approx(expected, abs=EXACT)


def test_w_by_hand() -> None:
    """Two raters and three systems: 1, 2, 3 and 1, 1, 2."""
    # Ranks 1, 2, 3 and 1.5, 1.5, 3: sums 2.5, 3.5, 6, mean 4; S = 2.25 + 0.25 + 4 = 6.5. One tie of two: 2^3 - 2 = 6.
    # W = 12 * 6.5 / (4 * 24 - 2 * 6) = 78 / 84.
    assert kendall_w(np.array([[1.0, 2, 3], [1, 1, 2]])) == pytest.approx(78 / 84, abs=EXACT)


@pytest.mark.parametrize(
    ("values", "w"),
    [
        pytest.param([[1.0, 2, 3], [10, 20, 30]], 1.0, id="alike"),
        pytest.param([[1.0, 2, 3], [3, 2, 1]], 0.0, id="contrary"),
        pytest.param([[1.0, 1, 1], [1, 2, 3]], 0.5, id="one-says-nothing"),  # S = 2: 12 * 2 / (4 * 24 - 2 * 24) = 1/2
        pytest.param([[1.0, 1], [1, 1]], NAN, id="all-equal"),
        pytest.param([[1.0, 2, 3]], NAN, id="one-rater"),
        pytest.param([[1.0], [2.0]], NAN, id="one-system"),
        pytest.param([[1.0, NAN], [1.0, 2.0]], NAN, id="one-missing"),
        pytest.param([[NAN, NAN], [NAN, NAN]], NAN, id="all-missing"),
        pytest.param([[0.1 + 0.2, 0.3], [1.0, 1.0]], NAN, id="equal-up-to-rounding"),
    ],
)
def test_w_at_its_edges(values: list[list[float]], w: float) -> None:
    """A figure of nothing is no figure."""
    assert kendall_w(np.array(values)) == pytest.approx(w, abs=EXACT, nan_ok=True)
