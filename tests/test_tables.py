"""Tables: what stands in them, and that nothing in them is anything but text."""

from collections import Counter
from io import StringIO
from typing import Any

import pytest
from rich.console import Console, RenderableType

from perm_cli.ratings.spending import Spending
from perm_cli.reports.tables import closing_lines, summary_table, trajectory_table
from perm_cli.rewards.formula import Recipe
from perm_cli.rewards.summary import MEASURES, Measure, Summary, SystemSummary, Trajectory
from perm_cli.statistics.resampling import Statistic

HOSTILE = "[red]x[/red] \x1b[31m\u202e"
INERT = r"[red]x[/red] \u001b[31m\u202e"


def measure(name: str, mean: Statistic, dialogues: int, coverage: float) -> Measure:
    """Return one measure."""
    return Measure(name=name, mean=mean, dialogues=dialogues, coverage=coverage)


def system(**changes: Any) -> SystemSummary:
    """Return a system whose every measure is 0.5, from 0.25 to 0.75."""
    usual: dict[str, Any] = {
        "system": "s",
        "judge": "j",
        "settings": "x",
        "dialogues": 3,
        "turns": 5,
        "measures": [measure(name, Statistic(value=0.5, low=0.25, high=0.75), 3, 1.0) for name in MEASURES],
        "reward_low": -0.25,
        "reward_high": 1.0,
        "caveat": None,
    }
    return SystemSummary(**usual | changes)


def summary(*systems: SystemSummary, **changes: Any) -> Summary:
    """Return a summary of systems."""
    usual: dict[str, Any] = {
        "run": "runs/1",
        "recipe": Recipe(),
        "expected": 4,
        "spending": Spending(),
        "systems": systems,
        "trajectories": [],
    }
    return Summary(**usual | changes)


def trajectory(*reception: float | None, **changes: Any) -> Trajectory:
    """Return a dialogue's trajectory."""
    usual: dict[str, Any] = {"dialogue_id": "d", "system": "s", "judge": "j", "settings": "x", "reward": 0.5}
    return Trajectory(**usual | changes, reception=reception)


def shown(part: RenderableType) -> str:
    """Return what a terminal of a hundred columns would show."""
    console = Console(file=StringIO(), width=100)
    console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined]


def line_with(text: str, words: str) -> list[str]:
    """Return the words of the line that holds some."""
    return next(line for line in text.splitlines() if words in line).split()


def test_a_measure_stands_with_its_interval_and_its_coverage() -> None:
    """A mean without them is half a finding."""
    text = shown(summary_table(summary(system())))

    assert "s (3 dialogues, 5 turns)" in text
    assert line_with(text, "reception")[-5:] == ["0.50", "0.25", "…", "0.75", "100%"]
    assert line_with(text, "bystander term")[-5:] == ["+0.500", "+0.250", "…", "+0.750", "100%"]
    assert line_with(text, "reward") == ["reward", "+0.500", "+0.250", "…", "+0.750", "100%"]


def test_a_missing_number_is_a_dash() -> None:
    """Not a nought, and not nothing."""
    bare = [measure(name, Statistic(value=None), 0, 0.0) for name in MEASURES]

    text = shown(summary_table(summary(system(measures=bare))))

    assert line_with(text, "reward") == ["reward", "-", "-", "0%"]
    assert line_with(text, "worst … best")[-3:] == ["-0.250", "…", "+1.000"]


def test_the_bounds_are_shown_only_where_something_is_missing() -> None:
    """With every score there they would be the mean itself."""
    assert "worst … best" not in shown(summary_table(summary(system())))


@pytest.mark.parametrize(("penalty", "there"), [(0.0, False), (0.001, True)])
def test_the_length_term_is_shown_only_where_length_costs(penalty: float, there: bool) -> None:
    """A line of noughts says nothing."""
    text = shown(summary_table(summary(system(), recipe=Recipe(length_penalty=penalty))))

    assert ("length term" in text) is there


def test_judges_are_named_where_there_are_several() -> None:
    """With one judge its name would only take room."""
    one = shown(summary_table(summary(system(judge="first"))))
    two = shown(summary_table(summary(system(judge="first"), system(judge="second", settings="y"))))

    assert "first" not in one
    assert "first" in two
    assert "second" in two


def test_a_system_without_a_name_is_a_dash() -> None:
    """Many inputs name none."""
    text = shown(summary_table(summary(system(system="")))) + shown(trajectory_table([trajectory(3, system="")]))

    assert "- (3 dialogues, 5 turns)" in text
    assert line_with(text, "▄") == ["d", "-", "+0.500", "▄", "3"]


def test_a_table_of_no_systems_is_shown() -> None:
    """A run may end before its first call."""
    assert "measure" in shown(summary_table(summary()))


def test_what_a_dialogue_or_a_judge_is_called_stays_text() -> None:
    """Names come from files: as markup they would vanish, as escapes they would move the cursor."""
    names = {"system": HOSTILE, "judge": HOSTILE}
    table = shown(summary_table(summary(system(**names), system(settings="y"))))
    trajectories = shown(trajectory_table([trajectory(3, dialogue_id=HOSTILE, system=HOSTILE)]))

    for text in (table, trajectories):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "[red]x[/red]" in text
    assert trajectories.count(INERT) == 2


def test_a_name_cannot_fill_the_screen() -> None:
    """It is shown as it is, so that no two systems look alike, up to a length that no system has."""
    text = shown(trajectory_table([trajectory(3, dialogue_id="d" * 500, system="s" * 500)]))

    assert len([line for line in text.splitlines() if "ddd" in line or "sss" in line]) == 3


@pytest.mark.parametrize(
    ("reception", "line"),
    [
        pytest.param([1, 2, 3, 4, 5], "▁▂▄▆█ 1 → 5", id="every-level"),
        pytest.param([4], "▆ 4", id="one-turn"),
        pytest.param([None, 2, None, 5, None], "·▂·█· 2 → 5", id="some-missing"),
        pytest.param([None, 2, None], "·▂· 2", id="one-not-missing"),
        pytest.param([None, None], "··", id="all-missing"),
        pytest.param([1.4, 2.6, 3.3333], "▁▄▄ 1.4 → 3.33", id="finer-scores"),
        pytest.param([], "", id="no-turns"),
    ],
)
def test_a_curve_has_a_bar_a_turn(reception: list[float | None], line: str) -> None:
    """One sees at a glance where the seeker was lost."""
    text = shown(trajectory_table([trajectory(*reception)]))

    assert line_with(text, "+0.500") == ["d", "s", "+0.500", *line.split()]


def test_a_curve_without_a_reward_shows_a_dash() -> None:
    """Its turns are shown all the same."""
    text = shown(trajectory_table([trajectory(3, reward=None)]))

    assert line_with(text, "▄") == ["d", "s", "-", "▄", "3"]


@pytest.mark.parametrize(
    ("dialogues", "closing"), [pytest.param(20, "", id="twenty"), pytest.param(23, "… and 3 more", id="more")]
)
def test_twenty_dialogues_are_shown_and_the_others_counted(dialogues: int, closing: str) -> None:
    """The rest is in a file, and the line says in which."""
    text = shown(trajectory_table([trajectory(3, dialogue_id=f"d{place}-") for place in range(dialogues)]))

    assert "d19-" in text
    assert "d20-" not in text
    assert closing in text
    assert ("rewards.jsonl" in text) is bool(closing)


def spending(statuses: dict[str, int], tokens: dict[str, int], cost: float | None = None) -> Spending:
    """Return what was spent; without a cost its price is unknown."""
    return Spending(
        statuses=Counter(statuses),
        tokens=Counter(tokens),
        cost_usd=cost,
    )


@pytest.mark.parametrize(
    ("spent", "lines"),
    [
        pytest.param(
            spending({"scored": 4}, {"in": 12_000, "out": 800, "calls": 4}, 0.01234),
            ["4 of 4 ratings scored (100.0%)", "4 calls for these ratings, 12,000 tokens in, 800 out, 0.0123 USD"],
            id="all-well",
        ),
        pytest.param(
            spending({"scored": 1, "refused": 1, "failed": 2}, {"in": 1000, "out": 80, "cached": 750, "calls": 9}),
            [
                "1 of 4 ratings scored (25.0%); 2 failed, 1 refused",
                "9 calls for these ratings, 1,000 tokens in, 80 out, 75% of the prompt from cache, cost unknown",
            ],
            id="failures",
        ),
        pytest.param(
            spending({"scored": 1, "truncated": 3}, {"calls": 4}, 0.0),
            [
                "1 of 4 ratings scored (25.0%); 3 truncated",
                "truncated: the tokens were used up before a verdict, as by thinking; --max-tokens gives more",
                "4 calls for these ratings, 0 tokens in, 0 out, 0.0000 USD",
            ],
            id="cut-off",
        ),
        pytest.param(
            spending({}, {}, 0.0),
            ["0 of 4 ratings scored (0.0%)", "0 calls for these ratings, 0 tokens in, 0 out, 0.0000 USD"],
            id="nothing",
        ),
        pytest.param(
            spending({"scored": 1}, {"cached": 9, "calls": 1}, 0.0),
            ["1 of 4 ratings scored (25.0%)", "1 calls for these ratings, 0 tokens in, 0 out, 0.0000 USD"],
            id="cached-without-prompt-tokens",
        ),
    ],
)
def test_the_closing_lines_say_what_is_missing_and_what_it_cost(spent: Spending, lines: list[str]) -> None:
    """They are the last thing one reads of a run."""
    assert closing_lines(summary(system(), spending=spent)) == [*lines, "run: runs/1"]
