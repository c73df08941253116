"""Conversations of the Sentient Agent benchmark (SAGE), a file a model; a simulated seeker says how it feels."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.records import Item, Made, NothingToJudge, Row, each_row
from perm_cli.dialogues.files.rows import RoleMap, id_in, list_in, mapped_role, object_in, text_in, words_in
from perm_cli.dialogues.files.talk import SILENT, Said, answered, turns_of, with_notes

SAYS = "one object a line with history and emo_point"
ROLES: RoleMap = {"user": "seeker", "assistant": "supporter"}
_WHO = "simulated"  # no person has felt this
_LABELS = ("emo_point", "emo_state")
_META = ("target", "topic", "task", "character")


def recognises(row: Mapping[str, Any]) -> bool:
    """Tell whether the row looks like this format."""
    return "history" in row and "emo_point" in row


def read(items: Iterable[Item], reading: Reading) -> Iterator[Made]:
    """Yield a dialogue a row; no row says which model answered, so that the file's name does."""
    roles = reading.roles or ROLES
    return each_row(items, lambda row: _dialogue(row, roles))


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


def _said(entry: object, field: str, roles: RoleMap) -> Said | None:
    said = object_in(entry, field)
    name = text_in(said.get("role"), f"{field}.role")
    if name in SILENT and name not in roles:
        return None
    role = mapped_role(name, roles, f"{field}.role")
    if role == "seeker":
        point = said.get("emotion-point")
        text = text_in(said.get("content"), f"{field}.content")
        return Said(role=role, text=text, notes={} if point is None else {_WHO: {"emotion_point": point}})
    answer = answered(said.get("content"), f"{field}.content")
    return Said(role=role, text=answer.response, analysis=answer.analysis)
