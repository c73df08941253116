"""Count the tokens of a completion, with a tokeniser that is named in the record and needs no network."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import Connection

from perm_cli.dialogues.dialogue import Turn
from perm_cli.disk import scratch
from perm_cli.errors import RunError, SettingsError
from perm_cli.litellm_files import tokenizer_folder
from perm_cli.ratings.run_folder import RunFolder
from perm_cli.rewards.reward import Lengths, Recipe

SHIPPED = "cl100k_base"


def token_counter(name: str) -> Callable[[str], int]:
    """
    Return a function that counts tokens.

    `cl100k_base` is the encoding that LiteLLM ships; the path of a `tokenizer.json` takes the policy's own.
    """
    if name == SHIPPED:
        return _shipped_counter()
    path = Path(name)
    if not path.is_file():
        raise SettingsError(f"--tokenizer: {name!r} found, expected {SHIPPED} or the path of a tokenizer.json")
    from tokenizers import Tokenizer  # noqa: PLC0415 - only for a tokeniser of one's own

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the binding raises nothing narrower
        raise SettingsError(f"--tokenizer: {path}: {error}, expected a tokenizer.json") from error
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def completion_text(turn: Turn) -> str:
    """Return what the policy wrote for a turn: the analysis counts as much as the reply."""
    return turn.text if turn.analysis is None else f"# Analysis\n{turn.analysis}\n\n# Response\n{turn.text}"


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


def _shipped_counter() -> Callable[[str], int]:
    if folder := tokenizer_folder():
        os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(folder))
    import tiktoken  # noqa: PLC0415 - only where lengths are counted

    encoding = tiktoken.get_encoding(SHIPPED)
    return lambda text: len(encoding.encode(text, disallowed_special=()))
