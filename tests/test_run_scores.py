"""The scores that run folders hold: all of them, of the right rater, fused as they were fused."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from perm_cli.comparing.from_runs import REWARD, read_runs
from perm_cli.comparing.table import Rated
from perm_cli.errors import RunError
from perm_cli.ratings.rating import rating_line
from perm_cli.rewards.formula import Recipe
from tests.commands import a_run, kept
from tests.makers import bystander_term, empathy_of, rating

TWO = {("d0", "s"): [5.0, 4.0, 3.0, 80.0], ("d1", "s"): [1.0, 2.0, 3.0, 20.0]}


def test_scores_are_those_of_the_ratings_and_the_reward_follows_the_formula() -> None:
    """Four dimensions as rated, and the fused number beside them."""
    found = read_runs([a_run(Path("run"), TWO)])

    assert found.scores.items == [Rated("d0", "s", 2), Rated("d1", "s", 2)]
    assert found.scores.raters == ["j"]
    assert found.scores.of("bystander", ["j"])[:, 0].tolist() == [80, 20]
    rewards = [empathy_of(each[:3], "harmonic") + bystander_term(each[3], 0.5) for each in TWO.values()]
    assert found.scores.of(REWARD, ["j"])[:, 0] == pytest.approx(rewards, abs=1e-12)


def test_the_recipe_is_the_one_asked_for() -> None:
    """`--fusion` and `--bystander-coef` mean the same here as anywhere."""
    found = read_runs([a_run(Path("run"), TWO)], Recipe(fusion="mean", coefficients={"bystander": 0}))

    assert found.scores.of(REWARD, ["j"])[:, 0] == pytest.approx([0.8, 0.4], abs=1e-12)


def test_samples_are_fused_as_the_run_fuses_them() -> None:
    """A run made with `--score mean` means the mean, whatever command looks at it."""
    path = a_run(Path("run"), {("d", "s"): [5.0, 5.0, 5.0, 100.0]})
    more = rating(key="k2", settings="0123456789ab", sample=1, dimension="resonation", score=2.0)
    (path / "ratings.jsonl").write_bytes((path / "ratings.jsonl").read_bytes() + rating_line(more))
    record = json.loads((path / "run.json").read_text())

    def resonation(score: str) -> float:
        record["commands"][0]["score"] = score
        (path / "run.json").write_text(json.dumps(record))
        return float(read_runs([path], Recipe(score="mode")).scores.of("resonation", ["j"])[0, 0])

    assert (resonation("mode"), resonation("mean")) == (2.0, 3.5)


def test_a_rating_without_a_score_is_missing_and_counted() -> None:
    """It is neither zero nor an average, and the reward that needs it is missing too."""
    found = read_runs([a_run(Path("run"), TWO | {("d2", "s"): [None, 4.0, 3.0, 80.0]})])

    assert math.isnan(found.scores.of("resonation", ["j"])[2, 0])
    assert math.isnan(found.scores.of(REWARD, ["j"])[2, 0])
    assert found.health[0].coverage == pytest.approx(11 / 12)
    assert found.health[0].spending.statuses == {"scored": 11, "unparseable": 1}


def test_a_judge_used_under_two_settings_is_two_raters() -> None:
    """Ratings made under other settings are never mixed in."""
    paths = [
        a_run(Path("one"), TWO, settings="aaaaaaaaaaaa"),
        a_run(Path("two"), TWO, settings="bbbbbbbbbbbb"),
        a_run(Path("three"), TWO, judge="k", settings="cccccccccccc"),
    ]

    assert read_runs(paths).scores.raters == ["j (aaaaaa)", "j (bbbbbb)", "k"]


def test_latencies_are_of_calls_made_here() -> None:
    """What was taken from another run took no time."""
    made = read_runs([a_run(Path("one"), TWO, latency_s=2.0, attempts=1)]).health[0]
    taken = read_runs([a_run(Path("two"), TWO, latency_s=2.0, attempts=1, reused="one")]).health[0]

    assert (made.latency_s(0.5), taken.latency_s(0.5)) == (2.0, None)


@pytest.mark.parametrize(
    ("changed", "remark"),
    [
        pytest.param(["d0"], "1 dialogue has different text in another run and is excluded: 'd0'", id="one"),
        pytest.param(["d0", "d1"], "2 dialogues have different text in another run and are excluded: 'd0' first"),
    ],
)
def test_a_dialogue_with_two_texts_is_left_out(changed: list[str], remark: str) -> None:
    """What judges say of different replies cannot be compared."""
    three = TWO | {("d2", "s"): [1.0, 1.0, 1.0, 0.0]}
    one, two = a_run(Path("one"), three), a_run(Path("two"), three, judge="k")
    kept(two, [{"id": name, "system": "s", "scenario": "x" if name in changed else ""} for name in ("d0", "d1", "d2")])

    found = read_runs([one, two])

    assert {item.dialogue_id for item in found.scores.items} == {"d0", "d1", "d2"} - set(changed)
    assert found.remarks == [remark]


def test_of_a_dialogue_that_was_edited_the_last_version_counts() -> None:
    """Two runs that both went on after the edit agree about it; what is counted in it is the last text."""
    one, two = a_run(Path("one"), TWO), a_run(Path("two"), TWO, judge="k")
    for path in (one, two):
        names = [("d0", "old" if path is one else "older"), ("d0", "new"), ("d1", "")]
        kept(path, [{"id": name, "system": "s", "scenario": scenario} for name, scenario in names])

    found = read_runs([one, two])

    assert (len(found.scores.items), found.remarks) == (2, [])
    assert {dialogue.id: dialogue.scenario for dialogue in found.dialogues()} == {"d0": "new", "d1": ""}
    assert len(list(found.dialogues())) == 3


def test_rationales_are_found_by_item_dimension_and_rater() -> None:
    """Those of other items are left where they are, and each judge's are its own."""
    path = a_run(Path("run"), TWO, rationale="It names the loss.")
    other = a_run(Path("other"), TWO, judge="k", rationale="It does not.")

    found = read_runs([path, other]).rationales([Rated("d1", "s", 2)])

    assert len(found) == 8
    assert found[Rated("d1", "s", 2), "reception", "j"] == "It names the loss."
    assert found[Rated("d1", "s", 2), "reception", "k"] == "It does not."


@pytest.mark.parametrize("empty", [True, False])
def test_no_run_and_no_ratings_are_a_line(empty: bool) -> None:
    """With what was expected."""
    path = a_run(Path("run"), {}) if empty else Path("nowhere")
    said = "run: no ratings found, expected a run with ratings" if empty else "nowhere: no run found, expected a folder"

    with pytest.raises(RunError, match=said):
        read_runs([path])


def test_systems_are_apart_and_runs_together() -> None:
    """One judge's runs over two systems are one table."""
    one = a_run(Path("one"), {("d0", "a"): [5.0, 5.0, 5.0, 100.0]})
    two = a_run(Path("two"), {("d0", "b"): [4.0, 4.0, 4.0, 100.0]})

    scores = read_runs([one, two]).scores

    assert (scores.raters, scores.systems[0]) == (["j"], ["a", "b"])
    np.testing.assert_array_equal(scores.prompts, [0, 0])
