"""`perm convert`: dialogues of any format in perm's own, and the results of runs for other programs."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from perm_cli.cli.console import messages, say
from perm_cli.cli.options import ReadingOptions
from perm_cli.cli.orders import opened_sources, reading_of
from perm_cli.exports import rewritten, write_lines, writer_of
from perm_cli.formats import Census, check_dialogues, read_dialogues
from perm_cli.runs import is_run


def run(files: Sequence[str], options: ReadingOptions, out: str, *, force: bool) -> None:
    """Do what the command says."""
    paths = [Path(name) for name in files]
    if all(map(is_run, paths)):
        _convert_runs(paths, out, force=force)
        return
    reading = reading_of(options)
    write = write_lines if out == "-" else writer_of(Path(out))
    with opened_sources(files) as sources:
        if out == "-":
            _announce(check_dialogues(sources, reading))
            write(read_dialogues(sources, reading), sys.stdout.buffer)
            sys.stdout.flush()
            return
        with rewritten(Path(out), force=force) as stream:
            _announce(check_dialogues(sources, reading))
            write(read_dialogues(sources, reading), stream)
    say(messages(), f"written: {out}")


def _convert_runs(runs: Sequence[Path], out: str, *, force: bool) -> None:
    from perm_cli.reports.results import results, results_jsonl  # noqa: PLC0415 - arrays, which dialogues need not
    from perm_cli.run_scores import read_runs  # noqa: PLC0415 - the same

    found = read_runs(runs)
    if out == "-":
        sys.stdout.buffer.write(results_jsonl(found))
        sys.stdout.flush()
        return
    with rewritten(Path(out), force=force) as stream:
        stream.write(results(found, Path(out)))
    say(messages(), f"written: {out}")


def _announce(censuses: Iterable[Census]) -> None:
    console = messages()
    for census in censuses:
        say(console, f"{census.source.name}: {census.format} format, {census.dialogues:,} dialogues")
        for remark in census.remarks:
            say(console, str(remark))
