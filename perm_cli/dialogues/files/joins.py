"""Joining answers with their questions in another file; both files are in memory for it."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import partial

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.rows import Record, Row, RowError
from perm_cli.dialogues.files.sources import Remark
from perm_cli.dialogues.files.steps import Made, Skipped
from perm_cli.errors import Problem
from perm_cli.findings import shown


def each_answer(
    records: Iterable[Record],
    key: Callable[[Row], Hashable],
    is_question: Callable[[Row], bool],
    to_dialogue: Callable[[Row, Row], Dialogue],
) -> Iterator[Made]:
    """Yield one dialogue per answer, made by a function of the question and the answer."""
    questions: dict[Hashable, Row] = {}
    answers: list[tuple[Hashable, Row]] = []  # a list, since several models answer the same question
    for record in records:
        if not isinstance(record, Row):
            yield record
            continue
        try:
            own = key(record)
        except RowError as error:
            yield from record.problems(error)
            continue
        if is_question(record):
            questions.setdefault(own, record)
        else:
            answers.append((own, record))
    yield from _one_sided(questions, answers) or _joined(questions, answers, to_dialogue)


def _one_sided(questions: dict[Hashable, Row], answers: list[tuple[Hashable, Row]]) -> list[Problem]:
    """Return the problem if one of the two files is missing."""
    if questions and not answers:
        what = "questions without answers found; pass the file of answers in the same command"
        return [Problem(next(iter(questions.values())).source, 0, "", what)]
    if answers and not questions:
        what = "answers without questions found; pass the file of questions in the same command"
        return [Problem(answers[0][1].source, 0, "", what)]
    return []


def _joined(
    questions: dict[Hashable, Row],
    answers: list[tuple[Hashable, Row]],
    to_dialogue: Callable[[Row, Row], Dialogue],
) -> Iterator[Made]:
    skipped = Skipped()
    for own, answer in answers:
        if own in questions:
            yield from skipped.made(answer, partial(to_dialogue, questions[own], answer))
        else:
            yield answer.problem("", f"an answer to {shown(own)} found, expected its question in one of the files")
    yield from skipped.summary()
    if unanswered := questions.keys() - {own for own, _ in answers}:
        count = "1 question" if len(unanswered) == 1 else f"{len(unanswered):,} questions"
        first = next(row for own, row in questions.items() if own in unanswered)
        yield Remark(first.source, 0, f"{count} without an answer, the first at {first.path or f'line {first.number}'}")
