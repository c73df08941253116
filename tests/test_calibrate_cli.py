"""`perm calibrate` and `--calibration` as typed: levels move, raw scores stay, and nothing is mapped in silence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perm_cli.judges.route_baseline import CAVEAT
from tests.commands import Perm
from tests.makers import bystander_term, empathy_of, written
from tests.test_cli import records
from tests.test_validate_cli import level, perm, run_of, table, talk

__all__ = ["perm"]


def labelled(place: int) -> dict[str, Any]:
    """Return labels that rise with the reply's length: people's fives are the counter's threes."""
    return {"experts": {"ann": {"reception": level(place), "resonation": level(place, 1)}}}


@pytest.fixture
def learned(perm: Perm) -> Path:
    """Return a calibration of the counter, learned from its run over sixty dialogues."""
    result = perm("calibrate", run_of(perm, labelled, 60), "--to", "c.json")
    assert result.code == 0, result.err
    return Path("c.json")


def mapped(score: float, dimension: str) -> float:
    """Return a score as the file's curve has it."""
    curves = json.loads(Path("c.json").read_text())["curves"]
    curve = next((each for each in curves if each["dimension"] == dimension), None)
    return float(np.interp(score, curve["x"], curve["y"])) if curve else score


def test_a_file_names_judge_settings_and_what_it_was_learned_from(learned: Path) -> None:
    """So that nobody takes it for another's."""
    record = json.loads(learned.read_text())
    settings = list(json.loads(Path("run/run.json").read_text())["settings"])

    assert (record["perm_calibration"], record["of"]) == (1, ["run"])
    assert {curve["dimension"] for curve in record["curves"]} == {"resonation", "reception"}
    assert {(curve["judge"], curve["settings"]) for curve in record["curves"]} == {("baseline", *settings)}
    assert all((curve["labels"], curve["dialogues"]) == (60, 60) for curve in record["curves"])


def test_what_was_learned_is_shown(perm: Perm) -> None:
    """With its worth on dialogues held out."""
    result = perm("calibrate", run_of(perm, labelled, 60), "--to", "c.json", "--map", "reception=reception")

    assert "c.json: 1 curve, to be used with --calibration c.json" in result.out
    assert "reception ~ reception" in result.out


def test_rewards_follow_the_formula_on_mapped_scores_and_ratings_stay_raw(perm: Perm, learned: Path) -> None:
    """The map is applied where the reward is made."""
    before = Path("run/ratings.jsonl").read_bytes()

    result = perm("reward", "run", "--calibration", learned, "--json")

    assert result.code == 0
    assert Path("run/ratings.jsonl").read_bytes() == before
    given = {(r["dialogue_id"], r["turn"], r["dimension"]): r["score"] for r in records(Path("run/ratings.jsonl"))}
    moved = 0
    for reward in records(Path("run/rewards.jsonl")):
        place = (reward["dialogue_id"], reward["turn"])
        scores = {name: mapped(given[*place, name], name) for name in ("resonation", "expression", "reception")}
        expected = empathy_of(list(scores.values()), "harmonic") + bystander_term(given[*place, "bystander"], 0.5)
        assert reward["reward"] == pytest.approx(expected, abs=1e-12)
        assert {name: reward[name] for name in scores} == pytest.approx(scores)
        moved += reward["reception"] != given[*place, "reception"]
    assert moved > 0
    assert json.loads(result.out)["caveats"] == [f"{CAVEAT}; not calibrated on expression, bystander"]


def test_a_run_gone_on_with_shows_what_was_asked_for(perm: Perm, learned: Path) -> None:
    """A finished run's summary is remembered for its recipe only."""
    ask = ("score", "d.jsonl", "--judge", "baseline", "--out", "run", "--json")
    raw = perm(*ask)
    moved = perm(*ask, "--calibration", learned)
    again = perm(*ask, "--calibration", learned)
    back = perm(*ask)
    record = json.loads(learned.read_text())
    record["curves"] = record["curves"][:1]
    learned.write_text(json.dumps(record))
    other = perm(*ask, "--calibration", learned)

    assert (moved.out, raw.out) == (again.out, back.out)
    assert len({raw.out, moved.out, other.out}) == 3
    assert json.loads(moved.out)["recipe"]["calibration"]["of"] == ["run"]
    assert json.loads(raw.out)["recipe"]["calibration"] is None
    assert len(records(Path("run/ratings.jsonl"))) == 480


def test_another_rubric_is_left_raw_and_that_is_said(perm: Perm, learned: Path) -> None:
    """Curves belong to the settings they were learned under."""
    result = perm(
        "score",
        "d.jsonl",
        "--judge",
        "baseline",
        "--structured",
        "text",
        "--out",
        "o",
        "--json",
        "--calibration",
        learned,
    )

    given = {(r["dialogue_id"], r["turn"], r["dimension"]): r["score"] for r in records(Path("o/ratings.jsonl"))}
    assert "not calibrated: the calibration has nothing for baseline as it was asked" in result.out
    assert all(
        reward["reception"] == given[reward["dialogue_id"], reward["turn"], "reception"]
        for reward in records(Path("o/rewards.jsonl"))
    )
    validated = perm("validate", "o", "--calibration", learned)
    assert (validated.code, validated.out) == (1, "")
    assert "curves for baseline found, expected some for baseline as it was asked" in validated.err


def test_validate_says_that_the_figures_may_be_too_good(perm: Perm, learned: Path) -> None:
    """They are no longer out of fold."""
    raw = json.loads(perm("validate", "run", "--json").out)
    result = perm("validate", "run", "--calibration", learned, "--json")

    assert "the figures are too good if the calibration was learned from these dialogues" in result.err
    levels = [each["dimensions"][0]["judges"][0]["levels"] for each in (raw, json.loads(result.out))]
    assert abs(levels[1]["bias"]) < abs(levels[0]["bias"])


def test_a_file_of_ratings_is_learned_from_and_mapped(perm: Perm) -> None:
    """Whose judges have no settings."""
    lines = [[f"d{n}", min(5, level(n) + 1), level(n)] for n in range(60)]
    path = table(Path("r.csv"), "dialogue_id,gpt,human1", lines)
    assert perm("calibrate", path, "--to", "c.json").code == 0

    result = perm("validate", path, "--calibration", "c.json", "--json")
    other = perm("validate", table(Path("o.csv"), "dialogue_id,new,human1", lines), "--calibration", "c.json")

    assert json.loads(result.out)["dimensions"][0]["judges"][0]["levels"]["bias"] == pytest.approx(0)
    assert "curves for gpt found, expected some for new" in other.err


@pytest.mark.parametrize(
    ("dialogues", "options", "said"),
    [
        pytest.param(49, [], "49 labels in 49 dialogues found, expected at least 50 in 20", id="too few"),
        pytest.param(4, ["--calibration", "c.json"], "--calibration cannot be used with perm calibrate", id="twice"),
        pytest.param(4, ["--map", "x=y"], "--map: 'x' found", id="unknown dimension"),
    ],
)
def test_what_cannot_be_learned_is_one_line_and_no_file(
    perm: Perm, dialogues: int, options: list[str], said: str
) -> None:
    """With numbers."""
    run = run_of(perm, labelled, dialogues)
    written(Path("c.json"), [{}])

    result = perm("calibrate", run, "--to", "new.json", *options)

    assert (result.code, result.out, Path("new.json").exists()) == (1, "", False)
    assert said in result.err


def test_a_file_that_is_there_is_kept_unless_it_may_go(perm: Perm, learned: Path) -> None:
    """Rewards may rest on it."""
    before = learned.read_bytes()
    learned.write_bytes(b"mine")

    result = perm("calibrate", "run", "--to", learned)
    kept = learned.read_bytes()
    forced = perm("calibrate", "run", "--to", learned, "--force")

    assert (result.code, kept) == (1, b"mine")
    assert "--to: c.json already exists; name a new file, or overwrite it with --force" in result.err
    assert forced.code == 0
    assert json.loads(learned.read_bytes())["curves"] == json.loads(before)["curves"]


def test_labels_of_another_scale_make_no_rewards(perm: Perm) -> None:
    """Zero to two is no one to five, and that is said before anything is rated."""
    run = run_of(perm, lambda n: {"experts": {"ann": {"explorations": (level(n) - 1) // 2}}}, 60)
    assert perm("calibrate", run, "--to", "c.json").code == 0
    path = written(Path("e.jsonl"), [talk(1)])

    result = perm("score", path, "--judge", "baseline", "--out", "new", "--calibration", "c.json")

    assert (result.code, Path("new").exists()) == (1, False)
    assert "expected 1 to 5, the scale of the dimension: the labels had another scale" in result.err


@pytest.mark.parametrize("content", ["", "not json", '{"perm_calibration": 1}', "[1, 2"])
def test_a_file_that_is_none_is_one_line(perm: Perm, content: str) -> None:
    """Before anything is rated."""
    Path("c.json").write_text(content)
    path = written(Path("d.jsonl"), [talk(1)])

    result = perm("score", path, "--judge", "baseline", "--out", "new", "--calibration", "c.json")

    assert (result.code, result.err.count("\n"), Path("new").exists()) == (1, 1, False)
    assert "expected a file of perm calibrate" in result.err


def test_the_counter_needs_no_key_and_says_what_it_is(perm: Perm) -> None:
    """The same answer each time, and nothing asked again."""
    path = written(Path("d.jsonl"), [talk(n, words=1 + n) for n in range(3)])
    ask = ("score", path, "--judge", "baseline")

    first, second = perm(*ask, "--out", "a"), perm(*ask, "--out", "b")
    made = Path("a/ratings.jsonl").read_bytes()
    again = perm(*ask, "--out", "a")

    assert [[r["score"] for r in records(Path(run, "ratings.jsonl"))] for run in "aa"] == [
        [r["score"] for r in records(Path(run, "ratings.jsonl"))] for run in "bb"
    ]
    assert (first.code, second.code, Path("a/ratings.jsonl").read_bytes()) == (0, 0, made)
    assert "all 24 ratings existed already; 0 calls" in again.out
    assert "0 calls for these ratings, 0 tokens in, 0 out, 0.0000 USD" in first.out
    assert first.out.rstrip().endswith("it is a control for other judges, and no measure of empathy")
    assert perm("report", "a", "--out", "r.html").code == 0
    assert "no measure of empathy" in Path("r.html").read_text()
