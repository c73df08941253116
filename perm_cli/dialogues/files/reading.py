"""Options for reading dialogues."""

from dataclasses import dataclass

from perm_cli.dialogues.files.columns import Columns
from perm_cli.dialogues.files.roles import RoleMap
from perm_cli.errors import SettingsError
from perm_cli.words import FormatName, Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """
    Options for reading: the name of a format or `auto`, role names, columns, and which supporter turns to judge.

    With `unanswered`, a dialogue may end with the seeker's turn. With `strict`, an empty reply is refused instead of
    skipped.
    """

    format: FormatName = "auto"
    roles: RoleMap | None = None
    turns: Turns = "all"
    columns: Columns | None = None
    unanswered: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        if self.columns and self.format not in {"auto", "csv"}:
            raise SettingsError(f"--columns cannot be used with --format {self.format}; leave --format out or pass csv")
