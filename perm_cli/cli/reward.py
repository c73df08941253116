"""`perm reward`: fuse the ratings of a run again."""

from pathlib import Path
from typing import Annotated

import typer

from perm_cli.cli.exits import COVERAGE_TOO_LOW, DONE
from perm_cli.cli.options import AsJson, MinCoverage, RewardOptions, RunPath
from perm_cli.errors import SettingsError


def reward(
    run: RunPath,
    reward: RewardOptions,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for rewards and summary.  [default: the run's own]", show_default=False),
    ] = None,
    min_coverage: MinCoverage = 0.95,
    as_json: AsJson = False,
) -> None:
    """Fuse the ratings of a run again, with other options. Makes no call."""
    from perm_cli.ratings.run_folder import is_run, run_folders

    if out is not None and is_run(out) and not (run.exists() and out.samefile(run)):
        raise SettingsError(f"--out {out}: another run found, expected a folder for rewards and summary")
    folders = run_folders([run])  # a training run has one per process
    outs = [out / each.name if out and len(folders) > 1 else out for each in folders]
    found = [_fused(folder, reward, to, min_coverage, as_json) for folder, to in zip(folders, outs, strict=True)]
    raise typer.Exit(DONE if all(found) else COVERAGE_TOO_LOW)


def _fused(path: Path, options: RewardOptions, out: Path | None, min_coverage: float, as_json: bool) -> bool:
    """Fuse the ratings of one run and print the summary; return whether there are enough of them."""
    from perm_cli.cli.announcing import announce_coverage
    from perm_cli.cli.console import messages, say
    from perm_cli.cli.from_options import recipe_of
    from perm_cli.cli.summary import show_summary
    from perm_cli.ratings.run_folder import open_run
    from perm_cli.rewards.fusing import fuse

    with open_run(path, create=False) as folder:
        recipe = recipe_of(options, folder.record.last_score)
        summary = fuse(folder, recipe, out)
        if folder.damaged:
            say(messages(), f"{path}/ratings.jsonl: {folder.damaged} damaged lines passed over")
    show_summary(summary, as_json=as_json)
    if out is not None:
        say(messages(), f"written: rewards.jsonl, summary.json and summary.csv in {out}")
    return announce_coverage(summary.coverage, min_coverage)
