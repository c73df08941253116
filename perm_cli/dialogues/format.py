"""The interface of a format: how its rows are recognised, and how they become dialogues."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.rows import Record
from perm_cli.dialogues.files.sources import Kind
from perm_cli.dialogues.files.steps import Made


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """
    One format of dialogues; `files.steps` has the steps from which `read` is composed.

    `description` is shown to a user whose file has no known format. `container` is the kind of a file in this format
    whose name does not tell; only formats with the container `table` are recognised in tables. `is_joined` is true if
    one dialogue has parts in several files.
    """

    description: str
    recognises: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Iterable[Record], Reading], Iterator[Made]]
    container: Kind = "lines"
    is_joined: bool = False
