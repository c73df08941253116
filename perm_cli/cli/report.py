"""`perm report`: one HTML file to send to a colleague."""

from pathlib import Path
from typing import Annotated

import typer

from perm_cli.cli.exits import COVERAGE_TOO_LOW, DONE
from perm_cli.cli.options import LabelOptions, MinCoverage, People, RewardOptions, Runs
from perm_cli.errors import RunError, SettingsError

_USUAL = Path("report.html")
_HEAD = 4096


def report(
    runs: Runs,
    reward: RewardOptions,
    against: LabelOptions,
    people: People = None,
    title: Annotated[str | None, typer.Option(help="Title of the report.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="File to write.")] = _USUAL,
    min_coverage: MinCoverage = 0.95,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a file that is not an earlier report.html.")
    ] = False,
) -> None:
    """
    Write one HTML file with the result, the charts and every dialogue with its ratings.

    It needs no network and opens in any browser.
    """
    from perm_cli.cli.console import messages, say
    from perm_cli.cli.from_options import recipe_of
    from perm_cli.cli.inputs import runs_of
    from perm_cli.cli.labelled import labelled_if_any
    from perm_cli.cli.tables import Table, enough
    from perm_cli.comparing.from_runs import read_runs
    from perm_cli.disk import write_whole
    from perm_cli.reports.page import render
    from perm_cli.reports.report import report_of

    if out.exists() and not force and not _is_ours(out):
        raise SettingsError(f"--out: {out} already exists; name a new file, or overwrite it with --force")
    recipe = recipe_of(reward)
    paths = runs_of(runs)
    found = read_runs(paths, recipe)
    if not found.scores.judges:
        raise RunError(f"{paths[0]}: no scores found, expected some to report")
    table = Table(scores=found.scores, runs=found)
    labels, mapped = labelled_if_any(table, people, against)
    content = render(report_of(found, title, labels, mapped, recipe))
    write_whole(out, content)
    say(messages(), f"{out}: {len(content) / 1e6:.1f} MB, open it in a browser")
    raise typer.Exit(DONE if enough(table, min_coverage) else COVERAGE_TOO_LOW)


def _is_ours(path: Path) -> bool:
    """Return whether this is an earlier report in the default place, which may be overwritten."""
    from perm_cli.reports.page import GENERATOR

    if path != _USUAL or not path.is_file():
        return False
    with path.open("rb") as stream:
        return GENERATOR.encode() in stream.read(_HEAD)
