"""`perm convert`: dialogues of any format in perm's own, and the results of runs for other programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from perm_cli.cli.options import Files, Overwrite, ReadingOptions, Style
from perm_cli.words import PolicyStyle, TrainerName


def convert(
    files: Files,
    reading: ReadingOptions,
    out: Annotated[
        str,
        typer.Option(
            help="OUT.jsonl, .csv, .parquet or .md, for runs also .tex, .xml (JUnit) and .inspect.jsonl; "
            "`-` is JSON Lines on standard output."
        ),
    ],
    to: Annotated[
        TrainerName | None,
        typer.Option(help="Trainer to write prompts for, as JSON Lines or Parquet.", show_default=False),
    ] = None,
    style: Style = "analysis",
    force: Overwrite = False,
) -> None:
    """
    Convert dialogues of any format to perm's own: JSON Lines, a table of turns, Parquet, or text to read.

    Of run folders, it writes the results for other programs and for papers. With --to, it writes prompts for a trainer:
    the turns before the supporter's last one, which may be missing.
    """
    from perm_cli.cli.console import messages, say
    from perm_cli.cli.inputs import files_of
    from perm_cli.ratings.run_folder import is_run

    names = files_of(files)
    if to:
        _write_prompts(names, reading, out, to, style, force=force)
    elif all(is_run(Path(name)) for name in names):
        _write_results([Path(name) for name in names], out, force=force)
    else:
        _write_dialogues(names, reading, out, force=force)
    if out != "-":
        say(messages(), f"written: {out}")


def _write_dialogues(names: Sequence[str], options: ReadingOptions, out: str, *, force: bool) -> None:
    from perm_cli.cli.announcing import announce
    from perm_cli.cli.console import messages
    from perm_cli.cli.from_options import opened_sources, reading_of
    from perm_cli.dialogues.check import check_dialogues, read_dialogues
    from perm_cli.dialogues.exports import opened_output, write_lines, writer_of

    reading = reading_of(options)
    write = write_lines if out == "-" else writer_of(Path(out))
    with opened_sources(names) as sources, opened_output(out, force=force) as stream:
        announce(check_dialogues(sources, reading), messages(), turns=False)
        write(read_dialogues(sources, reading), stream)


def _write_prompts(
    names: Sequence[str], options: ReadingOptions, out: str, trainer: TrainerName, style: PolicyStyle, *, force: bool
) -> None:
    from dataclasses import replace

    from perm_cli.cli.announcing import announce
    from perm_cli.cli.console import messages
    from perm_cli.cli.from_options import opened_sources, reading_of
    from perm_cli.dialogues.check import check_dialogues, read_dialogues
    from perm_cli.dialogues.exports import opened_output, row_writer_of, write_rows
    from perm_cli.training.prompt_sets import prompt_rows

    reading = replace(reading_of(options), unanswered=True)
    write = write_rows if out == "-" else row_writer_of(Path(out))
    with opened_sources(names) as sources, opened_output(out, force=force) as stream:
        announce(check_dialogues(sources, reading), messages(), turns=False)
        write(prompt_rows(read_dialogues(sources, reading), trainer, style), stream)


def _write_results(runs: Sequence[Path], out: str, *, force: bool) -> None:
    from perm_cli.comparing.from_runs import read_runs
    from perm_cli.dialogues.exports import opened_output
    from perm_cli.reports.results import results, results_jsonl

    found = read_runs(runs)
    with opened_output(out, force=force) as stream:
        stream.write(results_jsonl(found) if out == "-" else results(found, Path(out)))
