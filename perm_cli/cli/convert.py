"""`perm convert`: dialogues of any format in perm's own, and the results of runs for other programs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from perm_cli.cli.announcing import announce
from perm_cli.cli.console import messages, say
from perm_cli.cli.from_options import opened_sources, reading_of
from perm_cli.cli.names import files_of
from perm_cli.cli.options import ReadingOptions
from perm_cli.dialogues.check import check_dialogues, read_dialogues
from perm_cli.dialogues.exports import opened_output, row_writer_of, write_lines, write_rows, writer_of
from perm_cli.ratings.run_folder import is_run
from perm_cli.training.prompt_sets import prompt_rows
from perm_cli.words import PolicyStyle, TrainerName


def run(files: Sequence[str], options: ReadingOptions, out: str, *, force: bool) -> None:
    """Do what the command says."""
    files = files_of(files)
    paths = [Path(name) for name in files]
    if all(map(is_run, paths)):
        _convert_runs(paths, out, force=force)
        return
    reading = reading_of(options)
    write = write_lines if out == "-" else writer_of(Path(out))
    with opened_sources(files) as sources, opened_output(out, force=force) as stream:
        announce(check_dialogues(sources, reading), messages(), turns=False)
        write(read_dialogues(sources, reading), stream)
    _tell(out)


def convert_prompts(
    files: Sequence[str], options: ReadingOptions, out: str, trainer: TrainerName, style: PolicyStyle, *, force: bool
) -> None:
    """Write the dialogues as prompts that a trainer draws from."""
    reading = replace(reading_of(options), unanswered=True)
    write = write_rows if out == "-" else row_writer_of(Path(out))
    with opened_sources(files) as sources, opened_output(out, force=force) as stream:
        announce(check_dialogues(sources, reading), messages(), turns=False)
        write(prompt_rows(read_dialogues(sources, reading), trainer, style), stream)
    _tell(out)


def _convert_runs(runs: Sequence[Path], out: str, *, force: bool) -> None:
    from perm_cli.comparing.from_runs import read_runs  # noqa: PLC0415 - the same
    from perm_cli.reports.results import results, results_jsonl  # noqa: PLC0415 - arrays, which dialogues need not

    found = read_runs(runs)
    with opened_output(out, force=force) as stream:
        stream.write(results_jsonl(found) if out == "-" else results(found, Path(out)))
    _tell(out)


def _tell(out: str) -> None:
    if out != "-":
        say(messages(), f"written: {out}")
