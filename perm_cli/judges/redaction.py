"""The API key in what an endpoint says: blotted out of every text that is kept or shown, however it is written."""

import re
from base64 import b64encode
from urllib.parse import urlsplit

_BLOT = "***"
_SHORTEST = 8
_SHORTEST_WORD = 16
_PIECE = 8
_ESCAPED = re.compile(r"[\\%&]")  # with which every other way to write a character begins


class Redaction:
    """
    Blot one key out of texts.

    Keys such as `EMPTY`, `1` or `not-needed` are what servers without a key are given, and stand in ordinary text:
    a key under 8 characters, or a single word under 16, is no secret and stays.
    """

    def __init__(self, key: str | None) -> None:
        is_secret = key is not None and len(key) >= (_SHORTEST_WORD if key.isalpha() else _SHORTEST)
        self._key = key if key and is_secret else ""
        self._encoded = _encoded(self._key.encode()) if self._key else []
        self._spelled = re.compile("".join(map(_spellings, self._key))) if self._key else None

    def __call__(self, text: str) -> str:
        """Return `text` without the key: plain, with escapes of JSON, of URLs or of HTML, or in base64."""
        for each in filter(None, (self._key, *self._encoded)):
            text = text.replace(each, _BLOT)
        return self._spelled.sub(_BLOT, text) if self._spelled and _ESCAPED.search(text) else text

    def host_of(self, url: str) -> str:
        """Return host and port of a URL, or `elsewhere` if it has none or one that holds a piece of the key."""
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
    """Return a pattern for a character, itself or in any escape, which may itself be escaped again."""
    code = ord(character)
    return (
        rf"(?:\\*{re.escape(character)}|\\+[uU]0*(?i:{code:x})|\\+x(?i:{code:02x})"
        rf"|%(?:25)*(?i:{code:02x})|&(?:amp;)*#(?:0*{code}|[xX]0*(?i:{code:x}));)"
    )


def _encoded(key: bytes) -> list[str]:
    """Return what base64 makes of the key wherever it stands among other bytes, apart from its first and last sign."""
    cores = []
    for before in range(3):
        signs = b64encode(bytes(before) + key).decode().rstrip("=")
        end = -1 if (before + len(key)) % 3 else None
        cores.append(signs[(0, 2, 3)[before] : end])
    return [each for core in cores for each in {core, core.replace("+", "-").replace("/", "_")}]
