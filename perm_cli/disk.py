"""Files that are written whole or not at all, and tables that grow on disk instead of in memory."""

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EISDIR
from glob import escape
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from perm_cli.errors import SettingsError

if sys.platform != "win32":
    import fcntl


@contextmanager
def rewriting(path: Path) -> Iterator[BinaryIO]:
    """
    Open a file to write it anew; it takes the place of the old one if the `with` block ends well.

    Until then it is a draft beside the old file that no other command writes to. Drafts of this file that killed
    commands have left are removed. An `OSError` names the file.
    """
    if path.is_dir():
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(path))
    _remove_abandoned_drafts(path)
    with naming(path), _draft_of(path) as stream:
        yield stream


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an `OSError` from writing to a file its name, which a full disk does not tell."""
    try:
        yield
    except OSError as error:
        if error.errno and (error.filename is None or Path(error.filename).suffix == _ENDING):
            error.filename = str(path)
        raise


def made_folder(path: Path) -> Path:
    """Return a folder, made if it is not there; raise `SettingsError` if that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error} found, expected a folder to write to") from error
    return path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file and the folders it lies in; raise `SettingsError` if that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with rewriting(path) as stream:
            stream.write(content)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error} found, expected a place to write to") from error


_ENDING = ".part"


@contextmanager
def _draft_of(path: Path) -> Iterator[BinaryIO]:
    stream, lock = _created_beside(path)
    draft = Path(stream.name)
    try:
        with stream:
            yield stream
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


def _created_beside(path: Path) -> tuple[BinaryIO, int | None]:
    while True:
        # Exclusively, which also follows no symbolic link that somebody has put there.
        stream = path.with_name(f".{path.name}.{token_hex(8)}{_ENDING}").open("xb")
        lock = _locked(stream)
        if os.fstat(stream.fileno()).st_nlink:
            return stream, lock
        stream.close()  # another command took it for abandoned before it was locked


def _locked(stream: BinaryIO) -> int | None:
    """Lock a draft, by which other commands see that it is not abandoned; the lock outlives the stream."""
    if sys.platform == "win32":  # which removes no file that is open
        return None
    lock = os.dup(stream.fileno())
    with suppress(OSError):  # some file systems have no locks
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _remove_abandoned_drafts(path: Path) -> None:
    for draft in path.parent.glob(f".{escape(path.name)}.{'?' * 16}{_ENDING}"):
        with suppress(OSError):  # its command lives, or it is somebody else's
            _remove_unlocked(draft)


def _remove_unlocked(draft: Path) -> None:
    if sys.platform == "win32":
        draft.unlink()
        return
    lock = os.open(draft, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.unlink()
    finally:
        os.close(lock)


_CACHE_KIB = 8 * 1024


def scratch() -> sqlite3.Connection:
    """Open a database of one's own; it is in memory up to 8 MiB, the rest in the temporary folder of the system."""
    database = sqlite3.connect("", isolation_level=None)
    for pragma in (f"cache_size = -{_CACHE_KIB}", "journal_mode = OFF", "synchronous = OFF", "temp_store = FILE"):
        database.execute(f"PRAGMA {pragma}")
    # One transaction for good: nobody else reads it and nothing needs to be kept, and each end of one costs a write.
    database.execute("BEGIN")
    return database
