"""Rate the same dialogues with several judges at once, each into its own run folder and at its own pace."""

import re
from asyncio import CancelledError
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path

from perm_cli.cli.announcing import announce, announce_interrupt
from perm_cli.cli.console import messages, say
from perm_cli.cli.from_options import command_line, opened_sources, order_of
from perm_cli.cli.options import DialogueOptions, JudgeOptions
from perm_cli.cli.progress import shown_progress
from perm_cli.judges.routes import check_judge
from perm_cli.ratings.run_folder import open_run
from perm_cli.ratings.run_record import CommandRecord
from perm_cli.rewards.formula import Recipe, formula_of
from perm_cli.rewards.fusing import fuse_once, fused_before
from perm_cli.scoring.job import Job, prepare
from perm_cli.scoring.making import make_runs


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
        works = [(prepare(order), out / folder) for order, folder in zip(orders, folders, strict=True)]
        jobs = [job for job, _ in works]
        formula_of(jobs[0].book.pack, recipe)  # a mistake in it costs no call
        announce(jobs[0].censuses, console)
        with shown_progress(console, sum(job.ratings for job in jobs)) as progress:
            try:
                failures = make_runs(works, command_line(), progress, partial(announce_interrupt, console))
            except (KeyboardInterrupt, CancelledError):
                # Typer ends a KeyboardInterrupt without a word.
                say(console, "stopped; what is rated is kept, the same command goes on")
                raise KeyboardInterrupt from None
        if len(failures) == len(works):
            raise next(iter(failures.values()))
        for path, failure in failures.items():
            say(console, f"{path.name}: left out: {failure}")
        return {path: _fused(job, path, recipe) for job, path in works if path not in failures}


def _fused(job: Job, path: Path, recipe: Recipe) -> CommandRecord:
    """Fuse what was rated, and return the command that rated it."""
    with open_run(path) as folder:
        if fused_before(folder, job, recipe) is None:
            fuse_once(folder, job, recipe)
        return folder.record.commands[-1]


def _folders(names: Sequence[str]) -> list[str]:
    """Return a folder's name for every judge; those that would be alike have a hash of the judge's name added."""
    slugs = [re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:60] or "judge" for name in names]
    return [
        slug if slugs.count(slug) == 1 else f"{slug}-{blake2b(name.encode(), digest_size=3).hexdigest()}"
        for slug, name in zip(slugs, names, strict=True)
    ]
