"""`perm reward`: fuse the ratings of a run again."""

from pathlib import Path

from perm_cli.cli.console import messages, say
from perm_cli.cli.fusing import fuse, show
from perm_cli.cli.options import RewardOptions
from perm_cli.cli.orders import recipe_of
from perm_cli.errors import SettingsError
from perm_cli.runs import is_run, open_run


def run(path: Path, options: RewardOptions, out: Path | None, *, as_json: bool) -> None:
    """Fuse the ratings and print the summary; rewards and summary go to `out` if given, else into the run."""
    if out is not None and is_run(out) and not (path.exists() and out.samefile(path)):
        raise SettingsError(f"--out {out}: another run found, expected a folder for rewards and summary")
    with open_run(path, create=False) as folder:
        commands = folder.record["commands"]
        folder.ledger.keep_latest(folder.dialogue_names())
        recipe = recipe_of(options, commands[-1]["score"] if commands else "mode")
        summary = fuse(folder, recipe, folder.expected_ratings(), out)
        if folder.damaged:
            say(messages(), f"{path}/ratings.jsonl: {folder.damaged} damaged lines passed over")
    show(summary, as_json=as_json)
    if out is not None:
        say(messages(), f"written: rewards.jsonl, summary.json and summary.csv in {out}")
