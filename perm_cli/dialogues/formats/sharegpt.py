"""ShareGPT rows: `conversations` of `from` and `value`, and the `conversation` of ms-swift, of names and texts."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.fields import checked_dialogue, id_in, list_in, object_in, text_in, words_in
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import ROLE_NAMES, RoleMap, role_of_speaker
from perm_cli.dialogues.files.rows import Record, RowError
from perm_cli.dialogues.files.steps import Made, one_per_row
from perm_cli.dialogues.files.talk import Utterance, said_by, turns_of
from perm_cli.dialogues.format import Format
from perm_cli.findings import shown

_NAMES = (("from", "value"), ("role", "content"))


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    return "conversations" in fields or "conversation" in fields


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:
    """Yield one dialogue per row."""
    return one_per_row(records, to_dialogue, reading.roles or ROLE_NAMES)


def to_dialogue(fields: Mapping[str, Any], roles: RoleMap, fallback_id: str) -> Dialogue:
    """Return the row as a dialogue; raise `RowError` if it is not one."""
    field = "conversations" if "conversations" in fields else "conversation"
    entries = list_in(fields.get(field), field)
    turns, _ = turns_of(
        _said(*each, roles) for place, entry in enumerate(entries) for each in _pieces(entry, f"{field}[{place}]")
    )
    dialogue = Dialogue(
        id=fallback_id if fields.get("id") is None else id_in(fields["id"]),
        turns=turns,
        scenario=words_in(fields.get("scenario"), "scenario"),
        persona=words_in(fields.get("persona"), "persona"),
        system=words_in(fields.get("model"), "model"),  # `system` is an instruction here
        labels=object_in(fields.get("labels"), "labels"),
    )
    return checked_dialogue(dialogue, field)


def _pieces(entry: object, field: str) -> Iterator[tuple[object, object, str]]:
    """Yield speaker, text and field of each utterance in an entry."""
    if not isinstance(entry, Mapping):
        raise RowError([(field, f"{shown(entry)} found, expected an object")])
    for who, what in _NAMES:
        if who in entry:
            yield entry[who], entry.get(what), f"{field}.{what}"
            return
    yield from ((name, text, f"{field}.{name}") for name, text in entry.items())


def _said(who: object, what: object, field: str, roles: RoleMap) -> Utterance | None:
    name = text_in(who, field.rpartition(".")[0])
    role = role_of_speaker(name, roles, field.rpartition(".")[0])
    return None if role is None else said_by(role, what, field)


FORMAT = Format(description="one object per line with conversations (from, value)", recognises=recognises, read=read)
