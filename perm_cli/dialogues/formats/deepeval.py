"""Conversational test cases of deepeval: `{"turns": [{"role", "content"}, …]}`, beside what is known around them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.records import Item, Made, one_a_row
from perm_cli.dialogues.files.rows import RoleMap, checked_dialogue, id_in, words_in
from perm_cli.dialogues.files.talk import ROLE_NAMES
from perm_cli.dialogues.formats.messages import turns_in

SAYS = "one object a line with turns of role and content"
ROLES = ROLE_NAMES
_PERSONAS = ("user_description", "userDescription")
_META = ("expected_outcome", "expectedOutcome", "chatbot_role", "chatbotRole", "comments")


def recognises(row: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    turns = row.get("turns")
    first = turns[0] if isinstance(turns, list) and turns else None
    return isinstance(first, Mapping) and "content" in first and "text" not in first


def read(items: Iterable[Item], reading: Reading) -> Iterator[Made]:
    """Yield a dialogue a row."""
    return one_a_row(items, to_dialogue, reading.roles or ROLES)


def to_dialogue(row: Mapping[str, Any], roles: RoleMap, fallback_id: str) -> Dialogue:
    """Return the row as a dialogue; raise `RowError` if it is not one."""
    own = row.get("id") or row.get("name")
    persona = next((name for name in _PERSONAS if row.get(name)), _PERSONAS[0])
    dialogue = Dialogue(
        id=id_in(own) if own else fallback_id,
        turns=turns_in(row.get("turns"), "turns", roles),
        scenario=words_in(row.get("scenario"), "scenario"),
        persona=words_in(row.get(persona), persona),
        meta={name: row[name] for name in _META if row.get(name)},
    )
    return checked_dialogue(dialogue, "turns")
