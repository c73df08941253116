"""Files that are written completely or not at all, and tables that grow on disk instead of in memory."""

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
    Open a temporary file that replaces `path` when the `with` block succeeds.

    Until then it is a draft beside the old file that no other command writes to. Drafts of this file that killed
    commands left behind are removed. An `OSError` names the file.
    """
    if path.is_dir():
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(path))
    _remove_abandoned_drafts(path)
    with naming_errors(path), _draft_of(path) as stream:
        yield stream


@contextmanager
def naming_errors(path: Path) -> Iterator[None]:
    """Add the file's name to an `OSError` that has none, as when the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno and (error.filename is None or Path(error.filename).suffix == _ENDING):
            error.filename = str(path)
        raise


def ensure_folder(path: Path) -> Path:
    """Return a folder, created if it does not exist; raise `SettingsError` if it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{path}: the folder cannot be created: {error.strerror or error}") from error
    return path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, creating its folders; raise `SettingsError` if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with rewriting(path) as stream:
            stream.write(content)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror or error}") from error


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
        # Exclusive creation also refuses to follow a symbolic link that somebody has planted.
        stream = path.with_name(f".{path.name}.{token_hex(8)}{_ENDING}").open("xb")
        lock = _locked(stream)
        if os.fstat(stream.fileno()).st_nlink:
            return stream, lock
        stream.close()  # another command removed it as abandoned before it was locked


def _locked(stream: BinaryIO) -> int | None:
    """Lock a draft, so that other commands do not treat it as abandoned; the lock outlives the stream."""
    if sys.platform == "win32":  # Windows does not remove an open file, so no lock is needed
        return None
    lock = os.dup(stream.fileno())
    with suppress(OSError):  # some file systems have no locks
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _remove_abandoned_drafts(path: Path) -> None:
    for draft in path.parent.glob(f".{escape(path.name)}.{'?' * 16}{_ENDING}"):
        with suppress(OSError):  # its command is still running, or another user owns it
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


def scratch_database() -> sqlite3.Connection:
    """Open a private temporary database: up to 8 MiB in memory, the rest in the system's temporary folder."""
    database = sqlite3.connect("", isolation_level=None)
    for pragma in (f"cache_size = -{_CACHE_KIB}", "journal_mode = OFF", "synchronous = OFF", "temp_store = FILE"):
        database.execute(f"PRAGMA {pragma}")
    # One transaction for its whole life: nobody else reads it, nothing must survive, and every commit costs a write.
    database.execute("BEGIN")
    return database
