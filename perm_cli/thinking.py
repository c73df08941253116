"""Tell what a model said from what it thought, where both come in one text."""

import re

_TAG = re.compile(r"<(?P<end>/?)(?:think(?:ing)?|reasoning|thought)\s*>", re.IGNORECASE)


def without_thinking(text: str, filler: str = "") -> str | None:
    """Take thinking out, or put as much `filler` in its place; `None` if the text never comes out of it."""
    parts: list[str] = []
    said, opened = 0, None
    for tag in _TAG.finditer(text):
        if not tag["end"]:
            opened = tag.start() if opened is None else opened
            continue
        if opened is None:
            # The start of the block stood in the model's own template: all before its end is thinking.
            parts = [filler * tag.end()]
        else:
            parts += [text[said:opened], filler * (tag.end() - opened)]
        said, opened = tag.end(), None
    return None if opened is not None else "".join([*parts, text[said:]])
