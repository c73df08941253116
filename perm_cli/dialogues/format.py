"""What a format is: how its rows are recognised, and how they become dialogues."""

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
    One format of dialogues; `files.steps` has the steps that `read` is made of.

    `says` describes its files to somebody whose file is in none. `container` is what a file in this format is taken
    for if its name does not say: a format of tables is the only one that is looked for in a table. `is_joined` if its
    dialogues have parts in several files.
    """

    says: str
    recognises: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Iterable[Record], Reading], Iterator[Made]]
    container: Kind = "lines"
    is_joined: bool = False
