"""Compression and encoding of files: gzip and Zstandard by their endings, UTF-16 by its byte-order mark."""

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from perm_cli.errors import SettingsError


def bare_name(name: str) -> str:
    """Return the name of a file without the ending of its compression."""
    return name[: len(name) - len(packing_of(name))]


def packing_of(name: str) -> str:
    """Return the ending of a file's compression, empty if there is none."""
    return next((name[-len(ending) :] for ending in _OPENERS if name.lower().endswith(ending)), "")


def unpacked(path: Path, name: str) -> BinaryIO:
    """Open a file as plain UTF-8: `name` tells its compression, and a byte-order mark that it is in UTF-16."""
    opener = _OPENERS.get(packing_of(name).lower(), open)
    stream = cast("io.BufferedReader", opener(path, "rb"))
    try:
        encoding = _UTF_16.get(stream.peek(2)[:2])
    except BaseException:
        stream.close()
        raise
    return io.BufferedReader(_Recoded(stream, encoding)) if encoding else stream


class _Recoded(io.RawIOBase):
    """A file recoded to UTF-8 while it is read."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._text = io.TextIOWrapper(stream, encoding=encoding, newline="")
        self._rest = b""

    def readable(self) -> bool:
        """Return True, as `io.RawIOBase` requires of readable streams."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read at most as many bytes as the buffer holds, and return their number."""
        text = self._rest or self._text.read(max(1, len(buffer) // 4)).encode()
        buffer[: len(text)] = text[: len(buffer)]
        self._rest = text[len(buffer) :]
        return min(len(text), len(buffer))

    def close(self) -> None:
        """Close the file."""
        self._text.close()
        super().close()


def _zstandard(path: Path, _: str) -> BinaryIO:
    try:
        from backports import zstd  # noqa: PLC0415 - an extra
    except ImportError as error:
        what = "backports.zstd is needed for .zst files"
        raise SettingsError(f"{what}: pip install 'perm-cli[zstd]'") from error
    return cast("BinaryIO", zstd.open(path))


_OPENERS: Mapping[str, Callable[..., Any]] = {".gz": gzip.open, ".zst": _zstandard}
# With the byte order in the name, the mark stays in the text, so that it gets the same remark as that of UTF-8.
_UTF_16: Mapping[bytes, str] = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def broken() -> tuple[type[Exception], ...]:
    """Return the exceptions raised by reading an incomplete or damaged compressed file."""
    known = (EOFError, zlib.error, gzip.BadGzipFile)
    try:
        from backports import zstd  # noqa: PLC0415 - an extra
    except ImportError:
        return known
    return (*known, zstd.ZstdError)
