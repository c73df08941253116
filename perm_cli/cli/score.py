"""`perm score`: rate, fuse, show."""

import asyncio
import re
import shlex
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from perm_cli.cli.console import messages, say
from perm_cli.cli.options import DialogueOptions, JudgeOptions, RewardOptions
from perm_cli.cli.orders import opened_sources, order_of, recipe_of
from perm_cli.errors import RunError, SettingsError
from perm_cli.judges import caveat_of, missing, open_judge
from perm_cli.progress import ProgressLine, shown_progress
from perm_cli.runs import RunFolder, open_run
from perm_cli.scoring import Job, Stop, interruptible, make_ratings, prepare, settings_record
from perm_cli.words import COVERAGE_TOO_LOW, DONE, INTERRUPTED

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Say where results go and when they are too few."""

    out: Path | None
    min_coverage: float
    as_json: bool


def run(
    files: Sequence[str],
    dialogues: DialogueOptions,
    judge: JudgeOptions,
    reward: RewardOptions,
    output: Output,
) -> int:
    """Do what the command says; return its exit code."""
    console = messages()
    recipe = recipe_of(reward, judge.score)
    with opened_sources(files) as sources:
        order = order_of(sources, dialogues, judge)
        lacking = missing(order.judge)
        if lacking:
            raise SettingsError(f"--judge {order.judge.name}: missing {'; '.join(lacking)}")
        job = prepare(order)
        _announce(job, console)
        with open_run(output.out or _default_out(job)) as folder:
            if not _rate(job, folder, console):
                say(
                    console,
                    f"stopped; what is rated is kept. To go on: {_same_command(folder.path, output.out)}",
                )
                return INTERRUPTED
            from perm_cli.cli.fusing import fuse, show  # noqa: PLC0415 - arrays and frames, once the calls are made

            summary = fuse(folder, recipe)
            if folder.damaged:
                damage = f"{folder.damaged} damaged lines passed over, their ratings made again"
                say(console, f"{folder.path}/ratings.jsonl: {damage}")
    show(summary, as_json=output.as_json)
    if summary.coverage < output.min_coverage:
        say(console, f"coverage {summary.coverage:.1%} is below --min-coverage {output.min_coverage:.0%}")
        return COVERAGE_TOO_LOW
    return DONE


def _rate(job: Job, folder: RunFolder, console: Console) -> bool:
    """Make the ratings; tell whether all were made, or an interrupt came first."""
    record = _open_record(job, folder)
    with shown_progress(console, job.ratings) as progress:
        try:
            done, told = _run(_make(job, folder, progress, console))
        except (KeyboardInterrupt, asyncio.CancelledError):
            done, told = False, {}
        finally:
            spending = progress.spending
            record |= {"ended": _now(), "made": dict(spending.statuses), "tokens": dict(spending.tokens)}
            record |= {"cost_usd": spending.cost_usd}
            folder.write_record()
    folder.record["settings"][job.settings] |= told
    folder.write_record()
    return done


async def _make(job: Job, folder: RunFolder, progress: ProgressLine, console: Console) -> tuple[bool, dict[str, Any]]:
    stop = Stop()

    def announce() -> None:
        say(console, "finishing the calls in flight; press Ctrl-C again to drop them")

    with interruptible(stop, announce):
        async with open_judge(job.order.judge) as judge:
            await make_ratings(job, judge, folder, progress, stop)
            # What an endpoint takes is known only if it was asked something.
            told = {"effective": judge.effective()} if progress.spending.rated else {}
            return not stop.requested, told


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.run(coroutine)
    return uvloop.run(coroutine)


def _open_record(job: Job, folder: RunFolder) -> dict[str, Any]:
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
    except OSError as error:
        raise RunError(f"{folder.path}: {error.strerror} found, expected a folder that can be written") from error
    return command


def _announce(job: Job, console: Console) -> None:
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
