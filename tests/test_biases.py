"""What else scores rest on: against scipy, numpy and pandas, and by hand where it is our own invention."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from perm_cli.comparing.biases import family_of, feature_correlations, feature_table, structures
from perm_cli.comparing.table import Given, Rated, Scores, table_of
from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.features import NAMES, as_row, features_of
from perm_cli.statistics.resampling import Resamples

EXACT = 1e-9
DIMENSIONS = ("warmth", "depth", "clarity")


def made(halo: float, seed: int = 1, items: int = 200, judges: str = "xyz") -> Scores:
    """Return what judges say who share the truth on each dimension, and as much of one impression as is said."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(0, 1, (items, 3)) + halo * generator.normal(0, 1, (items, 1))
    given = []
    for judge in judges:
        seen = truth + generator.normal(0, 0.5, truth.shape)
        for place, row in enumerate(seen):
            item = Rated(f"d{place}", "s", 2)
            given += [Given(item, name, judge, float(score)) for name, score in zip(DIMENSIONS, row, strict=True)]
    return table_of(given)


def test_structure_is_that_of_scipys_correlations() -> None:
    """Of one judge's dimensions, and of the same and other dimensions across judges."""
    scores = made(halo=1)
    rho, _ = stats.spearmanr(np.hstack([scores.of(name, ["x", "y", "z"]) for name in DIMENSIONS]))
    # Columns are warmth by x, y, z, then depth by x, y, z, then clarity.
    own = rho[np.ix_([0, 3, 6], [0, 3, 6])]

    found = structures(scores, DIMENSIONS)[0]

    assert found.rater == "x"
    assert found.halo == pytest.approx(np.mean([own[i, j] for i, j in combinations(range(3), 2)]), abs=EXACT)
    assert found.first_share == pytest.approx(np.linalg.eigvalsh(own).max() / 3, abs=EXACT)
    same = [rho[3 * d, 3 * d + j] for d in range(3) for j in (1, 2)]
    other = [rho[3 * d, 3 * e + j] for d in range(3) for e in range(3) if e != d for j in (1, 2)]
    assert found.convergent == pytest.approx(np.mean(same), abs=EXACT)
    assert found.discriminant == pytest.approx(np.mean(other), abs=EXACT)


def test_one_impression_shows() -> None:
    """With it the dimensions go together within a judge and across; without, only the same one does."""
    strong, none = structures(made(halo=5), DIMENSIONS)[0], structures(made(halo=0), DIMENSIONS)[0]

    assert strong.convergent - strong.discriminant < 0.1
    assert none.convergent - none.discriminant > 0.5
    assert (strong.first_share > 0.8, none.first_share < 0.5) == (True, True)


def alike(scores: list[float]) -> Scores:
    """Return what two judges give that say the same on every dimension."""
    given = ((place, name, judge) for place in range(len(scores)) for name in DIMENSIONS for judge in "xy")
    return table_of(Given(Rated(f"d{place}"), name, judge, scores[place]) for place, name, judge in given)


@pytest.mark.parametrize(
    ("scores", "convergent"),
    [
        pytest.param(made(1, judges="x"), None, id="one-judge"),
        pytest.param(made(1, items=1), None, id="one-item"),
        pytest.param(alike([3.0] * 4), None, id="all-equal"),
        pytest.param(alike([math.nan] * 4), None, id="nothing-given"),
        pytest.param(alike([0.0, 1.0, 2.0, 3.0]), 1.0, id="judges-of-one-mind"),
    ],
)
def test_structure_with_little_to_go_by_is_missing_and_never_nan(scores: Scores, convergent: float | None) -> None:
    """One judge, one item, all equal, nothing given, and two judges that say the same of everything."""
    found = structures(scores, DIMENSIONS)[0]

    assert found.convergent == (None if convergent is None else pytest.approx(convergent))
    assert all(each is None or math.isfinite(each) for each in (found.halo, found.first_share, found.discriminant))


def test_one_dimension_has_no_structure() -> None:
    """There is nothing to tell apart."""
    assert structures(made(1), ["warmth"]) == []


def spoken(name: str, *replies: str) -> Dialogue:
    """Return a dialogue with these replies."""
    pairs = [(Turn(role="seeker", text="Hm."), Turn(role="supporter", text=reply)) for reply in replies]
    return Dialogue(id=name, system="s", turns=tuple(turn for pair in pairs for turn in pair))


def test_features_stand_beside_their_items() -> None:
    """By turn, as a mean for a whole dialogue, and missing for a text nobody has; the last version of an edit."""
    items = [Rated("a", "s", 4), Rated("a", "s", 0), Rated("b", "s", 2), Rated("c", "s", 2)]
    dialogues = [spoken("a", "One?", "Two."), spoken("b", "Old."), spoken("b", "New, and longer.")]

    table = feature_table(items, dialogues)

    one, two = as_row(features_of("One?", "Hm.")), as_row(features_of("Two.", "Hm."))
    assert table[0].tolist() == two
    assert table[1] == pytest.approx((np.array(one) + two) / 2)
    assert table[2, 0] == pytest.approx(math.log(4))
    assert np.isnan(table[3]).all()
    assert feature_table([], []).shape == (0, len(NAMES))


def test_what_scores_go_with_is_scipys_rho() -> None:
    """A judge of length is found out; what is the same in all replies goes with nothing."""
    generator = np.random.default_rng(3)
    features = np.column_stack((generator.normal(0, 1, (80, 3)), np.zeros(80)))
    noise = generator.normal(0, 0.3, 80)
    given = [Given(Rated(f"d{n}"), "reward", "j", features[n, 0] + noise[n]) for n in range(80)]
    scores = table_of(given)

    found = feature_correlations(scores, "reward", features, Resamples(scores.clusters))[0]

    column = scores.of("reward", ["j"])[:, 0]
    expected = [stats.spearmanr(column, features[:, place]).statistic for place in range(3)]
    assert list(found.features.values())[:3] == pytest.approx(expected, abs=EXACT)
    assert found.features["length"] > 0.9
    assert found.features["overlap"] is None


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("openai/gpt-4o-mini", "OpenAI"), ("o4-mini", "OpenAI"), ("gpt4omini", "OpenAI"), ("claude-3.7", "Anthropic"),
        ("anthropic/claude-x", "Anthropic"), ("gemini-2.5-flash", "Google"), ("Llama-3", "Meta"), ("qwen_3", "Alibaba"),
        ("openai/llama-3", "Meta"), ("deepseek-r1-distill-qwen", None), ("house", None), ("", None), ("\x00\x1b", None),
        ("foo4", None), ("system-o45", None), ("collama", None),
    ],
)  # fmt: skip
def test_a_family_is_read_from_a_name_that_says_one(model: str, family: str | None) -> None:
    """A server's prefix is no family, and two families are none."""
    assert family_of(model) == family


def favours(by: float) -> Scores:
    """Return scores of two judges, one of which gives its own family so much more."""
    given = []
    for place in range(40):
        for system in ("claude-x", "gpt-x"):
            item = Rated(f"d{place}", system, 2)
            level = place % 4 + (system == "gpt-x") * 0.5
            given += [Given(item, "reward", "claude-j", level + (system == "claude-x") * by + 1.0)]
            given += [Given(item, "reward", "house", level)]
    return table_of(given)


def test_own_family_is_a_difference_of_differences() -> None:
    """A judge that is generous to all favours nobody; one that is so to its own does, by as much."""
    features = np.full((80, len(NAMES)), np.nan)
    resamples = Resamples(favours(0).clusters)

    none, some = (feature_correlations(favours(by), "reward", features, resamples)[0].own_family for by in (0.0, 0.25))

    assert none.value == pytest.approx(0.0, abs=EXACT)
    assert not none.decisive
    assert (some.value, some.decisive) == (pytest.approx(0.25, abs=EXACT), True)
    other = feature_correlations(favours(0.25), "reward", features, resamples)[1].own_family
    assert (other.value, other.why) == (
        None,
        "it needs another judge, and systems both inside and outside the judge's model family",
    )
