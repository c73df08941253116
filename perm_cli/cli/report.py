"""`perm report`: one HTML file to send to a colleague."""

from collections.abc import Sequence
from pathlib import Path

from perm_cli.cli.compare import Wishes
from perm_cli.cli.console import messages, say
from perm_cli.cli.inputs import Table
from perm_cli.cli.names import runs_of
from perm_cli.cli.options import LabelOptions, RewardOptions
from perm_cli.cli.orders import recipe_of
from perm_cli.cli.validate import labelled_if_any
from perm_cli.errors import RunError, SettingsError
from perm_cli.files import write_whole
from perm_cli.reports.page import render
from perm_cli.reports.report import report_of
from perm_cli.run_scores import read_runs


def run(
    runs: Sequence[Path],
    reward: RewardOptions,
    against: LabelOptions,
    wishes: Wishes,
    title: str | None,
    *,
    force: bool,
) -> None:
    """Do what the command says."""
    if wishes.out.exists() and not force:
        raise SettingsError(f"--out: {wishes.out} is there already, expected a new file, or --force")
    runs = runs_of(runs)
    found = read_runs(runs, recipe_of(reward))
    if not found.scores.judges:
        raise RunError(f"{runs[0]}: no scores found, expected some to report")
    table = Table(scores=found.scores, runs=found)
    labels, mapped = labelled_if_any(table, wishes.people, against)
    page = report_of(found, title or ", ".join(path.name for path in runs), labels, mapped)
    content = render(page)
    write_whole(wishes.out, content)
    say(messages(), f"{wishes.out}: {len(content) / 1e6:.1f} MB, open it in a browser")
