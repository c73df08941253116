"""`perm grade`: which system is better, and is it good enough."""

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from rich.console import Console

from perm_cli.cli.compare import WIDTH, Wishes, rated_table, with_panel
from perm_cli.cli.console import output, say
from perm_cli.cli.from_options import recipe_of
from perm_cli.cli.inputs import Table, enough
from perm_cli.cli.options import DialogueOptions, JudgeOptions, RewardOptions
from perm_cli.comparing.checks import Check, check_against, check_bar, failed
from perm_cli.comparing.from_runs import REWARD, read_runs
from perm_cli.comparing.systems import Leaderboard, leaderboard
from perm_cli.comparing.table import Scores
from perm_cli.disk import write_whole
from perm_cli.errors import SettingsError
from perm_cli.reports.compared import health_table
from perm_cli.reports.contrasted import difference_table, shown_differences, verdict_lines
from perm_cli.reports.graded import board_record, junit, remarks_on, standings_table
from perm_cli.reports.latex import graded_latex, judged_by
from perm_cli.rewards.formula import Recipe
from perm_cli.text import one_line
from perm_cli.words import CHECK_FAILED, COVERAGE_TOO_LOW, DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Say what systems are measured against."""

    baseline: str | None
    fail_under: float | None
    fail_if_worse_than: Path | None
    junit: Path | None
    measures: Sequence[str] | None = None


def run(
    inputs: Sequence[str],
    dialogues: DialogueOptions,
    asking: JudgeOptions,
    reward: RewardOptions,
    wishes: Wishes,
    bars: Bars,
) -> int:
    """Do what the command says; return its exit code."""
    if bars.fail_under is not None and not math.isfinite(bars.fail_under):
        raise SettingsError(f"--fail-under: {bars.fail_under} found, expected a number")
    if bars.measures is not None and not wishes.tex:
        raise SettingsError("--measures chooses the columns of --tex, which is not given")
    recipe = recipe_of(reward, asking.score)
    before = read_runs([bars.fail_if_worse_than], recipe).scores if bars.fail_if_worse_than else None
    table = rated_table(inputs, dialogues, asking, recipe, wishes)
    scores, raters = _raters(table, wishes, recipe)
    if before and wishes.panel:
        _, before = with_panel(before, wishes.panel, recipe)
    boards = [_board(scores, rater) for rater in raters]
    if bars.baseline is not None and bars.baseline not in scores.systems[0]:
        names = ", ".join(repr(name) for name in scores.systems[0])
        raise SettingsError(f"--baseline: {bars.baseline!r} found, expected one of {names}")
    checks = [check for board in boards for check in _checks(scores, board, before, bars)]
    if wishes.tex:
        write_whole(wishes.tex, graded_latex(boards, judged_by(table.runs), bars.measures))
    if wishes.as_json:
        content = {"boards": [board_record(board) for board in boards], "checks": [asdict(check) for check in checks]}
        sys.stdout.write(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())
    else:
        _show(table, boards, checks, bars)
    if bars.junit:
        write_whole(bars.junit, junit(checks, "perm grade"))
    if not enough(table, wishes.min_coverage):
        return COVERAGE_TOO_LOW
    return CHECK_FAILED if failed(checks) else DONE


def _raters(table: Table, wishes: Wishes, recipe: Recipe) -> tuple[Scores, list[str]]:
    """Return the table with those who rank in it: the panel if one is wished for, else every judge, else people."""
    if wishes.panel:
        panel, scores = with_panel(table.scores, wishes.panel, recipe)
        return scores, [panel.name]
    return table.scores, table.scores.judges or table.scores.humans


def _board(scores: Scores, rater: str) -> Leaderboard:
    if REWARD in scores.tables:
        return leaderboard(scores, rater, [*(name for name in scores.tables if name != REWARD), REWARD])
    first, *others = scores.tables  # a file's first dimension is what systems are ranked by, as in `perm compare`
    return leaderboard(scores, rater, [*others, first])


def _checks(scores: Scores, board: Leaderboard, before: Scores | None, bars: Bars) -> Iterator[Check]:
    if bars.fail_under is not None:
        yield from check_bar(board, bars.fail_under)
    if before:
        yield from check_against(scores, before, board.rater, board.dimensions[-1])


def _show(table: Table, boards: Sequence[Leaderboard], checks: Sequence[Check], bars: Bars) -> None:
    console = output(WIDTH)
    if table.health:
        console.print(health_table(table.health))
    caveats = table.runs.caveats if table.runs else {}
    for board in boards:
        _show_board(console, board, bars.baseline)
        for line in filter(None, [caveats.get(board.rater)]):
            say(console, line, "bold")
    for check in checks:
        verdict = "passed" if check.passed else "FAILED"
        who = f"{one_line(check.system, 40) or '-'}, by {one_line(check.rater, 40)}"
        say(console, f"{verdict}  {check.name}  {who}: {check.said}")


def _show_board(console: Console, board: Leaderboard, baseline: str | None) -> None:
    say(console, f"{one_line(board.rater)}, by {one_line(board.dimensions[-1])}:", "bold")
    console.print(standings_table(board))
    differences = shown_differences(board.contrasts, baseline)
    if differences:
        console.print(difference_table(differences))
    left = len(board.contrasts.differences) - len(differences)
    if left and baseline is None:
        say(console, f"… and {left:,} more differences in --json")
    for line in [*verdict_lines(board.contrasts, baseline), *remarks_on(board)]:
        say(console, line, "bold")
