"""Files written whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path

from perm_cli.errors import SettingsError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and then put it there; raise `SettingsError` if it cannot be."""
    draft = path.parent / f".{path.name}.{os.getpid()}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise SettingsError(f"{path}: {error.strerror or error} found, expected a place to write to") from error
