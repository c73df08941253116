"""
The results of runs as files for other programs: rows of scores, tables for papers, and JUnit XML for build servers.

Every cell is text or a number; text that a spreadsheet would run as a formula is quoted.
"""

import io
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from perm_cli.comparing.checks import Check
from perm_cli.comparing.from_runs import REWARD, RunScores
from perm_cli.comparing.systems import Leaderboard, collapsed, leaderboard
from perm_cli.comparing.table import Scores
from perm_cli.dialogues.exports import by_ending
from perm_cli.dialogues.files.cells import write_guarded
from perm_cli.dialogues.files.parquet import write_columns
from perm_cli.errors import SettingsError
from perm_cli.reports.contrasted import verdict_lines
from perm_cli.reports.figures import counted
from perm_cli.reports.graded import junit, remarks_on, standings_rows
from perm_cli.reports.latex import graded_latex, judged_by
from perm_cli.statistics.means import mean_of, none_if_nan
from perm_cli.text import one_line

_ABOUT = ("dialogue_id", "system", "turn", "judge")


def results_csv(runs: RunScores) -> bytes:
    """Return one row per supporter turn and judge."""
    text = io.StringIO(newline="")
    cells = (row.values() for row in _rows(runs.scores))
    on_a_line = ([one_line(cell, 4096) if isinstance(cell, str) else cell for cell in row] for row in cells)
    write_guarded(chain([[*_ABOUT, *runs.scores.tables]], on_a_line), text)
    return text.getvalue().encode(errors="replace")


def results_jsonl(runs: RunScores) -> bytes:
    """Return one object per supporter turn and judge; a score that is missing is null."""
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in _rows(runs.scores))


def results_parquet(runs: RunScores) -> bytes:
    """Return one row per supporter turn and judge; raise `SettingsError` without pyarrow."""
    kinds = dict.fromkeys(_ABOUT, str) | {"turn": int} | dict.fromkeys(runs.scores.tables, float)
    target = io.BytesIO()
    write_columns(list(_rows(runs.scores)), kinds, target)
    return target.getvalue()


def results_markdown(runs: RunScores) -> bytes:
    """Return one table of systems per judge, in Markdown."""
    parts = []
    for judge, columns, rows, said in _boards(runs):
        lines = [columns, ["---"] * len(columns), *rows]
        table = "\n".join(f"| {' | '.join(map(_markdown, line))} |" for line in lines)
        verdicts = "".join(f"\n\n{_markdown(line)}" for line in said)
        parts.append(f"**{_markdown(judge)}**\n\n{table}{verdicts}")
    return ("\n\n".join(parts) + "\n").encode(errors="replace")


def results_latex(runs: RunScores) -> bytes:
    """Return one table of systems and one of paired differences per judge, in LaTeX with booktabs."""
    return graded_latex([_board(runs, judge) for judge in runs.scores.judges], judged_by(runs))


def results_inspect(runs: RunScores) -> bytes:
    """
    Return JSON Lines for inspect_ai's `precomputed_scores`: one line per dialogue, the mean over turns and judges.

    Raise `SettingsError` for several systems, since a log of inspect_ai has one model.
    """
    whole = collapsed(runs.scores)
    if len(whole.systems[0]) > 1:
        names = ", ".join(map(repr, whole.systems[0]))
        raise SettingsError(
            f"--out: {len(whole.systems[0])} systems found ({names}), expected one: an inspect_ai log has one model"
        )
    lines = []
    for place, item in enumerate(whole.items):
        value = {name: mean_of(whole.tables[name][place]) for name in whole.tables}
        given = {name: mean for name, mean in value.items() if mean is not None}
        if given:
            metadata = {"system": item.system, "judges": list(whole.judges)}
            lines.append(orjson.dumps({"id": item.dialogue_id, "epoch": 1, "value": given, "metadata": metadata}))
    return b"".join(line + b"\n" for line in lines)


def results_junit(runs: RunScores) -> bytes:
    """Return JUnit XML: one test case per dialogue and judge, which passes if all its turns have a reward."""
    checks = []
    for judge in runs.scores.judges:
        column = runs.scores.of(REWARD, [judge])[:, 0]
        missing: dict[tuple[str, str], int] = {}
        for item, reward in zip(runs.scores.items, column, strict=True):
            place = (item.dialogue_id, item.system)
            missing[place] = missing.get(place, 0) + math.isnan(reward)
        checks += [_rated(judge, *place, count) for place, count in missing.items()]
    return junit(checks, "perm score")


WRITERS: Mapping[str, Callable[[RunScores], bytes]] = {
    ".inspect.jsonl": results_inspect,
    ".csv": results_csv,
    ".jsonl": results_jsonl,
    ".parquet": results_parquet,
    ".md": results_markdown,
    ".tex": results_latex,
    ".xml": results_junit,
}


def results(runs: RunScores, path: Path) -> bytes:
    """Return the content of a results file by the ending of its name; raise `SettingsError` for an unknown ending."""
    return by_ending(path, WRITERS)(runs)


def _rows(scores: Scores) -> Iterator[dict[str, Any]]:
    for place, item in enumerate(scores.items):
        for column, judge in enumerate(scores.raters):
            values = {name: none_if_nan(scores.tables[name][place, column]) for name in scores.tables}
            # In a table every rater has a cell for every item; most are empty where raters judged different runs.
            if any(value is not None for value in values.values()):
                yield {
                    "dialogue_id": item.dialogue_id,
                    "system": item.system,
                    "turn": item.turn,
                    "judge": judge,
                    **values,
                }


def _boards(runs: RunScores) -> Iterator[tuple[str, list[str], list[list[str]], list[str]]]:
    for judge in runs.scores.judges:
        board = _board(runs, judge)
        said = [*verdict_lines(board.contrasts), *remarks_on(board), *filter(None, [runs.caveats.get(judge)])]
        yield judge, *standings_rows(board), said


def _board(runs: RunScores, judge: str) -> Leaderboard:
    return leaderboard(runs.scores, judge, list(runs.scores.tables))


def _rated(judge: str, dialogue: str, system: str, missing: int) -> Check:
    name = f"{dialogue} ({system})" if system else dialogue
    said = f"{counted(missing, 'turn')} without a reward by {judge}" if missing else f"rated by {judge}"
    return Check(system=name, name="rated", passed=not missing, said=said)


def _markdown(text: str) -> str:
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|" else sign for sign in one_line(text, 200))
