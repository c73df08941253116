"""Recognising the format of files and reading their dialogues, with ids and systems taken from file names."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import orjson

from perm_cli.dialogues.files.containers import read_rows
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.rows import Record, Row
from perm_cli.dialogues.files.sources import Source, kind_of
from perm_cli.dialogues.files.steps import Found, Made
from perm_cli.dialogues.formats.registry import FORMATS, JOINED, TABLES
from perm_cli.dialogues.silence import answered, without_silence
from perm_cli.findings import shown
from perm_cli.text import one_line

_PLAIN = ("native", "messages", "paper")


def read_made(sources: Sequence[Source], reading: Reading) -> Iterator[tuple[str, Made]]:
    """Yield the dialogues, problems and remarks of one batch of sources, each with the name of its format."""
    records: Iterator[Record] = chain.from_iterable(_rows(source, reading) for source in sources)
    if reading.unanswered:
        records = (_answered(record, reading) for record in records)
    name: str = "csv" if reading.columns else reading.format
    if name == "auto":
        # Cells are text, so a column named like a field of a JSON format cannot hold what that field holds.
        known = TABLES if kind_of(sources[0]) == "table" else tuple(FORMATS)
        for record in records:
            recognised = _recognised(record.fields, known) if isinstance(record, Row) else None
            if recognised:
                name, records = recognised, chain([record], records)
                break
            unknown = record.problem("", _unrecognised(record.fields, known)) if isinstance(record, Row) else record
            yield name, unknown  # and on to the next row: one odd first row must not hide the format of the rest
        else:
            return
    # Dialogues joined from several files belong to none of them, so no file name can be their system.
    named = {source.name: replace(source, system=name) if name in JOINED else source for source in sources}
    for made in without_silence(FORMATS[name].read(records, reading), reading):
        yield name, _kept(_of_file(made, named))


def batches(sources: Sequence[Source], reading: Reading) -> Iterator[Sequence[Source]]:
    """Yield the sources in batches: those that hold parts of the same dialogues together, others alone."""
    formats = {source.name: _joined(source, reading) for source in sources if kind_of(source) in {"table", "lines"}}
    for source in sources:
        name = formats.get(source.name)
        batch = [each for each in sources if formats.get(each.name) == name] if name else [source]
        if source is batch[0]:
            yield batch


def _rows(source: Source, reading: Reading) -> Iterator[Record]:
    """Return the rows of a file; options decide on its kind where its name does not."""
    if reading.columns:
        return read_rows(source, "table")
    return read_rows(source, "lines" if reading.format == "auto" else FORMATS[reading.format].container)


def _joined(source: Source, reading: Reading) -> str | None:
    """Return the format of a source if its dialogues may have parts in other files."""
    if reading.columns or reading.format not in {"auto", *JOINED}:
        return None
    row = next((record for record in _rows(source, reading) if isinstance(record, Row)), None)
    return next((name for name in JOINED if row and FORMATS[name].recognises(row.fields)), None)


def _answered(record: Record, reading: Reading) -> Record:
    return replace(record, fields=answered(record.fields, reading.roles)) if isinstance(record, Row) else record


def _recognised(fields: Mapping[str, Any], known: Sequence[str]) -> str | None:
    return next((name for name in known if FORMATS[name].recognises(fields)), None)


def _of_file(made: Made, sources: Mapping[str, Source]) -> Made:
    """
    Return a dialogue with the name of its file as its system, unless it names a system.

    A dialogue without id and system gets its number as id, so that files of several systems match dialogue by dialogue;
    one with a system but no id gets file and number. If a file is one dialogue, its id is the name of the file, and its
    system that of the folder.
    """
    if not isinstance(made, Found):
        return made
    row, dialogue, source = made.row, made.dialogue, sources[made.row.source]
    if dialogue.system:
        named = dialogue.id if dialogue.id != row.own_id else f"{source.label}:{row.number}"
        return replace(made, dialogue=replace(dialogue, id=named))
    has_no_id = dialogue.id == row.own_id and len(sources) == 1
    own = (row.stem if row.is_whole else str(row.number)) if has_no_id else dialogue.id
    system = source.folder if row.is_whole else source.system
    return replace(made, dialogue=replace(dialogue, id=own, system=system))


def _kept(made: Made) -> Made:
    """Return a dialogue, or a problem if it cannot be written to the run folder."""
    if not isinstance(made, Found):
        return made
    try:
        orjson.dumps([made.dialogue.labels, made.dialogue.meta])
    except orjson.JSONEncodeError:
        return made.row.problem("", "objects or lists nested too deeply found, expected a few levels")
    return made


def _unrecognised(fields: Mapping[str, Any], known: Sequence[str]) -> str:
    """Return the message for an unknown format: all formats, with a description of those that people write by hand."""
    spelled = sorted(TABLES, key=lambda name: name != "csv") if known == TABLES else _PLAIN
    described = "; ".join(f"{name} ({FORMATS[name].description})" for name in spelled)
    others = ", ".join(name for name in known if name not in spelled)
    formats = f"one of the formats {described}{f'; or {others}' if others else ''}"
    return f"{shown(fields)} found, expected {_hint(fields)}{formats}"


def _hint(fields: Mapping[str, Any]) -> str:
    """Return a `--columns` option for the two longest texts among the fields, or nothing if there are fewer."""
    texts = [name for name, value in fields.items() if isinstance(value, str) and value.strip()]
    longest = sorted(texts, key=lambda name: -len(fields[name]))[:2]
    pair = [one_line(name, 60) for name in texts if name in longest]
    if len(pair) < len(("seeker", "supporter")):
        return ""
    return f"its fields named, as in --columns {shlex.quote(f'seeker={pair[0]},supporter={pair[1]}')}, or "
