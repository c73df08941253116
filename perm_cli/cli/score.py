"""`perm score`: rate, fuse, show."""

import asyncio
import re
import shlex
import sys
from collections.abc import Coroutine, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console

from perm_cli.cli.console import messages, say
from perm_cli.cli.options import DialogueOptions, JudgeOptions, RewardOptions, SpendingOptions
from perm_cli.cli.orders import opened_sources, order_of, recipe_of
from perm_cli.errors import NotAsked, RunError, SettingsError
from perm_cli.judges import caveat_of, missing, open_judge
from perm_cli.judges.budget import Budget, Use, read_budget
from perm_cli.judges.prices import price_of
from perm_cli.progress import ProgressLine, beating, shown_progress
from perm_cli.ray_grader import make_ratings_on_ray, want_all
from perm_cli.reserve import Reserve
from perm_cli.rewards import Recipe
from perm_cli.runs import RunFolder, open_run
from perm_cli.scoring import Job, Stop, interruptible, make_ratings, prepare, settings_record
from perm_cli.words import COVERAGE_TOO_LOW, DONE, INTERRUPTED

if TYPE_CHECKING:
    from perm_cli.reports.summary import Summary

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
    limit = read_budget(spending.budget) if spending.budget is not None else None
    with opened_sources(files) as sources:
        order = order_of(sources, dialogues, judge)
        lacking = missing(order.judge)
        if lacking:
            raise SettingsError(f"--judge {order.judge.name}: missing {'; '.join(lacking)}")
        if limit and limit[1] == "usd" and price_of(order.judge) is None:
            raise SettingsError(
                f"--budget {spending.budget}: no price is known for {order.judge.name}, expected one in perm.toml: "
                f"[judges.{order.judge.name!r}] price = {{ input = …, output = … }}, US dollars a million tokens"
            )
        if limit and output.ray is not None:
            raise SettingsError("--budget: found with --ray, whose workers share no account, expected one of them")
        job = prepare(order)
        announce_inputs(job, console)
        path = output.out or _default_out(job)
        with closing(Reserve(spending.reuse or ())) as reserve, open_run(path) as folder:
            for name in folder.cut:
                say(console, f"{path}/{name}.jsonl: the last line was cut; it is set aside in {name}.damaged")
            means = _Means(folder, console, _budget(folder, limit), reserve if spending.reuse else None, output.ray)
            ended = _rate(job, means)
            summary = None if ended.interrupted or output.ray else _fused(folder, recipe, console)
        if output.ray and not ended.interrupted:
            with open_run(path) as folder:  # opened again, it knows what the workers have written
                want_all(job, folder)
                summary = _fused(folder, recipe, console)
    if summary is None:
        say(console, f"stopped; what is rated is kept. To go on: {_same_command(path, output.out)}")
        return INTERRUPTED
    from perm_cli.cli.fusing import show  # noqa: PLC0415 - arrays and frames, once the calls are made

    show(summary, as_json=output.as_json)
    if ended.full:
        say(console, f"{ended.full}: what is left is skipped. To go on: the same command with a larger --budget")
        return COVERAGE_TOO_LOW
    if summary.coverage < output.min_coverage:
        say(console, f"coverage {summary.coverage:.1%} is below --min-coverage {output.min_coverage:.0%}")
        return COVERAGE_TOO_LOW
    return DONE


def _fused(folder: RunFolder, recipe: Recipe, console: Console) -> "Summary":
    from perm_cli.cli.fusing import fuse  # noqa: PLC0415 - arrays and frames, once the calls are made

    summary = fuse(folder, recipe)
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
    effective: dict[str, Any] = field(default_factory=dict)


def _budget(folder: RunFolder, limit: tuple[float, str] | None) -> Budget | None:
    """Return the budget, less what this folder has cost so far."""
    if not limit:
        return None
    calls, tokens, usd = folder.ledger.spent()
    budget = Budget(*limit, Use(calls=calls, tokens=tokens, usd=usd))
    # Calls that came to no rating are on record here only.
    budget.spent = max(budget.spent, folder.record.get("spent", {}).get(budget.unit, 0.0))
    return budget


def _rate(job: Job, means: _Means) -> _Ended:
    """Make the ratings, and keep a record of how that went."""
    folder = means.folder
    record = open_record(job, folder)
    with shown_progress(means.console, job.ratings) as progress:
        try:
            ended = _make_on_ray(job, means, progress) if means.ray else run_loop(_make(job, means, progress))
        except (KeyboardInterrupt, asyncio.CancelledError):
            ended = _Ended(interrupted=True)
        finally:
            spending = progress.spending
            record |= {"ended": _now(), "made": dict(spending.statuses), "tokens": dict(spending.tokens)}
            record |= {"cost_usd": spending.cost_usd}
            if means.budget:
                folder.record["spent"] = folder.record.get("spent", {}) | {means.budget.unit: means.budget.spent}
            folder.write_record()
    if ended.effective:
        folder.record["settings"][job.settings]["effective"] = ended.effective
        folder.write_record()
    return ended


def _make_on_ray(job: Job, means: _Means, progress: ProgressLine) -> _Ended:
    stop = Stop()
    say(means.console, f"starting Ray ({means.ray}); its own words go to {means.folder.path}/ray.log")
    make_ratings_on_ray(job, means.folder, progress, stop, means.ray or "local", means.reserve)
    return _Ended(interrupted=stop.requested)


async def _make(job: Job, means: _Means, progress: ProgressLine) -> _Ended:
    stop = Stop()

    def announce() -> None:
        say(means.console, "finishing the calls in flight; press Ctrl-C again to drop them")

    with interruptible(stop, announce):
        async with open_judge(job.order.judge, means.budget) as judge, beating(progress):
            stop.notify = lambda: judge.stop(NotAsked("the run was stopped"))
            full = await make_ratings(job, judge, means.folder, progress, stop, means.reserve)
            # What an endpoint takes is known only if it was asked something.
            effective = judge.effective() if progress.spending.rated else {}
            return _Ended(interrupted=stop.requested, full=full, effective=effective)


def run_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run on the fastest event loop there is."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.run(coroutine)
    return uvloop.run(coroutine)


def open_record(job: Job, folder: RunFolder) -> dict[str, Any]:
    """Enter the settings and this command into the run's record before anything is paid for."""
    entry = settings_record(job) | {"caveat": caveat_of(job.order.judge)}
    folder.record["settings"][job.settings] = folder.record["settings"].get(job.settings, {}) | entry
    command: dict[str, Any] = {
        "command": shlex.join(["perm", *sys.argv[1:]]),
        "settings": job.settings,
        "asked": job.asked,
        "ratings": job.ratings,
        "score": job.order.score,
        "started": _now(),
    }
    try:
        if not folder.has_dialogues or not any(each.get("asked") == job.asked for each in folder.record["commands"]):
            folder.keep_dialogues(job.read())
        folder.record["commands"].append(command)
        folder.write_record()
        folder.open_ratings()
    except OSError as error:
        place = error.filename or folder.path
        raise RunError(f"{place}: {error.strerror} found, expected a folder that can be written") from error
    return command


def announce_inputs(job: Job, console: Console) -> None:
    """Say what was found in the files."""
    for census in job.censuses:
        what = f"{census.format} format, {census.dialogues:,} dialogues, {census.supporter_turns:,} supporter turns"
        say(console, f"{census.source.name}: {what}")
        for remark in census.remarks:
            say(console, str(remark))


def _default_out(job: Job) -> Path:
    names = (job.censuses[0].source.stem, job.order.judge.name)
    slugs = [re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:40] for name in names]
    return Path("runs") / "-".join([*filter(None, slugs), datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")])


def _same_command(path: Path, out: Path | None) -> str:
    added = [] if out else ["--out", str(path)]
    return shlex.join(["perm", *sys.argv[1:], *added])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
