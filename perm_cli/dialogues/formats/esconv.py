"""ESConv and its failed dialogues: emotional support between people, with a survey and annotations of single turns."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.cells import number_or_text
from perm_cli.dialogues.files.fields import id_in, list_in, object_in, text_in, words_in
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import RoleMap, mapped_role
from perm_cli.dialogues.files.rows import Record
from perm_cli.dialogues.files.steps import Made, NothingToJudge, one_per_row
from perm_cli.dialogues.files.talk import Utterance, said_in, turns_of, with_notes
from perm_cli.dialogues.format import Format

ROLES: RoleMap = {
    "seeker": "seeker",
    "supporter": "supporter",
    "speaker": "seeker",
    "listener": "supporter",
    "usr": "seeker",
    "sys": "supporter",
}
_NOTES = ("strategy", "feedback")
_META = (
    *("experience_type", "emotion_type", "problem_type"),
    *("seeker_question1", "seeker_question2", "supporter_question1", "supporter_question2"),
)


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    return "dialog" in fields


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:
    """Yield one dialogue per row."""
    return one_per_row(records, to_dialogue, reading.roles or ROLES)


def to_dialogue(fields: Mapping[str, Any], roles: RoleMap, fallback_id: str) -> Dialogue:
    """Return the row as a dialogue; raise `RowError` if it is not one."""
    entries = list_in(fields.get("dialog"), "dialog")
    turns, notes = turns_of(_said(entry, f"dialog[{place}]", roles) for place, entry in enumerate(entries))
    if all(turn.role == "seeker" for turn in turns):
        raise NothingToJudge("no supporter turn found, expected at least one to judge")
    return Dialogue(
        id=fallback_id if fields.get("id") is None else id_in(fields["id"]),
        turns=turns,
        scenario=words_in(fields.get("situation"), "situation"),
        labels=with_notes(_survey(object_in(fields.get("survey_score"), "survey_score")), notes),
        meta={name: fields[name] for name in _META if fields.get(name) is not None},
    )


def _said(entry: object, field: str, roles: RoleMap) -> Utterance:
    said = object_in(entry, field)
    role = mapped_role(text_in(said.get("speaker"), f"{field}.speaker"), roles, f"{field}.speaker")
    name = "text" if "content" not in said and "text" in said else "content"
    text = said_in(role, said.get(name), f"{field}.{name}").strip()
    noted = {**said, **object_in(said.get("annotation"), f"{field}.annotation")}
    note = {each: number_or_text(noted[each]) for each in _NOTES if noted.get(each) is not None}
    return Utterance(role=role, text=text, notes=note)


def _survey(survey: Mapping[str, Any]) -> dict[str, Any]:
    """Return the survey as labels, the supporter's with another prefix, since both sides rate relevance."""
    labels: dict[str, Any] = {}
    for who, answers in survey.items():
        for name, answer in object_in(answers, f"survey_score.{who}").items():
            labels[f"survey_{name}" if who == "seeker" else f"{who}_{name}"] = number_or_text(answer)
    return labels


FORMAT = Format(description="a list of objects with dialog and survey_score", recognises=recognises, read=read)
