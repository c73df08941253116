"""Where dialogues come from: files, gzipped or Parquet too, and standard input, each readable more than once."""

import gzip
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import orjson

from perm_cli.errors import Problem
from perm_cli.terminal import one_line

MAX_LINE_BYTES = 16 * 2**20
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Name an input and the file its bytes are in, which is ours to remove if it `is_spooled` from a pipe."""

    name: str
    path: Path
    is_spooled: bool = False

    @property
    def stem(self) -> str:
        """Return the name without folder and endings, as runs and generated ids use it."""
        return Path(self.name).name.split(".")[0] or "dialogues"


@dataclass(frozen=True, slots=True)
class Line:
    """Hold one line without its end; `number` counts from 1."""

    number: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Remark:
    """Mention something odd about a source that does not keep it from being read."""

    source: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.message}"


def source_of(name: str) -> Source:
    """Return the source called `name`; `-` is standard input, kept in a temporary file to be read twice."""
    if name != "-":
        return Source(name=one_line(name, 4096), path=Path(name))
    with tempfile.NamedTemporaryFile(prefix="perm-stdin-", delete=False) as spool:
        shutil.copyfileobj(sys.stdin.buffer, spool)
    return Source(name="stdin", path=Path(spool.name), is_spooled=True)


def forget(source: Source) -> None:
    """Remove what `source_of` kept of standard input."""
    if source.is_spooled:
        source.path.unlink(missing_ok=True)


def read_lines(source: Source) -> Iterator[Line | Problem | Remark]:
    """Yield the lines that hold anything; what keeps the file from being read ends it as a `Problem`."""
    try:
        if source.name.endswith(".parquet"):
            yield from _rows(source)
            return
        with _open(source) as stream:
            yield from _lines(source, stream)
    except FileNotFoundError:
        yield Problem(source.name, 0, "", "no such file found, expected a JSONL file")
    except IsADirectoryError:
        yield Problem(source.name, 0, "", "a directory found, expected a JSONL file")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield Problem(source.name, 0, "", f"broken gzip data found ({error}), expected a complete .gz file")
    except OSError as error:
        yield Problem(source.name, 0, "", f"{error.strerror or error} found, expected a readable file")


def _rows(source: Source) -> Iterator[Line | Problem]:
    """Yield the rows of a Parquet file as lines of JSON, which is what all formats are made of."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415 - the same
    except ImportError:
        yield Problem(source.name, 0, "", "a Parquet file found, expected pyarrow to read it: pip install pyarrow")
        return
    number = 0
    try:
        with pq.ParquetFile(source.path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    # What is missing in a row is null in a table.
                    filled = {name: value for name, value in row.items() if value is not None}
                    yield Line(number, orjson.dumps(filled, default=str))
    except (pa.ArrowException, orjson.JSONEncodeError) as error:
        yield Problem(source.name, number, "", f"{one_line(str(error))} found, expected a Parquet file of dialogues")


def _open(source: Source) -> BinaryIO:
    opened = gzip.open if source.name.endswith(".gz") else open
    return cast("BinaryIO", opened(source.path, "rb"))


def _lines(source: Source, stream: BinaryIO) -> Iterator[Line | Problem | Remark]:
    number, carriage_returns = 0, False
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
            size = len(raw) + _skip_line(stream)
            yield Problem(
                source.name,
                number,
                "",
                f"a line of {size:,} bytes found, expected at most {MAX_LINE_BYTES:,}",
            )
            continue
        if number == 1 and raw.startswith(_BOM):
            raw = raw[len(_BOM) :]
            yield Remark(source.name, 1, "byte-order mark found, expected plain UTF-8; read without it")
        if raw.endswith(b"\r\n") and not carriage_returns:
            carriage_returns = True
            yield Remark(source.name, number, "CRLF line end found, expected LF; read all the same")
        if text := raw.rstrip():
            yield Line(number, text)


def _skip_line(stream: BinaryIO) -> int:
    skipped = 0
    while chunk := stream.readline(MAX_LINE_BYTES):
        skipped += len(chunk)
        if chunk.endswith(b"\n"):
            break
    return skipped
