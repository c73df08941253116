"""Tables for papers: what stands in them, what the captions name, and that no name can break LaTeX."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.commands import Perm, a_run, runner
from tests.makers import row, written

HOSTILE = r"$\\input{x}$ & 50% #_^~{} \\end{tabular}"


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line."""
    return runner(monkeypatch, capsys)


class Table(NamedTuple):
    """A table as LaTeX would read it."""

    caption: str
    form: str
    rows: list[list[str]]


def tables(path: Path) -> list[Table]:
    """Return the tables of a file; each has booktabs' rules and as many cells in every row as columns."""
    found = []
    for text in re.findall(r"\\begin\{table\}(.*?)\\end\{table\}", path.read_text(), re.DOTALL):
        caption, form, body = re.fullmatch(
            r"\s*\\centering\s*\\caption\{(.*?)\}\n\\label\{[\w:-]+\}\n\\begin\{tabular\}\{([lr]+)\}\n\\toprule\n"
            r"(.*)\\bottomrule\n\\end\{tabular\}\s*",
            text,
            re.DOTALL,
        ).groups()  # type: ignore[union-attr]
        lines = body.replace("\\midrule\n", "").splitlines()
        rows = [re.split(r"(?<!\\) & ", line.removesuffix(r" \\")) for line in lines]
        assert {len(cells) for cells in rows} == {len(form)}
        found.append(Table(caption, form, rows))
    return found


def graded(perm: Perm, gap: float, *options: str, names: tuple[str, str] = ("good", "poor")) -> list[Table]:
    """Return the tables of a run in which one system is better by a gap, and below nought."""
    gaps = dict(zip(names, (gap, 0.0), strict=True))
    levels = {
        (f"d{n}", name): [2.0 + more + n % 2 / 10, 2.0, 2.0, 10.0] for n in range(8) for name, more in gaps.items()
    }
    result = perm("grade", a_run(Path("run"), levels), "--tex", "t.tex", *options)
    assert result.code == 0, result.err
    return tables(Path("t.tex"))


def test_systems_and_their_differences_are_tables(perm: Perm) -> None:
    """With minus signs, intervals in brackets, and a caption of who judged how many dialogues."""
    systems, pairs = graded(perm, 2.0)

    assert systems.rows[0] == [
        "system", "$n$", "resonation /5", "expression /5", "reception /5", "bystander /100", "reward", "rank",
    ]  # fmt: skip
    assert systems.rows[2][0] == "poor"
    assert re.fullmatch(r"\$-\$0\.0\d\d \[\$-\$0\.0\d\d, \$-\$0\.0\d\d\]", systems.rows[2][6])
    assert [each[-1] for each in systems.rows] == ["rank", "1", "2"]
    assert systems.caption.startswith("Mean scores of the systems as judged by j, $n$ = 8 dialogues each.")
    assert pairs.rows[0] == ["systems", "$n$", "difference", "$p$"]
    assert pairs.rows[1][:2] == ["good $-$ poor", "8"]
    assert re.fullmatch(r"\$\+\$0\.\d{3} \[\$\+\$0\.\d{3}, \$\+\$0\.\d{3}\]", pairs.rows[1][2])
    assert "Holm-adjusted" in pairs.caption


def test_columns_are_chosen(perm: Perm) -> None:
    """In the order that was asked for."""
    systems, _ = graded(perm, 2.0, "--measures", "reward, bystander")

    assert systems.rows[0] == ["system", "$n$", "reward", "bystander /100", "rank"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(
            ["--tex", "t.tex", "--measures", "warmth"],
            "--measures: 'warmth' found, expected one or more of",
            id="unknown",
        ),
        pytest.param(
            ["--measures", "reward"], "--measures needs --tex, whose columns it chooses", id="nothing-to-choose-for"
        ),
    ],
)
def test_columns_that_cannot_be_chosen_are_a_line(perm: Perm, options: list[str], said: str) -> None:
    """With what there is."""
    a_run(Path("run"), {("d", "s"): [3.0, 3.0, 3.0, 30.0]})

    result = perm("grade", "run", *options)

    assert (result.code, said in result.err) == (1, True)


def test_systems_that_are_not_told_apart_are_not_ranked(perm: Perm) -> None:
    """Nor does the caption leave it to the reader to see that."""
    systems, _ = graded(perm, 0.0)

    assert [each[-1] for each in systems.rows] == ["rank", "1--2", "1--2"]
    assert "j cannot tell these systems apart on 8 dialogues" in systems.caption


def test_no_name_breaks_out_of_its_cell(perm: Perm) -> None:
    """What LaTeX would run or stumble over is spelled out, in cells and captions alike."""
    found = graded(perm, 2.0, names=(HOSTILE, "b"))

    spelled = r"\$\textbackslash{}\textbackslash{}input\{x\}\$ \& 50\% \#\_\textasciicircum{}\textasciitilde{}\{\} "
    assert found[0].rows[1][0].startswith(spelled)
    assert found[0].caption.count(spelled) == 1
    assert "\\input" not in Path("t.tex").read_text().replace("textbackslash{}input", "")


def test_judges_and_people_have_tables_too(perm: Perm) -> None:
    """Of compare how judges agree, of validate how they order what people have ordered; with rubrics and caveat."""
    written(Path("d.jsonl"), (row(n, labels={"ann": {"reception": n % 5 + 1}}) for n in range(12)))
    perm("score", "d.jsonl", "--judge", "baseline", "--out", "b")
    levels = {(f"d{n}", "s"): [1.0 + n % 5, 2.0, 1.0 + n % 4, 50.0] for n in range(12)}
    a_run(Path("one"), levels, judge="x")
    a_run(Path("two"), {place: [*given[:3], 40.0] for place, given in levels.items()}, judge="y", settings="other")

    codes = [perm("compare", "one", "two", "--tex", "c.tex").code, perm("validate", "b", "--tex", "v.tex").code]
    agreement, pairs = tables(Path("c.tex"))
    people, order, levels_table = tables(Path("v.tex"))

    assert codes == [0, 0]
    assert agreement.caption.startswith("Agreement of x and y on 12 replies in 12 dialogues")
    assert agreement.rows[1][0] == "resonation"
    assert pairs.rows[1][1] == "x $-$ y"
    assert people.rows[0][:3] == ["dimension", "people", "$n$"]
    assert re.search(r"baseline \(perm rubrics [0-9a-f]{16}; baseline counts words", order.caption)
    assert levels_table.form == "llrrrrr"
