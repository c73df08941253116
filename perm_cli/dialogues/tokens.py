"""Counting the tokens of a text, with a tokeniser that is recorded with the run and needs no network."""

import os
from collections.abc import Callable
from pathlib import Path

from perm_cli.dialogues.dialogue import Turn
from perm_cli.errors import SettingsError
from perm_cli.litellm_files import tokenizer_folder

SHIPPED = "cl100k_base"


def token_counter(name: str) -> Callable[[str], int]:
    """
    Return a function that counts the tokens of a text; raise `SettingsError` if there is no such tokeniser.

    `name` is `cl100k_base`, whose encoding LiteLLM ships, or the path of the policy's `tokenizer.json`.
    """
    if name == SHIPPED:
        return _shipped_counter()
    path = Path(name)
    if not path.is_file():
        raise SettingsError(f"--tokenizer: {name!r} found, expected {SHIPPED} or the path of a tokenizer.json")
    from tokenizers import Tokenizer  # noqa: PLC0415 - only for the policy's own tokeniser

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the binding raises nothing narrower
        raise SettingsError(f"--tokenizer: {path}: {error}, expected a tokenizer.json") from error
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def completion_text(turn: Turn) -> str:
    """Return the completion that the policy wrote for a turn: the analysis, if any, and the reply."""
    return turn.text if turn.analysis is None else f"# Analysis\n{turn.analysis}\n\n# Response\n{turn.text}"


def _shipped_counter() -> Callable[[str], int]:
    if folder := tokenizer_folder():
        # An environment variable of the whole process, which tiktoken reads when it loads an encoding. Without it,
        # tiktoken downloads the encoding.
        os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(folder))
    import tiktoken  # noqa: PLC0415 - only where lengths are counted

    encoding = tiktoken.get_encoding(SHIPPED)
    return lambda text: len(encoding.encode(text, disallowed_special=()))
