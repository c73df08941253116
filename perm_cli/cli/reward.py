"""`perm reward`: fuse the ratings of a run again."""

from pathlib import Path

from perm_cli.cli.console import messages, say
from perm_cli.cli.fusing import fuse, show
from perm_cli.cli.options import RewardOptions
from perm_cli.cli.orders import recipe_of
from perm_cli.runs import open_run


def run(path: Path, options: RewardOptions, *, as_json: bool) -> None:
    """Do what the command says."""
    with open_run(path, create=False) as folder:
        commands = folder.record["commands"]
        folder.ledger.keep_latest(folder.dialogue_names())
        recipe = recipe_of(options, commands[-1]["score"] if commands else "mode")
        summary = fuse(folder, recipe, folder.expected_ratings())
        if folder.damaged:
            say(messages(), f"{path}/ratings.jsonl: {folder.damaged} damaged lines passed over")
    show(summary, as_json=as_json)
