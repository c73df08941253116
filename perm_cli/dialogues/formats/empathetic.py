"""EmpatheticDialogues: one row per utterance, by a speaker who describes a situation and a listener in turn."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.cells import number_or_text
from perm_cli.dialogues.files.fields import id_in, words_in
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import RoleMap, mapped_role
from perm_cli.dialogues.files.rows import Record, Row, RowError
from perm_cli.dialogues.files.steps import Made, NothingToJudge, each_group
from perm_cli.dialogues.files.talk import Utterance, turns_of
from perm_cli.dialogues.format import Format
from perm_cli.findings import shown

ROLES: RoleMap = {"speaker": "seeker", "listener": "supporter"}


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    return "conv_id" in fields and "utterance" in fields


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:
    """Yield one dialogue per conversation, whose rows are consecutive."""
    roles = reading.roles or ROLES
    return each_group(records, _conversation, lambda row: _said(row, roles), _dialogue)


def _conversation(row: Row) -> str:
    return id_in(row.fields.get("conv_id"), "conv_id")


def _said(row: Row, roles: RoleMap) -> Utterance | None:
    place = number_or_text(row.fields.get("utterance_idx"))
    if not isinstance(place, int):
        raise RowError([("utterance_idx", f"{shown(place)} found, expected a number")])
    role = mapped_role("speaker" if place % 2 else "listener", roles, "utterance_idx")
    text = _text(row, "utterance")
    return Utterance(role=role, text=text) if text or role == "supporter" else None


def _dialogue(rows: Sequence[Row], spoken: Sequence[Utterance | None]) -> Dialogue:
    turns, _ = turns_of(spoken)
    if all(turn.role == "seeker" for turn in turns):
        raise NothingToJudge("no listener found, expected a reply to judge")
    evaluated = _text(rows[0], "selfeval")
    return Dialogue(
        id=_conversation(rows[0]),
        turns=turns,
        scenario=_text(rows[0], "prompt"),
        labels={"selfeval": _evaluation(evaluated)} if evaluated else {},
        meta={"emotion": _text(rows[0], "context")},
    )


def _text(row: Row, field: str) -> str:
    return words_in(row.fields.get(field), field).replace("_comma_", ",").strip()


def _evaluation(text: str) -> list[list[Any]]:
    """Return the ratings that the two sides gave each other, from a text such as 5|5|5_2|2|5."""
    return [[number_or_text(mark) for mark in marks.split("|")] for marks in text.split("_")]


FORMAT = Format(
    description="a CSV file with conv_id, utterance_idx, prompt and utterance",
    recognises=recognises,
    read=read,
    container="table",
)
