"""What comparing commands print: the tables and sentences of a result, in the order they are read in a terminal."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from rich.console import RenderableType
from rich.text import Text

from perm_cli.comparing.against_people import DimensionValidation
from perm_cli.comparing.checks import Check
from perm_cli.comparing.from_runs import Health
from perm_cli.comparing.panel import Panel
from perm_cli.comparing.side_by_side import Comparison
from perm_cli.comparing.systems import Leaderboard
from perm_cli.comparing.table import Rated
from perm_cli.reports import compared
from perm_cli.reports.contrasted import difference_table, shown_differences, verdict_lines
from perm_cli.reports.figures import number
from perm_cli.reports.graded import remarks_on, standings_table
from perm_cli.reports.layout import Grid
from perm_cli.reports.terms import grouped
from perm_cli.reports.validated import ceiling_table, level_table, powered_table, rank_table, titled_findings
from perm_cli.rewards.calibration import Calibration
from perm_cli.text import one_line

Parts = Iterator[RenderableType]
"""Tables, and texts of one line each."""
Rationales = Callable[[Sequence[Rated]], Mapping[tuple[Rated, str, str], str]]
"""What was said of some items, by item, dimension and rater."""

_DISPUTES = 5


# --- perm compare ---


def comparison_parts(
    comparison: Comparison,
    health: Sequence[Health],
    caveats: Iterable[str],
    panel: Panel | None,
    rationales: Rationales,
) -> Parts:
    """Yield a comparison of judges; `rationales` returns what raters said of the items they disagree on most."""
    if health:
        yield compared.health_table(health)
    yield compared.use_table(comparison)
    if any(each.agreement for each in comparison.dimensions):
        yield compared.agreement_table(comparison)
        yield compared.pair_table(comparison)
    if comparison.boards:
        yield compared.board_table(comparison)
        yield from _bold([*compared.on_systems(comparison), *caveats])
    if disputes := comparison.disputes[:_DISPUTES]:
        yield Text("Where they disagree most:")
        for line in compared.dispute_lines(disputes, rationales([dispute.item for dispute in disputes])):
            yield Text(f"  {line}")
        yield Text("")
    # What the boards come to stands below their table already.
    yield from map(Text, compared.findings(replace(comparison, boards=()), health, panel))


# --- perm grade ---


def grade_parts(
    boards: Iterable[Leaderboard],
    checks: Iterable[Check],
    health: Sequence[Health],
    caveats: Mapping[str, str],
    baseline: str | None,
) -> Parts:
    """Yield a leaderboard per rater, each with the caveat on its judge, and what was checked in them."""
    if health:
        yield compared.health_table(health)
    for board in boards:
        yield from _board_parts(board, baseline)
        yield from _bold(filter(None, [caveats.get(board.rater)]))
    for check in checks:
        verdict = "passed" if check.passed else "FAILED"
        who = f"{one_line(check.system, 40) or '-'}, by {one_line(check.rater, 40)}"
        yield Text(f"{verdict}  {check.name}  {who}: {check.said}")


def _board_parts(board: Leaderboard, baseline: str | None) -> Parts:
    yield from _bold([f"{one_line(board.rater)}, by {one_line(board.dimensions[-1])}:"])
    yield standings_table(board)
    differences = shown_differences(board.contrasts, baseline)
    if differences:
        yield difference_table(differences)
    left = len(board.contrasts.differences) - len(differences)
    if left and baseline is None:
        yield Text(f"… and {left:,} more differences in --json")
    yield from _bold([*verdict_lines(board.contrasts, baseline), *remarks_on(board)])


# --- perm validate ---


def validation_parts(found: Sequence[DimensionValidation], caveats: Iterable[str]) -> Parts:
    """Yield how far people agree, how near judges come to them, and what that comes to in sentences."""
    tables = {
        "How far people agree:": ceiling_table(found),
        "How judges order what people have ordered:": rank_table(found),
        "How near judges come to people's numbers:": level_table(found),
        "What people would give on average:": powered_table(found),
    }
    for title, table in tables.items():
        if table:
            yield from _bold([title])
            yield table
    for group in grouped(titled_findings(found)):
        yield from _bold([group.title])
        yield from map(Text, group.sentences)
        for term, says in group.terms.items():
            yield Text(f"  {term}: {says}", style="dim italic")
        yield Text("")
    yield from _bold(caveats)


# --- perm calibrate ---


def calibration_table(calibration: Calibration) -> Grid:
    """Return the error and the level of each learned curve, before and after, on dialogues held out."""
    columns = ["judge", "dimension", "labels", "dialogues", "error", "held out", "level", "held-out level"]
    table = Grid(columns=columns, names=2)
    for curve in calibration.curves:
        table.add(
            one_line(curve.judge, 40),
            f"{one_line(curve.dimension, 40)} ~ {one_line(curve.human, 40)}",
            f"{curve.labels:,}",
            f"{curve.dialogues:,}",
            number(curve.error_before),
            number(curve.error_after),
            number(curve.bias_before, signed=True),
            number(curve.bias_after, signed=True),
        )
    return table


def _bold(lines: Iterable[str]) -> Iterator[Text]:
    return (Text(line, style="bold") for line in lines)
