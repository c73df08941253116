"""How numbers are made, as a report says it: the formula is the one that rewards come from."""

import json
from pathlib import Path

import pytest

from perm_cli.comparing.from_runs import read_runs
from perm_cli.prompts.rubrics import default_pack, wording_of
from perm_cli.prompts.shipped import shipped
from perm_cli.ratings.run_record import SettingsRecord
from perm_cli.reports.making import recipe_facts, wording_tables
from perm_cli.reports.report import report_of
from perm_cli.rewards.formula import Recipe, formula_of
from perm_cli.rewards.reward import rewards_of
from tests.makers import rating
from tests.test_browsing import talk, whole, written_run

RECIPES = [
    pytest.param(Recipe(), id="harmonic"),
    pytest.param(Recipe(fusion="mean", coefficients={"bystander": 0.2}), id="mean"),
    pytest.param(Recipe(fusion="geometric", coefficients={"bystander": 0.0}), id="geometric"),
    pytest.param(
        Recipe(fusion="weighted-mean", weights={"resonation": 1, "expression": 2.5, "reception": 1}), id="weighted"
    ),
    pytest.param(Recipe(length_penalty=0.001, length_limit=500), id="length"),
]
SCORES = {"resonation": 4.0, "expression": 2.0, "reception": 5.0, "bystander": 62.0}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_formula_gives_the_reward(recipe: Recipe) -> None:
    """Worked out as it stands there, with the scores in the places of their names."""
    ratings = [rating(dimension=name, score=score) for name, score in SCORES.items()]

    (reward,) = rewards_of(ratings, recipe, lambda *_: 900)
    said = formula_of(default_pack(), recipe).text(recipe).removeprefix("reward = ")
    python = said.translate({ord("×"): "*", ord("−"): "-", ord("^"): "**"})

    assert eval(python, {"tokens": 900, "max": max, **SCORES}) == pytest.approx(reward.reward)  # noqa: S307 - ours


@pytest.mark.parametrize("recipe", RECIPES)
def test_all_that_goes_into_the_number_is_said(recipe: Recipe) -> None:
    """Two reports of one run with other recipes must not look alike."""
    facts = {
        fact.name: fact.value for fact in recipe_facts(formula_of(default_pack(), recipe), recipe, ["mode", "mode"])
    }

    assert {"Formula", "Range", "Fusion", "Bystander", "Length", "Score of a dimension", "Calibration"} <= facts.keys()
    assert ("expression 2.5" in facts.get("Weights", "")) is (recipe.fusion == "weighted-mean")
    assert ("cl100k_base" in facts["Length"]) is bool(recipe.length_penalty)
    assert facts["Score of a dimension"] == "as the judge states it; of several samples the most frequent"


def test_the_range_is_from_all_worst_to_all_best() -> None:
    """Scores of 1 make 1/5; a bystander of 0 takes off the coefficient."""
    assert formula_of(default_pack(), Recipe()).ends == pytest.approx((-0.3, 1.0))
    assert formula_of(default_pack(), Recipe(coefficients={"bystander": 0.0})).ends == pytest.approx((0.2, 1.0))


def test_every_level_stands_in_the_report_as_the_judge_read_it(tmp_path: Path) -> None:
    """From the run's own record: the shipped rubrics may have changed since."""
    dialogue = talk()
    run = written_run(tmp_path / "run", [dialogue], whole(dialogue))
    record = json.loads((run / "run.json").read_text())
    text = """name: reception
title: Warmth
question: How warm?
perspective: seeker
template: seeker.jinja
sees: []
levels: {1: cold, 2: warm}
sources: [me]"""
    record["settings"]["x"]["rubrics"] = {"reception": text}
    (run / "run.json").write_text(json.dumps(record))

    page = report_of(read_runs([run]), "T")

    (table,) = page.wordings
    assert (table.caption, table.rows) == ("Warmth (seeker): How warm?", [("1", "cold"), ("2", "warm")])
    assert page.making[0].value.startswith("reward = 3 / (5 / resonation")


def test_shipped_rubrics_read_as_they_are_written() -> None:
    """All levels and all items, and the same wording once."""
    texts = {path.stem: path.read_text() for path in (shipped("rubrics") / "perm").iterdir() if path.stem != "pack"}
    wordings = {
        name: SettingsRecord(rubrics=rubrics).wordings for name, rubrics in (("x", texts), ("y", texts), ("z", {}))
    }

    tables = list(wording_tables(wordings.values()))

    assert sorted(len(table.rows) for table in tables) == [5, 5, 5, 5]


@pytest.mark.parametrize("text", ["", "{", "- a", "levels: 3", "a: 1\na: 2", "[" * 5000, "levels: {good: x}"])
def test_what_is_no_rubric_is_shown_as_it_is(text: str) -> None:
    """A run folder may come from anywhere."""
    wording = wording_of("reception", text)

    assert (wording.title, wording.question, wording.rows) == ("reception", text, ())
