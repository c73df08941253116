"""What a report says of runs: the answer first, then pictures, dialogues, and how it was made."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perm_cli import __version__
from perm_cli.biases import feature_table
from perm_cli.comparison import compare
from perm_cli.features import NAMES
from perm_cli.reports.browsing import browsable
from perm_cli.reports.charts import (
    Chart,
    agreement_chart,
    curve_chart,
    distribution_chart,
    leaderboard_chart,
    length_chart,
    people_chart,
)
from perm_cli.reports.compared import findings as compared
from perm_cli.reports.figures import figure, number, percent
from perm_cli.reports.graded import standings_rows, verdict_lines
from perm_cli.reports.page import Fact, Page, Table
from perm_cli.reports.validated import findings as validated
from perm_cli.run_scores import REWARD, Health, RunScores
from perm_cli.runs import RunFolder
from perm_cli.scores import Scores
from perm_cli.systems import Leaderboard, leaderboard
from perm_cli.validation import Mapped, row_means, validate
from perm_cli.words import DIMENSIONS

_HIDDEN = frozenset({"name", "model", "price"})


def report_of(runs: RunScores, title: str, labelled: Scores | None = None, mapped: Sequence[Mapped] = ()) -> Page:
    """Return the report on some runs; `labelled` is their table with people's scores beside, if there are any."""
    scores = runs.scores
    boards = [leaderboard(scores, judge, [*DIMENSIONS, REWARD]) for judge in scores.judges]
    several = len(scores.systems[0]) > 1
    answer = [*_on_boards(boards, runs.health), *_on_judges(runs), *_on_people(labelled, mapped)]
    return Page(
        title=title,
        question="Which system is more empathetic, and is that decisive?" if several else "How empathetic is it?",
        answer=[*answer, *(each.caveat for each in runs.health if each.caveat), *runs.remarks],
        tables=[
            Table(caption=f"{board.rater}", columns=columns, rows=rows)
            for board in boards
            for columns, rows in [standings_rows(board)]
        ],
        charts=[chart for chart in _charts(runs, boards, labelled, mapped) if chart],
        dialogues=browsable(runs),
        facts=list(_facts(runs)),
    )


def _on_boards(boards: Sequence[Leaderboard], health: Sequence[Health]) -> Iterator[str]:
    for board in boards:
        by = f"{board.rater}: " if len(boards) > 1 else ""
        for standing in board.standings if len(board.standings) == 1 else ():
            mean = figure(standing.means[-1], 3, signed=True)
            yield f"{by}The mean reward is {mean} over {standing.dialogues} dialogues and {standing.turns} turns."
        for line in verdict_lines(board, None):
            yield by + line
    for each in health:
        if each.coverage < 1:
            yield f"{each.rater} gave a score for {percent(each.coverage)} of its ratings."


def _on_judges(runs: RunScores) -> list[str]:
    if len(runs.scores.judges) < 2:  # noqa: PLR2004 - nothing to compare
        return []
    return compared(compare(runs.scores, runs.dialogues()))


def _on_people(labelled: Scores | None, mapped: Sequence[Mapped]) -> list[str]:
    return list(validated(validate(labelled, mapped))) if labelled and mapped else []


def _charts(
    runs: RunScores, boards: Sequence[Leaderboard], labelled: Scores | None, mapped: Sequence[Mapped]
) -> Iterator[Chart | None]:
    scores = runs.scores
    yield leaderboard_chart(boards)
    for dimension in (*DIMENSIONS, REWARD):
        yield distribution_chart(scores, dimension)
    yield curve_chart(scores)
    yield length_chart(scores, REWARD, feature_table(scores.items, runs.dialogues())[:, NAMES.index("length")])
    yield agreement_chart(scores, REWARD)
    for each in mapped if labelled else ():
        assert labelled is not None  # noqa: S101 - see above
        truth = row_means(labelled.of(each.human, labelled.humans))
        judged = {judge: labelled.of(each.judged, [judge])[:, 0] for judge in labelled.judges}
        yield people_chart(judged, truth, f"{each.judged} against people's {each.human}")


def _facts(runs: RunScores) -> Iterator[Fact]:
    for each in runs.health:
        spending = each.spending
        cost = "unknown" if spending.cost_usd is None else f"{spending.cost_usd:.4f} USD"
        statuses = ", ".join(f"{count:,} {name}" for name, count in sorted(spending.statuses.items()))
        said = f"{statuses}; {spending.tokens['calls']:,} calls, cost {cost}, median {number(each.latency_s(0.5))} s"
        yield Fact(name=f"Judge {each.rater}", value=said)
    for run in runs.runs:
        yield from _run_facts(run)
    yield Fact(name="Made with", value=f"perm {__version__}, numpy {np.__version__}")


def _run_facts(run: Path) -> Iterator[Fact]:
    record = RunFolder(run).record
    yield Fact(name="Run", value=run.name)
    for identity, settings in record["settings"].items():
        judge = settings.get("judge") or {}
        shown = [f"model {judge.get('model', 'unknown')}", *_parameters(judge), *_digests(settings)]
        yield Fact(name=f"Settings {identity}", value="; ".join(shown))
    for command in record["commands"][-1:]:
        inputs = (command.get("asked") or {}).get("inputs") or []
        for each in inputs:
            said = f"sha256 {each['sha256']}, {each['dialogues']:,} dialogues"
            yield Fact(name=f"Input {Path(each['name']).name}", value=said)


def _parameters(judge: dict[str, Any]) -> Iterable[str]:
    return (f"{name} {value}" for name, value in judge.items() if name not in _HIDDEN and value not in (None, {}, []))


def _digests(settings: dict[str, Any]) -> Iterable[str]:
    return (f"{name} {settings[f'{name}_digest']}" for name in ("rubrics", "prompts") if f"{name}_digest" in settings)
