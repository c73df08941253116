"""Standard streams as shells and supervisors leave them: closed, full or a terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from perm_cli.cli.console import messages, output, say
from tests.commands import Perm, runner
from tests.makers import row, written

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the shell is that of Unix")

CLOSED = "perm: standard output: closed"


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line."""
    return runner(monkeypatch, capsys)


def shell(arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a shell, which may close what it likes."""
    written(Path("d.jsonl"), [row(0)])
    command = f"{sys.executable} -m perm_cli {arguments}"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, env=environment)


COMMANDS = ["plan d.jsonl --judge baseline", "convert d.jsonl --out -", "--help"]


@pytest.mark.parametrize("command", COMMANDS)
def test_results_that_go_nowhere_are_a_line_and_an_error(command: str) -> None:
    """Whoever closes the output and gets a success takes an empty file for a result."""
    done = shell(f"{command} >&-")

    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, CLOSED)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_messages_that_go_nowhere_leave_results_alone(command: str) -> None:
    """They come out as if nothing was closed, and nothing else beside them."""
    done, usual = shell(f"{command} <&- 2>&-"), shell(command)

    assert (done.returncode, done.stdout) == (0, usual.stdout)
    assert done.stderr == ""


def test_a_run_that_cannot_be_shown_is_kept() -> None:
    """It was paid for; and no file of it is taken for a stream that was closed."""
    done = shell("score d.jsonl --judge baseline --out run <&- >&- 2>&-")
    again = shell("score d.jsonl --judge baseline --out run --json")

    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert again.returncode == 0
    assert len(Path("run/ratings.jsonl").read_text().splitlines()) == 4


def test_standard_input_that_is_closed_is_an_empty_file() -> None:
    """A pipe that nobody has filled looks the same."""
    done = shell("score - --judge baseline --out run <&-")

    assert done.returncode == 1
    assert done.stderr.startswith("perm: stdin: an empty file found")


def test_no_text_can_do_more_in_a_table_than_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    """Names of judges, systems and files come from anywhere, and tables are made in many places."""
    table = Table("name")
    table.add_row(Text("\x1b[31mred\x9b2J\u202e"))

    output().print(table)
    say(messages(), "a\x1b]0;title\x07b\nc")

    found = capsys.readouterr()
    assert "\\u001b[31" in found.out
    assert "a\\u001b]0;title" in found.err
    assert not {"\x1b", "\x9b", "\u202e", "\x07"} & set(found.out + found.err)


@pytest.mark.parametrize(
    "arguments",
    [
        ["reward", "\x1b[31m"],
        ["rubrics", "list", "--rubrics", "\x1b[31m"],
        ["score", "d.jsonl", "--judge", "baseline", "--out", "/dev/null/\x1b[31m"],
        ["judges", "--config", "\x1b[31m"],
        ["report", "\x1b[31m"],
        ["convert", "d.jsonl", "--out", "\x1b[31m/x.md"],
    ],
)
def test_no_path_can_steer_the_terminal(perm: Perm, arguments: list[str]) -> None:
    """A star in a shell brings in whatever somebody has called a file."""
    written(Path("d.jsonl"), [row(0)])

    done = perm(*arguments)

    assert done.code == 1
    assert "\\u001b[31m" in done.err or "\\x1b[31m" in done.err
    assert "\x1b" not in done.err
