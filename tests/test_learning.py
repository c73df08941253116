"""Learning calibrations: what is learned is isotonic regression, and too little to learn from is said with numbers."""

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from perm_cli.comparing.against_people import Mapped
from perm_cli.comparing.learning import learn
from perm_cli.comparing.table import Given, Rated, Scores, table_of
from perm_cli.errors import SettingsError
from tests.test_validation import SAME, columns_of, made, out_of_fold

JUDGE = {"judge": ("openai/m", "abc123")}


def test_a_curve_is_that_of_sklearn_and_names_judge_and_settings() -> None:
    """Learned from all, judged on what each part has not seen."""
    scores = made()
    column, truth = columns_of(scores)
    both = ~np.isnan(column + truth)
    expected = IsotonicRegression().fit(column[both], truth[both])
    held_out = (out_of_fold(scores) - truth)[both]

    calibration, refused = learn(scores, SAME, JUDGE, "now", ["run"])

    (curve,) = calibration.curves
    levels = np.unique(column[both])
    assert refused == []
    assert (curve.judge, curve.settings, curve.dimension, curve.human) == ("openai/m", "abc123", "empathy", "empathy")
    assert curve(levels) == pytest.approx(expected.predict(levels), abs=1e-9)
    assert (curve.labels, curve.dialogues) == (
        both.sum(),
        len({scores.items[at].dialogue_id for at in np.flatnonzero(both)}),
    )
    assert curve.error_before == pytest.approx(np.abs(column - truth)[both].mean())
    assert curve.bias_before == pytest.approx((column - truth)[both].mean())
    assert curve.error_after == pytest.approx(np.abs(held_out).mean())
    assert curve.bias_after == pytest.approx(held_out.mean())


def twisted(change: str) -> tuple[Scores, list[Mapped]]:
    """Return a table of which nothing can be learned."""
    scores = made(missing=0)
    match change:
        case "few labels":
            return scores.only(np.arange(len(scores.items)) < 49), SAME
        case "few dialogues":
            return made(dialogues=19, missing=0), SAME
        case "other way":
            return scores, [Mapped(judged="empathy", human="empathy", sign=-1)]
        case "reward":
            return made(dimension="reward"), [Mapped(judged="reward", human="reward")]
    table = scores.tables["empathy"].copy()
    table[:, 0] = 3.0 if change == "constant judge" else 6 - table[:, 0]
    if change == "equal labels":
        table[:, 1:] = 4.0
    return Scores(items=scores.items, raters=scores.raters, tables={"empathy": table}, people=scores.people), SAME


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("few labels", "49 labels in 17 dialogues found, expected at least 50 in 20"),
        ("few dialogues", "57 labels in 19 dialogues found, expected at least 50 in 20"),
        ("other way", "calibration needs a label of the same direction"),
        ("reward", "the reward is fused from scores and cannot be calibrated itself"),
        ("constant judge", "do not increase with people's"),
        ("contrary judge", "do not increase with people's"),
        ("equal labels", "do not increase with people's"),
    ],
)
def test_what_teaches_nothing_is_refused(change: str, said: str) -> None:
    """A map that makes all replies alike would be worse than none."""
    scores, mapped = twisted(change)

    with pytest.raises(SettingsError, match="no calibration can be learned") as caught:
        learn(scores, mapped, JUDGE, "now", [])

    assert said in str(caught.value)


def test_of_several_labels_for_a_dimension_the_first_counts() -> None:
    """A score is put on one level, so the file holds one curve for it, and says so of the other."""
    scores = made()
    more = [each._replace(dimension="warmth") for each in scores.given() if each.rater in scores.humans]
    both = table_of([*scores.given(), *more], scores.humans)
    mapped = [*SAME, Mapped(judged="empathy", human="warmth")]

    calibration, refused = learn(both, mapped, JUDGE, "now", [])

    assert [curve.human for curve in calibration.curves] == ["empathy"]
    assert refused == ["judge, empathy from warmth: already learned from empathy"]


def test_on_another_scale_there_is_no_error_before() -> None:
    """Two of two is not three less than five of five."""
    scores = made()
    labels = [
        each._replace(dimension="strong", score=float(each.score > 3)) if each.rater != "judge" else each
        for each in scores.given()
    ]
    calibration, _ = learn(
        table_of(labels, scores.humans), [Mapped(judged="empathy", human="strong")], JUDGE, "now", []
    )

    (curve,) = calibration.curves
    assert (curve.error_before, curve.bias_before) == (None, None)
    assert 0 < curve.error_after < 0.5


def test_one_judge_may_be_learned_and_another_not() -> None:
    """What is refused is said beside what is kept."""
    few = [Given(Rated(f"d{n}", "a"), "empathy", "new", 3.0) for n in range(5)]
    scores = table_of([*made().given(), *few], made().humans)

    calibration, refused = learn(scores, SAME, JUDGE, "now", [])

    assert [curve.judge for curve in calibration.curves] == ["openai/m"]
    assert len(refused) == 1
    assert refused[0].startswith("new, empathy from empathy: ")
