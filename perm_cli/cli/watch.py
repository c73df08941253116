"""`perm watch`: what the replies of a training run show, step by step."""

import time
from pathlib import Path
from typing import Annotated

import typer

_REFRESH_S = 2.0


def watch(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Folder that a reward was given as `run`, one inside it, or its signs.jsonl."
        ),
    ],
    follow: Annotated[
        bool, typer.Option("--follow", help="Keep watching until Ctrl-C; wait for a run that has not started.")
    ] = False,
) -> None:
    """Show what the rewards of a training run correlate with, step by step, and warn of reward hacking."""
    from rich.live import Live

    from perm_cli.cli.console import output
    from perm_cli.training.steps import read_steps, signs_file, steps_shown, steps_so_far

    console = output()
    if not follow:
        console.print(steps_shown(read_steps(signs_file(run))))
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(steps_so_far(signs_file(run)), refresh=True)
            time.sleep(_REFRESH_S)
