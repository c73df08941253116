"""
`perm` in a process of its own.

It is forked from one that has loaded it, since loading takes longer than most tests, and has memory, signals, limits,
open files and an end of its own, as any other. What concerns the start of the interpreter (its user, its terminal, its
own variables) needs one that is started anew: say by which program.
"""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from pkgutil import walk_packages
from tempfile import NamedTemporaryFile
from time import monotonic, sleep
from typing import IO, NamedTuple

import perm_cli
from perm_cli.cli import main

PATIENCE_S = 600.0 if os.environ.get("PERM_SOAK") else 120.0

# Commands import what they need when they run; here all of it is there before, but for what only some trainer has.
_APART = ("perm_cli.integrations", "perm_cli.serving", "perm_cli.__main__")
_LOADED = [
    *(each.name for each in walk_packages(perm_cli.__path__, "perm_cli.") if not each.name.startswith(_APART)),
    "uvloop",
]


class Forked:
    """A forked `perm`, with what tests use of `subprocess.Popen`."""

    def __init__(self, arguments: list[str], out: str, err: str, cwd: Path | None, env: Mapping[str, str]) -> None:
        server = get_context("forkserver")
        server.set_forkserver_preload(_LOADED)
        self._process = server.Process(target=_run, args=(arguments, out, err, cwd or Path.cwd(), dict(env)))
        self._process.start()

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        assert self._process.pid
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, or minus the signal that ended the process, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Return the same once the process has ended."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("perm", timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, unless the process has ended."""
        self.send_signal(signal.SIGKILL)


def _run(arguments: list[str], out: str, err: str, cwd: Path, env: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    for number, path in enumerate((os.devnull, out, err)):
        os.dup2(os.open(path, os.O_RDWR), number)
    # As an interpreter makes them whose output goes to files.
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.argv = ["perm", *arguments]
    main()


class Ended(NamedTuple):
    """The exit code and the output of a program."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """Return the one line that `perm` ended with, having made sure that there is no other and no traceback."""
        lines = [line for line in self.err.splitlines() if line.startswith("perm: ")]
        assert "Traceback" not in self.err, self.err
        assert len(lines) == 1, self.err
        assert self.err.splitlines()[-1] == lines[0], self.err
        return lines[0]

    @property
    def way_on(self) -> list[str]:
        """Return the arguments of the command that an interrupted run names in its last line."""
        last = self.err.splitlines()[-1]
        assert "Traceback" not in self.err, self.err
        assert self.err.count("To resume: ") == last.count("To resume: perm ") == 1, self.err
        return shlex.split(last.partition("To resume: perm ")[2])


class Program:
    """A `perm` in a process of its own, its output going to files so that no pipe can fill up."""

    def __init__(self, process: "subprocess.Popen[bytes] | Forked", out: IO[bytes], err: IO[bytes]) -> None:
        self.process = process
        self._out, self._err = out, err

    @property
    def err(self) -> str:
        """Return what standard error holds so far."""
        return Path(self._err.name).read_text(encoding="utf-8", errors="replace")

    def until(self, condition: Callable[[], object], within_s: float = PATIENCE_S) -> bool:
        """Wait until something is the case; return False if the program ended before."""
        deadline = monotonic() + within_s
        while not condition():
            if self.process.poll() is not None:
                return False
            assert monotonic() < deadline, f"still waiting after {within_s:g} s: {self.err}"
            sleep(0.005)
        return True

    def ended(self, within_s: float = PATIENCE_S) -> Ended:
        """Wait for the end."""
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"no end within {within_s:g} s: {self.err}") from None
        out = Path(self._out.name).read_text(encoding="utf-8", errors="replace")
        return Ended(self.process.wait(), out, self.err)


@contextmanager
def started(
    *arguments: object, before: Sequence[str] = (), cwd: Path | None = None, **variables: str
) -> Iterator[Program]:
    """Start `perm` for the time of the `with` block; `before` is a program that starts it, with its arguments."""
    given, env = [*map(str, arguments)], environment(**variables)
    with NamedTemporaryFile() as out, NamedTemporaryFile() as err:
        process = (
            subprocess.Popen(
                [*before, sys.executable, "-m", "perm_cli", *given],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=cwd,
                env=env,
            )
            if before or os.name == "nt"
            else Forked(given, out.name, err.name, cwd, env)
        )
        try:
            yield Program(process, out, err)
        finally:
            process.kill()
            process.wait()


def perm(
    *arguments: object,
    within_s: float = PATIENCE_S,
    before: Sequence[str] = (),
    cwd: Path | None = None,
    **variables: str,
) -> Ended:
    """Run `perm` to its end."""
    with started(*arguments, before=before, cwd=cwd, **variables) as program:
        return program.ended(within_s)


def environment(**variables: str) -> dict[str, str]:
    """Return the environment without the keys, proxies and addresses of this machine."""
    ends = ("_proxy", "_api_key", "_base_url", "_api_base")
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith(ends)}
    # A program that may write no more would leave half a compiled module behind, for all others to read.
    return kept | {"COLUMNS": "100", "PYTHONDONTWRITEBYTECODE": "1"} | variables
