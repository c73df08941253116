"""`perm grade`: which system is better, and is it good enough."""

import math
from pathlib import Path
from typing import Annotated

import typer

from perm_cli.cli.exits import CHECK_FAILED, COVERAGE_TOO_LOW, DONE
from perm_cli.cli.options import (
    AsJson,
    DialogueOptions,
    Inputs,
    JudgeOptions,
    Judges,
    MinCoverage,
    PanelOption,
    RewardOptions,
    RunsFolder,
    Tex,
)
from perm_cli.errors import SettingsError


def grade(
    inputs: Inputs,
    dialogues: DialogueOptions,
    asking: JudgeOptions,
    reward: RewardOptions,
    judge: Judges = None,
    panel: PanelOption = None,
    baseline: Annotated[
        str | None, typer.Option(help="System that the others are compared with.", show_default=False)
    ] = None,
    fail_under: Annotated[
        float | None,
        typer.Option(help="Exit with 3 if the mean reward of a system is decisively lower.", show_default=False),
    ] = None,
    fail_if_worse_than: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Exit with 3 if a system is decisively worse than in that run.", show_default=False
        ),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the checks as JUnit XML.", show_default=False)
    ] = None,
    tex: Tex = None,
    measures: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…", help="Columns of --tex: dimensions or reward.  [default: all]", show_default=False
        ),
    ] = None,
    out: RunsFolder = Path("runs/grade"),
    min_coverage: MinCoverage = 0.95,
    as_json: AsJson = False,
) -> None:
    """
    Rank systems by empathy, and tell whether their differences are real.

    Dialogues name their system; where they do not, each file is one. Missing ratings are made first.
    """
    from perm_cli.cli.console import WIDE, output, show
    from perm_cli.cli.from_options import recipe_of
    from perm_cli.cli.tables import enough, panel_in, rated_table
    from perm_cli.comparing.checks import checks_of, failed
    from perm_cli.comparing.from_runs import read_runs
    from perm_cli.comparing.systems import main_leaderboard
    from perm_cli.disk import write_whole
    from perm_cli.reports import graded
    from perm_cli.reports.as_json import grades_json
    from perm_cli.reports.in_terminal import grade_parts
    from perm_cli.reports.latex import graded_latex, judged_by

    if fail_under is not None and not math.isfinite(fail_under):
        raise SettingsError(f"--fail-under: {fail_under} found, expected a number")
    if measures is not None and not tex:
        raise SettingsError("--measures needs --tex, whose columns it chooses")
    recipe = recipe_of(reward, asking.score)
    before = read_runs([fail_if_worse_than], recipe).scores if fail_if_worse_than else None
    table = rated_table(inputs, dialogues, asking, recipe, judge, out)
    scores, raters = table.scores, table.scores.judges or table.scores.humans
    if panel:
        convened, scores = panel_in(scores, panel, recipe)
        raters = [convened.name]
        before = panel_in(before, panel, recipe)[1] if before else None
    boards = [main_leaderboard(scores, rater) for rater in raters]
    if baseline is not None and baseline not in scores.systems[0]:
        names = ", ".join(repr(name) for name in scores.systems[0])
        raise SettingsError(f"--baseline: {baseline!r} found, expected one of {names}")
    checks = [check for board in boards for check in checks_of(board, scores, before, fail_under)]
    if tex:
        columns = [name.strip() for name in measures.split(",")] if measures is not None else None
        write_whole(tex, graded_latex(boards, judged_by(table.runs), columns))
    if as_json:
        print(grades_json(boards, checks), end="")
    else:
        show(output(WIDE), grade_parts(boards, checks, table.health, table.caveats_by_rater, baseline))
    if junit:
        write_whole(junit, graded.junit(checks, "perm grade"))
    if not enough(table, min_coverage):
        raise typer.Exit(COVERAGE_TOO_LOW)
    raise typer.Exit(CHECK_FAILED if failed(checks) else DONE)
