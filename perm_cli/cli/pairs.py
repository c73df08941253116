"""`perm pairs` and `perm best-of-n`: what trainers learn preferences from."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perm_cli.cli.console import messages, say
from perm_cli.cli.from_options import recipe_of
from perm_cli.cli.names import runs_of
from perm_cli.cli.options import RewardOptions
from perm_cli.comparing.from_runs import REWARD, RunScores, read_runs
from perm_cli.dialogues.exports import opened_output, write_rows
from perm_cli.errors import RunError, SettingsError
from perm_cli.reports.figures import counted
from perm_cli.text import one_line
from perm_cli.training.preferences import Count, Pair, best_of, best_row, pair_rows, pairs_of, prompts_of
from perm_cli.words import PairFormat, PairStrategy, PolicyStyle


def pairs(
    runs: Sequence[Path],
    reward: RewardOptions,
    form: PairFormat,
    style: PolicyStyle,
    strategy: PairStrategy,
    min_gap: float,
    out: str,
    *,
    force: bool,
) -> None:
    """Do what `perm pairs` says."""
    if form == "kto" and strategy == "all":
        raise SettingsError(
            "--strategy all: found with --format kto, whose replies are good or bad, expected best-worst"
        )
    found, count = _read(runs, reward), Count()
    made = pairs_of(prompts_of(found.scores, found.dialogues()), strategy, min_gap, style, count)
    _write(_rows_of(made, form, style), out, force=force)
    _tell(found, count, f"{counted(count.pairs, 'pair')} of {counted(count.prompts, 'prompt')}", out)


def best_of_n(runs: Sequence[Path], reward: RewardOptions, style: PolicyStyle, out: str, *, force: bool) -> None:
    """Do what `perm best-of-n` says."""
    found, count = _read(runs, reward), Count()
    made = best_of(prompts_of(found.scores, found.dialogues()), count)
    _write((best_row(*each, style) for each in made), out, force=force)
    _tell(found, count, counted(count.prompts, "prompt"), out)


def _read(runs: Sequence[Path], reward: RewardOptions) -> RunScores:
    runs = runs_of(runs)
    found = read_runs(runs, recipe_of(reward))
    for remark in found.remarks:
        say(messages(), remark)
    if np.isnan(found.scores.of(REWARD, found.scores.judges)).any(axis=1).all():
        raise RunError(f"{', '.join(map(str, runs))}: no rewards found, expected some to choose by")
    return found


def _rows_of(made: Iterable[Pair], form: PairFormat, style: PolicyStyle) -> Iterator[dict[str, Any]]:
    for pair in made:
        yield from pair_rows(pair, form, style)


def _write(rows: Iterable[dict[str, Any]], out: str, *, force: bool) -> None:
    with opened_output(out, force=force) as stream:
        write_rows(rows, stream)


def _tell(found: RunScores, count: Count, made: str, out: str) -> None:
    console = messages()
    judges = ", ".join(one_line(each, 60) for each in found.scores.judges)
    say(console, f"{made}, by {judges}" + ("" if out == "-" else f": {out}"))
    left_out = [f"{number:,} {what}" for what, number in count.left_out.items() if number]
    if left_out:
        say(console, f"left out: {', '.join(left_out)}")
    for caveat in found.caveats:
        say(console, caveat, "bold")
