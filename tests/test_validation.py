"""Validation: every figure equal to an independent one, and a plain word where there is none."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import cohen_kappa_score

from perm_cli.comparing.against_people import DimensionValidation, Mapped, ordered_pairs, same_scale, validate
from perm_cli.comparing.expectations import mapping
from perm_cli.comparing.labels import read_ratings
from perm_cli.comparing.panel import convene
from perm_cli.comparing.table import Given, Rated, Scores, table_of
from perm_cli.dialogues.features import NAMES
from perm_cli.reports.validated import findings
from perm_cli.rewards.formula import Recipe
from perm_cli.statistics.calibrating import folds_of
from perm_cli.statistics.means import row_means
from perm_cli.statistics.prediction import powered_mean
from perm_cli.statistics.replacement import alternative_annotator_test
from perm_cli.statistics.resampling import Floats, Resamples

EXACT = 1e-9
SAME = [Mapped(judged="empathy", human="empathy")]


def made(
    dialogues: int = 40,
    systems: Sequence[str] = ("a", "b", "c"),
    people: int = 3,
    *,
    missing: float = 0.15,
    dimension: str = "empathy",
    seed: int = 1,
) -> Scores:
    """Return what a judge and some people gave on 1 to 5, with items missing, so that the design is unbalanced."""
    generator = np.random.default_rng(seed)
    given = []
    for dialogue in range(dialogues):
        for place, system in enumerate(systems):
            truth = generator.normal(2.5 + 0.4 * place + 0.02 * (dialogue % 20), 1)
            item = Rated(f"d{dialogue}", system)
            for rater in ["judge", *(f"human{number}" for number in range(people))]:
                score = np.clip(np.round(truth + 0.7 * (rater == "judge") + generator.normal(0, 0.8)), 1, 5)
                if generator.random() > missing:
                    given.append(Given(item, dimension, rater, float(score)))
    return table_of(given, [f"human{number}" for number in range(people)])


def columns_of(scores: Scores, judge: str = "judge") -> tuple[Floats, Floats]:
    """Return the judge's scores and people's means."""
    table = pd.DataFrame(scores.tables["empathy"], columns=list(scores.raters))
    return table[judge].to_numpy(), table[list(scores.humans)].mean(axis=1).to_numpy()


def the(scores: Scores, mapped: Sequence[Mapped] = SAME, features: Floats | None = None) -> DimensionValidation:
    """Return the only validation there is, once all of it is shown to be JSON and free of NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = validate(scores, mapped, features)
        said = list(findings(found))
    content = orjson.dumps([asdict(each) for each in found])
    json.loads(content, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert "nan" not in " ".join(said).lower()
    assert "null" not in " ".join(said)
    (only,) = found
    return only


def test_what_people_say_is_the_mean_of_those_who_said_something() -> None:
    """Nobody's silence counts."""
    table = np.array([[1.0, 3, np.nan], [np.nan, np.nan, np.nan], [4, 4, 5]])

    assert row_means(table) == pytest.approx([2.0, np.nan, 13 / 3], nan_ok=True)


@pytest.mark.parametrize("missing", [0.0, 0.15, 0.5])
def test_orders_are_those_of_scipy(missing: float) -> None:
    """On items that both have."""
    scores = made(missing=missing)
    both = pd.DataFrame(np.stack(columns_of(scores), axis=1)).dropna().to_numpy()

    found = the(scores).judges[0]

    assert found.items == len(both)
    assert found.rho.value == pytest.approx(stats.spearmanr(*both.T).statistic, abs=EXACT)
    assert found.tau_b.value == pytest.approx(stats.kendalltau(*both.T).statistic, abs=EXACT)
    assert found.rho.low is not None
    assert found.rho.high is not None
    assert found.rho.low < found.rho.value < found.rho.high


@pytest.mark.parametrize("missing", [0.0, 0.15, 0.4])
def test_within_is_the_correlation_of_residuals_of_two_way_fixed_effects(missing: float) -> None:
    """Least squares with a dummy a dialogue and a dummy a system."""
    scores = made(missing=missing)
    column, truth = columns_of(scores)
    kept = ~np.isnan(column) & ~np.isnan(truth)
    groups = [pd.Series([item[place] for item in scores.items])[kept] for place in (0, 1)]
    dummies = sm.add_constant(pd.concat([pd.get_dummies(each, drop_first=True) for each in groups], axis=1)).to_numpy(
        float
    )
    left = [sm.OLS(each[kept], dummies).fit().resid for each in (column, truth)]

    assert the(scores).judges[0].within == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-7)


def test_within_is_not_known_where_dialogues_or_systems_say_all() -> None:
    """A residual of rounding errors is no correlation."""
    additive = [
        Given(Rated(f"d{d}", s), "empathy", rater, float(d / 10 + bonus))
        for d in range(9)
        for s, bonus in (("a", 0), ("b", 1))
        for rater in ("judge", "human1")
    ]

    assert the(table_of(additive, ["human1"])).judges[0].within is None
    assert the(made(systems=("a",))).judges[0].within is None


def test_systems_are_ranked_by_their_means() -> None:
    """Three systems are the fewest that have an order to speak of."""
    scores = made(systems="abcdef")
    column, truth = columns_of(scores)
    frame = pd.DataFrame({"j": column, "p": truth, "s": [item.system for item in scores.items]}).dropna()
    means = frame.groupby("s").mean()

    found = the(scores).judges[0].systems

    assert found.value == pytest.approx(stats.spearmanr(means["j"], means["p"]).statistic, abs=EXACT)
    assert found.why == "6 systems"
    assert the(made(systems="ab")).judges[0].systems.value is None


@pytest.mark.parametrize("systems", [("a", "b", "c"), ("a",)])
def test_pairs_are_those_of_a_double_loop(systems: tuple[str, ...]) -> None:
    """Replies to the same turn if there are any, else all."""
    scores = made(dialogues=30, systems=systems)
    column, truth = columns_of(scores)
    counts = {"right": 0, "tied": 0, "wrong": 0}
    for one, first in enumerate(scores.items):
        for other in range(one + 1, len(scores.items)):
            people = truth[one] - truth[other]
            judged = column[one] - column[other]
            if len(systems) > 1 and first.dialogue_id != scores.items[other].dialogue_id:
                continue
            if not np.isnan(people + judged) and abs(people) > EXACT:
                counts["tied" if abs(judged) < EXACT else "right" if judged * people > 0 else "wrong"] += 1
    total = sum(counts.values())

    found = ordered_pairs(scores, column, truth)

    assert found is not None
    assert found.pairs == total
    assert [found.right, found.tied, found.wrong] == pytest.approx([count / total for count in counts.values()])


def test_of_very_many_pairs_a_sample_is_looked_at() -> None:
    """A million pairs say no more than two hundred thousand."""
    generator = np.random.default_rng(1)
    truth = generator.normal(size=3000)
    column = truth + generator.normal(size=3000)
    scores = table_of(Given(Rated(f"d{n}"), "x", "judge", float(value)) for n, value in enumerate(column))
    alike = (column[:, None] - column) * (truth[:, None] - truth)

    found = ordered_pairs(scores, column, truth)

    assert found is not None
    assert found.pairs < 200_001
    assert found.right == pytest.approx((alike > 0).sum() / (alike.size - len(column)), abs=0.005)


def test_levels_are_those_of_sklearn_and_hand() -> None:
    """Judge minus people."""
    scores = made(people=1)
    both = pd.DataFrame(np.stack(columns_of(scores), axis=1)).dropna().to_numpy()

    found = the(scores).judges[0].levels

    assert found is not None
    assert found.kappa == pytest.approx(cohen_kappa_score(*both.astype(int).T, weights="quadratic"), abs=EXACT)
    assert found.bias == pytest.approx((both[:, 0] - both[:, 1]).mean(), abs=EXACT)
    assert found.error == pytest.approx(np.abs(both[:, 0] - both[:, 1]).mean(), abs=EXACT)


def out_of_fold(scores: Scores) -> Floats:
    """Return the judge's scores as sklearn maps them, learned on other dialogues only."""
    column, truth = columns_of(scores)
    folds = folds_of([item.dialogue_id for item in scores.items])
    mapped = np.full(len(column), np.nan)
    for fold in range(5):
        held, taught = folds == fold, (folds != fold) & ~np.isnan(column + truth)
        curve = IsotonicRegression(out_of_bounds="clip").fit(column[taught], truth[taught])
        mapped[held] = np.where(np.isnan(column[held]), np.nan, curve.predict(np.nan_to_num(column[held])))
    return mapped


def test_calibrated_levels_are_those_of_sklearn_on_dialogues_it_has_not_seen() -> None:
    """The same folds, another program."""
    scores = made()
    apart = out_of_fold(scores) - columns_of(scores)[1]

    found = the(scores).judges[0].calibrated

    assert found is not None
    assert found.error == pytest.approx(np.nanmean(np.abs(apart)), abs=EXACT)
    assert found.bias == pytest.approx(np.nanmean(apart), abs=EXACT)


def test_nothing_is_learned_from_the_dialogue_that_is_mapped() -> None:
    """A dialogue's labels may be anything: its own calibrated scores stay as they are."""
    scores = made(missing=0)
    item = scores.items[0].dialogue_id
    own = np.array([each.dialogue_id == item for each in scores.items])
    before = out_of_fold(scores)[own]
    table = scores.tables["empathy"].copy()
    table[own, 1:] = 5.0
    changed = Scores(items=scores.items, raters=scores.raters, tables={"empathy": table}, people=scores.people)
    truth = columns_of(changed)[1]

    found = the(changed).judges[0].calibrated

    assert found is not None
    rest = np.where(own, np.nan, out_of_fold(changed) - truth)
    assert found.error == pytest.approx(
        (np.nansum(np.abs(rest)) + np.abs(before - truth[own]).sum()) / len(truth), abs=EXACT
    )
    assert len({folds_of([each.dialogue_id for each in scores.items])[place] for place in np.flatnonzero(own)}) == 1


def test_the_annotator_test_is_run_on_levels_that_people_use() -> None:
    """A number between two levels ties with nobody, as it is and calibrated."""
    scores = made(systems=("a",), dialogues=60, missing=0)
    column, _ = columns_of(scores)
    table = np.column_stack((scores.tables["empathy"], np.clip(column + 0.3, 1, 4.9)))
    both = Scores(items=scores.items, raters=[*scores.raters, "mean"], tables={"empathy": table}, people=scores.people)
    humans = scores.of("empathy", scores.humans)
    levels = np.unique(humans)
    rounded = levels[np.abs(out_of_fold(scores)[:, None] - levels).argmin(axis=1)]

    judge, mean = the(both).judges

    assert judge.replacement == alternative_annotator_test(scores.humans, humans, column)
    assert mean.replacement == judge.replacement
    assert judge.replacement_calibrated == alternative_annotator_test(scores.humans, humans, rounded)


def test_people_and_judges_are_left_out_of_the_same_items() -> None:
    """Of each person and the judge: rho with the mean of the others, on what that person rated."""
    scores = made(missing=0.3)
    table = pd.DataFrame(scores.tables["empathy"], columns=list(scores.raters))
    people, judge = [], []
    for name in scores.humans:
        rest = table[[other for other in scores.humans if other != name]].mean(axis=1).where(table[name].notna())
        people.append(table[name].corr(rest, method="spearman"))
        judge.append(table["judge"].corr(rest, method="spearman"))

    found = the(scores).ceiling

    assert found.left_out == pytest.approx(np.mean(people), abs=EXACT)
    assert found.judge_left_out["judge"] == pytest.approx(np.mean(judge), abs=EXACT)


def counted(scores: Scores, noise: float) -> Floats:
    """Return features of which the second goes with people, the wrong way round."""
    generator = np.random.default_rng(3)
    table = generator.integers(0, 9, (len(scores.items), len(NAMES))).astype(float)
    table[:, 1] = -np.round(2 * np.nan_to_num(columns_of(scores)[1]) + generator.normal(0, noise, len(table)))
    return table


@pytest.mark.parametrize(("noise", "beats"), [(0.5, False), (60.0, True)])
def test_what_a_judge_adds_to_counting_is_resampled_with_the_same_draws(noise: float, beats: bool) -> None:
    """A naive bootstrap over dialogues, drawn as the program draws."""
    scores = made(missing=0)
    column, truth = columns_of(scores)
    features = counted(scores, noise)
    found = the(scores, features=features)
    assert found.best_count is not None
    best = features[:, NAMES.index(found.best_count)]

    draws = []
    for weights in next(Resamples(scores.clusters).weights())[:400]:
        rows = np.repeat(np.arange(len(truth)), weights[scores.clusters].astype(int))
        rho = stats.spearmanr(column[rows], truth[rows]).statistic
        draws.append(rho - abs(stats.spearmanr(best[rows], truth[rows]).statistic))

    over = found.judges[0].over_counting
    assert over.value == pytest.approx(
        stats.spearmanr(column, truth).statistic - abs(stats.spearmanr(best, truth).statistic), abs=EXACT
    )
    assert [over.low, over.high] == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.05)
    assert found.judges[0].beats_counting is beats


def test_what_counting_gives_is_measured_on_people_and_the_best_is_so_either_way_round() -> None:
    """More of one may mean less empathy."""
    scores = made()
    found = the(scores, features=counted(scores, 0.5))

    assert found.best_count == NAMES[1]
    assert (found.counting[NAMES[1]] or 0) < -0.8


def test_means_of_systems_are_powered_by_judgements_of_the_rest() -> None:
    """People rated some only."""
    scores = made(systems=("a", "b"), people=1, missing=0)
    table = scores.tables["empathy"].copy()
    table[10:, 1] = np.nan
    few = Scores(items=scores.items, raters=scores.raters, tables={"empathy": table}, people=scores.people)
    own = np.array([item.system == "a" for item in scores.items])
    labelled = own & ~np.isnan(table[:, 1])

    found = the(few).judges[0].powered

    expected = powered_mean(table[labelled, 1], table[labelled, 0], table[own & ~labelled, 0])
    assert found["a"] == (pytest.approx(table[own, 0].mean()), expected)
    assert the(scores).judges[0].powered == {}


def test_labels_of_which_more_means_less_turn_the_judge_round() -> None:
    """Its order is turned, its levels are not compared, and its own mean is shown as it gave it."""
    scores = made(missing=0)
    less = table_of(
        [
            *(each for each in scores.given() if each.rater == "judge"),
            *(
                each._replace(dimension="coldness", score=6 - each.score)
                for each in scores.given()
                if each.rater != "judge" and each.item.dialogue_id != "d0"
            ),
        ],
        scores.humans,
    )
    straight = the(scores.only(np.array([item.dialogue_id != "d0" for item in scores.items]))).judges[0]

    found = the(less, [Mapped(judged="empathy", human="coldness", sign=-1)]).judges[0]

    assert found.rho.value == pytest.approx(straight.rho.value, abs=EXACT)
    assert (found.levels, found.replacement.winning_rate) == (None, None)
    assert found.calibrated is not None
    assert all(mean > 0 for mean, _ in found.powered.values())


@pytest.mark.parametrize(
    ("judged", "human", "sign", "labels", "same"),
    [
        pytest.param("expression", "empathy", 1, [1, 5], True, id="both 1 to 5"),
        pytest.param("expression", "empathy", 1, [0, 2], False, id="0 to 2"),
        pytest.param("expression", "empathy", 1, [1, 3], False, id="1 to 3"),
        pytest.param("expression", "empathy", 1, [1, 7], False, id="1 to 7"),
        pytest.param("expression", "expression", 1, [1, 3], True, id="called the same"),
        pytest.param("expression", "expression", 1, [1, 7], False, id="called the same, but beyond"),
        pytest.param("expression", "expression", -1, [1, 5], False, id="the other way"),
        pytest.param("bystander", "sensible", 1, [1, 5], False, id="0 to 100"),
        pytest.param("bystander", "sensible", 1, [], False, id="no labels"),
    ],
)
def test_levels_are_compared_on_one_scale_only(
    judged: str, human: str, sign: int, labels: list[float], same: bool
) -> None:
    """Five of five is no bias of two against three of three."""
    table = table_of([Given(Rated("d"), judged, "judge", 3.0)])

    found = same_scale(table, Mapped(judged=judged, human=human, sign=sign), np.array(labels, dtype=float)[:, None])

    assert found is same


def rows(*values: tuple[str, list[float | None]], turns: int = 0) -> Scores:
    """Return a table of some raters' scores, an item a dialogue."""
    return table_of(
        (
            Given(Rated(f"d{place}", turn=turns), "empathy", rater, np.nan if score is None else score)
            for rater, scores in values
            for place, score in enumerate(scores)
        ),
        [rater for rater, _ in values if rater != "judge"],
    )


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        pytest.param(rows(("judge", [1, 2]), ("p", [1, 2])), "rated by one person", id="one person"),
        pytest.param(rows(("judge", [1, 2, 3]), ("p", [1, 2, 3]), ("q", [1, 2, 3])), "alpha 1.00", id="two people"),
        pytest.param(
            rows(("judge", [3] * 6), ("p", [3] * 6), ("q", [3] * 6)), "not known: all scores are equal", id="all equal"
        ),
        pytest.param(
            rows(("judge", [1, 2, None, None]), ("p", [None, None, 1, 2])),
            "judge says nothing on empathy: no item rated by both.",
            id="no overlap",
        ),
        pytest.param(
            rows(("judge", [1, 2, 3, 4]), ("p", [1, 2, None, None]), ("q", [None, None, 3, 4])),
            "How far people agree on empathy is not known: no item has two scores.",
            id="people who share no item",
        ),
        pytest.param(
            rows(("judge", [1, 2, 3, 4] * 5), ("p", [1, 5, 5, 1] * 5), ("q", [5, 1, 1, 5] * 5)),
            "people agree too little to hold a judge against them",
            id="people who disagree",
        ),
        pytest.param(rows(("judge", [1.0] * 10), ("p", [1.0, 2] * 5)), "one side are equal", id="a constant judge"),
        pytest.param(
            rows(("judge", [1.0, 2, 3, 4, 5] * 2), ("p", [1.0, 2, 4, 4, 5] * 2)),
            "10 items are too few to tell a good judge from a poor one.",
            id="ten labels",
        ),
        pytest.param(
            rows(("judge", [4]), ("p", [4])), "judge says nothing on empathy: 1 item rated by both.", id="one item"
        ),
    ],
)
def test_little_or_odd_input_is_a_plain_sentence(scores: Scores, said: str) -> None:
    """No warning, no NaN, in words or JSON."""
    found = the(scores)

    assert said in " ".join(findings([found]))


# --- real data ---


@pytest.fixture(scope="module")
def align(shared: Path) -> DimensionValidation:
    """Return what four judges are worth on Empathy, and their panel."""
    scores = read_ratings(shared / "data/ratings/mentalalign.csv")
    scores = Scores(
        items=scores.items,
        raters=scores.raters,
        tables={"Empathy": scores.tables["Empathy"]},
        people=scores.people,
    )
    _, scores = convene(scores, "mean", Recipe(), Resamples(scores.clusters))
    return validate(scores, mapping(scores))[0]


def test_mentalalign_says_what_was_worked_out_apart(align: DimensionValidation) -> None:
    """Figures of the data's review: each level of looking tells another story."""
    *judges, panel = align.judges

    assert len(judges) == 4
    for judge in judges:
        assert judge.pairs is not None
        assert judge.levels is not None
        assert 0.35 <= round(judge.rho.value or 0, 2) <= 0.40
        assert 0.24 <= round(judge.within or 0, 2) <= 0.29
        assert 0.85 <= round(judge.systems.value or 0, 2) <= 0.90
        assert 0.50 <= round(judge.pairs.tied, 2) <= 0.64
        assert 0.03 <= round(judge.pairs.wrong, 2) <= 0.08
        assert 0.58 <= round(judge.levels.bias or 0, 2) <= 0.78
    assert panel.pairs is not None
    assert [round(each, 2) for each in (panel.pairs.tied, panel.pairs.right, panel.pairs.wrong)] == [0.38, 0.51, 0.11]


def test_mentalalign_is_put_in_words(align: DimensionValidation) -> None:
    """What a reader needs not look up in the table."""
    said = list(findings([align]))

    assert said[0] == "Empathy was rated by one person, so how far people agree is not known."
    assert any(line.startswith("gpt-4o orders replies on Empathy with rho 0.40 (0.3") for line in said)
    assert "  It ranks systems better than replies: 0.88 over 10 systems against 0.40." in said
    assert "  Of the pairs of replies that people tell apart it ties 64% and turns 3% round." in said
    assert "  It scores 0.77 higher than people." in said


@pytest.fixture(scope="module")
def experts(shared: Path) -> list[DimensionValidation]:
    """Return what three judges and their panel are worth where three experts rated."""
    scores = read_ratings(shared / "data/ratings/expert_panel.csv")
    assert scores.humans == ["expert1", "expert2", "expert3"]
    _, scores = convene(scores, "mean", Recipe(), Resamples(scores.clusters))
    return validate(scores, mapping(scores))


def test_calibration_carries_judges_past_the_annotator_test(experts: list[DimensionValidation]) -> None:
    """Most fail by their level: 8 of 18 pass as they are, 15 after calibration on other dialogues."""
    judges = [judge for each in experts if each.human.startswith("lend_an_ear/") for judge in each.judges[:3]]

    assert len(judges) == 18
    assert sum(judge.replacement.passed for judge in judges) == 8
    assert sum(judge.replacement_calibrated.passed for judge in judges) == 15


def test_the_human_ceiling_stands_beside_every_judge_and_the_panel(experts: list[DimensionValidation]) -> None:
    """Nothing can be asked of a judge that people cannot do."""
    said = list(findings(experts))

    for each in experts:
        assert each.ceiling.left_out is not None
        assert len(each.judges) == (4 if not each.human.startswith("epitome/") else 3)
        if each.human.startswith("epitome/"):
            continue
        assert set(each.ceiling.judge_left_out) == {judge.rater for judge in each.judges}
        for judge in each.judges:
            reached, ceiling = each.ceiling.judge_left_out[judge.rater], each.ceiling.left_out
            words = f"the mean of all people but one {reached:.2f}, where that one reaches {ceiling:.2f}"
            assert any(line.startswith(f"{judge.rater} orders") and words in line for line in said)


def test_where_a_constant_passes_passing_says_little(experts: list[DimensionValidation]) -> None:
    """On scales that people hardly use, anything passes."""
    named = {each.human for each in experts if each.constant.passed}

    said = list(findings(experts))

    assert {"lend_an_ear/dismissing_emotions", "empathetic_dialogues/empathy"} <= named
    for each in experts:
        line = f"On {each.human} the annotator test says little: a score that is always the same passes too."
        assert (line in said) is (each.human in named)


def test_judges_of_other_dialogues_say_nothing(experts: list[DimensionValidation]) -> None:
    """In one of the sets two judges have ids of their own."""
    said = list(findings(experts))

    assert "gpt-4o says nothing on epitome/explorations: no item rated by both." in said
    assert "50 items tell a good judge from a poor one, but hardly one good judge from another." in said
