"""How dialogues are read, as options say it."""

from dataclasses import dataclass

from perm_cli.dialogues.files.columns import Columns
from perm_cli.dialogues.files.roles import RoleMap
from perm_cli.errors import SettingsError
from perm_cli.words import FormatName, Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """
    The options for reading: a format's name or `auto`, role names and columns of the files, and which turns count.

    With `unanswered`, a dialogue may end with the seeker's turn. With `strict`, an empty reply is refused instead of
    passed over.
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
