"""
Results as LaTeX tables for papers, with booktabs and captions that name judges, rubrics and sample sizes.

Text from outside is escaped, minus signs are typeset as such, and intervals stand in brackets after their estimates.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from perm_cli.comparing.against_people import DimensionValidation
from perm_cli.comparing.from_runs import RunScores
from perm_cli.comparing.side_by_side import Comparison
from perm_cli.comparing.systems import Leaderboard
from perm_cli.errors import SettingsError
from perm_cli.prompts.rubrics import default_pack
from perm_cli.ratings.run_folder import RunFolder
from perm_cli.ratings.run_record import SettingsRecord
from perm_cli.reports.compared import agreement_table, board_table, pair_table
from perm_cli.reports.contrasted import all_differences, difference_table, verdict_lines
from perm_cli.reports.figures import counted
from perm_cli.reports.graded import remarks_on, standings_rows
from perm_cli.reports.layout import Grid
from perm_cli.reports.validated import ceiling_table, findings, level_table, rank_table
from perm_cli.text import one_line

_TEXT = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "…": r"\dots{}"}
_TEXT |= {"−": "$-$", "×": r"$\times$", "<": "$<$", ">": "$>$", "|": "$|$", '"': "''"}
_TEXT |= {sign: f"\\{sign}" for sign in "&%$#_{}"}
_HEADS = {
    "dialogues": "$n$",
    "items": "$n$",
    "p": "$p$",
    "p (Holm)": "$p$",
    "rho": r"$\rho$",
    "left-out rho": r"$\rho$ left out",
    "alpha": r"$\alpha$",
    "kappa": r"$\kappa$",
    "weighted kappa": r"weighted $\kappa$",
    "calibrated kappa": r"calibrated $\kappa$",
}
_SIGNED = frozenset({"difference", "bias"})  # columns in which a plus sign matters
_NUMBER = r"[+-]?\d[\d,]*(?:\.\d+)?"
_FIGURE = re.compile(rf"({_NUMBER})(%?)(?: \(({_NUMBER}) … ({_NUMBER})\))?")
_SPAN = re.compile(rf"({_NUMBER}) … ({_NUMBER})")
_INTERVALS = r"Brackets: 95\,\% percentile intervals from a bootstrap over dialogues."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """The part of a table that goes into a paper: its columns, or None for all, a caption in LaTeX, and a label."""

    columns: Sequence[str] | None
    caption: str
    label: str


def graded_latex(
    boards: Sequence[Leaderboard], rubrics: Mapping[str, str], measures: Sequence[str] | None = None
) -> bytes:
    """Return the systems and their paired differences, two tables per rater; `measures` chooses the dimensions."""
    return _file(_on_boards(boards, rubrics, measures))


def _on_boards(
    boards: Sequence[Leaderboard], rubrics: Mapping[str, str], measures: Sequence[str] | None = None
) -> Iterator[str]:
    for place, board in enumerate(boards, 1):
        columns, rows = standings_rows(board)
        table = Grid(columns=columns)
        for row in rows:
            table.add(*row)
        yield _tabular(table, _on_systems(board, rubrics, _chosen(columns, board, measures), place))
        differences = all_differences(board.contrasts)
        if differences:
            yield _tabular(difference_table(differences), _on_differences(board, rubrics, place))


def _chosen(columns: Sequence[str], board: Leaderboard, measures: Sequence[str] | None) -> list[str]:
    """Return the columns of the table of systems, with the requested measures only."""
    heads = dict(zip(board.dimensions, columns[3:], strict=False))
    unknown = [name for name in measures or () if name not in heads]
    if unknown:
        raise SettingsError(f"--measures: {unknown[0]!r} found, expected one or more of {', '.join(heads)}")
    return ["system", "dialogues", *(heads[name] for name in measures or heads), "rank"]


def _on_systems(board: Leaderboard, rubrics: Mapping[str, str], columns: Sequence[str], place: int) -> _Choice:
    said = [
        f"Mean scores of the systems as judged by {_judged(board.rater, rubrics)}, {_dialogues(board)}.",
        _INTERVALS,
        "Ranks are those consistent with the decisive paired differences.",
        *map(_sentence, verdict_lines(board.contrasts)),
        *map(_sentence, remarks_on(board)),
    ]
    return _Choice(columns=columns, caption=" ".join(said), label=f"systems-{place}")


def _on_differences(board: Leaderboard, rubrics: Mapping[str, str], place: int) -> _Choice:
    said = (
        f"Paired differences in {_escaped(board.dimensions[-1])} as judged by {_judged(board.rater, rubrics)}, "
        f"over the $n$ dialogues that both have a value for. {_INTERVALS} $p$ is from a sign-flip test over whole "
        f"dialogues, Holm-adjusted for all {counted(len(board.contrasts.differences), 'pair')}."
    )
    return _Choice(columns=["systems", "dialogues", "difference", "p (Holm)"], caption=said, label=f"pairs-{place}")


def _dialogues(board: Leaderboard) -> str:
    counts = sorted({standing.dialogues for standing in board.standings})
    return f"$n$ = {counts[0]:,}" + (f" to {counts[-1]:,} dialogues" if len(counts) > 1 else " dialogues each")


def compared_latex(comparison: Comparison, rubrics: Mapping[str, str]) -> bytes:
    """Return tables of the agreement of judges, overall and by pair, and of the systems by judge."""
    by = " and ".join(_judged(rater, rubrics) for rater in comparison.raters)
    of = f"{counted(comparison.items, 'reply', 'replies')} in {comparison.dialogues:,} dialogues"
    parts = []
    agreement = agreement_table(comparison)
    if agreement.rows:
        said = f"Agreement of {by} on {of}: Krippendorff's ordinal $\\alpha$ and intraclass correlations. {_INTERVALS}"
        columns = ["dimension", "items", "alpha", "ICC(A,1)", "ICC(A,k)"]
        parts.append(_tabular(agreement, _Choice(columns=columns, caption=said, label="agreement")))
        said = (
            f"Pairwise agreement of {by} on {of}: Spearman's $\\rho$, Cohen's quadratic $\\kappa$, and the mean "
            f"difference in level with its $p$ (sign-flip test over whole dialogues, Holm-adjusted). {_INTERVALS}"
        )
        columns = ["dimension", "judges", "rho", "weighted kappa", "difference", "p"]
        parts.append(_tabular(pair_table(comparison), _Choice(columns=columns, caption=said, label="judges")))
    if comparison.boards:
        board = board_table(comparison)
        verdicts = [
            _sentence(f"{one_line(each.rater)}: {line}")
            for each in comparison.boards
            for line in verdict_lines(each.contrasts)
        ]
        said = " ".join([f"Mean {_escaped(comparison.main)} of the systems by {by}, on {of}. {_INTERVALS}", *verdicts])
        parts.append(_tabular(board, _Choice(columns=None, caption=said, label="boards")))
        parts += _on_boards(comparison.boards, rubrics)
    return _file(parts)


def validated_latex(validations: Sequence[DimensionValidation], rubrics: Mapping[str, str]) -> bytes:
    """Return tables of the agreement of people, and of the judges' rank and absolute agreement with them."""
    raters = dict.fromkeys(judge.rater for each in validations for judge in each.judges)
    by = " and ".join(_judged(rater, rubrics) for rater in raters)
    said = {
        "people": f"Agreement between people: Krippendorff's ordinal $\\alpha$, intraclass correlation. {_INTERVALS}",
        "order": (
            f"Rank agreement of {by} with people, on $n$ items; pairs are of replies that people rate differently. "
            f"{_INTERVALS} {_sentence(next(iter(findings(validations)), ''))}"
        ),
        "levels": f"Absolute agreement of {by} with people, before and after calibration on other dialogues.",
    }
    columns = {
        "people": ["dimension", "people", "items", "alpha", "ICC(A,1)", "left-out rho"],
        "order": ["dimension", "judge", "items", "rho", "left-out rho", "within", "right", "tied", "wrong"],
        "levels": ["dimension", "judge", "kappa", "MAE", "bias", "annotator test", "calibrated MAE"],
    }
    tables = {"people": ceiling_table, "order": rank_table, "levels": level_table}
    return _file(
        [
            _tabular(tables[name](validations), _Choice(columns=columns[name], caption=said[name], label=name))
            for name in tables
        ]
    )


# --- whose rubrics ---


def judged_by(runs: RunScores | None) -> dict[str, str]:
    """Return, by rater, the rubrics it was given and the caveat of its judge, as far as run folders record them."""
    records: dict[str, SettingsRecord] = {}
    for run in runs.runs if runs else ():
        records |= RunFolder(run).record.settings
    ours = default_pack().digest  # rubrics are cited by digest: edited ones keep their names
    return {
        each.rater: "; ".join(filter(None, (_rubrics(records.get(each.settings), ours), each.caveat)))
        for each in (runs.health if runs else ())
    }


def _rubrics(settings: SettingsRecord | None, ours: str) -> str:
    digest = settings.rubrics_digest if settings else None
    return f"{'perm rubrics' if digest == ours else 'rubrics'} {one_line(digest, 16)}" if digest else ""


def _judged(rater: str, rubrics: Mapping[str, str]) -> str:
    return _escaped(f"{one_line(rater)} ({rubrics[rater]})" if rubrics.get(rater) else rater)


# --- LaTeX ---


def _file(parts: Iterable[str]) -> bytes:
    return "\n\n".join(["% needs \\usepackage{booktabs}", *parts, ""]).encode(errors="replace")


def _tabular(table: Grid, choice: _Choice) -> str:
    columns = range(len(table.columns))
    kept = [table.columns.index(name) for name in choice.columns] if choice.columns is not None else columns
    names = sum(place < table.names for place in kept)
    lines = [" & ".join(_cell(row.cells[at], table.columns[at]) for at in kept) + r" \\" for row in table.rows]
    head = " & ".join(_HEADS.get(table.columns[at], _escaped(table.columns[at])) for at in kept) + r" \\"
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{choice.caption}}}",
            rf"\label{{tab:perm-{choice.label}}}",
            rf"\begin{{tabular}}{{{'l' * names}{'r' * (len(kept) - names)}}}",
            r"\toprule",
            head,
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _cell(text: str, column: str) -> str:
    """Return a cell in LaTeX: an estimate with its interval, a range of ranks, a dash, or text."""
    figure, span = _FIGURE.fullmatch(text), _SPAN.fullmatch(text)
    if figure:
        value, percent, low, high = figure.groups()
        said = _number(value, column) + percent.replace("%", r"\%")
        return said if low is None else f"{said} [{_number(low, column)}, {_number(high, column)}]"
    if span:
        return f"{_number(span[1], column)}--{_number(span[2], column)}"
    return "--" if text == "-" else _escaped(text).replace(" - ", " $-$ ")


def _number(text: str, column: str) -> str:
    sign = {"-": "$-$", "+": "$+$" if column in _SIGNED else ""}.get(text[0])
    return text if sign is None else sign + text[1:]


def _sentence(text: str) -> str:
    """Return a sentence in LaTeX, with minus signs before negative numbers."""
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", _escaped(text))


def _escaped(text: str) -> str:
    return "".join(_TEXT.get(sign, sign) for sign in one_line(text, 2000))
