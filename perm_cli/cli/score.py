"""`perm score`: rate, fuse, show."""

import re
import shlex
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from perm_cli.cli.announcing import announce, announce_interrupt
from perm_cli.cli.console import messages, say
from perm_cli.cli.from_options import command_line, opened_sources, order_of, recipe_of
from perm_cli.cli.options import DialogueOptions, JudgeOptions, RewardOptions, SpendingOptions
from perm_cli.cli.progress import shown_progress
from perm_cli.errors import SettingsError
from perm_cli.judges.budget import read_budget
from perm_cli.judges.routes import check_judge, price_of
from perm_cli.judges.settings import JudgeSettings
from perm_cli.ratings.reserve import Reserve
from perm_cli.ratings.run_folder import RunFolder, open_run
from perm_cli.ratings.spending import Spending
from perm_cli.rewards.formula import Recipe, formula_of
from perm_cli.scoring.job import Job, entered, prepare
from perm_cli.scoring.making import Ended, Resources, close_record, make_run
from perm_cli.words import COVERAGE_TOO_LOW, DONE, INTERRUPTED

if TYPE_CHECKING:
    from perm_cli.rewards.summary import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where results go, when they are too few, and on which Ray they are made, if on any."""

    out: Path | None
    min_coverage: float
    as_json: bool
    ray: str | None = None


def run(
    files: Sequence[str],
    dialogues: DialogueOptions,
    judge: JudgeOptions,
    spending: SpendingOptions,
    reward: RewardOptions,
    output: Output,
) -> int:
    """Rate the dialogues, fuse the ratings and print the summary; return the exit code."""
    console = messages()
    recipe = recipe_of(reward, judge.score)
    with opened_sources(files) as sources:
        order = order_of(sources, dialogues, judge)
        limit = _limit(order.judge, spending, output)
        job = prepare(order)
        formula_of(job.book.pack, recipe)  # a mistake in it costs no call
        announce(job.censuses, console)
        path = output.out or _default_out(job)
        ended, summary = _rated_and_fused(job, recipe, path, limit, spending.reuse, output.ray)
    if summary is None:
        say(console, f"stopped; what is rated is kept. To go on: {_same_command(path, output.out)}")
        return INTERRUPTED
    from perm_cli.cli.summary import enough_of, show  # noqa: PLC0415 - arrays and frames, once the calls are made

    show(summary, as_json=output.as_json, made=ended.made)
    if ended.budget_reached:
        say(
            console,
            f"{ended.budget_reached}: what is left is skipped. To go on: the same command with a larger --budget",
        )
        return COVERAGE_TOO_LOW
    return DONE if enough_of(summary, output.min_coverage) else COVERAGE_TOO_LOW


def _limit(judge: JudgeSettings, spending: SpendingOptions, output: Output) -> tuple[float, str] | None:
    """Return the budget asked for; raise `SettingsError` if it could not be kept, or the judge not be called."""
    limit = read_budget(spending.budget) if spending.budget is not None else None
    check_judge(judge)
    if limit and limit[1] == "usd" and price_of(judge) is None:
        raise SettingsError(
            f"--budget {spending.budget}: no price is known for {judge.name}, expected one in perm.toml: "
            f"[judges.{judge.name!r}] price = {{ input = …, output = … }}, US dollars a million tokens"
        )
    if limit and output.ray is not None:
        raise SettingsError("--budget: found with --ray, whose workers share no account, expected one of them")
    return limit


def _rated_and_fused(
    job: Job, recipe: Recipe, path: Path, limit: tuple[float, str] | None, reuse: Sequence[Path] | None, ray: str | None
) -> "tuple[Ended, Summary | None]":
    """Return how the making of ratings ended and what they come to, None if it was interrupted."""
    console = messages()
    with closing(Reserve(reuse or ())) as reserve, open_run(path) as folder:
        for name in folder.cut:
            say(console, f"{path}/{name}.jsonl: the last line was cut; it is set aside in {name}.damaged")
        command = entered(job, folder, command_line())
        if summary := _fused_before(folder, job, recipe):
            close_record(command, folder, Spending())
            return Ended(), summary
        if ray:
            say(console, f"starting Ray ({ray}); its own words go to {path}/ray.log")
        resources = Resources(limit=limit, reserve=reserve if reuse else None, ray=ray)
        with shown_progress(console, job.ratings) as progress:
            ended = make_run(job, folder, command, resources, progress, partial(announce_interrupt, console))
        if ended.interrupted:
            return ended, None
        if not ray:
            return ended, _fused(folder, job, recipe, console)
    with open_run(path) as folder:  # opened again, it knows what the workers have written
        return ended, _fused(folder, job, recipe, console)


def _fused_before(folder: RunFolder, job: Job, recipe: Recipe) -> "Summary | None":
    if not folder.record.fused:
        return None
    from perm_cli.rewards.fusing import fused_before  # noqa: PLC0415 - arrays and frames

    return fused_before(folder, job, recipe)


def _fused(folder: RunFolder, job: Job, recipe: Recipe, console: Console) -> "Summary":
    from perm_cli.rewards.fusing import fuse_once  # noqa: PLC0415 - arrays and frames, once the calls are made

    summary = fuse_once(folder, job, recipe)
    if folder.damaged:
        lines = "1 damaged line" if folder.damaged == 1 else f"{folder.damaged} damaged lines"
        say(console, f"{folder.path}/ratings.jsonl: {lines} passed over; what is missing for it is made again")
    return summary


def _default_out(job: Job) -> Path:
    names = (job.censuses[0].source.stem, job.order.judge.name)
    slugs = [re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:40] for name in names]
    return Path("runs") / "-".join([*filter(None, slugs), datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")])


def _same_command(path: Path, out: Path | None) -> str:
    return " ".join([command_line(), *([shlex.join(["--out", str(path)])] if out is None else [])])
