"""
Fences around what seekers and supporters wrote, which the text inside them cannot close.

Two measures protect the judge from hostile text. Every line of it starts with a bar, so it cannot begin a heading or
a verdict line. And the fence's code is a hash over the text inside it and over the turns before, so to close the
fence early an author would have to write a text that contains its own hash.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from string import ascii_lowercase
from typing import NamedTuple

# Characters that a reader cannot see or that change the reading order: controls, zero-width and direction marks, all
# that Unicode lets programs ignore, and blanks that are not spaces. Joiners and the variation selector of emoji
# are among them; `_needed` keeps those that change what is shown.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U00013441\U00013442\U00016fe4"
    r"\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
_JOINERS = "\u200c\u200d"
_EMOJI = "\ufe0f"
_KEYCAP = "\u20e3"
_LAST_ASCII = "\x7f"
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# Beginnings of the control tokens of chat templates: <|im_start|>, </s>, <start_of_turn>, <think>, <｜User｜>,
# [INST], [|user|], [gMASK], [@BOS@], ]~b]user, ]<]speech[>[, ]!p~[. With a space after the bracket they stay readable,
# and no tokeniser takes them for control tokens.
_ROLE_MARKER = re.compile(r"<(?=[A-Za-z/|\uff5c_!?0])|\[(?=[A-Za-z/|_@])|\](?=~|<\]|!\w{1,8}~)")

_FENCED = re.compile(
    r"^\[(?P<label>[^|\n]*) \| begin (?P<code>[a-z]+)\]\n(?P<body>(?:\|[^\n]*\n)*)\[end (?P=code)\]$", re.MULTILINE
)
_CODE_LETTERS = 12
# Part of every digest; raise it whenever the same text is fenced differently, so that old ratings are not reused.
_LAYOUT = b"1"


@dataclass(frozen=True)
class Fence:
    """A label, a quoted body, and a digest over both and the fence before, from which the code is made."""

    label: str
    body: str
    digest: bytes

    @cached_property
    def block(self) -> str:
        """Return the fenced text; built on first use, since a resumed run needs few of them."""
        code = _spelled(self.digest)
        return f"[{self.label} | begin {code}]\n{self.body}\n[end {code}]"


def fenced(label: str, text: str, after: bytes = b"") -> Fence:
    """Return `text` fenced under `label`; `after` is the digest of the fence before it."""
    body = _quoted(text)
    digest = blake2b(b"\x00".join((_LAYOUT, after, label.encode(), body.encode())), digest_size=16).digest()
    return Fence(label, body, digest)


class Block(NamedTuple):
    """A fenced text in a prompt: its label, the text without bars, and the position in the prompt where it ends."""

    label: str
    body: str
    end: int


def unfenced(prompt: str, start: int = 0) -> Iterator[Block]:
    """Yield the fenced texts in a prompt from position `start`, in order."""
    for match in _FENCED.finditer(prompt, start):
        lines = match["body"][:-1].split("\n")
        yield Block(match["label"], "\n".join(line[1:].removeprefix(" ") for line in lines), match.end())


def _quoted(text: str) -> str:
    visible = text
    if not (text.isascii() and text.replace("\n", "").isprintable()):  # a cheap test that most texts pass
        visible = _INVISIBLE.sub(_needed, _SURROGATE.sub("\ufffd", text))
    if "<" in visible or "[" in visible or "]" in visible:
        visible = _ROLE_MARKER.sub(r"\g<0> ", visible)
    return "\n".join(f"| {line}" for line in visible.splitlines()) or "|"


def _needed(run: re.Match[str]) -> str:
    """Return the invisible characters of a run that change what is shown: a joiner between letters, an emoji mark."""
    before, after = run.string[run.start() - 1 : run.start()], run.string[run.end() : run.end() + 1]
    is_marked = _EMOJI in run.group() and (after == _KEYCAP or (before > _LAST_ASCII and not before.isalpha()))
    joiner = next((each for each in run.group() if each in _JOINERS), "")
    is_joined = before > _LAST_ASCII and after > _LAST_ASCII
    return (_EMOJI if is_marked else "") + (joiner if is_joined else "")


def _spelled(digest: bytes) -> str:
    """Return the first 56 bits as letters, since tokenisers make one token of every digit."""
    number, letters = int.from_bytes(digest[:7]), []
    for _ in range(_CODE_LETTERS):
        number, letter = divmod(number, len(ascii_lowercase))
        letters.append(ascii_lowercase[letter])
    return "".join(letters)
