"""Redaction of the API key from every text that is stored or shown, in whatever encoding an endpoint repeats it."""

import re
from base64 import b64encode
from urllib.parse import urlsplit

_MASK = "***"
_SHORTEST = 8
_SHORTEST_WORD = 16
_PIECE = 8
_ESCAPED = re.compile(r"[\\%&]")  # the first character of every escape; without one the slow pattern is skipped


class Redaction:
    """
    A function that replaces one API key in texts by asterisks.

    Placeholders such as `EMPTY`, `1` or `not-needed`, used for servers without a key, also occur in ordinary text. So a
    key shorter than 8 characters, or of letters only and shorter than 16, is not treated as secret.
    """

    def __init__(self, key: str | None) -> None:
        is_secret = key is not None and len(key) >= (_SHORTEST_WORD if key.isalpha() else _SHORTEST)
        self._key = key if key and is_secret else ""
        self._encoded = _encoded(self._key.encode()) if self._key else []
        self._spelled = re.compile("".join(map(_spellings, self._key))) if self._key else None

    def __call__(self, text: str) -> str:
        """Return `text` without the key, whether plain, in base64 or with escapes of JSON, URLs or HTML."""
        for each in filter(None, (self._key, *self._encoded)):
            text = text.replace(each, _MASK)
        return self._spelled.sub(_MASK, text) if self._spelled and _ESCAPED.search(text) else text

    def host_of(self, url: str) -> str:
        """Return host and port of a URL, or `elsewhere` if there is none or it contains a piece of the key."""
        try:
            host = urlsplit(url).netloc.rpartition("@")[2]
        except ValueError:
            return "elsewhere"
        folded, key = _folded(host), _folded(self._key)
        pieces = {key[place : place + _PIECE] for place in range(len(key) - _PIECE + 1)}
        return "elsewhere" if not host or any(piece in folded for piece in pieces) else host


def _folded(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))


def _spellings(character: str) -> str:
    """Return a pattern for a character, plain or in any escape, which may itself be escaped again."""
    code = ord(character)
    return (
        rf"(?:\\*{re.escape(character)}|\\+[uU]0*(?i:{code:x})|\\+x(?i:{code:02x})"
        rf"|%(?:25)*(?i:{code:02x})|&(?:amp;)*#(?:0*{code}|[xX]0*(?i:{code:x}));)"
    )


def _encoded(key: bytes) -> list[str]:
    """Return the key in base64 for each alignment among other bytes, without the digits that depend on neighbours."""
    cores = []
    for before in range(3):  # base64 encodes three bytes at a time, so the key may begin at any of three offsets
        digits = b64encode(bytes(before) + key).decode().rstrip("=")
        end = -1 if (before + len(key)) % 3 else None
        cores.append(digits[(0, 2, 3)[before] : end])
    return [each for core in cores for each in {core, core.replace("+", "-").replace("/", "_")}]
