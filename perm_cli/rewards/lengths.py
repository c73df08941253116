"""The tokens of the turns in a run folder, for the length term of the reward."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from sqlite3 import Connection

from perm_cli.dialogues.tokens import completion_text, token_counter
from perm_cli.disk import scratch
from perm_cli.errors import RunError
from perm_cli.ratings.run_folder import RunFolder
from perm_cli.rewards.formula import Recipe
from perm_cli.rewards.reward import Lengths


@contextmanager
def lengths_in(folder: RunFolder, recipe: Recipe) -> Iterator[Lengths | None]:
    """
    Return the tokens of the turns in a run folder for the time of the `with` block, None if the recipe needs none.

    Of a dialogue that was edited, the last version counts; raise `RunError` for one the folder does not hold.
    """
    if not recipe.length_penalty:
        yield None
        return
    with closing(scratch()) as counted:
        _count(folder, token_counter(recipe.tokenizer), counted)
        query = "SELECT tokens FROM lengths WHERE id = ? AND system = ? AND turn = ? ORDER BY rowid DESC LIMIT 1"

        def length(*place: object) -> int:
            found = counted.execute(query, place).fetchone()
            if not found:
                raise RunError(
                    f"{folder.path}/dialogues.jsonl: no dialogue {place[0]!r} found, expected all that were rated"
                )
            return int(found[0])

        yield length


def _count(folder: RunFolder, count: Callable[[str], int], database: Connection) -> None:
    database.execute("CREATE TABLE lengths (id TEXT, system TEXT, turn INTEGER, tokens INTEGER)")
    rows = (
        (dialogue.id, dialogue.system, place, count(completion_text(turn)))
        for dialogue in folder.dialogues()
        for place, turn in enumerate(dialogue.turns, 1)
        if turn.role == "supporter"
    )
    database.executemany("INSERT INTO lengths VALUES (?, ?, ?, ?)", rows)
    database.execute("CREATE INDEX by_turn ON lengths (id, system, turn)")
