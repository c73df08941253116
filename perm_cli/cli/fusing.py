"""Fuse the ratings of a run into rewards, write them, and show what they come to."""

import sys
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from perm_cli.cli.console import output, say
from perm_cli.files import made_folder, rewriting, write_whole
from perm_cli.ledger import Outcome
from perm_cli.lengths import lengths_in
from perm_cli.reports.spending import Spending
from perm_cli.reports.summary import Summary, read_summary, summarise, summary_csv, summary_json
from perm_cli.reports.tables import closing_lines, curve_table, notes, summary_table
from perm_cli.rewards import Recipe, Reward, rewards_of
from perm_cli.runs import RunFolder
from perm_cli.scoring import Job


def fuse(folder: RunFolder, recipe: Recipe, expected: int = 0, out: Path | None = None) -> Summary:
    """Fuse the ratings that the folder's ledger wants, and write rewards and summary, into the run if not elsewhere."""
    spending = Spending()
    target = folder.path if out is None else made_folder(out)
    with lengths_in(folder, recipe) as lengths, rewriting(target / "rewards.jsonl") as stream:
        rewards = rewards_of(_counted(folder, spending), recipe, lengths, _caveats(folder))
        summary = summarise(_written(rewards, stream), spending, expected, str(folder.path), recipe)
    write_whole(target / "summary.json", summary_json(summary))
    write_whole(target / "summary.csv", summary_csv(summary))
    return summary


def fuse_once(folder: RunFolder, job: Job, recipe: Recipe) -> Summary:
    """Fuse the ratings of a job, and keep on record of what, so that `fused_before` knows."""
    summary = fuse(folder, recipe)
    if summary.spending.rated == job.ratings and folder.ledger.all_settled():
        folder.record["fused"] = _state(folder, job, recipe)
        folder.write_record()
    return summary


def fused_before(folder: RunFolder, job: Job, recipe: Recipe) -> Summary | None:
    """Return the summary of a finished job if nothing of what it was made of has changed since."""
    if not folder.record.get("fused") or folder.record["fused"] != _state(folder, job, recipe):
        return None
    return read_summary((folder.path / "summary.json").read_bytes())


def _state(folder: RunFolder, job: Job, recipe: Recipe) -> str:
    made_of = orjson.dumps([job.settings, job.asked, recipe, _caveats(folder), str(folder.path), folder.digest()])
    return blake2b(made_of, digest_size=16).hexdigest()


def show(summary: Summary, *, as_json: bool) -> None:
    """Print a summary on standard output."""
    if as_json:
        sys.stdout.write(summary_json(summary).decode())
        return
    console = output()
    console.print(curve_table(summary.curves, summary.curves_left_out))
    console.print(summary_table(summary))
    for line in notes(summary):
        say(console, line, "bold")
    for line in closing_lines(summary):
        say(console, line)
    for caveat in [] if summary.contrasts else summary.caveats:
        say(console, caveat, "bold")


def _counted(folder: RunFolder, spending: Spending) -> Iterator[Outcome]:
    for outcome in folder.ledger.wanted():
        spending.add(outcome)
        yield outcome


def _written(rewards: Iterable[Reward], stream: BinaryIO) -> Iterator[Reward]:
    for reward in rewards:
        stream.write(orjson.dumps(reward, option=orjson.OPT_APPEND_NEWLINE))
        yield reward


def _caveats(folder: RunFolder) -> dict[str, Any]:
    return {name: record.get("caveat") for name, record in folder.record["settings"].items()}
