"""`perm pairs`: pairs of replies that trainers learn preferences from."""

from typing import Annotated

import typer

from perm_cli.cli.options import JsonLines, Overwrite, RewardOptions, Runs, Style
from perm_cli.errors import SettingsError
from perm_cli.words import PairFormat, PairStrategy


def pairs(
    runs: Runs,
    reward: RewardOptions,
    format: Annotated[PairFormat, typer.Option(help="Format of the rows.")] = "trl",  # noqa: A002 - the option's name
    style: Style = "analysis",
    strategy: Annotated[
        PairStrategy, typer.Option(help="Best and worst reply per prompt, or every pair.")
    ] = "best-worst",
    min_gap: Annotated[float, typer.Option(min=0, max=10, help="Smallest reward difference of a pair.")] = 0.0,
    out: JsonLines = "-",
    force: Overwrite = False,
) -> None:
    """
    Write pairs of a better and a worse reply, for preference training. Makes no call.

    Replies to the same prompt are compared by reward. Ties, and replies without a reward, are left out and counted.
    """
    from perm_cli.cli.preferences import announce_preferences, rewarded, write_preferences
    from perm_cli.reports.figures import counted
    from perm_cli.training.preferences import Count, pair_rows, pairs_of, prompts_of

    if format == "kto" and strategy == "all":
        raise SettingsError(
            "--strategy all cannot be used with --format kto, whose replies are good or bad; use best-worst"
        )
    found, count = rewarded(runs, reward), Count()
    made = pairs_of(prompts_of(found.scores, found.dialogues()), strategy, min_gap, style, count)
    write_preferences((row for pair in made for row in pair_rows(pair, format, style)), out, force=force)
    what = f"{counted(count.pairs, 'pair')} of {counted(count.prompts, 'prompt')}"
    announce_preferences(found, count, what, out)
