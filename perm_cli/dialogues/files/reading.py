"""How dialogues are read, as options say it."""

from dataclasses import dataclass

from perm_cli.dialogues.files.columns import Columns
from perm_cli.dialogues.files.rows import RoleMap
from perm_cli.errors import SettingsError
from perm_cli.words import FormatName, Role, Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """
    Say how to read: a format's name or `auto`, role names and columns of the files, and which turns count.

    With `unanswered`, a dialogue may end with the seeker's turn. With `strict`, an empty reply is refused, which is
    passed over else.
    """

    format: FormatName = "auto"
    roles: RoleMap | None = None
    turns: Turns = "all"
    columns: Columns | None = None
    unanswered: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        if self.columns and self.format not in {"auto", "csv"}:
            raise SettingsError(f"--columns: found with --format {self.format}, expected --format csv or none")


def read_roles(text: str) -> RoleMap:
    """Read `seeker=user,supporter=assistant` into a map from the file's names to ours."""
    roles: dict[str, Role] = {}
    for pair in text.split(","):
        ours, _, theirs = pair.partition("=")
        if ours.strip() not in {"seeker", "supporter"} or not theirs.strip():
            raise SettingsError(f"--roles: {pair!r} found, expected seeker=NAME,supporter=NAME")
        if theirs.strip() in roles:
            raise SettingsError(f"--roles: {theirs.strip()!r} found for both, expected two names")
        roles[theirs.strip()] = "seeker" if ours.strip() == "seeker" else "supporter"
    return roles
