"""The summary of a run, as commands print it."""

import sys

from perm_cli.cli.console import output, say
from perm_cli.ratings.spending import Spending
from perm_cli.reports.tables import closing_lines, notes, summary_table, trajectory_table
from perm_cli.rewards.summary import Summary, summary_json


def show_summary(summary: Summary, *, as_json: bool, made: Spending | None = None) -> None:
    """Print a summary on standard output; `made` is what this command made of the ratings."""
    if as_json:
        sys.stdout.write(summary_json(summary).decode())
        return
    console = output()
    console.print(trajectory_table(summary.trajectories, summary.trajectories_left_out))
    console.print(summary_table(summary))
    for line in notes(summary):
        say(console, line, "bold")
    for line in closing_lines(summary, made):
        say(console, line)
    for caveat in [] if summary.contrasts else summary.caveats:
        say(console, caveat, "bold")
