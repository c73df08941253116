"""Roles: the names by which files call seeker and supporter, and those of neither side."""

from collections.abc import Mapping

from perm_cli.dialogues.files.rows import RowError
from perm_cli.errors import SettingsError
from perm_cli.findings import shown
from perm_cli.words import Role

RoleMap = Mapping[str, Role]

ROLE_NAMES: RoleMap = {
    **dict.fromkeys(("user", "human", "client", "patient", "seeker", "求助者", "来访者"), "seeker"),
    **dict.fromkeys(("assistant", "gpt", "bot", "chatbot", "agent", "model", "ai"), "supporter"),
    **dict.fromkeys(
        ("supporter", "therapist", "counselor", "counsellor", "支持者", "咨询师", "心理咨询师"), "supporter"
    ),
}
"""Common names of the two sides in files that people make."""

CHAT_ROLES: RoleMap = {"user": "seeker", "assistant": "supporter"}
"""The names of the two sides in logs of chat models."""

_SILENT = frozenset({"system", "developer", "tool", "function", "function_call", "tool_call", "observation"})


def mapped_role(name: str, roles: RoleMap, field: str) -> Role:
    """Return the side that a file calls `name`; raise `RowError` with the known names if it is unknown."""
    try:
        return roles[name]
    except KeyError:
        known = ", ".join(roles)
        message = f"role {shown(name)} found, expected one of: {known} (other names: --roles seeker=…,supporter=…)"
        raise RowError([(field, message)]) from None


def role_of_speaker(name: str, roles: RoleMap, field: str) -> Role | None:
    """Return the side that a file calls `name`, as `mapped_role` does; None for instructions and tool traffic."""
    return None if name in _SILENT and name not in roles else mapped_role(name, roles, field)


def read_roles(text: str) -> RoleMap:
    """Read `seeker=user,supporter=assistant` into a map from the file's names to ours."""
    roles: dict[str, Role] = {}
    for pair in text.split(","):
        ours, _, theirs = pair.partition("=")
        if ours.strip() not in {"seeker", "supporter"} or not theirs.strip():
            raise SettingsError(f"--roles: {pair!r} found, expected seeker=NAME,supporter=NAME")
        if theirs.strip() in roles:
            raise SettingsError(f"--roles: {theirs.strip()!r} found for both sides, expected two different names")
        roles[theirs.strip()] = "seeker" if ours.strip() == "seeker" else "supporter"
    return roles
