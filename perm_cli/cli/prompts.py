"""`perm prompts`: exactly what the judge would be sent."""

import sys
from typing import Annotated

import typer

from perm_cli.cli.options import DialogueOptions, Files
from perm_cli.errors import SettingsError
from perm_cli.text import one_line


def prompts(
    files: Files,
    dialogues: DialogueOptions,
    dimension: Annotated[str | None, typer.Option(help="Show this dimension only.", show_default=False)] = None,
    dialogue_id: Annotated[
        str | None, typer.Option("--id", help="Show this dialogue only.", show_default=False)
    ] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Print what is sent with --structured text.")] = False,
) -> None:
    """Print exactly what would be sent to the judge."""
    from perm_cli.cli.from_options import book_of, checked_dimension, opened_sources, reading_of
    from perm_cli.dialogues.check import check_dialogues, read_dialogues

    reading = reading_of(dialogues)
    book = book_of(dialogues, "lines" if lines else "json")
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
