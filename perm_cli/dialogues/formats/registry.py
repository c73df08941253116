"""The formats that are known, and which of them a file is in."""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Protocol

import orjson

from perm_cli.dialogues.files.containers import TABLES, kind_of, read_rows
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.records import Found, Item, Made, Row
from perm_cli.dialogues.files.rows import RoleMap, shown
from perm_cli.dialogues.files.sources import Source
from perm_cli.dialogues.formats import (
    alpaca,
    annomi,
    batch_files,
    completions,
    deepeval,
    empathetic,
    epitome,
    eqbench3,
    esconv,
    ieval,
    inspect_logs,
    messages,
    mtbench,
    native,
    paper,
    promptfoo,
    sage,
    sharegpt,
    tabular,
    transcripts,
)
from perm_cli.dialogues.formats.unanswered import answered
from perm_cli.dialogues.silence import without_silence
from perm_cli.text import one_line


class Format(Protocol):
    """Turn the rows of one kind of file into dialogues; `records` has the steps that this is made of."""

    SAYS: str
    ROLES: RoleMap

    def recognises(self, row: Mapping[str, Any]) -> bool:
        """Tell whether the row looks like this format."""

    def read(self, items: Iterable[Item], reading: Reading) -> Iterator[Made]:
        """Yield the dialogues in the rows, and whatever else comes with these."""


# In this order they are asked whether they recognise a row.
FORMATS: Mapping[str, Format] = {
    "mtbench": mtbench,
    "deepeval": deepeval,
    "native": native,
    "messages": messages,
    "paper": paper,
    "sharegpt": sharegpt,
    "eqbench3": eqbench3,
    "esconv": esconv,
    "empathetic": empathetic,
    "epitome": epitome,
    "annomi": annomi,
    "ieval": ieval,
    "sage": sage,
    "inspect": inspect_logs,
    "promptfoo": promptfoo,
    "batch": batch_files,
    "alpaca": alpaca,
    "completion": completions,
    "transcript": transcripts,
    "csv": tabular,
}
_JOINED: Mapping[str, Format] = {"epitome": epitome, "batch": batch_files, "mtbench": mtbench}
_PLAIN = ("native", "messages", "paper")


def read_made(sources: Sequence[Source], reading: Reading) -> Iterator[tuple[str, Made]]:
    """Yield what sources of one batch hold, each with the name of the format it was read in."""
    items: Iterator[Item] = chain.from_iterable(read_rows(source, reading) for source in sources)
    if reading.unanswered:
        items = (_answered(item, reading) for item in items)
    name: str = "csv" if reading.columns else reading.format
    if name == "auto":
        # Cells are text, so that a column called like a field of JSON means something else.
        known = TABLES if kind_of(sources[0]) == "table" else tuple(FORMATS)
        for item in items:
            recognised = _recognised(item.fields, known) if isinstance(item, Row) else None
            if recognised:
                name, items = recognised, chain([item], items)
                break
            yield name, item.problem("", _unrecognised(item.fields, known)) if isinstance(item, Row) else item
        else:
            return
    named = {source.name: replace(source, system=name) if name in _JOINED else source for source in sources}
    for made in without_silence(FORMATS[name].read(items, reading), reading):
        yield name, _kept(_of_file(made, named))


def batches(sources: Sequence[Source], reading: Reading) -> Iterator[Sequence[Source]]:
    """Yield the sources, those together that hold parts of the same dialogues."""
    formats = {source.name: _joined(source, reading) for source in sources if kind_of(source) in {"table", "lines"}}
    for source in sources:
        name = formats.get(source.name)
        batch = [each for each in sources if formats.get(each.name) == name] if name else [source]
        if source is batch[0]:
            yield batch


def _joined(source: Source, reading: Reading) -> str | None:
    """Return the format of a source if its dialogues may have parts in other files."""
    if reading.columns or reading.format not in {"auto", *_JOINED}:
        return None
    row = next((item for item in read_rows(source, reading) if isinstance(item, Row)), None)
    return next((name for name, known in _JOINED.items() if row and known.recognises(row.fields)), None)


def _answered(item: Item, reading: Reading) -> Item:
    return replace(item, fields=answered(item.fields, reading.roles)) if isinstance(item, Row) else item


def _recognised(row: Mapping[str, Any], known: Sequence[str]) -> str | None:
    return next((name for name in FORMATS if name in known and FORMATS[name].recognises(row)), None)


def _of_file(made: Made, sources: Mapping[str, Source]) -> Made:
    """
    Return a dialogue with its file as its system, unless it names one.

    One without an id is then called by its number alone, so that the files of several systems are about the same
    dialogues, and else after its file, wherever that was read from. Where a file is one dialogue, this is called like
    the file, and its system like the folder.
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
    """Return a dialogue unless the run folder could not keep it."""
    if not isinstance(made, Found):
        return made
    try:
        orjson.dumps([made.dialogue.labels, made.dialogue.meta])
    except orjson.JSONEncodeError:
        return made.row.problem("", "objects or lists nested too deep found, expected a few levels")
    return made


def _unrecognised(row: Mapping[str, Any], known: Sequence[str]) -> str:
    """Name the formats, those that people write themselves with what they look like."""
    spelled = TABLES if known == TABLES else _PLAIN
    described = "; ".join(f"{name} ({FORMATS[name].SAYS})" for name in spelled)
    others = ", ".join(name for name in known if name not in spelled)
    formats = f"one of the formats {described}{f'; or {others}' if others else ''}"
    return f"{shown(row)} found, expected {_hint(row)}{formats}"


def _hint(row: Mapping[str, Any]) -> str:
    """Return the option that reads a row by its two longest texts, if it has two."""
    texts = [name for name, value in row.items() if isinstance(value, str) and value.strip()]
    longest = sorted(texts, key=lambda name: -len(row[name]))[:2]
    pair = [one_line(name, 60) for name in texts if name in longest]
    if len(pair) < len(("seeker", "supporter")):
        return ""
    return f"its fields named, as in --columns {shlex.quote(f'seeker={pair[0]},supporter={pair[1]}')}, or "
