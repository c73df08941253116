"""Rate the same dialogues with several judges at once, each into its own run folder and at its own pace."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path

from rich.console import Console

from perm_cli.cli.announcing import announce
from perm_cli.cli.console import messages, say
from perm_cli.cli.from_options import opened_sources, order_of
from perm_cli.cli.fusing import fuse_once, fused_before
from perm_cli.cli.options import DialogueOptions, JudgeOptions
from perm_cli.cli.progress import ProgressLine, beating, shown_progress
from perm_cli.cli.score import INTERRUPTION, close_record, command_line, finishing, run_loop
from perm_cli.errors import NotAsked, PermError
from perm_cli.judges.routes import check_judge, open_judge
from perm_cli.ratings.rating import Rating
from perm_cli.ratings.run_folder import RunFolder, open_run
from perm_cli.ratings.run_record import CommandRecord
from perm_cli.rewards.reward import Recipe
from perm_cli.scoring.job import Job, entered, prepare
from perm_cli.scoring.live import Stop, interruptible, make_ratings
from perm_cli.scoring.pending import is_made


@dataclass(frozen=True, slots=True)
class _Work:
    """Hold a job, the folder it goes to and what came of it."""

    job: Job
    path: Path


def rate_all(
    files: Sequence[str],
    dialogues: DialogueOptions,
    judges: Sequence[JudgeOptions],
    recipe: Recipe,
    out: Path,
) -> dict[Path, CommandRecord]:
    """
    Rate dialogues with every judge; return the run folders in `out`, one per judge, and the command on each.

    A judge that cannot be used is said and left out; raise its error if none is left, and `KeyboardInterrupt` when
    the user has stopped the run.
    """
    console = messages()
    with opened_sources(files) as sources:
        orders = [order_of(sources, dialogues, judge) for judge in judges]
        for order in orders:
            check_judge(order.judge)
        folders = _folders([order.judge.name for order in orders])
        works = [_Work(prepare(order), out / folder) for order, folder in zip(orders, folders, strict=True)]
        announce(works[0].job.censuses, console)
        with shown_progress(console, sum(work.job.ratings for work in works)) as progress:
            try:
                failures = run_loop(_rate(works, progress, console))
            except (KeyboardInterrupt, asyncio.CancelledError):
                # Typer ends a KeyboardInterrupt without a word.
                say(console, "stopped; what is rated is kept, the same command goes on")
                raise KeyboardInterrupt from None
        if len(failures) == len(works):
            raise next(iter(failures.values()))
        for path, failure in failures.items():
            say(console, f"{path.name}: left out: {failure}")
        return {work.path: _fused(work, recipe) for work in works if work.path not in failures}


async def _rate(works: Sequence[_Work], progress: ProgressLine, console: Console) -> dict[Path, PermError]:
    stop = Stop()
    stops = [Stop() for _ in works]
    failures: dict[Path, PermError] = {}

    def stop_all() -> None:
        for each in stops:
            each.request()

    stop.notify = stop_all
    with interruptible(stop, partial(finishing, console)):
        async with beating(progress):
            await asyncio.gather(*(_rate_one(*pair, progress, failures) for pair in zip(works, stops, strict=True)))
    if stop.requested:
        raise KeyboardInterrupt
    return failures


async def _rate_one(work: _Work, stop: Stop, progress: ProgressLine, failures: dict[Path, PermError]) -> None:
    try:
        with open_run(work.path) as folder:
            await _ask(work.job, folder, stop, progress)
    except PermError as error:  # another judge may do
        failures[work.path] = error


async def _ask(job: Job, folder: RunFolder, stop: Stop, progress: ProgressLine) -> None:
    own = ProgressLine(job.ratings, None)
    record = entered(job, folder, command_line())
    if is_made(job, folder):
        progress.kept(job.ratings)
        close_record(record, folder, own.spending)
        return
    async with open_judge(job.order.judge) as judge:
        stop.notify = lambda: judge.stop(NotAsked("the run was stopped"))
        stopped: str | None = INTERRUPTION
        try:
            stopped = await make_ratings(job, judge, folder, _Both(own, progress), stop)
            stopped = INTERRUPTION if stop.requested else stopped
            if own.spending.rated:
                folder.record.settings[job.settings].effective = judge.effective()
        except PermError as error:
            stopped = str(error)
            raise
        finally:
            close_record(record, folder, own.spending, stopped)


@dataclass(frozen=True, slots=True)
class _Both:
    """Let a judge's own count and that of all judges look on."""

    own: ProgressLine
    whole: ProgressLine

    def rated(self, rating: Rating) -> None:
        """Take note of a rating."""
        self.own.rated(rating)
        self.whole.rated(rating)

    def kept(self, ratings: int = 1) -> None:
        """Take note of ratings that were made before and are not made again."""
        self.whole.kept(ratings)


def _fused(work: _Work, recipe: Recipe) -> CommandRecord:
    """Fuse what was rated, and return the command that rated it."""
    with open_run(work.path) as folder:
        if fused_before(folder, work.job, recipe) is None:
            fuse_once(folder, work.job, recipe)
        return folder.record.commands[-1]


def _folders(names: Sequence[str]) -> list[str]:
    """Return a folder's name for every judge; those that would be alike have a hash of the judge's name added."""
    slugs = [re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:60] or "judge" for name in names]
    return [
        slug if slugs.count(slug) == 1 else f"{slug}-{blake2b(name.encode(), digest_size=3).hexdigest()}"
        for slug, name in zip(slugs, names, strict=True)
    ]
