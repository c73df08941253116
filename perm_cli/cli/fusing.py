"""Fuse the ratings of a run into rewards, write them, and show what they come to."""

import sys
from collections.abc import Callable, Collection
from typing import Any

from perm_cli.cli.console import output, say
from perm_cli.lengths import completion_text, token_counter
from perm_cli.ratings import Rating
from perm_cli.reports.spending import Spending
from perm_cli.reports.summary import Summary, summarise, summary_csv, summary_json
from perm_cli.reports.tables import closing_lines, curve_table, summary_table
from perm_cli.rewards import Lengths, Recipe, rewards_of
from perm_cli.runs import RunFolder


def fuse(folder: RunFolder, recipe: Recipe, wanted: Collection[str] | None = None) -> Summary:
    """Fuse the ratings with the keys wanted, or all of them, and write rewards and summary."""
    latest = _latest(folder, (lambda rating: rating.key in wanted) if wanted is not None else lambda _: True)
    spending = Spending()
    for rating in latest.values():
        spending.add(rating)
    lengths = _lengths(folder, recipe) if recipe.length_penalty else None
    ranks = folder.dialogue_ranks()
    rewards = rewards_of(latest.values(), recipe, lengths, _caveats(folder))
    rewards.sort(key=lambda reward: ranks.get((reward.dialogue_id, reward.system), len(ranks)))
    expected = max(len(latest), folder.expected_ratings()) if wanted is None else len(wanted)
    summary = summarise(rewards, spending, expected, str(folder.path), recipe)
    folder.write_rewards(rewards)
    folder.write("summary.json", summary_json(summary))
    folder.write("summary.csv", summary_csv(summary))
    return summary


def show(summary: Summary, *, as_json: bool) -> None:
    """Print a summary on standard output."""
    if as_json:
        sys.stdout.write(summary_json(summary).decode())
        return
    console = output()
    console.print(curve_table(summary.curves))
    console.print(summary_table(summary))
    for line in closing_lines(summary):
        say(console, line)
    for caveat in summary.caveats:
        say(console, caveat, "bold")


def _latest(folder: RunFolder, counts: Callable[[Rating], bool]) -> dict[str, Rating]:
    return {rating.key: rating for rating in folder.ratings() if counts(rating)}


def _lengths(folder: RunFolder, recipe: Recipe) -> Lengths:
    count = token_counter(recipe.tokenizer)
    tokens = {
        (dialogue.id, dialogue.system, place): count(completion_text(turn))
        for dialogue in folder.dialogues()
        for place, turn in enumerate(dialogue.turns, 1)
        if turn.role == "supporter"
    }
    return lambda dialogue_id, system, turn: tokens[dialogue_id, system, turn]


def _caveats(folder: RunFolder) -> dict[str, Any]:
    return {name: record.get("caveat") for name, record in folder.record["settings"].items()}
