"""MT-bench: questions of several turns and the answers of a model to them, joined on `question_id`."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.files.fields import checked_dialogue, id_in, list_in, object_in, words_in
from perm_cli.dialogues.files.joins import each_answer
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.rows import Record, Row, RowError
from perm_cli.dialogues.files.steps import Made
from perm_cli.dialogues.files.talk import turns_said
from perm_cli.dialogues.format import Format


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    return "question_id" in fields and bool(fields.keys() & {"choices", "turns"})


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:  # noqa: ARG001 - the order tells who speaks
    """Yield one dialogue per answer, by the first of its choices."""
    return each_answer(records, _id, lambda row: "choices" not in row.fields, _dialogue)


def _id(row: Row) -> str:
    return id_in(row.fields.get("question_id"), "question_id")


def _dialogue(question: Row, answer: Row) -> Dialogue:
    asked = list_in(question.fields.get("turns"), "turns")
    choice = object_in(list_in(answer.fields.get("choices"), "choices")[0], "choices[0]")
    told = list_in(choice.get("turns"), "choices[0].turns")
    if len(told) > len(asked):
        what = f"{len(told)} answers found to {len(asked)} questions"
        raise RowError([("choices[0].turns", f"{what}, expected an answer to each")])
    category = question.fields.get("category")
    dialogue = Dialogue(
        id=_id(answer),
        turns=tuple(_turns(asked, told)),
        system=words_in(answer.fields.get("model_id"), "model_id"),
        meta={"category": category} if category else {},
    )
    return checked_dialogue(dialogue, "choices[0].turns")


def _turns(asked: Iterable[object], told: Iterable[object]) -> Iterator[Turn]:
    for place, (question, reply) in enumerate(zip(asked, told, strict=False)):
        yield from turns_said("seeker", question, f"turns[{place}]", {})
        yield from turns_said("supporter", reply, f"choices[0].turns[{place}]", {})


FORMAT = Format(
    description="questions with question_id and turns, and answers with question_id and choices",
    recognises=recognises,
    read=read,
    is_joined=True,
)
