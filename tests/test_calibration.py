"""Calibrations: a file that is believed only whole, for the judge and the settings it names."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perm_cli.comparing.learning import calibrated
from perm_cli.comparing.table import Given, Rated, table_of
from perm_cli.errors import SettingsError
from perm_cli.ratings.spending import Spending
from perm_cli.rewards.calibration import (
    Calibration,
    Curve,
    calibration_of,
    read_calibration,
    write_calibration,
)
from perm_cli.rewards.formula import Recipe
from perm_cli.rewards.reward import rewards_of
from perm_cli.rewards.summary import read_summary, summarise, summary_json
from tests.makers import BOUNDS, DIMENSIONS, bystander_term, empathy_of, rating


def curve(**changes: Any) -> Curve:
    """Return a curve that takes 1 to 1, 3 to 2 and 5 to 4."""
    usual: dict[str, Any] = {
        "judge": "j",
        "settings": "x",
        "dimension": "reception",
        "human": "empathy",
        "labels": 60,
        "dialogues": 30,
        "x": (1.0, 3.0, 5.0),
        "y": (1.0, 2.0, 4.0),
        "error_before": 1.0,
        "error_after": 0.5,
        "bias_before": 0.5,
        "bias_after": 0.0,
    }
    return Curve(**usual | changes)


def holding(*curves: Curve) -> Calibration:
    """Return a calibration of these curves."""
    return Calibration(perm_calibration=1, made="2026-11-01T00:00:00+00:00", of=["run"], curves=curves)


def test_a_calibration_comes_back_from_its_file(tmp_path: Path) -> None:
    """What was learned is what is used."""
    calibration = holding(curve(), curve(dimension="expression", error_before=None, bias_before=None))

    write_calibration(calibration, tmp_path / "c.json")

    assert read_calibration(tmp_path / "c.json") == replace(calibration, curves=list(calibration.curves), of=["run"])
    assert calibration_of(json.loads((tmp_path / "c.json").read_text())).curve("j", "x", "reception") == curve()


@pytest.mark.parametrize(("score", "level"), [(1, 1), (2, 1.5), (3, 2), (4, 3), (5, 4), (0, 1), (9, 4)])
def test_a_level_lies_on_straight_lines_between_the_knots(score: float, level: float) -> None:
    """And is flat beyond them."""
    assert holding(curve()).level("j", "x", "reception", score) == pytest.approx(level)


def test_another_judge_rubric_or_dimension_is_left_as_it_is() -> None:
    """A map belongs to what it was learned on; one learned from a file that knows no settings serves all."""
    calibration = holding(curve(), curve(judge="any", settings=""))

    assert [calibration.level(*who, 3.0) for who in (("other", "x", "reception"), ("j", "y", "reception"))] == [3, 3]
    assert calibration.level("j", "x", "expression", 3.0) == 3
    assert calibration.level("any", "whatever", "reception", 3.0) == 2
    assert [calibration.calibrated(*who) for who in (("j", "x"), ("j", "y"), ("any", "q"))] == [
        ["reception"],
        [],
        ["reception"],
    ]


def with_curve(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    """Return an edit of the first curve."""
    return lambda record: record | {"curves": [record["curves"][0] | changes]}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        pytest.param(with_curve(y=[1.0, 3.0, 2.0]), "a curve that falls or is empty for 'j'", id="falls"),
        pytest.param(with_curve(x=[1.0, 1.0, 2.0]), "a curve that falls or is empty for 'j'", id="two at one place"),
        pytest.param(with_curve(x=[], y=[]), "a curve that falls or is empty for 'j'", id="empty"),
        pytest.param(with_curve(y=[1.0]), "a curve that falls or is empty for 'j'", id="shorter"),
        pytest.param(with_curve(y=[1.0, 2.0, None]), "curves[0].y[2]", id="null"),
        pytest.param(with_curve(y=[1.0, 2.0, "high"]), "curves[0].y[2]", id="word"),
        pytest.param(with_curve(extra=1), "curves[0].extra", id="unknown field"),
        pytest.param(lambda record: record | {"perm_calibration": 2}, "another format", id="other format"),
        pytest.param(lambda record: record | {"curves": []}, "no curve", id="no curve"),
        pytest.param(lambda record: [record], "expected a file of perm calibrate", id="a list"),
        pytest.param(lambda _: {}, "perm_calibration", id="nothing"),
    ],
)
def test_an_edited_file_is_one_line(tmp_path: Path, edit: Callable[[Any], Any], said: str) -> None:
    """Which names the file and what is wrong in it."""
    path = tmp_path / "c.json"
    write_calibration(holding(curve()), path)
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))

    with pytest.raises(SettingsError) as caught:
        read_calibration(path)

    assert str(caught.value).startswith(f"--calibration: {path}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not json\nat all", id="not JSON"),
        pytest.param(b"\xff\xfe\x00", id="not UTF-8"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"[" + b"1," * 2_000_000 + b"1]", id="huge"),
        pytest.param(b'{"perm_calibration": 1e999}', id="infinite"),
        pytest.param(None, id="not there"),
    ],
)
def test_what_is_no_calibration_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    """Whatever it is."""
    path = tmp_path / "c.json"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SettingsError, match="expected a file of perm calibrate") as caught:
        read_calibration(path)

    assert len(str(caught.value)) < 400 + len(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_curve_of_no_number_is_one_line(tmp_path: Path, number: str) -> None:
    """Python's JSON lets it through; a reward must not be made of it."""
    path = tmp_path / "c.json"
    write_calibration(holding(curve(y=(1.0, 2.0, 4.125))), path)
    path.write_text(path.read_text().replace("4.125", number))

    with pytest.raises(SettingsError, match="falls or is empty"):
        read_calibration(path)


def test_a_table_is_mapped_where_there_is_a_curve_and_people_never() -> None:
    """People are who the levels are of."""
    names = ("j", "other", "human1")
    scores = table_of((Given(Rated("d"), "reception", name, 3.0) for name in names), ["human1"])

    mapped, used = calibrated(scores, holding(curve(settings=""), curve(judge="human1", settings="")))

    assert (mapped.tables["reception"].tolist(), used) == ([[2.0, 3.0, 3.0]], 1)
    assert scores.tables["reception"].tolist() == [[3.0, 3.0, 3.0]]


def test_a_curve_that_leaves_the_scale_makes_no_reward() -> None:
    """The formula knows 1 to 5; people's 0 to 2 are something else."""
    with pytest.raises(SettingsError, match="reception of j becomes 0 to 2, expected 1 to 5"):
        holding(curve(y=(0.0, 1.0, 2.0))).check(BOUNDS)

    holding(curve(), curve(dimension="reward", y=(0.0, 0.1, 0.2))).check(BOUNDS)


def ratings(settings: str = "x") -> list[Any]:
    """Return the four ratings of one turn."""
    scores = {"resonation": 2.0, "expression": 4.0, "reception": 3.0, "bystander": 50.0}
    return [rating(key=name, dimension=name, score=score, settings=settings) for name, score in scores.items()]


def test_a_reward_follows_the_formula_on_mapped_scores() -> None:
    """Only reception has a curve: 3 becomes 2; which have none is said."""
    (reward,) = rewards_of(ratings(), Recipe(calibration=holding(curve())))

    assert (reward.scores["reception"], reward.scores["resonation"]) == (2.0, 2.0)
    assert reward.reward == pytest.approx(empathy_of([2, 4, 2], "harmonic") + bystander_term(50, 0.5))
    assert reward.caveat == "not calibrated on resonation, expression, bystander"


def test_what_a_calibration_knows_nothing_of_is_said() -> None:
    """Another rubric has other settings, and its scores stay raw."""
    recipe = Recipe(calibration=holding(curve()))

    (other,) = rewards_of(ratings("y"), recipe, caveats={"y": "it counts"})
    (whole,) = rewards_of(ratings(), Recipe(calibration=holding(*(curve(dimension=name) for name in DIMENSIONS))))

    assert other.scores["reception"] == 3.0
    assert other.caveat == "it counts; not calibrated: the calibration has nothing for j as it was asked"
    assert whole.caveat is None


def test_a_missing_score_stays_missing_and_its_ends_are_those_of_the_scale() -> None:
    """A map is for what was given."""
    recipe = Recipe(calibration=holding(curve()))
    kept = [each for each in ratings() if each.dimension != "reception"]

    (reward,) = rewards_of(kept, recipe)

    assert (reward.reward, reward.scores["reception"]) == (None, None)
    assert reward.reward_low == pytest.approx(empathy_of([2, 4, 1], "harmonic") + bystander_term(50, 0.5))


def test_a_summary_comes_back_with_its_calibration() -> None:
    """A finished run is shown again from its summary."""
    recipe = Recipe(calibration=holding(curve()))
    summary = summarise(rewards_of(ratings(), recipe), Spending(), 4, "run", recipe)

    again = read_summary(summary_json(summary))

    assert summary_json(again) == summary_json(summary)
    assert again.recipe.calibration is not None
    assert again.recipe.calibration.level("j", "x", "reception", 3.0) == 2.0
    assert again.caveats == ["not calibrated on resonation, expression, bystander"]
    assert np.isfinite(summary.systems[0].reward_low)
