"""Rate dialogues and fuse the ratings, showing progress: by one judge, or by several at once at their own paces."""

import re
from asyncio import CancelledError
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from functools import partial
from hashlib import blake2b
from pathlib import Path

from perm_cli.cli.announcing import announce, announce_interrupt
from perm_cli.cli.console import messages, say
from perm_cli.cli.from_options import command_line, opened_sources, order_of
from perm_cli.cli.options import DialogueOptions, JudgeOptions
from perm_cli.cli.progress import shown_progress
from perm_cli.judges.routes import check_judge
from perm_cli.ratings.reserve import Reserve
from perm_cli.ratings.run_folder import RunFolder, open_run
from perm_cli.ratings.run_record import CommandRecord
from perm_cli.ratings.spending import Spending
from perm_cli.rewards.formula import Recipe, formula_of
from perm_cli.rewards.fusing import fuse_once, fused_before
from perm_cli.rewards.summary import Summary
from perm_cli.scoring.job import Job, entered, prepare
from perm_cli.scoring.making import Ended, Resources, close_record, make_run, make_runs


def rate(
    job: Job, recipe: Recipe, path: Path, limit: tuple[float, str] | None, reuse: Sequence[Path] | None, ray: str | None
) -> tuple[Ended, Summary | None]:
    """Return how the rating of a job ended and the summary of its run, None if it was interrupted."""
    console = messages()
    with closing(Reserve(reuse or ())) as reserve, open_run(path) as folder:
        for name in folder.cut:
            say(console, f"{path}/{name}.jsonl: the last line was cut; it is set aside in {name}.damaged")
        command = entered(job, folder, command_line())
        if summary := fused_before(folder, job, recipe):
            close_record(command, folder, Spending())
            return Ended(), summary
        if ray:
            say(console, f"starting Ray ({ray}); its own messages go to {path}/ray.log")
        resources = Resources(limit=limit, reserve=reserve if reuse else None, ray=ray)
        with shown_progress(console, job.ratings) as progress:
            ended = make_run(job, folder, command, resources, progress, partial(announce_interrupt, console))
        if ended.interrupted:
            return ended, None
        if not ray:
            return ended, _fused(folder, job, recipe)
    with open_run(path) as folder:  # opened again, it knows what the workers have written
        return ended, _fused(folder, job, recipe)


def _fused(folder: RunFolder, job: Job, recipe: Recipe) -> Summary:
    summary = fuse_once(folder, job, recipe)
    if folder.damaged:
        lines = "1 damaged line" if folder.damaged == 1 else f"{folder.damaged} damaged lines"
        say(messages(), f"{folder.path}/ratings.jsonl: {lines} passed over; the missing ratings are made again")
    return summary


def default_folder(job: Job) -> Path:
    """Return a run folder named after the first file, the judge and the time."""
    names = (job.censuses[0].source.stem, job.order.judge.name)
    time = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    return Path("runs") / "-".join([*filter(None, (_slug(name, 40) for name in names)), time])


def rate_all(
    files: Sequence[str],
    dialogues: DialogueOptions,
    judges: Sequence[JudgeOptions],
    recipe: Recipe,
    out: Path,
) -> dict[Path, CommandRecord]:
    """
    Rate dialogues with every judge; return the run folders in `out`, one per judge, and the command on each.

    A judge that cannot be used is left out with a message; raise its error if none is left, and `KeyboardInterrupt` if
    the user has stopped the run.
    """
    console = messages()
    with opened_sources(files) as sources:
        orders = [order_of(sources, dialogues, judge) for judge in judges]
        for order in orders:
            check_judge(order.judge)
        folders = _folders([order.judge.name for order in orders])
        works = [(prepare(order), out / folder) for order, folder in zip(orders, folders, strict=True)]
        jobs = [job for job, _ in works]
        formula_of(jobs[0].book.pack, recipe)  # a mistake in it costs no call
        announce(jobs[0].censuses, console)
        with shown_progress(console, sum(job.ratings for job in jobs)) as progress:
            try:
                failures = make_runs(works, command_line(), progress, partial(announce_interrupt, console))
            except (KeyboardInterrupt, CancelledError):
                # Typer ends a KeyboardInterrupt without a word.
                say(console, "stopped; the ratings made so far are kept, and the same command resumes")
                raise KeyboardInterrupt from None
        if len(failures) == len(works):
            raise next(iter(failures.values()))
        for path, failure in failures.items():
            say(console, f"{path.name}: left out: {failure}")
        return {path: _command_on(job, path, recipe) for job, path in works if path not in failures}


def _command_on(job: Job, path: Path, recipe: Recipe) -> CommandRecord:
    """Fuse the ratings of a run, and return the record of the command that made them."""
    with open_run(path) as folder:
        if fused_before(folder, job, recipe) is None:
            fuse_once(folder, job, recipe)
        return folder.record.commands[-1]


def _folders(names: Sequence[str]) -> list[str]:
    """Return a folder's name per judge; those that would be alike have a hash of the judge's name added."""
    slugs = [_slug(name, 60) or "judge" for name in names]
    return [
        slug if slugs.count(slug) == 1 else f"{slug}-{blake2b(name.encode(), digest_size=3).hexdigest()}"
        for slug, name in zip(slugs, names, strict=True)
    ]


def _slug(name: str, longest: int) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:longest]
