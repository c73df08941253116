"""`perm compare`: judges side by side."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson

from perm_cli.cli.console import messages, output, say
from perm_cli.cli.from_options import recipe_of
from perm_cli.cli.inputs import Table, enough, read_table, table_of_runs
from perm_cli.cli.names import files_of
from perm_cli.cli.options import DialogueOptions, JudgeOptions, RewardOptions
from perm_cli.cli.rating import rate_all
from perm_cli.comparing.biases import feature_table
from perm_cli.comparing.from_runs import rationales, read_runs
from perm_cli.comparing.panel import LEAST_JUDGES, Panel, convene
from perm_cli.comparing.side_by_side import Comparison, compare
from perm_cli.comparing.table import Rated, Scores
from perm_cli.disk import write_whole
from perm_cli.errors import SettingsError
from perm_cli.reports.compared import (
    agreement_table,
    board_table,
    dispute_lines,
    findings,
    health_table,
    on_systems,
    pair_table,
    use_table,
)
from perm_cli.reports.graded import board_record
from perm_cli.reports.latex import compared_latex, judged_by
from perm_cli.rewards.formula import Recipe
from perm_cli.statistics.resampling import Resamples
from perm_cli.words import COVERAGE_TOO_LOW, DONE, PanelName

SHOWN_DISPUTES = 5
WIDTH = 200  # of tables with intervals, where no window says how wide


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Say what is compared and how it is shown."""

    judges: Sequence[str]
    people: Sequence[str]
    panel: PanelName | None
    out: Path
    min_coverage: float
    as_json: bool
    tex: Path | None = None


def run(
    inputs: Sequence[str], dialogues: DialogueOptions, asking: JudgeOptions, reward: RewardOptions, wishes: Wishes
) -> int:
    """Compare the judges of the inputs and print how they differ; return the exit code."""
    recipe = recipe_of(reward, asking.score)
    table = rated_table(inputs, dialogues, asking, recipe, wishes)
    if not table.scores.judges:
        raise SettingsError(f"{inputs[0]}: no judges found, only people, expected judges to compare")
    panel = None
    if wishes.panel:
        panel, _ = with_panel(table.scores, wishes.panel, recipe)
    comparison = compare(table.scores, feature_table(table.scores.items, table.dialogues()))
    if wishes.tex:
        write_whole(wishes.tex, compared_latex(comparison, judged_by(table.runs)))
    if wishes.as_json:
        sys.stdout.write(comparison_json(comparison, table, panel).decode())
    else:
        _show(comparison, table, panel)
    return DONE if enough(table, wishes.min_coverage) else COVERAGE_TOO_LOW


def with_panel(scores: Scores, how: PanelName, recipe: Recipe) -> tuple[Panel, Scores]:
    """Return the panel of all judges, and the table with it; raise `SettingsError` if there are too few."""
    if len(scores.judges) < LEAST_JUDGES:
        raise SettingsError(f"--panel: {len(scores.judges)} judge found, expected {LEAST_JUDGES} or more")
    return convene(scores, how, recipe, Resamples(scores.clusters))


def rated_table(
    inputs: Sequence[str], dialogues: DialogueOptions, asking: JudgeOptions, recipe: Recipe, wishes: Wishes
) -> Table:
    """Return the scores of the inputs, and say what kept some out; dialogues are rated by the judges first."""
    inputs = files_of(inputs)
    is_described = bool(dialogues.columns) or dialogues.format != "auto"  # as dialogues, whatever columns are called
    found = read_table(inputs, recipe, wishes.people, ratings=not is_described)
    if found and wishes.judges:
        raise SettingsError("--judge: found beside ratings that are made, expected dialogues to rate")
    if wishes.people and (not found or found.runs):
        raise SettingsError("--people: found without a CSV file of ratings, expected one that names its raters")
    if found:
        return _remarked(found)
    if not wishes.judges:
        what = "dialogues" if inputs[0] == "-" or Path(inputs[0]).is_file() else "no file of dialogues and no run"
        raise SettingsError(f"{inputs[0]}: {what} found, expected dialogues and --judge to rate them, or run folders")
    each = [replace(asking, judge=judge) for judge in dict.fromkeys(wishes.judges)]
    asked = rate_all(inputs, dialogues, each, recipe, wishes.out)
    return _remarked(table_of_runs(read_runs(list(asked), recipe, asked)))


def _remarked(table: Table) -> Table:
    for remark in table.remarks:
        say(messages(), remark)
    return table


def comparison_json(comparison: Comparison, table: Table, panel: Panel | None) -> bytes:
    """Return all of it as JSON."""
    health = [
        {
            "rater": each.rater,
            "coverage": each.coverage,
            "statuses": dict(each.spending.statuses),
            "cost_usd": each.spending.cost_usd,
            "latency_s": {"median": each.latency_s(0.5), "p95": each.latency_s(0.95)},
        }
        for each in table.health
    ]
    content = asdict(comparison) | {
        "boards": [board_record(board) for board in comparison.boards],
        "health": health,
        "panel": asdict(panel) if panel else None,
        "findings": findings(comparison, table.health, panel),
    }
    # Items are named tuples.
    return orjson.dumps(
        content, default=lambda item: item._asdict(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    )


def _show(comparison: Comparison, table: Table, panel: Panel | None) -> None:
    console = output(WIDTH)
    if table.health:
        console.print(health_table(table.health))
    console.print(use_table(comparison))
    if any(each.agreement for each in comparison.dimensions):
        console.print(agreement_table(comparison))
        console.print(pair_table(comparison))
    if comparison.boards:
        console.print(board_table(comparison))
        for line in [*on_systems(comparison), *table.caveats]:
            say(console, line, "bold")
    disputes = comparison.disputes[:SHOWN_DISPUTES]
    if disputes:
        say(console, "Where they part most:")
        for line in dispute_lines(disputes, _said(table, [dispute.item for dispute in disputes])):
            say(console, f"  {line}")
        say(console, "")
    for line in findings(replace(comparison, boards=()), table.health, panel):
        say(console, line)


def _said(table: Table, items: Sequence[Rated]) -> dict[tuple[Rated, str, str], str]:
    """Return the rationales for some items, by item, dimension and rater."""
    if not table.runs:
        return {}
    found = rationales(table.runs.runs, items)
    return {
        (item, dimension, rater): text
        for (item, dimension, judge, settings), text in found.items()
        if (rater := table.runs.rater_of(judge, settings))
    }
