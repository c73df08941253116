"""`perm score`: rate, fuse, show."""

import asyncio
import re
import shlex
import sys
from collections.abc import Coroutine, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console

from perm_cli.cli.announcing import announce
from perm_cli.cli.console import messages, say
from perm_cli.cli.options import DialogueOptions, JudgeOptions, RewardOptions, SpendingOptions
from perm_cli.cli.orders import opened_sources, order_of, recipe_of
from perm_cli.errors import NotAsked, RunError, SettingsError
from perm_cli.formats.sources import stem_of
from perm_cli.judges import check_judge, open_judge
from perm_cli.judges.budget import Budget, Use, read_budget
from perm_cli.judges.prices import price_of
from perm_cli.judges.settings import JudgeSettings
from perm_cli.progress import ProgressLine, beating, shown_progress
from perm_cli.reports.spending import Spending
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
    from perm_cli.cli.fusing import show  # noqa: PLC0415 - arrays and frames, once the calls are made

    show(summary, as_json=output.as_json)
    if ended.full:
        say(console, f"{ended.full}: what is left is skipped. To go on: the same command with a larger --budget")
        return COVERAGE_TOO_LOW
    if summary.coverage < output.min_coverage:
        say(console, f"coverage {summary.coverage:.1%} is below --min-coverage {output.min_coverage:.0%}")
        return COVERAGE_TOO_LOW
    return DONE


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
        record = open_record(job, folder)
        if summary := _fused_before(folder, job, recipe):
            close_record(record, folder, Spending())
            return _Ended(), summary
        ended = _rate(job, _Means(folder, console, _budget(folder, limit), reserve if reuse else None, ray), record)
        if ended.interrupted:
            return ended, None
        if not ray:
            return ended, _fused(folder, job, recipe, console)
    with open_run(path) as folder:  # opened again, it knows what the workers have written
        from perm_cli.ray_grader import want_all  # noqa: PLC0415 - only where it is asked for

        want_all(job, folder)
        return ended, _fused(folder, job, recipe, console)


def _fused_before(folder: RunFolder, job: Job, recipe: Recipe) -> "Summary | None":
    if not folder.record.get("fused"):
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


def _rate(job: Job, means: _Means, record: dict[str, Any]) -> _Ended:
    """Make the ratings, and keep on record how that went."""
    folder = means.folder
    with shown_progress(means.console, job.ratings) as progress:
        try:
            ended = _make_on_ray(job, means, progress) if means.ray else run_loop(_make(job, means, progress))
        except (KeyboardInterrupt, asyncio.CancelledError):
            ended = _Ended(interrupted=True)
        finally:
            if means.budget:
                folder.record["spent"] = folder.record.get("spent", {}) | {means.budget.unit: means.budget.spent}
            close_record(record, folder, progress.spending)
    if ended.effective:
        folder.record["settings"][job.settings]["effective"] = ended.effective
        folder.write_record()
    return ended


def _make_on_ray(job: Job, means: _Means, progress: ProgressLine) -> _Ended:
    from perm_cli.ray_grader import make_ratings_on_ray  # noqa: PLC0415 - only where it is asked for

    stop = Stop()
    say(means.console, f"starting Ray ({means.ray}); its own words go to {means.folder.path}/ray.log")
    make_ratings_on_ray(
        job, means.folder, progress, stop, means.ray or "local", lambda: finishing(means.console), means.reserve
    )
    return _Ended(interrupted=stop.requested)


async def _make(job: Job, means: _Means, progress: ProgressLine) -> _Ended:
    stop = Stop()
    with interruptible(stop, lambda: finishing(means.console)):
        async with open_judge(job.order.judge, means.budget) as judge, beating(progress):
            stop.notify = lambda: judge.stop(NotAsked("the run was stopped"))
            full = await make_ratings(job, judge, means.folder, progress, stop, means.reserve)
            # What an endpoint takes is known only if it was asked something.
            effective = judge.effective() if progress.spending.rated else {}
            return _Ended(interrupted=stop.requested, full=full, effective=effective)


def finishing(console: Console) -> None:
    """Confirm an interrupt."""
    say(console, "finishing the calls in flight; press Ctrl-C again to drop them")


def run_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run on the fastest event loop there is."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.run(coroutine)
    return uvloop.run(coroutine)


def open_record(job: Job, folder: RunFolder) -> dict[str, Any]:
    """
    Enter the settings and this command into the run's record before anything is paid for.

    Raise `SettingsError` if dialogues of another file would be replaced.
    """
    _check_names(job, folder)
    entry = settings_record(job.order.judge, job.book)
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


def _check_names(job: Job, folder: RunFolder) -> None:
    """Raise `SettingsError` if the folder holds dialogues of another file that gives its system the same name."""
    held = [entry for command in folder.record["commands"] for entry in command.get("asked", {}).get("inputs", ())]
    for census in job.censuses:
        name, system = census.source.name, census.source.system
        alike = [entry for entry in held if stem_of(entry["name"]) == system]
        known = any(PurePath(entry["name"]) == PurePath(name) or entry["sha256"] == census.digest for entry in alike)
        if alike and not known and any(each == system for _, each in folder.dialogue_names()):
            raise SettingsError(
                f"--out {folder.path}: system {system!r} of {alike[0]['name']} found, and {name} has the same name; "
                "expected another folder, or both files in one command"
            )


def close_record(record: dict[str, Any], folder: RunFolder, spending: Spending) -> None:
    """Enter what a command has made into its record."""
    record |= {"ended": _now(), "made": dict(spending.statuses), "tokens": dict(spending.tokens)}
    record |= {"cost_usd": spending.cost_usd}
    folder.write_record()


def _default_out(job: Job) -> Path:
    names = (job.censuses[0].source.stem, job.order.judge.name)
    slugs = [re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:40] for name in names]
    return Path("runs") / "-".join([*filter(None, slugs), datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")])


def _same_command(path: Path, out: Path | None) -> str:
    added = [] if out else ["--out", str(path)]
    return shlex.join(["perm", *sys.argv[1:], *added])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
