"""
The command line: options in, one call per layer, results out.

A command is the function in the module of its name: its parameters are the options, its docstring is the help. It
imports what it needs in its body, so that help and completion load neither an HTTP client nor a data frame.

Exit codes: 0 done · 1 an error that the user can mend · 2 wrong usage · 3 done, but a budget was reached, a check
failed, or coverage is below --min-coverage · 130 interrupted.
"""

import errno
import os
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import Annotated

import typer
from typer.main import get_command

from perm_cli import __version__
from perm_cli.cli import (
    batch,
    best_of_n,
    calibrate,
    compare,
    convert,
    grade,
    judges,
    pairs,
    plan,
    prompts,
    report,
    reward,
    rubrics,
    score,
    serve,
    validate,
    watch,
)
from perm_cli.cli.exits import INTERRUPTED
from perm_cli.cli.options import Spelled, with_options
from perm_cli.errors import PermError
from perm_cli.text import harmless

app = typer.Typer(
    name="perm",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class _Interrupted(BaseException):
    """An interrupt that Typer lets through; it would end a KeyboardInterrupt without a message."""


def main() -> None:
    """Run the command line; errors that the user can mend become one line each, without a traceback."""
    _replace_closed_streams()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _interrupt)
    try:
        _run()
    except PermError as error:
        _tell(str(error))
        sys.exit(1)
    except (_Interrupted, KeyboardInterrupt):
        with suppress(OSError):  # the terminal may be gone
            _tell("interrupted; the ratings made so far are kept, and the same command resumes")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _drop_output()  # whoever read our output has seen enough
        sys.exit(0)
    except sqlite3.OperationalError as error:
        _tell(f"{tempfile.gettempdir()}: {error}; free room there, or set TMPDIR to a folder with more")
        sys.exit(1)
    except OSError as error:  # the results themselves could not be written
        reason = "closed" if error.errno == errno.EBADF else error.strerror or error
        _tell(f"{error.filename or 'standard output'}: {reason}")
        _drop_output()
        sys.exit(1)


@cache
def _program() -> Callable[[], object]:
    """Return all commands with their options; building them takes a while, so it is done once per process."""
    return get_command(app)


def _run() -> None:
    try:
        _program()()
    except SystemExit:
        sys.stdout.flush()  # on the way out, nobody could say that it failed
        raise


def _tell(text: str) -> None:
    print(f"perm: {harmless(text)}", file=sys.stderr)


def _replace_closed_streams() -> None:
    """
    Put something in the place of standard streams that are closed, or the next files opened would be taken for them.

    Nothing comes from there, and each write to standard output fails, as it should where results go nowhere.
    """
    for name, mode, flags in (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))


def _interrupt(*_: object) -> None:
    raise _Interrupted


def _drop_output() -> None:
    """Discard what is left in the buffer of standard output, which would otherwise fail at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"perm {__version__}")
        raise typer.Exit


@app.callback()
def perm(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Score how empathetic a reply is, from every side of the conversation, with any language model as the judge."""


_COMMANDS: Sequence[Callable[..., None]] = (
    score.score,
    plan.plan,
    reward.reward,
    compare.compare,
    grade.grade,
    convert.convert,
    pairs.pairs,
    best_of_n.best_of_n,
    serve.serve,
    watch.watch,
    validate.validate,
    calibrate.calibrate,
    report.report,
    prompts.prompts,
)
for _command in _COMMANDS:
    app.command(cls=Spelled)(with_options(_command))
for _name, _group in {"batch": batch.app, "rubrics": rubrics.app, "judges": judges.app}.items():
    app.add_typer(_group, name=_name)
