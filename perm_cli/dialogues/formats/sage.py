"""Conversations of the Sentient Agent benchmark (SAGE), one file per model; a simulated seeker reports its emotion."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.fields import id_in, list_in, object_in, text_in, words_in
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import CHAT_ROLES, RoleMap, role_of_speaker
from perm_cli.dialogues.files.rows import Record, Row
from perm_cli.dialogues.files.steps import Made, NothingToJudge, each_row
from perm_cli.dialogues.files.talk import Utterance, said_by, turns_of, with_notes
from perm_cli.dialogues.format import Format

_WHO = "simulated"  # the rater: these feelings are a model's, not a person's
_LABELS = ("emo_point", "emo_state")
_META = ("target", "topic", "task", "character")


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    return "history" in fields and "emo_point" in fields


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:
    """Yield one dialogue per row; no row names the model that answered, so the file's name does."""
    roles = reading.roles or CHAT_ROLES
    return each_row(records, lambda row: _dialogue(row, roles))


def _dialogue(row: Row, roles: RoleMap) -> Dialogue:
    fields = row.fields
    history = list_in(fields.get("history"), "history")
    turns, notes = turns_of(_said(entry, f"history[{place}]", roles) for place, entry in enumerate(history))
    if all(turn.role == "seeker" for turn in turns):
        raise NothingToJudge("no reply found, expected one to judge")
    return Dialogue(
        id=id_in(fields.get("id")),
        turns=turns,
        scenario=words_in(fields.get("scene"), "scene"),
        persona=words_in(fields.get("player"), "player"),
        labels=with_notes({_WHO: {name: fields[name] for name in _LABELS if fields.get(name) is not None}}, notes),
        meta={name: fields[name] for name in _META if fields.get(name) is not None},
    )


def _said(entry: object, field: str, roles: RoleMap) -> Utterance | None:
    said = object_in(entry, field)
    name = text_in(said.get("role"), f"{field}.role")
    role = role_of_speaker(name, roles, f"{field}.role")
    if role is None:
        return None
    point = said.get("emotion-point") if role == "seeker" else None
    notes = {} if point is None else {_WHO: {"emotion_point": point}}
    return said_by(role, said.get("content"), f"{field}.content", notes)


FORMAT = Format(description="one object per line with history and emo_point", recognises=recognises, read=read)
