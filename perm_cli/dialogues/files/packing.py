"""How files are packed and written: gzip and Zstandard by their endings, UTF-16 by its byte-order mark."""

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from perm_cli.errors import SettingsError


def bare_name(name: str) -> str:
    """Return the name of a file without the ending of what it is packed with."""
    return name[: len(name) - len(packing_of(name))]


def packing_of(name: str) -> str:
    """Return the ending of what a file is packed with, empty if it is not."""
    return next((name[-len(ending) :] for ending in _OPENERS if name.lower().endswith(ending)), "")


def unpacked(path: Path, name: str) -> BinaryIO:
    """Open a file by its name; what is packed, or in UTF-16 with its mark, becomes plain UTF-8 while it is read."""
    opener = _OPENERS.get(packing_of(name).lower(), open)
    stream = cast("io.BufferedReader", opener(path, "rb"))
    try:
        encoding = _UTF_16.get(stream.peek(2)[:2])
    except BaseException:
        stream.close()
        raise
    return io.BufferedReader(_Recoded(stream, encoding)) if encoding else stream


class _Recoded(io.RawIOBase):
    """The text of a file in UTF-8."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._text = io.TextIOWrapper(stream, encoding=encoding, newline="")
        self._rest = b""

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read as many bytes as there is room for."""
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
        what = "backports.zstd not found, expected it for .zst files"
        raise SettingsError(f"{what}: pip install 'perm-cli[zstd]'") from error
    return cast("BinaryIO", zstd.open(path))


_OPENERS: Mapping[str, Callable[..., Any]] = {".gz": gzip.open, ".zst": _zstandard}
# The byte order is named, so that the mark stays in the text and is remarked upon as that of UTF-8 is.
_UTF_16: Mapping[bytes, str] = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def broken() -> tuple[type[Exception], ...]:
    """Return what is raised while a packed file is read that is not whole."""
    known = (EOFError, zlib.error, gzip.BadGzipFile)
    try:
        from backports import zstd  # noqa: PLC0415 - an extra
    except ImportError:
        return known
    return (*known, zstd.ZstdError)
