"""
Zipped logs of inspect_ai (`.eval`): one member for the header, and one per sample.

Members are read one at a time, never unpacked to disk, and never beyond `MAX_MEMBER_BYTES` or a plausible ratio of
compression.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import orjson

from perm_cli.dialogues.files.bounds import excess_of, most_unpacked
from perm_cli.dialogues.files.documents import loads
from perm_cli.dialogues.files.parquet import arrow
from perm_cli.dialogues.files.rows import Record, Row
from perm_cli.dialogues.files.sources import Source
from perm_cli.errors import Problem
from perm_cli.text import one_line

MAX_MEMBER_BYTES = 256 * 2**20
_SAMPLE = re.compile(r"samples/[^/]+(?:\.json|(?P<chunked>/sample\.json))")
_HEADERS = ("header.json", "_journal/start.json")  # the second while the evaluation is under way
_ZSTANDARD = 93  # how logs are written today; the standard library knows it from Python 3.14 on
_NAME_LENGTHS = slice(26, 30)
_LOCAL_HEADER_BYTES = 30


class _MemberError(ValueError):
    """A member that cannot be read; the message is the reason."""


def rows_of_log(source: Source) -> Iterator[Record]:
    """Yield one row per sample, in the form of an unzipped log with this sample alone."""
    with source.path.open("rb") as stream:
        try:
            archive = ZipFile(stream)
        except (BadZipFile, NotImplementedError, ValueError, struct.error) as error:  # a damaged directory of members
            yield Problem(source.name, 0, "", f"{one_line(str(error))} found, expected a log of inspect_ai")
            return
        with archive:
            yield from _rows(source, stream, archive)


def _rows(source: Source, stream: BinaryIO, archive: ZipFile) -> Iterator[Record]:
    # Of two members with the same name the later one counts: a log is written by appending.
    members = {member.filename: member for member in archive.infolist()}
    header = next((members[name] for name in _HEADERS if name in members), None)
    if header is None:
        yield Problem(source.name, 0, "", "a zip file without header.json found, expected a log of inspect_ai")
        return
    log = _member(source, stream, archive, header)
    if isinstance(log, Problem):
        yield log
        return
    samples = [member for name, member in members.items() if _SAMPLE.fullmatch(name)]
    if not samples:
        yield Row(source.name, 1, {**log, "samples": []}, is_line=False)
    for number, member in enumerate(samples, 1):
        sample = _member(source, stream, archive, member)
        if isinstance(sample, Problem):
            yield sample
        else:
            path = one_line(member.filename, 100)
            yield Row(source.name, number, {**log, "samples": [sample]}, path, is_line=False)


def _member(source: Source, stream: BinaryIO, archive: ZipFile, member: ZipInfo) -> Mapping[str, Any] | Problem:
    try:
        return _object(_content(stream, archive, member))
    except _MemberError as error:
        return Problem(source.name, 0, one_line(member.filename, 100), str(error))


def _object(content: bytes) -> Mapping[str, Any]:
    if too_large := excess_of(content):
        raise _MemberError(f"{too_large}, expected less")
    try:
        value = loads(content)
    except orjson.JSONDecodeError as error:
        raise _MemberError("invalid JSON found, expected one JSON object") from error
    if not isinstance(value, dict):
        raise _MemberError("no object found, expected one JSON object")
    return value


def _content(stream: BinaryIO, archive: ZipFile, member: ZipInfo) -> bytes:
    if (named := _SAMPLE.fullmatch(member.filename)) and named["chunked"]:
        raise _MemberError("a sample in chunks found, expected a whole one (inspect log convert)")
    most = most_unpacked(member.compress_size, MAX_MEMBER_BYTES)
    if member.file_size > most:
        raise _MemberError(f"{member.file_size:,} bytes found, expected at most {most:,}")
    if member.compress_type == _ZSTANDARD:
        return _zstandard(stream, member, most)
    if member.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
        raise _MemberError(f"compression {member.compress_type} found, expected Deflate or Zstandard")
    try:
        with archive.open(member) as unpacked:
            return _bounded(unpacked.read(most + 1), most)
    # A member with a password is a RuntimeError, one with a damaged name or header of its own the others.
    except (BadZipFile, EOFError, RuntimeError, UnicodeDecodeError, struct.error, zlib.error) as error:
        raise _MemberError(f"{one_line(str(error))} found, expected a whole member") from error


def _zstandard(stream: BinaryIO, member: ZipInfo, most: int) -> bytes:
    pa, _ = arrow()
    stream.seek(member.header_offset)
    local = stream.read(_LOCAL_HEADER_BYTES)
    lengths = local[_NAME_LENGTHS]
    stream.seek(sum(int.from_bytes(lengths[at : at + 2], "little") for at in (0, 2)), 1)
    packed = stream.read(member.compress_size)
    try:
        with pa.input_stream(pa.BufferReader(packed), compression="zstd") as unpacked:
            content = _bounded(unpacked.read(most + 1), most)
    except (pa.ArrowException, OSError) as error:
        raise _MemberError(f"{one_line(str(error))} found, expected a whole member") from error
    if zlib.crc32(content) != member.CRC:
        raise _MemberError("a wrong checksum found, expected a whole member")
    return content


def _bounded(content: bytes, most: int) -> bytes:
    if len(content) > most:
        raise _MemberError(f"more than {most:,} bytes found, expected fewer")
    return content
