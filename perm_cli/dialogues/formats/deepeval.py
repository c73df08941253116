"""Conversational test cases of deepeval: `{"turns": [{"role", "content"}, …]}`, with scenario and persona."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.fields import checked_dialogue, id_in, words_in
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import ROLE_NAMES, RoleMap
from perm_cli.dialogues.files.rows import Record
from perm_cli.dialogues.files.steps import Made, one_per_row
from perm_cli.dialogues.files.talk import turns_in_messages
from perm_cli.dialogues.format import Format

_PERSONAS = ("user_description", "userDescription")
_META = ("expected_outcome", "expectedOutcome", "chatbot_role", "chatbotRole", "comments")


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    turns = fields.get("turns")
    first = turns[0] if isinstance(turns, list) and turns else None
    return isinstance(first, Mapping) and "content" in first and "text" not in first


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:
    """Yield one dialogue per row."""
    return one_per_row(records, to_dialogue, reading.roles or ROLE_NAMES)


def to_dialogue(fields: Mapping[str, Any], roles: RoleMap, fallback_id: str) -> Dialogue:
    """Return the row as a dialogue; raise `RowError` if it is not one."""
    own = fields.get("id") or fields.get("name")
    persona = next((name for name in _PERSONAS if fields.get(name)), _PERSONAS[0])
    dialogue = Dialogue(
        id=id_in(own) if own else fallback_id,
        turns=turns_in_messages(fields.get("turns"), "turns", roles),
        scenario=words_in(fields.get("scenario"), "scenario"),
        persona=words_in(fields.get(persona), persona),
        meta={name: fields[name] for name in _META if fields.get(name)},
    )
    return checked_dialogue(dialogue, "turns")


FORMAT = Format(description="one object per line with turns of role and content", recognises=recognises, read=read)
