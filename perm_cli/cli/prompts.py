"""`perm prompts`: exactly what the judge would be sent."""

import sys
from collections.abc import Sequence

from perm_cli.cli.from_options import book_of, opened_sources, reading_of
from perm_cli.cli.options import DialogueOptions
from perm_cli.cli.rubrics import checked_dimension
from perm_cli.dialogues.check import check_dialogues, read_dialogues
from perm_cli.errors import SettingsError
from perm_cli.text import one_line


def run(
    files: Sequence[str],
    options: DialogueOptions,
    dimension: str | None,
    dialogue_id: str | None,
    *,
    lines: bool,
) -> None:
    """Do what the command says."""
    reading = reading_of(options)
    book = book_of(options, "lines" if lines else "json")
    if dimension is not None:
        checked_dimension(book.pack, dimension, "--dimension")
    shown = False
    with opened_sources(files) as sources:
        check_dialogues(sources, reading)
        for dialogue in read_dialogues(sources, reading):
            if dialogue_id not in {None, dialogue.id}:
                continue
            for question in book.questions(dialogue, reading.turns, dimension):
                prompt = book.prompt(question)
                head = f"{question.dialogue_id} {question.system} turn {question.turn} {question.dimension.name}"
                print(f"===== {one_line(head)}: system =====\n{prompt.instructions}")
                print(f"===== {one_line(head)}: user =====\n{prompt.case}\n")
                shown = True
    if not shown:
        raise SettingsError(f"--id: {dialogue_id!r} found, expected the id of a dialogue in the input")
    sys.stdout.flush()
