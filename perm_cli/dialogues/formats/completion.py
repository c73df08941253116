"""
Training rows: a prompt and its completion, or a chosen and a rejected reply.

The two replies of a pair are those of the systems `chosen` and `rejected` to the same dialogue. A prompt is the
seeker's turn, or a list of messages; a chosen or rejected reply may include it, as messages or as a transcript.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.files.fields import checked_dialogue, id_in, object_in, words_in
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import ROLE_NAMES, RoleMap
from perm_cli.dialogues.files.rows import Record, Row, RowError
from perm_cli.dialogues.files.steps import Made, each_row, split
from perm_cli.dialogues.files.talk import turns_in_messages, turns_said
from perm_cli.dialogues.format import Format
from perm_cli.dialogues.formats.transcript import turns_in_text

PAIR = ("chosen", "rejected")
_REPLIES = ("completion", "response", "answer", "output")
_OPENAI = {"preferred_output": "chosen", "non_preferred_output": "rejected"}
_META = ("label", "reward", "score", "score_chosen", "score_rejected")


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    asked = isinstance(fields.get("prompt"), str | list) and any(name in fields for name in _REPLIES)
    return asked or fields.keys() >= set(PAIR) or fields.keys() >= _OPENAI.keys()


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:
    """Yield one dialogue per reply."""
    roles = reading.roles or ROLE_NAMES
    return each_row(split(records, _replies), lambda row: _dialogue(row, roles))


def _replies(row: Row) -> Iterator[Row]:
    sides = {name: name for name in PAIR} if row.fields.keys() >= set(PAIR) else {}
    sides = sides or (_OPENAI if row.fields.keys() >= _OPENAI.keys() else {})
    for name, system in sides.items():
        yield row.part("", {**row.fields, "reply": name, "model": system})
    if not sides:
        found = [name for name in _REPLIES if row.fields.get(name) is not None]
        if len(found) > 1:
            raise RowError([("prompt", f"{' and '.join(found)} found, expected one reply to it")])
        yield row.part("", {**row.fields, "reply": found[0] if found else _REPLIES[0]})


def _dialogue(row: Row, roles: RoleMap) -> Dialogue:
    fields, reply = row.fields, row.fields["reply"]
    dialogue = Dialogue(
        id=row.own_id if fields.get("id") is None else id_in(fields["id"]),
        turns=(*_asked(fields, roles), *_told(fields, roles)),
        scenario=words_in(fields.get("scenario"), "scenario"),
        persona=words_in(fields.get("persona"), "persona"),
        system=words_in(fields.get("model"), "model"),
        labels=object_in(fields.get("labels"), "labels"),
        meta={name: fields[name] for name in _META if fields.get(name) is not None},
    )
    return checked_dialogue(dialogue, reply)


def _asked(fields: Mapping[str, Any], roles: RoleMap) -> tuple[Turn, ...]:
    if "input" in fields and fields["reply"] in _OPENAI:
        return turns_in_messages(object_in(fields["input"], "input").get("messages"), "input.messages", roles)
    if fields["reply"] in PAIR and fields.get("prompt") is None:
        return ()
    return turns_said("seeker", fields.get("prompt"), "prompt", roles)


def _told(fields: Mapping[str, Any], roles: RoleMap) -> tuple[Turn, ...]:
    reply = fields["reply"]
    said = fields.get(reply)
    if reply in PAIR and fields.get("prompt") is None and isinstance(said, str):
        return turns_in_text(said, reply, roles)
    return turns_said("supporter", said, reply, roles)


FORMAT = Format(
    description="prompt and completion, or chosen and rejected", recognises=recognises, read=read, container="table"
)
