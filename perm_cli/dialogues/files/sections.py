"""A policy's answer in the paper's form: an `# Analysis` section, then a `# Response` section (arXiv 2601.10532)."""

import re
from dataclasses import dataclass

from perm_cli.text import without_thinking

_BOLD = r"(?:\*\*|__)"
_HEADING = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t*_]*(?P<marked>analysis|response)[ \t*_:：]*\r?$"
    rf"|{_BOLD}[ \t]*(?P<bold>analysis|response)[ \t]*"
    rf"(?:{_BOLD}[ \t]*\r?$|(?:[:：][ \t]*{_BOLD}|{_BOLD}[ \t]*[:：])))",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A policy's answer in its parts: the response that the seeker reads, and the analysis if there is one."""

    response: str
    analysis: str | None


def read_answer(text: str, *, opened: bool = False) -> Answer:
    """
    Return the sections of an answer.

    An answer without headings is all response. One with an analysis and no response section says nothing to the seeker,
    so its response is empty. Thinking belongs to neither section, and thinking that never ends leaves both empty;
    `opened` is true if the chat template has already opened it.
    """
    text = without_thinking(text, opened=opened) or ""
    headings = list(_HEADING.finditer(text))
    if not headings:
        return Answer(text.strip(), None)
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    parts = {
        (h["marked"] or h["bold"]).lower(): text[h.end() : end].strip() for h, end in zip(headings, ends, strict=True)
    }
    return Answer(parts.get("response", ""), parts.get("analysis") or None)
