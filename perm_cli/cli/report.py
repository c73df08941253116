"""`perm report`: one HTML file to send to a colleague."""

from collections.abc import Sequence
from pathlib import Path

from perm_cli.cli.compare import Wishes
from perm_cli.cli.console import messages, say
from perm_cli.cli.exits import COVERAGE_TOO_LOW, DONE
from perm_cli.cli.from_options import recipe_of
from perm_cli.cli.inputs import Table, enough
from perm_cli.cli.names import runs_of
from perm_cli.cli.options import LabelOptions, RewardOptions
from perm_cli.cli.validate import labelled_if_any
from perm_cli.comparing.from_runs import read_runs
from perm_cli.disk import write_whole
from perm_cli.errors import RunError, SettingsError
from perm_cli.reports.page import GENERATOR, render
from perm_cli.reports.report import report_of

_USUAL = Path("report.html")
_HEAD = 4096


def run(
    runs: Sequence[Path],
    reward: RewardOptions,
    against: LabelOptions,
    wishes: Wishes,
    title: str | None,
    *,
    force: bool,
) -> int:
    """Write the report of some runs; return the exit code."""
    if wishes.out.exists() and not force and not _is_ours(wishes.out):
        raise SettingsError(f"--out: {wishes.out} is there already, expected a new file, or --force")
    recipe = recipe_of(reward)
    runs = runs_of(runs)
    found = read_runs(runs, recipe)
    if not found.scores.judges:
        raise RunError(f"{runs[0]}: no scores found, expected some to report")
    table = Table(scores=found.scores, runs=found)
    labels, mapped = labelled_if_any(table, wishes.people, against)
    page = report_of(found, title, labels, mapped, recipe)
    content = render(page)
    write_whole(wishes.out, content)
    say(messages(), f"{wishes.out}: {len(content) / 1e6:.1f} MB, open it in a browser")
    return DONE if enough(table, wishes.min_coverage) else COVERAGE_TOO_LOW


def _is_ours(path: Path) -> bool:
    """Whether this is an earlier report in its usual place; one that was given a name of its own is to be kept."""
    if path != _USUAL or not path.is_file():
        return False
    with path.open("rb") as stream:
        return GENERATOR.encode() in stream.read(_HEAD)
