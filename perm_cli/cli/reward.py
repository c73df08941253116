"""`perm reward`: fuse the ratings of a run again."""

from pathlib import Path

from perm_cli.cli.console import messages, say
from perm_cli.cli.fusing import enough_of, fuse, show
from perm_cli.cli.options import RewardOptions
from perm_cli.cli.orders import recipe_of
from perm_cli.runs import open_run, run_folders
from perm_cli.words import COVERAGE_TOO_LOW, DONE


def run(path: Path, options: RewardOptions, min_coverage: float, *, as_json: bool) -> int:
    """Fuse the ratings of a run and print the summary, of a training run one per process; return the exit code."""
    return max(_fuse(each, options, min_coverage, as_json=as_json) for each in run_folders([path]))


def _fuse(path: Path, options: RewardOptions, min_coverage: float, *, as_json: bool) -> int:
    with open_run(path, create=False) as folder:
        commands = folder.record["commands"]
        recipe = recipe_of(options, commands[-1]["score"] if commands else "mode")
        summary = fuse(folder, recipe)
        if folder.damaged:
            say(messages(), f"{path}/ratings.jsonl: {folder.damaged} damaged lines passed over")
    show(summary, as_json=as_json)
    return DONE if enough_of(summary, min_coverage) else COVERAGE_TOO_LOW
