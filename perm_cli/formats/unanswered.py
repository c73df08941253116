"""Rows that nobody has answered yet, as prompt sets hold them: a placeholder stands for the answer."""

from collections.abc import Mapping
from typing import Any

from perm_cli.formats.rows import RoleMap

PLACEHOLDER = "…"
_SPEAKERS = {"turns": ("text", "seeker", "supporter"), "messages": ("content", "user", "assistant")}


def answered(row: Mapping[str, Any], roles: RoleMap | None) -> Mapping[str, Any]:
    """Return the row with a placeholder for the supporter's turn if it ends with the seeker's, else as it is."""
    for field, (text, *names) in _SPEAKERS.items():
        turns = row.get(field)
        if isinstance(turns, list) and turns and isinstance(turns[-1], Mapping):
            seeker, supporter = _names(roles) or names
            if turns[-1].get("role") == seeker:
                return {**row, field: [*turns, {"role": supporter, text: PLACEHOLDER}]}
    if "dialogue" in row and not any(name in row for name in ("output", "completion", "response")):
        return {**row, "output": PLACEHOLDER}
    return row


def _names(roles: RoleMap | None) -> tuple[str, str] | None:
    theirs = {ours: name for name, ours in (roles or {}).items()}
    return (theirs["seeker"], theirs["supporter"]) if len(theirs) > 1 else None
