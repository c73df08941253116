"""ShareGPT rows: `conversations` of `from` and `value`, and the `conversation` of ms-swift, of names and texts."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.records import Item, Made, one_a_row
from perm_cli.dialogues.files.rows import (
    RoleMap,
    RowError,
    checked_dialogue,
    id_in,
    list_in,
    mapped_role,
    object_in,
    shown,
    text_in,
    words_in,
)
from perm_cli.dialogues.files.talk import ROLE_NAMES, SILENT, Said, answered, turns_of

SAYS = "one object a line with conversations of from and value"
ROLES = ROLE_NAMES
_NAMES = (("from", "value"), ("role", "content"))


def recognises(row: Mapping[str, Any]) -> bool:
    """Tell whether the row looks like this format."""
    return "conversations" in row or "conversation" in row


def read(items: Iterable[Item], reading: Reading) -> Iterator[Made]:
    """Yield a dialogue a row."""
    return one_a_row(items, to_dialogue, reading.roles or ROLES)


def to_dialogue(row: Mapping[str, Any], roles: RoleMap, fallback_id: str) -> Dialogue:
    """Return the row as a dialogue; raise `RowError` if it is not one."""
    field = "conversations" if "conversations" in row else "conversation"
    entries = list_in(row.get(field), field)
    turns, _ = turns_of(
        _said(*each, roles) for place, entry in enumerate(entries) for each in _pieces(entry, f"{field}[{place}]")
    )
    dialogue = Dialogue(
        id=fallback_id if row.get("id") is None else id_in(row["id"]),
        turns=turns,
        scenario=words_in(row.get("scenario"), "scenario"),
        persona=words_in(row.get("persona"), "persona"),
        system=words_in(row.get("model"), "model"),  # `system` is an instruction here
        labels=object_in(row.get("labels"), "labels"),
    )
    return checked_dialogue(dialogue, field)


def _pieces(entry: object, field: str) -> Iterator[tuple[object, object, str]]:
    """Yield who said what, and where that stands."""
    if not isinstance(entry, Mapping):
        raise RowError([(field, f"{shown(entry)} found, expected an object")])
    for who, what in _NAMES:
        if who in entry:
            yield entry[who], entry.get(what), f"{field}.{what}"
            return
    yield from ((name, text, f"{field}.{name}") for name, text in entry.items())


def _said(who: object, what: object, field: str, roles: RoleMap) -> Said | None:
    name = text_in(who, field.rpartition(".")[0])
    if name in SILENT and name not in roles:
        return None
    role = mapped_role(name, roles, field.rpartition(".")[0])
    if role == "seeker":
        return Said(role=role, text=text_in(what, field))
    answer = answered(what, field)
    return Said(role=role, text=answer.response, analysis=answer.analysis)
