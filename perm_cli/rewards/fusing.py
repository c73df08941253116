"""Fusing the ratings of a run into rewards, and writing its rewards and summaries."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import orjson

from perm_cli.disk import ensure_folder, rewriting
from perm_cli.ratings.ledger import Outcome
from perm_cli.ratings.run_folder import RunFolder
from perm_cli.ratings.run_record import CommandRecord
from perm_cli.ratings.spending import Spending
from perm_cli.rewards.formula import Recipe
from perm_cli.rewards.lengths import lengths_in
from perm_cli.rewards.reward import Reward, rewards_of
from perm_cli.rewards.summary import Summary, read_summary, summarise, summary_csv, summary_json
from perm_cli.scoring.job import Job


def fuse(folder: RunFolder, recipe: Recipe, out: Path | None = None) -> Summary:
    """Fuse all ratings asked for in a run; write rewards and summaries to `out` or the run, and return the summary."""
    target = folder.path if out is None else ensure_folder(out)
    with rewriting(target / "rewards.jsonl") as stream:
        summary = _fused(folder, recipe, None, lambda rewards: _written(rewards, stream))
    for name, content in (("summary.json", summary_json(summary)), ("summary.csv", summary_csv(summary))):
        with rewriting(target / name) as stream:
            stream.write(content)
    return summary


def fuse_once(folder: RunFolder, job: Job, recipe: Recipe) -> Summary:
    """
    Fuse a run and return the summary of the job entered last, which may be only a part of the run.

    A hash over what the summary was made from is recorded for `fused_before`.
    """
    summary = fuse(folder, recipe)
    commands = folder.record.commands
    if any((each.settings, each.asked) != (job.settings, job.asked) for each in commands):
        return _fused(folder, recipe, commands[-1:])
    # Only a complete run is skipped the next time: an incomplete one may have ratings to make.
    if summary.coverage == 1:
        folder.record.fused = _state(folder, job, recipe)
        folder.write_record()
    return summary


def fused_before(folder: RunFolder, job: Job, recipe: Recipe) -> Summary | None:
    """Return the summary of a finished job if nothing that it was made from has changed since, else None."""
    if not folder.record.fused or folder.record.fused != _state(folder, job, recipe):
        return None
    return read_summary((folder.path / "summary.json").read_bytes())


def _fused(
    folder: RunFolder,
    recipe: Recipe,
    commands: Sequence[CommandRecord] | None,
    through: Callable[[Iterator[Reward]], Iterator[Reward]] = iter,
) -> Summary:
    """Return the summary of what some commands asked for, or all if None; `through` wraps the stream of rewards."""
    spending = Spending()
    expected = folder.unrecorded_ratings() if commands is None else 0
    caveats = {name: caveat for name, caveat in _caveats(folder).items() if caveat}
    with lengths_in(folder, recipe) as lengths:
        outcomes = _counted(folder.outcomes(commands), spending)
        packs = folder.packs()
        rewards = rewards_of(outcomes, recipe, lengths, caveats, packs)
        return summarise(through(rewards), spending, expected, str(folder.path), recipe, packs)


def _state(folder: RunFolder, job: Job, recipe: Recipe) -> str:
    # No prompt contains the shape of a pack: if it is edited, the ratings stay the same but the rewards change.
    packs = {name: repr(pack.shape) for name, pack in folder.packs().items()}
    asked = [job.settings, job.asked.as_written(), recipe, packs]
    made_of = orjson.dumps([*asked, _caveats(folder), str(folder.path), folder.digest()])
    return blake2b(made_of, digest_size=16).hexdigest()


def _counted(outcomes: Iterator[Outcome], spending: Spending) -> Iterator[Outcome]:
    for outcome in outcomes:
        spending.add(outcome)
        yield outcome


def _written(rewards: Iterable[Reward], stream: BinaryIO) -> Iterator[Reward]:
    for reward in rewards:
        stream.write(orjson.dumps(reward.record(), option=orjson.OPT_APPEND_NEWLINE))
        yield reward


def _caveats(folder: RunFolder) -> dict[str, str | None]:
    return {name: settings.caveat for name, settings in folder.record.settings.items()}
