"""Files written whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from perm_cli.errors import SettingsError


@contextmanager
def rewriting(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write it anew; it takes the place of the old one if the `with` block ends well."""
    draft = path.parent / f".{path.name}.part"
    try:
        with draft.open("wb") as stream:
            yield stream
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


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
