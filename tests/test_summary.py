"""The summary: means worked out by hand, and files that no spreadsheet runs."""

import csv
import io
import subprocess
import sys
from dataclasses import replace
from typing import Any

import orjson
import pytest

from perm_cli.ratings.spending import Spending
from perm_cli.reports.tables import notes
from perm_cli.rewards.formula import Recipe
from perm_cli.rewards.reward import Reward
from perm_cli.rewards.summary import Measure, Summary, read_summary, summarise, summary_csv, summary_json
from tests.makers import DIMENSIONS, rating

MEASURES = (*DIMENSIONS, "empathy", "bystander_term", "length_term", "reward")


def felt(reception: float | None) -> dict[str, float | None]:
    """Return scores of which the seeker's matters."""
    return {"resonation": 4.0, "expression": 4.0, "reception": reception, "bystander": 100.0}


def reward(dialogue: str = "d", turn: int = 2, value: float | None = 0.5, **changes: Any) -> Reward:
    """Return a reward whose parts do not matter."""
    usual: dict[str, Any] = {
        "dialogue_id": dialogue,
        "system": "s",
        "turn": turn,
        "judge": "j",
        "settings": "x",
        "reward": value,
        "reward_low": -0.3 if value is None else value,
        "reward_high": 1.0 if value is None else value,
        "empathy": value,
        "terms": {"bystander": 0.0},
        "length_term": 0.0,
        "scores": felt(4.0),
        "missing": {} if value is not None else {"reception": "failed"},
    }
    return Reward(**usual | changes)


def summary(*rewards: Reward, spending: Spending | None = None, expected: int = 4) -> Summary:
    """Return the summary of rewards."""
    return summarise(rewards, spending or Spending(), expected, "runs/1", Recipe())


def measure(whole: Summary, name: str = "reward", system: int = 0) -> Measure:
    """Return one measure of one system."""
    return next(each for each in whole.systems[system].measures if each.name == name)


def rows(whole: Summary) -> list[dict[str, str]]:
    """Return the lines of the CSV file."""
    return list(csv.DictReader(io.StringIO(summary_csv(whole).decode())))


def test_a_system_s_mean_is_over_dialogues_and_theirs_over_turns() -> None:
    """A long dialogue must not count for more than a short one."""
    whole = summary(reward("a", 2, 0.2), reward("a", 4, 0.4), reward("b", 2, 0.9))

    # a: (0.2 + 0.4) / 2 = 0.3; b: 0.9; together (0.3 + 0.9) / 2 = 0.6, where the mean over turns would be 0.5.
    assert measure(whole).mean.value == pytest.approx(0.6)
    assert (whole.systems[0].dialogues, whole.systems[0].turns) == (2, 3)


def test_a_turn_without_a_value_is_left_out_and_lowers_the_coverage() -> None:
    """It is not a nought."""
    whole = summary(reward("a", 2, 0.2), reward("a", 4, None), reward("b", 2, 0.9), reward("c", 2, None))

    # a: 0.2; b: 0.9; c has none; (0.2 + 0.9) / 2 = 0.55 over 2 dialogues; 2 of 4 turns have a value.
    assert measure(whole).mean.value == pytest.approx(0.55)
    assert (measure(whole).dialogues, measure(whole).coverage) == (2, 0.5)
    assert measure(whole, "reception").coverage == 1.0


def test_the_bounds_take_every_missing_reward_as_worst_and_as_best() -> None:
    """A system must not look better because its bad replies were refused."""
    whole = summary(reward("a", 2, 0.2), reward("a", 4, None), reward("b", 2, 0.9))

    # At worst a is (0.2 - 0.3) / 2 = -0.05 and the system (-0.05 + 0.9) / 2 = 0.425;
    # at best a is (0.2 + 1) / 2 = 0.6 and the system 0.75.
    assert (whole.systems[0].reward_low, whole.systems[0].reward_high) == pytest.approx((0.425, 0.75))


def test_without_any_value_a_system_still_has_its_bounds() -> None:
    """A judge that failed every call leaves everything open, and says so."""
    whole = summary(reward("a", 2, None), reward("b", 2, None))

    assert (measure(whole).mean.value, measure(whole).coverage) == (None, 0.0)
    assert (whole.systems[0].reward_low, whole.systems[0].reward_high) == pytest.approx((-0.3, 1.0))


def test_every_measure_has_a_mean_in_its_order() -> None:
    """The table and the files take the reward to be the last."""
    whole = summary(reward())

    assert [each.name for each in whole.systems[0].measures] == list(MEASURES)
    assert measure(whole, "bystander").mean.value == 100.0


def test_systems_judges_and_settings_are_told_apart() -> None:
    """The same dialogue answered by two systems is two dialogues."""
    whole = summary(reward(system="s"), reward(system="t"), reward(judge="k"), reward(settings="y"))

    groups = {(each.system, each.judge, each.settings, each.dialogues) for each in whole.systems}
    assert groups == {("s", "j", "x", 1), ("t", "j", "x", 1), ("s", "k", "x", 1), ("s", "j", "y", 1)}


def answered(count: int, **levels: float | None) -> list[Reward]:
    """Return the rewards of systems about a level over so many dialogues."""
    return [
        reward(f"d{place}", system=system, value=None if level is None else level + place / 100)
        for system, level in levels.items()
        for place in range(count)
    ]


@pytest.mark.parametrize(
    ("dialogues", "order", "said"),
    [
        pytest.param(8, ["top", "low", "none"], "top is best, before low by 1.300", id="told-apart"),
        pytest.param(
            5, ["low", "top", "none"], "j cannot tell low and top apart on 5 dialogues: 7 or more", id="too-few"
        ),
    ],
)
def test_systems_stand_in_the_order_that_is_borne_out(dialogues: int, order: list[str], said: str) -> None:
    """By name where the judge does not tell them apart, since their means would be taken for a ranking."""
    whole = summary(*answered(dialogues, none=None, top=0.9, low=-0.4))

    assert [each.system for each in whole.systems] == order
    assert said in "\n".join(notes(whole))


def test_each_judge_ranks_for_itself() -> None:
    """Two judges, or one under two sets of settings, are named where they are told apart."""
    kinder = [replace(each, settings="y", reward=each.reward and -each.reward) for each in answered(8, a=0.1, b=0.9)]

    whole = summary(*answered(8, a=0.1, b=0.9), *kinder)

    assert [(each.settings, each.system) for each in whole.systems] == [("x", "b"), ("x", "a"), ("y", "a"), ("y", "b")]
    assert [each.rater for each in whole.contrasts] == ["j (x)", "j (y)"]


def test_a_caveat_stands_with_its_system_and_once_in_the_whole() -> None:
    """A judge too small to judge says so wherever its numbers go."""
    small = [reward(system=name, settings="y", caveat="too small") for name in ("s", "t")]

    whole = summary(reward(), *small)

    assert {each.settings: each.caveat for each in whole.systems} == {"x": None, "y": "too small"}
    assert whole.caveats == ["too small"]


def test_a_curve_follows_the_seeker_turn_by_turn() -> None:
    """Turns come in the order of the dialogue, whatever the order of the calls."""
    whole = summary(
        reward(turn=6, value=None, scores=felt(None)),
        reward(turn=2, value=0.2, scores=felt(2)),
        reward(turn=4, value=0.6),
    )

    (trajectory,) = whole.trajectories
    assert trajectory.scores == [2, 4.0, None]
    assert trajectory.reward == pytest.approx(0.4)  # (0.2 + 0.6) / 2


def test_a_curve_without_a_reward_has_none() -> None:
    """Its reception may be known all the same."""
    (trajectory,) = summary(reward(value=None)).trajectories

    assert (trajectory.reward, trajectory.scores) == (None, [4.0])


def spent(*changes: dict[str, Any]) -> Spending:
    """Add ratings up."""
    spending = Spending()
    for each in changes:
        spending.add(rating(**each))
    return spending


def test_spending_adds_up_what_ratings_used() -> None:
    """Calls are attempts: a rating may have needed several."""
    used = {"tokens_in": 100, "tokens_out": 10, "cached_tokens": 40, "attempts": 2, "cost_usd": 0.25}

    spending = spent(used, used | {"status": "refused", "score": None})

    assert spending.tokens == {"in": 200, "out": 20, "cached": 80, "calls": 4}
    assert (spending.statuses, spending.rated) == ({"scored": 1, "refused": 1}, 2)
    assert spending.cost_usd == 0.5


@pytest.mark.parametrize(
    ("changes", "cost"),
    [
        pytest.param([], 0.0, id="nothing"),
        pytest.param([{"cost_usd": 0.25, "attempts": 1}, {"attempts": 1, "tokens_in": 9}], None, id="one-unknown"),
        pytest.param([{"cost_usd": 0.25, "attempts": 1}, {"status": "skipped"}], 0.25, id="never-called"),
        pytest.param([{"cost_usd": 0.0, "attempts": 1}], 0.0, id="free"),
    ],
)
def test_a_cost_that_is_partly_unknown_is_unknown(changes: list[dict[str, Any]], cost: float | None) -> None:
    """Half a bill is not a bill; a question that was never asked costs nothing."""
    assert spent(*changes).cost_usd == cost


@pytest.mark.parametrize(
    ("expected", "coverage"), [pytest.param(4, 0.5, id="one-never-asked"), pytest.param(0, 2 / 3, id="all-asked")]
)
def test_coverage_is_over_the_ratings_wanted(expected: int, coverage: float) -> None:
    """What a stopped run never asked counts as missing."""
    whole = summary(spending=spent({}, {}, {"status": "failed", "score": None}), expected=expected)

    assert whole.coverage == coverage


def test_a_run_without_a_reward_is_summarised_all_the_same() -> None:
    """It was stopped before the first call, and its files must still be readable."""
    whole = summary()

    assert (whole.systems, whole.trajectories, whole.caveats) == ([], [], [])
    assert rows(whole) == []
    assert orjson.loads(summary_json(whole))["systems"] == []


def test_the_json_holds_what_the_summary_does() -> None:
    """Programs read this one."""
    whole = summary(reward("a", 2, 0.2), reward("b", 2, 0.4), spending=spent({"cost_usd": 0.5, "attempts": 1}))

    content = orjson.loads(summary_json(whole))

    assert (content["run"], content["coverage"], content["ratings_expected"]) == ("runs/1", 0.25, 4)
    assert (content["statuses"], content["cost_usd"]) == ({"scored": 1}, 0.5)
    assert content["recipe"]["fusion"] == "harmonic"
    (system,) = content["systems"]
    assert (system["system"], system["dialogues"]) == ("s", 2)
    assert system["measures"]["reward"]["mean"] == pytest.approx(0.3)
    assert system["measures"]["reward"]["coverage"] == 1.0
    assert [each["dialogue_id"] for each in content["dialogues"]] == ["a", "b"]
    assert content["dialogues_left_out"] == 0


@pytest.mark.parametrize(("dialogues", "listed", "left"), [(1000, 1000, 0), (1003, 1000, 3)])
def test_the_json_lists_a_thousand_dialogues_and_counts_the_others(dialogues: int, listed: int, left: int) -> None:
    """A million would make a file nobody can open."""
    whole = summary(*[reward(f"d{place}") for place in range(dialogues)])

    content = orjson.loads(summary_json(whole))

    assert (len(content["dialogues"]), content["dialogues_left_out"]) == (listed, left)
    assert content["systems"][0]["dialogues"] == dialogues


def test_the_csv_has_a_line_a_system_and_measure() -> None:
    """A missing number is an empty cell."""
    whole = summary(reward("a", 2, 0.2), reward("b", 2, 0.4), reward("a", 2, None, system="t", caveat="small"))

    lines = rows(whole)

    assert [line["measure"] for line in lines] == list(MEASURES) * 2
    assert lines[7] | {"mean": ""} == lines[7] | {"system": "s", "dialogues": "2", "coverage": "1.0", "mean": ""}
    assert float(lines[7]["mean"]) == pytest.approx(0.3)
    last = lines[15]
    assert (last["system"], last["mean"], last["ci_low"], last["ci_high"]) == ("t", "", "", "")


@pytest.mark.parametrize("column", ["system", "judge"])
@pytest.mark.parametrize(
    ("name", "cell"),
    [
        pytest.param('=HYPERLINK("http://x","y")', '\'=HYPERLINK("http://x","y")', id="equals"),
        pytest.param("+1", "'+1", id="plus"),
        pytest.param("-1", "'-1", id="minus"),
        pytest.param("@SUM(A1)", "'@SUM(A1)", id="at"),
        pytest.param("\t=1", "' =1", id="tab"),
        pytest.param("\r=1", "' =1", id="return"),
        pytest.param("gpt\r=1", "gpt =1", id="return-inside"),
        pytest.param(" =1", "' =1", id="blank"),
        pytest.param("\n=1", "' =1", id="line-end"),
        pytest.param("＝1", "'＝1", id="full width"),
        pytest.param("gpt;=1", "gpt;'=1", id="after a semicolon"),
        pytest.param("gpt-4o=x", "gpt-4o=x", id="harmless"),
        pytest.param('a,"b"\nc', 'a,"b" c', id="quoted"),
        pytest.param("", "", id="empty"),
    ],
)
def test_a_name_that_a_spreadsheet_would_run_is_made_text(name: str, cell: str, column: str) -> None:
    """Names come from files that anybody may have written."""
    whole = summary(reward(**{column: name}))

    read = list(csv.DictReader(io.StringIO(summary_csv(whole).decode(), newline="")))

    assert {line[column] for line in read} == {cell}


def test_a_caveat_that_a_spreadsheet_would_run_is_made_text() -> None:
    """It comes from the record of a run, which may be another's."""
    (whole,) = {line["caveat"] for line in rows(summary(reward(caveat="＝1")))}

    assert whole == "'＝1"


@pytest.mark.parametrize("cost", [0.25, None])
def test_a_summary_is_read_as_it_was_written(cost: float | None) -> None:
    """A finished run is shown from its file."""
    spending = Spending()
    spending.add(rating(tokens_in=10, tokens_out=2, cost_usd=cost))
    whole = summary(reward("a"), reward("b", value=None), spending=spending)

    read = read_summary(summary_json(whole))

    assert read == whole
    assert read.spending.cost_usd == cost


def test_a_run_is_summarised_and_shown_without_scipy() -> None:
    """It takes seconds and 60 MB to load, which only those who compare judges need."""
    script = "import sys, perm_cli.rewards.summary, perm_cli.reports.tables; sys.exit('scipy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
