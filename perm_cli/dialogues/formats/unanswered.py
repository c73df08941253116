"""Rows that nobody has answered yet, as prompt sets hold them: a placeholder stands for the answer."""

from collections.abc import Mapping
from typing import Any

from perm_cli.dialogues.files.rows import RoleMap
from perm_cli.dialogues.formats import messages, native, sharegpt

PLACEHOLDER = "…"
_SPEAKERS = {
    "turns": ("role", "text", native.ROLES),
    "messages": ("role", "content", messages.ROLES),
    "conversations": ("from", "value", sharegpt.ROLES),
}


def answered(row: Mapping[str, Any], roles: RoleMap | None) -> Mapping[str, Any]:
    """Return the row with a placeholder for the supporter's turn if it ends with the seeker's, else as it is."""
    for field, (speaker, text, usual) in _SPEAKERS.items():
        known, turns = roles or usual, row.get(field)
        if isinstance(turns, list) and turns and isinstance(turns[-1], Mapping):
            supporter = next((name for name, ours in known.items() if ours == "supporter"), None)
            if supporter and known.get(str(turns[-1].get(speaker))) == "seeker":
                return {**row, field: [*turns, {speaker: supporter, text: PLACEHOLDER}]}
    if "dialogue" in row and not any(row.get(name) for name in ("output", "completion", "response")):
        return {**row, "output": PLACEHOLDER}
    return row
