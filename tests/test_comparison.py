"""Judges side by side: every figure against pandas, scipy or statsmodels, or worked out by hand."""

import math
from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from perm_cli.comparing.from_runs import REWARD
from perm_cli.comparing.side_by_side import DISPUTES, Comparison, compare, tie_share
from perm_cli.comparing.table import Given, Rated, Scores, table_of
from perm_cli.statistics.agreement import ordinal_alpha
from perm_cli.statistics.resampling import Floats
from tests.makers import DIMENSIONS

EXACT = 1e-9
Row = tuple[str, str, str, str, float]  # dialogue, system, dimension, rater, score


def of(rows: Iterable[Row], people: Iterable[str] = ()) -> Scores:
    """Return a table."""
    return table_of((Given(Rated(d, s, 2), name, rater, score) for d, s, name, rater, score in rows), people)


def made(seed: int = 1, dialogues: int = 40, missing: float = 0.1) -> Scores:
    """Return what a person and three judges, each more lenient than the last, say of three systems."""
    generator = np.random.default_rng(seed)
    rows: list[Row] = []
    for place in range(dialogues):
        for rank, system in enumerate(("a", "b", "c")):
            for name in ("reception", "warmth"):
                truth = generator.normal(3.2 - 0.3 * rank, 1)
                for lenient, rater in enumerate(("human", "x", "y", "z")):
                    score = float(np.clip(round(truth + 0.4 * lenient + generator.normal(0, 0.6)), 1, 5))
                    lost = generator.random() < missing
                    rows.append((f"d{place}", system, name, rater, math.nan if lost else score))
    return of(rows, ["human"])


def frame(scores: Scores, name: str) -> pd.DataFrame:
    """Return a dimension as pandas holds it, a column a rater."""
    items = pd.DataFrame(scores.items, columns=["dialogue", "system", "turn"])
    return items.join(pd.DataFrame(scores.tables[name], columns=scores.raters))


@pytest.mark.parametrize("seed", range(2))
def test_the_use_of_the_scale_is_that_of_pandas(seed: int) -> None:
    """Mean, spread, levels and the shares at the ends."""
    scores = made(seed)

    for dimension in compare(scores).dimensions:
        table = frame(scores, dimension.name)
        assert [use.rater for use in dimension.use] == ["human", "x", "y", "z"]
        for use in dimension.use:
            column = table[use.rater].dropna()
            found = [use.items, use.mean, use.deviation, use.levels, use.ceiling, use.floor]
            expected = [
                column.size, column.mean(), column.std(), column.nunique(), (column == 5).mean(), (column == 1).mean(),
            ]  # fmt: skip
            assert found == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("seed", range(3))
def test_ties_are_those_of_a_loop_over_pairs(seed: int) -> None:
    """Pairs of systems that answered the same turn and got the same score."""
    scores = made(seed)
    table = frame(scores, "warmth")

    for rater in scores.raters:
        same = [
            first == second
            for _, rows in table.groupby(["dialogue", "turn"])
            for first, second in combinations(rows[rater].dropna(), 2)
        ]
        assert tie_share(scores, scores.of("warmth", [rater])[:, 0]) == pytest.approx(np.mean(same), abs=EXACT)


def test_ties_by_hand() -> None:
    """Three systems on one turn make three pairs, of which one is tied; a fourth of another turn is in none."""
    rows = [("d", "a", "w", "j", 3.0), ("d", "b", "w", "j", 3.0), ("d", "c", "w", "j", 4.0), ("e", "a", "w", "j", 3.0)]
    scores = of(rows)

    assert tie_share(scores, scores.tables["w"][:, 0]) == pytest.approx(1 / 3)
    assert tie_share(scores, np.full(4, np.nan)) is None


def test_differences_in_level_are_those_of_cluster_robust_regression() -> None:
    """The mean over items, with the error over dialogues; scipy's rank-biserial correlation beside it."""
    scores = made(dialogues=300, missing=0)
    table = frame(scores, "warmth")

    for each in compare(scores).dimensions[1].differences:
        apart = table[each.first] - table[each.second]
        fitted = smf.ols("apart ~ 1", pd.DataFrame({"apart": apart})).fit(
            cov_type="cluster", cov_kwds={"groups": table["dialogue"].astype("category").cat.codes}
        )
        low, high = fitted.conf_int().iloc[0]
        assert each.bias.value == pytest.approx(apart.mean(), abs=EXACT)
        assert (each.bias.low, each.bias.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))
        moved = apart[apart != 0]
        ranks = stats.rankdata(moved.abs())
        assert each.effect == pytest.approx(ranks @ np.sign(moved) / ranks.sum(), abs=EXACT)
        assert each.p is not None
        assert each.p < 0.01  # each judge is more lenient than the one before


def test_alpha_with_people_is_a_mean_over_the_people() -> None:
    """Each judge with each person who rated; people are in no figure among judges."""
    rows = [
        (f"d{n}", "s", "warmth", rater, float(score))
        for n in range(12)
        for rater, score in {"ann": n % 5, "bob": n % 4, "x": n % 5, "y": n % 3, "nobody": math.nan}.items()
    ]
    scores = of(rows, ["ann", "bob", "nobody"])

    dimension = compare(scores).dimensions[0]

    for judge in "xy":
        alphas = [ordinal_alpha(scores.of("warmth", [human, judge])) for human in ("ann", "bob")]
        assert dimension.people_alpha[judge] == pytest.approx(np.mean(alphas), abs=EXACT)
    assert dimension.agreement
    assert dimension.agreement.raters == ["x", "y"]


def test_rankings_of_judges_alone_make_the_concordance() -> None:
    """Two judges of one mind are of one mind, whatever a person thinks."""
    rows = [
        (f"d{n}", system, "warmth", rater, float(rank if rater != "ann" else -rank))
        for n in range(9)
        for rank, system in enumerate("abc")
        for rater in ("ann", "x", "y")
    ]

    found = compare(of(rows, ["ann"]))

    assert [board.rater for board in found.boards] == ["ann", "x", "y"]
    assert found.boards[0].standings[0].system == "a"
    assert found.concordance == pytest.approx(1.0)


def test_disputes_come_widest_first_with_all_scores() -> None:
    """By the range as a share of the scale, of judges; a person's score stands beside."""
    rows = [("d0", "s", "warmth", "x", 1.0), ("d0", "s", "warmth", "y", 5.0), ("d0", "s", "warmth", "ann", 2.0)]
    rows += [("d1", "s", "warmth", "x", 2.0), ("d1", "s", "warmth", "y", 3.0), ("d2", "s", "warmth", "x", 1.0)]
    rows += [(f"e{n}", "s", "warmth", rater, 3.0) for n in range(9) for rater in "xy"]
    rows += [("d1", "s", "bystander", "x", 0.0), ("d1", "s", "bystander", "y", 90.0)]

    found = compare(of(rows, ["ann"])).disputes

    # d0: a range of 4 out of 4. d1: a range of 1 out of 4 and of 90 out of 100, 0.575 in the mean.
    assert [(each.item.dialogue_id, each.dimension, each.spread) for each in found] == [
        ("d0", "warmth", 1.0), ("d1", "bystander", 0.9),
    ]  # fmt: skip
    assert found[0].scores == {"x": 1.0, "y": 5.0, "ann": 2.0}


def test_there_are_not_more_disputes_than_anybody_reads() -> None:
    """Of a thousand, the first."""
    rows = [(f"d{n}", "s", "warmth", rater, score) for n in range(50) for rater, score in (("x", 1.0), ("y", 5.0))]

    assert len(compare(of(rows)).disputes) == DISPUTES


def test_the_reward_is_ranked_by_and_no_dimension_of_its_own() -> None:
    """It is made of the dimensions, so it takes no part in their structure."""
    rows = [(f"d{n}", "s", name, j, float(n % 4)) for n in range(8) for name in (*DIMENSIONS, REWARD) for j in "xy"]

    found = compare(of(rows))

    assert ([each.name for each in found.dimensions], found.main) == ([*DIMENSIONS, REWARD], REWARD)
    assert {each.dimension for each in found.disputes} <= set(DIMENSIONS)


def figures(found: Comparison) -> Iterable[float | None]:
    """Yield every number of a comparison."""
    for dimension in found.dimensions:
        for use in dimension.use:
            yield from (use.mean, use.deviation, use.ceiling, use.floor, use.ties)
        for each in dimension.differences:
            yield from (each.bias.value, each.bias.low, each.p, each.effect)
        yield from dimension.people_alpha.values()
        if dimension.agreement:
            yield dimension.agreement.alpha.value
    yield found.concordance
    for structure in found.structure:
        yield from (structure.halo, structure.first_share, structure.convergent, structure.discriminant)
    for lean in found.leans:
        yield from lean.features.values()


LITTLE: dict[str, list[Row]] = {
    "one-item": [("d", "s", "w", rater, score) for rater, score in (("x", 1.0), ("y", 2.0))],
    "all-equal": [(f"d{n}", s, "w", rater, 3.0) for n in range(5) for s in "ab" for rater in "xy"],
    "nothing-given": [(f"d{n}", s, "w", rater, math.nan) for n in range(5) for s in "ab" for rater in "xy"],
    "identical": [(f"d{n}", s, "w", rater, float(n)) for n in range(5) for s in "ab" for rater in "xy"],
    "one-judge": [(f"d{n}", s, "w", "x", float(n)) for n in range(5) for s in "ab"],
    "one-system": [(f"d{n}", "a", "w", rater, float(n % k)) for n in range(5) for rater, k in (("x", 2), ("y", 3))],
    "nothing-shared": [(f"{rater}{n}", rater, "w", rater, float(n)) for n in range(5) for rater in "xy"],
    "a-silent-judge": [(f"d{n}", s, "w", r, n if r == "x" else math.nan) for n in range(5) for s in "ab" for r in "xy"],
    "rewards-only": [(f"d{n}", s, REWARD, rater, n / 5) for n in range(5) for s in "ab" for rater in "xy"],
    "hostile": [
        (f"\x1b[2J{n}", "\x00[red]", "=1+1", rater, float(n)) for n in range(5) for rater in ("\u202e", "[/b]")
    ],
}


@pytest.mark.parametrize("rows", LITTLE.values(), ids=LITTLE)
def test_little_to_go_by_is_no_number_and_no_end(rows: list[Row]) -> None:
    """Whatever is thrown at it: a figure is finite or missing."""
    found = compare(of(rows))

    assert all(value is None or math.isfinite(value) for value in figures(found))


def same(table: Floats, other: Floats) -> bool:
    """Tell whether two tables hold the same."""
    return bool(np.array_equal(table, other, equal_nan=True))


def test_comparing_changes_nothing() -> None:
    """What was given is as it was."""
    scores, again = made(), made()

    compare(scores)

    assert all(same(scores.tables[name], again.tables[name]) for name in scores.tables)
