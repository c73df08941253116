"""Token counts of the supporter turns in a run folder, for the length term of the reward."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from sqlite3 import Connection

from perm_cli.dialogues.tokens import completion_text, token_counter
from perm_cli.disk import scratch_database
from perm_cli.errors import RunError
from perm_cli.ratings.run_folder import RunFolder
from perm_cli.rewards.formula import Recipe
from perm_cli.rewards.reward import Lengths


@contextmanager
def lengths_in(folder: RunFolder, recipe: Recipe) -> Iterator[Lengths | None]:
    """
    Yield a function that returns the tokens of a supporter turn, or None if the recipe has no length penalty.

    The last version of an edited dialogue counts. The function raises `RunError` for a dialogue that the folder lacks.
    """
    if not recipe.length_penalty:
        yield None
        return
    # All turns are counted once, into a table on disk: rewards come in another order than dialogues.
    with closing(scratch_database()) as counted:
        _count(folder, token_counter(recipe.tokenizer), counted)
        query = "SELECT tokens FROM lengths WHERE id = ? AND system = ? AND turn = ? ORDER BY rowid DESC LIMIT 1"

        def length(*place: object) -> int:
            found = counted.execute(query, place).fetchone()
            if not found:
                raise RunError(
                    f"{folder.path}/dialogues.jsonl: dialogue {place[0]!r} is missing, although it was rated"
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
