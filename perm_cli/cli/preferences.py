"""The replies of runs with their rewards, which preferences are made of, and what is printed about those."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perm_cli.cli.console import messages, say
from perm_cli.cli.from_options import recipe_of
from perm_cli.cli.inputs import runs_of
from perm_cli.cli.options import RewardOptions
from perm_cli.comparing.from_runs import REWARD, RunScores, read_runs
from perm_cli.dialogues.exports import opened_output, write_rows
from perm_cli.errors import RunError
from perm_cli.text import one_line
from perm_cli.training.preferences import Count


def rewarded(runs: Sequence[Path], reward: RewardOptions) -> RunScores:
    """Return the scores of runs; raise `RunError` if no reply has a reward."""
    runs = runs_of(runs)
    found = read_runs(runs, recipe_of(reward))
    for remark in found.remarks:
        say(messages(), remark)
    if np.isnan(found.scores.of(REWARD, found.scores.judges)).any(axis=1).all():
        raise RunError(f"{', '.join(map(str, runs))}: no rewards found, expected some to choose by")
    return found


def write_preferences(rows: Iterable[Mapping[str, Any]], out: str, *, force: bool) -> None:
    """Write rows as JSON Lines to a file, or to standard output if that is `-`."""
    with opened_output(out, force=force) as stream:
        write_rows(rows, stream)


def announce_preferences(found: RunScores, count: Count, made: str, out: str) -> None:
    """Print what was made and by which judges' rewards, what was left out, and the caveats on the judges."""
    console = messages()
    judges = ", ".join(one_line(each, 60) for each in found.scores.judges)
    say(console, f"{made}, by {judges}" + ("" if out == "-" else f": {out}"))
    left_out = [f"{number:,} {what}" for what, number in count.left_out.items() if number]
    if left_out:
        say(console, f"left out: {', '.join(left_out)}")
    for caveat in dict.fromkeys(found.caveats.values()):
        say(console, caveat, "bold")
