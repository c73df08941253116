"""Rows in JSON Lines, in one JSON document, and in plain-text transcripts."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

import orjson

from perm_cli.dialogues.files.bounds import excess_of, most_unpacked
from perm_cli.dialogues.files.rows import Record, Row
from perm_cli.dialogues.files.sources import (
    BOM,
    MAX_LINE_BYTES,
    Line,
    Source,
    bom_remark,
    lines_of,
    named_byte,
    wrong_byte,
)
from perm_cli.errors import Problem
from perm_cli.findings import shown
from perm_cli.text import one_line

MAX_DOCUMENT_BYTES = 2**30


def rows_of_lines(source: Source, stream: BinaryIO) -> Iterator[Record]:
    """Yield one row per line."""
    for item in lines_of(source, stream):
        yield _row(item, source) if isinstance(item, Line) else item


def is_document(stream: BinaryIO) -> bool:
    """Return whether a file is one JSON document, not JSON Lines; an object on a single line counts as a line."""
    first = b""
    while not first and (line := stream.readline(MAX_LINE_BYTES)):
        first = line.removeprefix(BOM).strip()
    if len(first) >= MAX_LINE_BYTES - len(BOM):
        return True
    try:
        return not isinstance(orjson.loads(first), dict)
    except orjson.JSONDecodeError:
        goes_on = first.startswith(b"[") or first.endswith((b"{", b"[", b",", b":"))
        return goes_on or not any(line.strip() for line in iter(lambda: stream.readline(MAX_LINE_BYTES), b""))


def rows_of_document(source: Source, stream: BinaryIO) -> Iterator[Record]:
    """Yield the objects of a list, or the document itself if it is an object; it is in memory as a whole."""
    most = most_unpacked(source.path.stat().st_size, MAX_DOCUMENT_BYTES)
    text = stream.read(most + 1)
    too_large = f"a document of more than {most:,} bytes found" if len(text) > most else excess_of(text)
    if too_large:
        yield Problem(source.name, 0, "", f"{too_large}, expected JSON Lines at that size")
        return
    if text.startswith(BOM):
        yield bom_remark(source)
        text = text[len(BOM) :]
    if not text.strip():
        return
    try:
        document = loads(text)
    except orjson.JSONDecodeError as error:
        byte = wrong_byte(text)
        line = error.lineno if byte is None else text.count(b"\n", 0, byte) + 1
        yield Problem(source.name, line, "", _why_not_json(text, error, "one JSON document"))
        return
    del text  # the document takes several times its size; both need not be in memory
    yield from _rows(source, document)


def loads(text: bytes) -> Any:
    """
    Return the value of a JSON text; raise `orjson.JSONDecodeError` if it is invalid.

    NaN and the infinities, which Python programs write, become None: they mean that a number is missing.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        with suppress(ValueError, RecursionError, orjson.JSONEncodeError):
            value = json.loads(text.decode(), parse_constant=lambda _: None)
            orjson.dumps(value)  # an unpaired surrogate, say, could be read but not written to the run folder
            return value
        raise error from None


def _rows(source: Source, document: object) -> Iterator[Record]:
    if isinstance(document, dict):
        yield Row(source.name, 1, document, is_line=False)
        return
    if not isinstance(document, list):
        yield Problem(source.name, 0, "", f"{shown(document)} found, expected a list or an object")
        return
    # CPsyCoun writes a dialogue as a list of lines.
    if document and all(isinstance(each, str) for each in document):
        yield Row(source.name, 1, {"transcript": document}, is_line=False, is_whole=True)
        return
    for place, each in enumerate(document):
        fields = _fields(each)
        if fields is None:
            yield Problem(source.name, 0, f"[{place}]", f"{shown(each)} found, expected a JSON object")
        else:
            yield Row(source.name, place + 1, fields, f"[{place}]", is_line=False)


def _fields(value: object) -> Mapping[str, Any] | None:
    """Return an object, or a list of messages as the field it would have in one; None for anything else."""
    if isinstance(value, dict):
        return value
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, dict):
        return {"conversations" if "from" in first else "messages": value}
    return {"transcript": value} if isinstance(first, str) else None


def _row(line: Line, source: Source) -> Row | Problem:
    try:
        value = orjson.loads(line.text)
    except orjson.JSONDecodeError as error:
        return Problem(source.name, line.number, "", _why_not_json(line.text, error, "one JSON object per line"))
    fields = _fields(value)
    if fields is None:
        return Problem(source.name, line.number, "", f"{shown(value)} found, expected a JSON object")
    return Row(source.name, line.number, fields)


def rows_of_text(source: Source, stream: BinaryIO) -> Iterator[Record]:
    """Yield the one row of a plain-text transcript."""
    text = stream.read(MAX_LINE_BYTES + 1)
    if len(text) > MAX_LINE_BYTES:
        what = f"a text of more than {MAX_LINE_BYTES:,} bytes found, expected the transcript of one dialogue"
        yield Problem(source.name, 0, "", what)
    elif (byte := wrong_byte(text)) is not None:
        yield Problem(source.name, text.count(b"\n", 0, byte) + 1, "", named_byte(text, byte))
    elif text.strip():
        fields = {"transcript": text.decode().removeprefix("\ufeff")}
        yield Row(source.name, 1, fields, is_line=False, is_whole=True)


def _why_not_json(text: bytes, error: orjson.JSONDecodeError, expected: str) -> str:
    byte = wrong_byte(text)
    if byte is not None:
        return named_byte(text, byte)
    near = one_line(error.doc[max(error.pos - 10, 0) : error.pos + 10], 40) if error.doc else ""
    found = error.doc[error.pos :].lstrip("-")
    hint = next((f" ({word} is not JSON)" for word in ("NaN", "Infinity") if found.startswith(word)), "")
    return f"invalid JSON found at column {error.colno}, near {near!r}{hint}: expected {expected}"
