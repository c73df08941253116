"""
Quotes in rationales: the passages that a judge puts in quotation marks, and whether they occur in the dialogue.

A quote is compared without regard to case, spaces, dashes and the kind of quotation marks, and without punctuation at
its ends; "..." and words in square brackets match any text. A quote that does not occur was invented or reworded by the
judge, or the quotation marks only set off a word.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

# The closing marks of each opening mark: languages use the same characters in different roles.
_CLOSING = {
    mark: re.compile(rf"(?<!\w)[{closing}]|[{closing}](?!\w)" if closing in "'’" else f"[{closing}]")
    for mark, closing in {
        '"': '"', "“": "”", "”": "”", "„": "“”", "«": "»", "»": "«", "「": "」", "『": "』", "‘": "’", "'": "'",
    }.items()
}  # fmt: skip
_OPENING = re.compile(r"""[“„«「『‘]|(?<!\d)"(?=\S)|(?<!\w)[”»'](?=\w)""")
_GAP = re.compile(r"\.{3,}|…|\[[^\[\]]*\]")
_SPACES = re.compile(r"\s+")
_CHARACTERS = re.compile(r"\s+|\S")
_ALIKE = str.maketrans(dict.fromkeys('’‘ʼ‚“”„«»"', "'") | dict.fromkeys("‐‑‒–—−", "-"))
_ENDS = " .,;:!?…-'"  # of the folded text
_LEAST = 6  # characters, or two words: anything shorter occurs in nearly every dialogue
_LONGEST = 400  # characters: a mark that is not closed within them opens no quote


@dataclass(frozen=True, slots=True)
class Quote:
    """
    A quote, by its start and end in the rationale.

    `source` is where it occurs: the index of the text, and start and end in it; None if it occurs nowhere.
    """

    start: int
    end: int
    source: tuple[int, int, int] | None


def quotes_in(rationale: str, texts: Sequence[str]) -> list[Quote]:
    """Return the quotes in a rationale in their order, each with its source among these texts."""
    found = []
    position = 0
    while opening := _OPENING.search(rationale, position):
        position = start = opening.end()
        end = _end(rationale, opening.group(), start)
        if end is None:
            continue
        position = end + 1
        wanted = _folded(rationale[start:end]).strip(_ENDS)
        if len(wanted) >= _LEAST or " " in wanted:
            found.append(Quote(start, end, _source(rationale[start:end], texts)))
    return found


def _end(text: str, mark: str, start: int) -> int | None:
    """Return the place of the closing mark, None if another quote opens first or there is none nearby."""
    closing = _CLOSING[mark].search(text, start, start + _LONGEST)
    if closing is None:
        return None
    end = closing.start()
    opens_another = text[end] == mark and text[end - 1].isspace() and not text[end + 1 : end + 2].isspace()
    return None if opens_another and end + 1 < len(text) else end


def _source(quote: str, texts: Sequence[str]) -> tuple[int, int, int] | None:
    split = _GAP.split(quote)
    # First as it stands: an ellipsis may be in the text itself.
    for parts in ([quote], split) if len(split) > 1 else ([quote],):
        pieces = [piece for part in parts if (piece := _folded(part).strip(_ENDS))]
        for number, text in enumerate(texts):
            span = _span(pieces, _folded(text))
            if span:
                return number, _place(text, span[0]), _place(text, span[1])
    return None


def _span(pieces: Sequence[str], folded: str) -> tuple[int, int] | None:
    """Return the start and end of the pieces in a text, one after the other, None if any is missing."""
    starts, end = [], 0
    for piece in pieces:
        at = folded.find(piece, end)
        if at < 0:
            return None
        starts.append(at)
        end = at + len(piece)
    return (starts[0], end) if starts else None


@lru_cache(maxsize=256)  # all ratings of a turn are compared with the same texts
def _folded(text: str) -> str:
    """Return the text folded for comparison: one character per character, and one per run of spaces."""
    plain = _SPACES.sub(" ", text.translate(_ALIKE))
    folded = plain.casefold()
    return folded if len(folded) == len(plain) else "".join(map(_lowered, plain))


def _lowered(character: str) -> str:
    """Return a character in lower case, or itself if its lower case is several characters."""
    return next((each for each in (character.casefold(), character.lower()) if len(each) == 1), character)


def _place(text: str, folded_place: int) -> int:
    """Return the place in a text of a place in its folded form."""
    if len(_folded(text)) == len(text):
        return folded_place
    return [*(match.start() for match in _CHARACTERS.finditer(text)), len(text)][folded_place]
