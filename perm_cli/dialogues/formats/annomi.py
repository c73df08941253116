"""AnnoMI: counselling transcripts, one row per utterance, or per utterance and annotator in the full edition."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.cells import number_or_text
from perm_cli.dialogues.files.fields import id_in, text_in
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import RoleMap, mapped_role
from perm_cli.dialogues.files.rows import Record, Row
from perm_cli.dialogues.files.steps import Made, NothingToJudge, each_group
from perm_cli.dialogues.files.talk import Utterance, joined_notes, said_in, turns_of, with_notes
from perm_cli.dialogues.format import Format

ROLES: RoleMap = {"client": "seeker", "therapist": "supporter"}
_NOTES = (
    *("main_therapist_behaviour", "client_talk_type"),
    *("therapist_input_subtype", "reflection_subtype", "question_subtype"),
)
_META = ("topic", "video_title", "video_url")
_NOTHING = (None, "", "n/a")


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    return "transcript_id" in fields and "utterance_text" in fields


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:
    """Yield one dialogue per transcript, whose rows are consecutive."""
    roles = reading.roles or ROLES
    return each_group(records, _transcript, lambda row: _said(row, roles), _dialogue)


def _transcript(row: Row) -> str:
    return id_in(row.fields.get("transcript_id"), "transcript_id")


def _said(row: Row, roles: RoleMap) -> Utterance:
    who = row.fields.get("annotator_id")
    speaker = text_in(row.fields.get("interlocutor"), "interlocutor")
    found = {name: number_or_text(row.fields.get(name)) for name in _NOTES}
    note = {name: value for name, value in found.items() if value not in _NOTHING}
    role = mapped_role(speaker, roles, "interlocutor")
    return Utterance(
        role=role,
        text=said_in(role, row.fields.get("utterance_text"), "utterance_text").strip(),
        notes={f"annotator {id_in(who, 'annotator_id')}": note} if note and who is not None else note,
    )


def _dialogue(rows: Sequence[Row], spoken: Sequence[Utterance | None]) -> Dialogue:
    turns, notes = turns_of(_once(rows, spoken))
    if all(turn.role == "seeker" for turn in turns):
        raise NothingToJudge("no therapist found, expected one to judge")
    first = rows[0].fields
    return Dialogue(
        id=_transcript(rows[0]),
        turns=turns,
        labels=with_notes({"mi_quality": first["mi_quality"]} if first.get("mi_quality") else {}, notes),
        meta={name: first[name] for name in _META if first.get(name)},
    )


def _once(rows: Sequence[Row], spoken: Sequence[Utterance | None]) -> Iterable[Utterance]:
    """Return each utterance once, with the notes of all its annotators."""
    utterances: dict[str, Utterance] = {}
    for row, said in zip(rows, spoken, strict=True):
        if said is not None:
            own = id_in(row.fields.get("utterance_id", row.number), "utterance_id")
            known = utterances.get(own)
            utterances[own] = replace(known, notes=joined_notes(known.notes, said.notes)) if known else said
    return utterances.values()


FORMAT = Format(
    description="a CSV file with transcript_id, interlocutor and utterance_text",
    recognises=recognises,
    read=read,
    container="table",
)
