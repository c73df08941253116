"""`perm score`: rate, fuse, show."""

import asyncio
import re
import shlex
import sys
from collections.abc import Coroutine, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console

from perm_cli.cli.announcing import announce
from perm_cli.cli.console import messages, say
from perm_cli.cli.from_options import opened_sources, order_of, recipe_of
from perm_cli.cli.options import DialogueOptions, JudgeOptions, RewardOptions, SpendingOptions
from perm_cli.cli.progress import ProgressLine, beating, shown_progress
from perm_cli.errors import NotAsked, PermError, SettingsError
from perm_cli.judges.budget import Budget, Use, read_budget
from perm_cli.judges.prices import price_of
from perm_cli.judges.routes import check_judge, open_judge
from perm_cli.judges.settings import JudgeSettings
from perm_cli.ratings.reserve import Reserve
from perm_cli.ratings.run_folder import RunFolder, open_run
from perm_cli.ratings.run_record import CommandRecord
from perm_cli.ratings.spending import Spending
from perm_cli.rewards.reward import Recipe
from perm_cli.scoring.job import Job, entered, now, prepare
from perm_cli.scoring.live import Stop, interruptible, make_ratings
from perm_cli.words import COVERAGE_TOO_LOW, DONE, INTERRUPTED

if TYPE_CHECKING:
    from perm_cli.rewards.summary import Summary

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Say where results go, when they are too few, and on which Ray they are made, if on any."""

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
    """Do what the command says; return its exit code."""
    console = messages()
    recipe = recipe_of(reward, judge.score)
    with opened_sources(files) as sources:
        order = order_of(sources, dialogues, judge)
        limit = _limit(order.judge, spending, output)
        job = prepare(order)
        announce(job.censuses, console)
        path = output.out or _default_out(job)
        ended, summary = _rated_and_fused(job, recipe, path, limit, spending.reuse, output.ray)
    if summary is None:
        say(console, f"stopped; what is rated is kept. To go on: {_same_command(path, output.out)}")
        return INTERRUPTED
    from perm_cli.cli.fusing import enough_of, show  # noqa: PLC0415 - arrays and frames, once the calls are made

    show(summary, as_json=output.as_json, made=ended.made)
    if ended.full:
        say(console, f"{ended.full}: what is left is skipped. To go on: the same command with a larger --budget")
        return COVERAGE_TOO_LOW
    return DONE if enough_of(summary, output.min_coverage) else COVERAGE_TOO_LOW


def _limit(judge: JudgeSettings, spending: SpendingOptions, output: Output) -> tuple[float, str] | None:
    """Return the budget wished for; raise `SettingsError` if it could not be kept, or the judge not be called."""
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
) -> "tuple[_Ended, Summary | None]":
    """Return how the making of ratings ended and what they come to, None if it was interrupted."""
    console = messages()
    with closing(Reserve(reuse or ())) as reserve, open_run(path) as folder:
        for name in folder.cut:
            say(console, f"{path}/{name}.jsonl: the last line was cut; it is set aside in {name}.damaged")
        record = entered(job, folder, command_line())
        if summary := _fused_before(folder, job, recipe):
            close_record(record, folder, Spending())
            return _Ended(), summary
        ended = _rate(job, _Means(folder, console, _budget(folder, limit), reserve if reuse else None, ray), record)
        if ended.interrupted:
            return ended, None
        if not ray:
            return ended, _fused(folder, job, recipe, console)
    with open_run(path) as folder:  # opened again, it knows what the workers have written
        return ended, _fused(folder, job, recipe, console)


def _fused_before(folder: RunFolder, job: Job, recipe: Recipe) -> "Summary | None":
    if not folder.record.fused:
        return None
    from perm_cli.cli.fusing import fused_before  # noqa: PLC0415 - arrays and frames

    return fused_before(folder, job, recipe)


def _fused(folder: RunFolder, job: Job, recipe: Recipe, console: Console) -> "Summary":
    from perm_cli.cli.fusing import fuse_once  # noqa: PLC0415 - arrays and frames, once the calls are made

    summary = fuse_once(folder, job, recipe)
    if folder.damaged:
        lines = "1 damaged line" if folder.damaged == 1 else f"{folder.damaged} damaged lines"
        say(console, f"{folder.path}/ratings.jsonl: {lines} passed over; what is missing for it is made again")
    return summary


@dataclass(frozen=True, slots=True)
class _Means:
    """Hold what ratings are made with."""

    folder: RunFolder
    console: Console
    budget: Budget | None
    reserve: Reserve | None
    ray: str | None


@dataclass(slots=True)
class _Ended:
    """Say how the making of ratings ended: by itself, by an interrupt, or with the budget `full`."""

    interrupted: bool = False
    full: str | None = None
    made: Spending = field(default_factory=Spending)
    effective: dict[str, Any] = field(default_factory=dict)


def _budget(folder: RunFolder, limit: tuple[float, str] | None) -> Budget | None:
    """Return the budget, less what this folder has cost so far."""
    if not limit:
        return None
    calls, tokens, usd = folder.ledger.spent()
    unit = limit[1]

    def keep(amount: float) -> None:
        folder.record.charge(unit, amount)
        folder.write_record()

    budget = Budget(*limit, Use(calls=calls, tokens=tokens, usd=usd), keep)
    # Calls that came to no rating, or to one without usage, are on record here only.
    budget.spent = max(budget.spent, folder.record.spent.get(unit, 0.0))
    return budget


def _rate(job: Job, means: _Means, record: CommandRecord) -> _Ended:
    """Make the ratings, and keep on record how that went."""
    folder = means.folder
    with shown_progress(means.console, job.ratings) as progress:
        stopped: str | None = INTERRUPTION
        try:
            ended = _make_on_ray(job, means, progress) if means.ray else run_loop(_make(job, means, progress))
            stopped = INTERRUPTION if ended.interrupted else ended.full
        except (KeyboardInterrupt, asyncio.CancelledError):
            ended = _Ended(interrupted=True)
        except PermError as error:
            stopped = str(error)
            raise
        finally:
            if means.budget:
                folder.record.charge(means.budget.unit, means.budget.spent)
            close_record(record, folder, progress.spending, stopped)
    ended.made = progress.spending
    if ended.effective:
        folder.record.settings[job.settings].effective = ended.effective
        folder.write_record()
    return ended


def _make_on_ray(job: Job, means: _Means, progress: ProgressLine) -> _Ended:
    from perm_cli.scoring.on_ray import make_ratings_on_ray  # noqa: PLC0415 - only where it is asked for

    stop = Stop()
    say(means.console, f"starting Ray ({means.ray}); its own words go to {means.folder.path}/ray.log")
    make_ratings_on_ray(
        job, means.folder, progress, stop, means.ray or "local", partial(finishing, means.console), means.reserve
    )
    return _Ended(interrupted=stop.requested)


async def _make(job: Job, means: _Means, progress: ProgressLine) -> _Ended:
    stop = Stop()
    with interruptible(stop, partial(finishing, means.console)):
        async with open_judge(job.order.judge, means.budget) as judge, beating(progress):
            stop.notify = lambda: judge.stop(NotAsked("the run was stopped"))
            full = await make_ratings(job, judge, means.folder, progress, stop, means.reserve)
            # What an endpoint takes is known only if it was asked something.
            effective = judge.effective() if progress.spending.rated else {}
            return _Ended(interrupted=stop.requested, full=full, effective=effective)


def finishing(console: Console, again: bool) -> None:
    """Confirm an interrupt."""
    first = "finishing the calls in flight; press Ctrl-C again to drop them"
    say(console, "dropping the calls in flight" if again else first)


def run_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run on the fastest event loop there is."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.run(coroutine)
    return uvloop.run(coroutine)


def close_record(record: CommandRecord, folder: RunFolder, spending: Spending, stopped: str | None = None) -> None:
    """Enter what a command has made into its record, and why it `stopped` before all was rated."""
    record.ended, record.stopped = now(), stopped
    record.made, record.tokens, record.cost_usd = dict(spending.statuses), dict(spending.tokens), spending.cost_usd
    folder.write_record()


INTERRUPTION = "the run was interrupted"


def _default_out(job: Job) -> Path:
    names = (job.censuses[0].source.stem, job.order.judge.name)
    slugs = [re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:40] for name in names]
    return Path("runs") / "-".join([*filter(None, slugs), datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")])


def _same_command(path: Path, out: Path | None) -> str:
    return " ".join([command_line(), *([shlex.join(["--out", str(path)])] if out is None else [])])


def command_line() -> str:
    """Return the command as it was typed."""
    return shlex.join(["perm", *sys.argv[1:]])
