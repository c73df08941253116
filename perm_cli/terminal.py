"""Text from dialogues and judges, made harmless for a terminal and for a line of a log."""

import re

# Control characters (escape sequences start with one), invisible and direction-changing characters,
# and everything a terminal or a pager takes for the end of a line.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)


def one_line(text: str, limit: int = 200) -> str:
    """Return `text` on one line of at most `limit` characters, with unsafe characters spelled out."""
    shown = _UNSAFE.sub(_spelled, text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def harmless(text: str) -> str:
    """Return `text` with its lines and unsafe characters spelled out."""
    return "\n".join(_UNSAFE.sub(_spelled, line) for line in text.split("\n"))


def _spelled(match: re.Match[str]) -> str:
    character = match.group()
    return " " if character in "\t\n\r" else f"\\u{ord(character):04x}"
