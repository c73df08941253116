"""`perm reward`: fuse the ratings of a run again."""

from pathlib import Path

from perm_cli.cli.console import messages, say
from perm_cli.cli.exits import COVERAGE_TOO_LOW, DONE
from perm_cli.cli.from_options import recipe_of
from perm_cli.cli.options import RewardOptions
from perm_cli.cli.summary import enough_of, show
from perm_cli.errors import SettingsError
from perm_cli.ratings.run_folder import is_run, open_run, run_folders
from perm_cli.rewards.fusing import fuse


def run(path: Path, options: RewardOptions, out: Path | None, min_coverage: float, *, as_json: bool) -> int:
    """
    Fuse the ratings of a run and print the summary, of a training run one per process; return the exit code.

    Rewards and summary go to `out` if given, else into the run.
    """
    if out is not None and is_run(out) and not (path.exists() and out.samefile(path)):
        raise SettingsError(f"--out {out}: another run found, expected a folder for rewards and summary")
    folders = run_folders([path])
    outs = [out / each.name if out and len(folders) > 1 else out for each in folders]
    each = zip(folders, outs, strict=True)
    return max(_fuse(folder, options, to, min_coverage, as_json=as_json) for folder, to in each)


def _fuse(path: Path, options: RewardOptions, out: Path | None, min_coverage: float, *, as_json: bool) -> int:
    with open_run(path, create=False) as folder:
        recipe = recipe_of(options, folder.record.last_score)
        summary = fuse(folder, recipe, out)
        if folder.damaged:
            say(messages(), f"{path}/ratings.jsonl: {folder.damaged} damaged lines passed over")
    show(summary, as_json=as_json)
    if out is not None:
        say(messages(), f"written: rewards.jsonl, summary.json and summary.csv in {out}")
    return DONE if enough_of(summary, min_coverage) else COVERAGE_TOO_LOW
