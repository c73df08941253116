"""Tables in windows of any width: nothing is cut, and what has no room is said."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from perm_cli.reports.layout import Grid
from tests.commands import a_run
from tests.makers import row, written

NAMES = ("a-model-with-quite-a-long-name-70b-instruct", "模型-七十亿-指令微调-第二版")
LEVELS = dict(zip(NAMES, (4.0, 3.0), strict=True))


def shown(grid: Grid, width: int) -> str:
    """Return a table as a window of that width shows it."""
    console = Console(width=width)
    with console.capture() as captured:
        console.print(grid)
    return captured.get()


def grid() -> Grid:
    """Return a table of two sections, whose third column can be done without."""
    table = Grid(columns=["dimension", "judge", "spare", "figure"], names=2, spare=[["spare"]])
    for judge in ("first-judge", "second-judge"):
        table.add("reception", judge, "1234567", "+0.353 (+0.340 … +0.367)")
    table.add("reward", "first-judge", "7654321", "+0.100 (+0.000 … +0.200)")
    return table


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        pytest.param(
            80, ["reception first-judge 1234567 +0.353 (+0.340 … +0.367)", "second-judge 1234567"], id="whole"
        ),
        pytest.param(56, ["reception", "judge spare figure", "first-judge 1234567 +0.353"], id="headings"),
        pytest.param(40, ["reception", "judge figure", "first-judge +0.353", "no room for spare"], id="spare-goes"),
        pytest.param(30, ["reception, first-judge", "spare: 1234567", "figure: +0.353"], id="lines"),
        pytest.param(12, ["reception,", "first-judge", "1234567"], id="folded"),
    ],
)
def test_a_table_becomes_narrower_and_loses_no_figure(width: int, lines: list[str]) -> None:
    """Names that rows share become headings, spare columns go, and then rows are stacked."""
    text = shown(grid(), width)

    squeezed = [" ".join(line.split()) for line in text.splitlines()]
    for line in lines:
        assert any(each.startswith(line) for each in squeezed), (line, text)
    assert all(cell_len(line.rstrip()) <= width for line in text.splitlines())
    assert not re.search(r"[a-z0-9]…", text)


def test_a_table_without_rows_has_its_heads() -> None:
    """A run may end before its first call."""
    assert "figure" in shown(Grid(columns=["name", "figure"]), 80)


# --- the commands, in a real terminal ---


WIDTHS = (40, 80, 120)


def in_terminal(folder: Path, *commands: Sequence[str]) -> list[str]:
    """Return what the commands show, one after the other, in a terminal of each width."""
    ours, theirs = pty.openpty()
    script = (
        "import fcntl, struct, sys, termios\nfrom perm_cli.cli import main\n"
        f"for width in {WIDTHS}:\n"
        "    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack('HHHH', 50, width, 0, 0))\n"
        f"    for arguments in {[list(each) for each in commands]!r}:\n"
        "        sys.argv = ['perm', *arguments]\n"
        "        try:\n            main()\n"
        "        except SystemExit as stop:\n            assert not stop.code, stop.code\n"
        "        print('=' * 9)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[1]), "TERM": "xterm"},
    )
    os.close(theirs)
    said = b""
    while piece := _read(ours):
        said += piece
    os.close(ours)
    assert process.wait() == 0, said.decode()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode()).replace("\r", "")
    return text.split("=" * 9 + "\n")[:-1]


def said(number: int) -> list[dict[str, str]]:
    """Return turns of which the later ones have longer replies, so that counting words tells them apart."""
    reply = "I am sorry you feel so sad. What happened then? " * (1 + number)
    return [{"role": "seeker", "text": "I lost it all today."}, {"role": "supporter", "text": reply}]


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the other end is closed
        return b""


@pytest.fixture(scope="module")
def in_terminals(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[str]]:
    """Return what score, grade, compare and validate show by the width of the terminal, all from one start."""
    folder = tmp_path_factory.mktemp("terminals")
    levels = {(f"d{n}", name): [level, level, level + n % 2, 60.0] for n in range(9) for name, level in LEVELS.items()}
    a_run(folder / "run", levels, judge="openai/gpt-4o-mini-2024-07-18")
    a_run(folder / "other", levels, judge="another-judge")
    talks = [
        row(n, system=name, labels={"ann": {"reception": n % 5 + 1}, "bob": {"reception": n % 4 + 1}}, turns=said(n))
        for n in range(9)
        for name in NAMES
    ]
    written(folder / "labelled.jsonl", talks)
    commands = (
        ["score", "labelled.jsonl", "--judge", "baseline", "--out", "scored"],
        ["grade", "run"],
        ["compare", "run", "other"],
        ["validate", "scored"],
    )
    shown = in_terminal(folder, *commands)
    return {width: shown[len(commands) * n : len(commands) * (n + 1)] for n, width in enumerate(WIDTHS)}


@pytest.mark.parametrize("width", WIDTHS)
def test_names_and_figures_are_whole_in_a_terminal(in_terminals: dict[int, list[str]], width: int) -> None:
    """Of each command, with names as long as models have, some of them of wide letters."""
    scored, graded, compared, validated = in_terminals[width]

    folded = "".join(scored.split())
    assert all(name in folded for name in NAMES)
    figure, interval = r"[+-]\d\.\d{3}", r"[+-]\d\.\d{3} … [+-]\d\.\d{3}"
    stacked = rf"reward\s+mean: {figure}\s+95 % interval: {interval}\s+coverage: 100%"
    assert re.search(stacked if width == 40 else rf"reward\s+{figure}\s+{interval}\s+100%", scored)
    for text in (graded, compared):
        folded = "".join(text.split())
        assert all(name in folded for name in NAMES)
        assert "openai/gpt-4o-mini-2024-07-18" in folded
    assert len(re.findall(r"\+0\.\d{3}\s\(\+0\.\d{3}\s…\s\+0\.\d{3}\)", graded)) >= len(NAMES)
    assert len(re.findall(r"\+0\.\d\d\s\(\+0\.\d\d\s…\s\+0\.\d\d\)", compared)) >= len(NAMES)
    assert re.search(r"baseline\s+18\s+0\.\d\d|rho: 0\.\d\d", validated)
    for text in (scored, graded, compared, validated):
        assert not re.search(r"[\w.+(]…", text), text  # a cut cell; between the ends of an interval stand spaces
