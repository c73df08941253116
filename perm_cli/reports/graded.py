"""A leaderboard as sentences and tables, and checks as JUnit XML for build servers."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree as ET

from perm_cli.comparing.checks import Check
from perm_cli.comparing.from_runs import REWARD
from perm_cli.comparing.systems import Leaderboard, Standing
from perm_cli.reports.contrasted import place_of
from perm_cli.reports.figures import figure, name_of, number, percent, with_scale
from perm_cli.reports.layout import Grid
from perm_cli.text import without_controls


def standings_table(board: Leaderboard) -> Grid:
    """Return the systems with means, comparisons and ranks, in the order of their ranks."""
    columns, rows = standings_rows(board)
    table = Grid(
        columns=columns,
        spare=[_headings(board)[:-1], ["won - tied - lost"], ["scored"], ["dialogues"]],
    )
    for row in rows:
        table.add(*row)
    return table


def standings_rows(board: Leaderboard) -> tuple[list[str], list[list[str]]]:
    """Return the same table as column headings and rows of text."""
    columns = ["system", "dialogues", "scored", *_headings(board), "won - tied - lost", "rank"]
    return columns, [_row(standing, signed=board.dimensions[-1] == REWARD) for standing in board.standings]


def _headings(board: Leaderboard) -> list[str]:
    return [with_scale(name, board.tops.get(name)) for name in board.dimensions]


def _row(standing: Standing, *, signed: bool) -> list[str]:
    ranked = standing.ranked
    return [
        name_of(standing.system),
        f"{standing.dialogues:,}",
        percent(standing.coverage),
        *(number(mean.value) for mean in standing.means[:-1]),
        figure(standing.means[-1], 3, signed=signed),
        f"{ranked.wins} - {ranked.ties} - {ranked.losses}",
        place_of(standing.place),
    ]


def board_record(board: Leaderboard) -> dict[str, Any]:
    """Return a leaderboard as a JSON object, with means by dimension, all differences, and the best system if any."""
    return {
        "rater": board.rater,
        "dimensions": list(board.dimensions),
        "standings": [
            asdict(standing) | {"means": dict(zip(board.dimensions, map(asdict, standing.means), strict=True))}
            for standing in board.standings
        ],
        "differences": [asdict(each) | {"decisive": each.decisive} for each in board.contrasts.differences],
        "told_apart": board.contrasts.told_apart,
        "best": board.contrasts.best,
    }


def remarks_on(board: Leaderboard) -> Iterator[str]:
    """Yield a remark where means and paired differences rest on different dialogues."""
    own = {standing.system: standing.dialogues for standing in board.standings}
    if any(not each.dialogues == own[each.first] == own[each.second] for each in board.contrasts.differences):
        yield "Means are over each system's own dialogues, differences and ranks over the dialogues that both have."


def junit(checks: Sequence[Check], suite: str) -> bytes:
    """Return checks as JUnit XML, one test case per check."""
    failures = sum(not check.passed for check in checks)
    root = ET.Element("testsuite", name=without_controls(suite), tests=str(len(checks)), failures=str(failures))
    for check in checks:
        name = without_controls((check.system or "-") + (f", by {check.rater}" if check.rater else ""))
        case = ET.SubElement(root, "testcase", classname=f"perm.{check.name}", name=name)
        if not check.passed:
            ET.SubElement(case, "failure", message=without_controls(check.said))
        else:
            ET.SubElement(case, "system-out").text = without_controls(check.said)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"
