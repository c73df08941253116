"""A leaderboard as sentences and tables, and checks as JUnit's XML, which build servers read."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from xml.etree import ElementTree as ET

from rich.console import RenderableType

from perm_cli.grading import Check
from perm_cli.reports.compared import add_row, table_of_columns
from perm_cli.reports.figures import chance, figure, name_of, number, percent
from perm_cli.run_scores import REWARD
from perm_cli.systems import Difference, Leaderboard, Standing

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def standings_table(board: Leaderboard) -> RenderableType:
    """Return the systems, best first."""
    columns, rows = standings_rows(board)
    table = table_of_columns(*columns)
    for row in rows:
        add_row(table, *row)
    return table


def standings_rows(board: Leaderboard) -> tuple[list[str], list[list[str]]]:
    """Return the systems, best first, as columns and rows of text."""
    columns = ["system", "dialogues", "scored", *board.dimensions, "won - tied - lost", "rank", "best"]
    return columns, [_row(standing, signed=board.dimensions[-1] == REWARD) for standing in board.standings]


def _row(standing: Standing, *, signed: bool) -> list[str]:
    ranked = standing.ranked
    ranks = f"{ranked.rank_low} … {ranked.rank_high}" if ranked.rank_low != ranked.rank_high else f"{ranked.rank_low}"
    return [
        name_of(standing.system),
        f"{standing.dialogues:,}",
        percent(standing.coverage),
        *(number(mean.value) for mean in standing.means[:-1]),
        figure(standing.means[-1], 3, signed=signed),
        f"{ranked.wins} - {ranked.ties} - {ranked.losses}",
        ranks if ranked.rank_low is not None else number(ranked.rank, 0),
        percent(ranked.best),
    ]


def difference_table(differences: Sequence[Difference]) -> RenderableType:
    """Return differences of systems."""
    table = table_of_columns("systems", "dialogues", "difference", "p (Holm)", "detectable", "")
    for each in differences:
        add_row(
            table,
            f"{name_of(each.first)} - {name_of(each.second)}",
            f"{each.dialogues:,}",
            figure(each.mean, 3, signed=True),
            chance(each.p),
            number(each.detectable, 3),
            "decisive" if each.decisive else "too few" if each.dialogues < each.needed else "not decisive",
        )
    return table


def shown_differences(board: Leaderboard, baseline: str | None) -> list[Difference]:
    """Return the differences to the baseline, or of each system to the next, that way round."""
    names = [standing.system for standing in board.standings]
    pairs = [(name, baseline) for name in names if name != baseline] if baseline is not None else pairwise(names)
    return [found for first, second in pairs if (found := board.difference(first, second))]


def verdict_lines(board: Leaderboard, baseline: str | None) -> Iterator[str]:
    """Yield what the leaderboard comes to."""
    shown = shown_differences(board, baseline)
    if not shown:
        return
    if baseline is not None:
        for better, word in ((True, "better"), (False, "worse")):
            found = [name_of(each.first) for each in shown if each.decisive and ((each.mean.value or 0) > 0) is better]
            yield f"Decisively {word} than {name_of(baseline)}: {', '.join(found) or 'none'}."
        return
    yield _on_best(shown[0])


def _on_best(best: Difference) -> str:
    first, second, ahead = name_of(best.first), name_of(best.second), best.mean.value
    if ahead is None:
        return f"Who is best is not known: {first} and {second} have no dialogue in common."
    if best.decisive and ahead < 0:
        return (
            f"Who is best is not known: {first} has the highest mean, but over the {best.dialogues:,} dialogues "
            f"that both have answered {second} is before it by {figure(-best.mean, 3)}."
        )
    if best.decisive:
        return f"{first} is best, before {second} by {figure(best.mean, 3)}."
    if best.dialogues < best.needed:
        found = "1 dialogue is" if best.dialogues == 1 else f"{best.dialogues:,} dialogues are"
        hint = f"; {found} too few to tell, {best.needed} or more are needed"
    elif best.detectable:
        enough = f"a difference of {number(best.detectable, 3)} would be found four times in five"
        hint = f"; with {best.dialogues:,} dialogues {enough}"
    else:
        hint = ""
    return f"Who is best is not decisive: {first} less {second} is {figure(best.mean, 3, signed=True)}{hint}."


def junit(checks: Sequence[Check], suite: str) -> bytes:
    """Return checks as JUnit's XML, a test case each."""
    failures = sum(not check.passed for check in checks)
    root = ET.Element("testsuite", name=_xml(suite), tests=str(len(checks)), failures=str(failures))
    for check in checks:
        name = (_xml(check.system) or "-") + (f", by {_xml(check.rater)}" if check.rater else "")
        case = ET.SubElement(root, "testcase", classname=f"perm.{check.name}", name=name)
        if not check.passed:
            ET.SubElement(case, "failure", message=_xml(check.said))
        else:
            ET.SubElement(case, "system-out").text = _xml(check.said)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
