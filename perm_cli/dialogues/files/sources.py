"""Sources of dialogues: files, compressed or not, and standard input, each readable more than once."""

import hashlib
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import BinaryIO, Literal

from perm_cli.dialogues.files.packing import bare_name, unpacked
from perm_cli.errors import Problem
from perm_cli.text import one_line

MAX_LINE_BYTES = 16 * 2**20
BOM = b"\xef\xbb\xbf"
Kind = Literal["lines", "json", "table", "parquet", "log", "text", "unknown"]
_KINDS: Mapping[str, Kind] = {
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".json": "json",
    ".csv": "table",
    ".tsv": "table",
    ".parquet": "parquet",
    ".eval": "log",
    ".txt": "text",
}
ENDINGS = tuple(_KINDS)
"""The endings of files of dialogues, before that of a compression."""
_REMEDY = "Windows text: iconv -f WINDOWS-1252 -t UTF-8; in Excel: save as CSV UTF-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """
    An input: its name, and the file with its bytes, which is a temporary one if standard input `is_spooled`.

    `system` is the system of dialogues that name none: by default the name of the file. `folder` replaces it where the
    whole file is one dialogue.
    """

    name: str
    path: Path
    is_spooled: bool = False
    system: str = ""
    folder: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "system", self.system or self.stem)
        object.__setattr__(self, "folder", self.folder or _folder(self).name or self.system)

    @property
    def stem(self) -> str:
        """Return the name without folder and endings, as runs and generated ids use it."""
        return stem_of(self.name)

    @property
    def label(self) -> str:
        """Return the name of the file, with as many of its folders as make it unique in a command."""
        return bare_name(str(PurePath(*PurePath(self.name).parts[-len(PurePath(self.system).parts) :])))

    def digest(self) -> str:
        """Return the SHA-256 digest of the file's bytes, empty if it cannot be read."""
        try:
            with self.path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError:
            return ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line; `number` counts from 1."""

    number: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Remark:
    """Something unusual about a source that was read anyway; line 0 stands for the file as a whole."""

    source: str
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        return f"{place}: {self.message}"


def kind_of(source: Source) -> Kind:
    """Return the kind of a file by its name."""
    name = bare_name(source.name).lower()
    return next((kind for ending, kind in _KINDS.items() if name.endswith(ending)), "unknown")


def stem_of(name: str) -> str:
    """Return the name of a file without folder and known endings; that of `gpt-4.1.jsonl` is `gpt-4.1`."""
    own = bare_name(PurePath(name).name)
    ending = next((each for each in ENDINGS if own.lower().endswith(each)), "")
    return own[: len(own) - len(ending)] or "dialogues"


def with_unique_systems(sources: Sequence[Source]) -> list[Source]:
    """Return the sources with distinct systems: those of equal name get as many of their folders as it takes."""
    stems = {source.name: PurePath(source.name).parent / source.stem for source in sources}
    counts = Counter(stems.values())
    paths = {name: stem if counts[stem] == 1 else PurePath(name) for name, stem in stems.items()}
    tails, folders = _tails(paths), _tails({source.name: _folder(source) for source in sources})
    return [replace(source, system=tails[source.name], folder=folders[source.name]) for source in sources]


def _folder(source: Source) -> PurePath:
    if source.is_spooled:
        return PurePath(source.name)
    return PurePath(one_line(os.path.abspath(source.path), 4096)).parent  # noqa: PTH100 - `..` goes, links stay


def _tails(paths: Mapping[str, PurePath]) -> dict[str, str]:
    """Return, for each path, its shortest tail that no other path ends in."""
    tails = {path: [str(PurePath(*path.parts[-n:])) for n in range(1, len(path.parts) + 1)] for path in paths.values()}
    counts = Counter(tail for each in tails.values() for tail in each)
    return {name: next((tail for tail in tails[path] if counts[tail] == 1), str(path)) for name, path in paths.items()}


def source_of(name: str) -> Source:
    """Return the source with this name; `-` is standard input, copied to a temporary file to be read twice."""
    if name != "-":
        return Source(name=one_line(name, 4096), path=Path(name))
    with tempfile.NamedTemporaryFile(prefix="perm-stdin-", delete=False) as spool:
        shutil.copyfileobj(sys.stdin.buffer, spool)
    return Source(name="stdin", path=Path(spool.name), is_spooled=True)


def forget(source: Source) -> None:
    """Remove the temporary copy of standard input, if there is one."""
    if source.is_spooled:
        source.path.unlink(missing_ok=True)


def opened(source: Source) -> BinaryIO:
    """Open a source as plain UTF-8, whatever its compression and encoding."""
    return unpacked(source.path, source.name)


def lines_of(source: Source, stream: BinaryIO) -> Iterator[Line | Problem | Remark]:
    """Yield the lines that are not blank, without their ends."""
    carriage_returns = False
    for item in whole_lines_of(source, stream):
        if not isinstance(item, Line):
            yield item
            continue
        if item.text.endswith(b"\r\n") and not carriage_returns:
            carriage_returns = True
            yield Remark(source.name, item.number, "CRLF line ends found, expected LF; read anyway")
        if text := item.text.rstrip():
            yield Line(item.number, text)


def whole_lines_of(source: Source, stream: BinaryIO) -> Iterator[Line | Problem | Remark]:
    """Yield all lines with their ends, without a byte-order mark; a line that is too long is a problem."""
    number = 0
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
            size = len(raw) + _skip_line(stream)
            what = f"a line of {size:,} bytes found, expected at most {MAX_LINE_BYTES:,}"
            yield Problem(source.name, number, "", what)
            continue
        if number == 1 and raw.startswith(BOM):
            raw = raw[len(BOM) :]
            yield bom_remark(source)
        yield Line(number, raw)


def bom_remark(source: Source) -> Remark:
    """Return the remark about a byte-order mark, which Windows programs write."""
    return Remark(source.name, 1, "byte-order mark found, expected plain UTF-8; ignored")


def wrong_byte(text: bytes) -> int | None:
    """Return the index of the first byte that is not UTF-8, None if there is none."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


def named_byte(text: bytes, place: int) -> str:
    """Return the message for a byte that is not UTF-8, with its column."""
    column = place - text.rfind(b"\n", 0, place)
    return f"byte 0x{text[place]:02x} found at column {column}, expected UTF-8 ({_REMEDY})"


def _skip_line(stream: BinaryIO) -> int:
    skipped = 0
    while chunk := stream.readline(MAX_LINE_BYTES):
        skipped += len(chunk)
        if chunk.endswith(b"\n"):
            break
    return skipped
