"""Writing dialogues as JSON Lines, CSV, Parquet or Markdown, each file completely or not at all."""

import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import orjson

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.cells import HEADER, write_guarded
from perm_cli.dialogues.files.parquet import JSON_COLUMNS, arrow
from perm_cli.disk import rewriting
from perm_cli.errors import SettingsError
from perm_cli.text import one_line, without_controls

T = TypeVar("T")
_BATCH = 1000
# Characters by which Markdown would run, fetch or hide text.
_MARKS = re.compile(r"([\\`*_<\[])")
_ESCAPED = r"\\\1"
# Joiners and marks of direction, which `text.harmless` spells out, stay: emoji and many scripts need them.


def write_lines(dialogues: Iterable[Dialogue], stream: BinaryIO) -> None:
    """Write the native format, one dialogue per line."""
    stream.writelines(orjson.dumps(dialogue, option=orjson.OPT_APPEND_NEWLINE) for dialogue in dialogues)


def write_rows(rows: Iterable[Mapping[str, Any]], stream: BinaryIO) -> None:
    """Write rows as JSON Lines."""
    stream.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def write_rows_parquet(rows: Iterable[Mapping[str, Any]], stream: BinaryIO) -> None:
    """Write rows as Parquet; they are all in memory, since the type of a column is known only after the last row."""
    pa, pq = arrow()
    pq.write_table(pa.Table.from_pylist(list(rows)), stream, compression="zstd")


def row_writer_of(path: Path) -> Callable[[Iterable[Mapping[str, Any]], BinaryIO], None]:
    """Return the writer of a trainer's rows for a file of this ending; raise `SettingsError` if there is none."""
    return by_ending(path, {".jsonl": write_rows, ".parquet": write_rows_parquet})


def write_table(dialogues: Iterable[Dialogue], stream: BinaryIO) -> None:
    """Write one CSV row per turn; fields of the whole dialogue are in its first row, and no cell is a formula."""
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    write_guarded(chain([HEADER], _table_rows(dialogues)), text)
    text.detach()  # the stream is the caller's to close


def _table_rows(dialogues: Iterable[Dialogue]) -> Iterator[list[str]]:
    for dialogue in dialogues:
        about = [dialogue.scenario, dialogue.persona, _json(dialogue.labels), _json(dialogue.meta)]
        for place, turn in enumerate(dialogue.turns, 1):
            yield [dialogue.id, dialogue.system, str(place), turn.role, turn.text, turn.analysis or "", *about]
            about = [""] * len(about)


def write_parquet(dialogues: Iterable[Dialogue], stream: BinaryIO) -> None:
    """Write one Parquet row per dialogue; labels and meta, whose types differ by row, are JSON text."""
    pa, pq = arrow()
    text = pa.string()
    turns = pa.list_(pa.struct([("role", text), ("text", text), ("analysis", text)]))
    names = ("id", "system", "scenario", "persona", "turns", "labels", "meta")
    schema = pa.schema([(name, turns if name == "turns" else text) for name in names])
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        rows = map(_columns, dialogues)
        while batch := list(islice(rows, _BATCH)):
            writer.write_table(pa.Table.from_pylist(batch, schema))


def write_text(dialogues: Iterable[Dialogue], stream: BinaryIO) -> None:
    """Write Markdown for people; texts are quoted, and their markup is escaped."""
    stream.writelines(f"{part}\n\n".encode() for dialogue in dialogues for part in _parts(dialogue))


WRITERS: Mapping[str, Callable[[Iterable[Dialogue], BinaryIO], None]] = {
    ".jsonl": write_lines,
    ".csv": write_table,
    ".parquet": write_parquet,
    ".md": write_text,
}


def writer_of(path: Path) -> Callable[[Iterable[Dialogue], BinaryIO], None]:
    """Return the writer for a file of this ending; raise `SettingsError` if there is none."""
    return by_ending(path, WRITERS)


def by_ending(path: Path, writers: Mapping[str, T]) -> T:
    """Return the first writer whose ending the file's name has; raise `SettingsError` if there is none."""
    for ending, writer in writers.items():
        if path.name.lower().endswith(ending):
            return writer
    raise SettingsError(
        f"--out {path}: expected a file name that ends in {', '.join(writers)}, or - for standard output"
    )


@contextmanager
def rewritten(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Open a file to write, as `disk.rewriting` does; raise `SettingsError` if it exists and not `force`."""
    if path.exists() and not force:
        raise SettingsError(f"--out {path}: the file exists; use a new name, or --force to overwrite it")
    try:
        with rewriting(path) as stream:
            yield stream
    except OSError as error:
        raise SettingsError(f"--out {path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def opened_output(out: str, *, force: bool) -> Iterator[BinaryIO]:
    """Open a file to write, as `rewritten` does, or standard output for `-`."""
    if out == "-":
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    with rewritten(Path(out), force=force) as stream:
        yield stream


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode() if value else ""


def _columns(dialogue: Dialogue) -> dict[str, Any]:
    row: dict[str, Any] = orjson.loads(orjson.dumps(dialogue))
    return row | {name: orjson.dumps(row[name]).decode() for name in JSON_COLUMNS}


def _parts(dialogue: Dialogue) -> Iterator[str]:
    name = f"{dialogue.id} · {dialogue.system}" if dialogue.system else dialogue.id
    yield f"## {_MARKS.sub(_ESCAPED, one_line(name, 500))}"
    for title, text in (("scenario", dialogue.scenario), ("persona", dialogue.persona)):
        if text:
            yield f"**{title}**\n\n{_quoted(text)}"
    for place, turn in enumerate(dialogue.turns, 1):
        if turn.analysis:
            yield f"**{place} · {turn.role}'s analysis**\n\n{_quoted(turn.analysis, '> > ')}"
        yield f"**{place} · {turn.role}**\n\n{_quoted(turn.text)}"
    for title, value in (("labels", dialogue.labels), ("meta", dialogue.meta)):
        if value:
            yield f"**{title}**\n\n{_quoted(_json(value))}"


def _quoted(text: str, mark: str = "> ") -> str:
    safe = _MARKS.sub(_ESCAPED, without_controls(text))
    return "\n".join(f"{mark}{line}".rstrip() for line in safe.split("\n"))
