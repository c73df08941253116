"""`perm score`: rate dialogues and show their rewards."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from perm_cli.cli.exits import COVERAGE_TOO_LOW, DONE, INTERRUPTED
from perm_cli.cli.options import (
    AsJson,
    DialogueOptions,
    Files,
    JudgeOptions,
    MinCoverage,
    RewardOptions,
    SpendingOptions,
)


def score(
    files: Files,
    dialogues: DialogueOptions,
    judge: JudgeOptions,
    spending: SpendingOptions,
    reward: RewardOptions,
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder.  [default: in runs/, named after file, judge and time]", show_default=False),
    ] = None,
    min_coverage: MinCoverage = 0.95,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS]",
            help="Rate on Ray: local, auto, or HOST:PORT of a cluster.  [without ADDRESS: local]",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Rate every supporter turn and fuse the ratings into rewards.

    The same command on the same folder resumes where it stopped and pays for nothing twice.
    """
    from perm_cli.cli.announcing import announce, announce_coverage
    from perm_cli.cli.console import messages, say
    from perm_cli.cli.from_options import command_line, limit_of, opened_sources, order_of, recipe_of
    from perm_cli.cli.rating import default_folder, rate
    from perm_cli.cli.summary import show_summary
    from perm_cli.rewards.formula import formula_of
    from perm_cli.scoring.job import prepare

    console = messages()
    recipe = recipe_of(reward, judge.score)
    with opened_sources(files) as sources:
        order = order_of(sources, dialogues, judge)
        limit = limit_of(spending, order.judge, ray)
        job = prepare(order)
        formula_of(job.book.pack, recipe)  # a mistake in it costs no call
        announce(job.censuses, console)
        path = out or default_folder(job)
        ended, summary = rate(job, recipe, path, limit, spending.reuse, ray)
    if summary is None:
        again = " ".join([command_line(), *([shlex.join(["--out", str(path)])] if out is None else [])])
        say(console, f"stopped; the ratings made so far are kept. To resume: {again}")
        raise typer.Exit(INTERRUPTED)
    show_summary(summary, as_json=as_json, made=ended.made)
    if ended.budget_reached:
        say(console, f"{ended.budget_reached}: the rest is skipped. To resume: the same command with a larger --budget")
        raise typer.Exit(COVERAGE_TOO_LOW)
    raise typer.Exit(DONE if announce_coverage(summary.coverage, min_coverage) else COVERAGE_TOO_LOW)
