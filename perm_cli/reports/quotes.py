"""
Quotes in rationales: what a judge puts between quotation marks, and whether anybody has said it.

A quote is held against the talk with case, spaces, dashes and the shape of quotation marks ignored, and without the
punctuation at its ends; where it has "..." or a word in brackets, anything may have stood. One that does not occur
was made up or reworded by the judge, or is no quote but a word set off.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

# The closing marks of each opening one; languages use the same signs in other roles.
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
_ENDS = " .,;:!?…-'"  # of what is folded
_LEAST = 6  # characters, or two words: less is found in any talk
_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Quote:
    """
    A quote by its place in the rationale.

    `source` is where it was said, by text and place in it, None if nobody has said it.
    """

    start: int
    end: int
    source: tuple[int, int, int] | None


def quotes_in(rationale: str, texts: Sequence[str]) -> list[Quote]:
    """Return the quotes in a rationale, looked for in these texts, in the order they stand in."""
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
    """Return the place of the closing mark, None if another quote opens before it or there is none near."""
    closing = _CLOSING[mark].search(text, start, start + _LONGEST)
    if closing is None:
        return None
    end = closing.start()
    opens_another = text[end] == mark and text[end - 1].isspace() and not text[end + 1 : end + 2].isspace()
    return None if opens_another and end + 1 < len(text) else end


def _source(quote: str, texts: Sequence[str]) -> tuple[int, int, int] | None:
    split = _GAP.split(quote)
    for parts in ([quote], split) if len(split) > 1 else ([quote],):
        pieces = [piece for part in parts if (piece := _folded(part).strip(_ENDS))]
        for number, text in enumerate(texts):
            span = _span(pieces, _folded(text))
            if span:
                return number, _place(text, span[0]), _place(text, span[1])
    return None


def _span(pieces: Sequence[str], folded: str) -> tuple[int, int] | None:
    """Return from where to where the pieces stand in a text, one after the other."""
    starts, end = [], 0
    for piece in pieces:
        at = folded.find(piece, end)
        if at < 0:
            return None
        starts.append(at)
        end = at + len(piece)
    return (starts[0], end) if starts else None


@lru_cache(maxsize=256)  # every rating of a turn is held against the same texts
def _folded(text: str) -> str:
    """Return the text for comparing, a character for each of its own and one for each run of spaces."""
    plain = _SPACES.sub(" ", text.translate(_ALIKE))
    folded = plain.casefold()
    return folded if len(folded) == len(plain) else "".join(map(_lowered, plain))


def _lowered(character: str) -> str:
    """Return a character without its case, itself if that would be several."""
    return next((each for each in (character.casefold(), character.lower()) if len(each) == 1), character)


def _place(text: str, folded_place: int) -> int:
    """Return where in a text a place in its folded form is."""
    if len(_folded(text)) == len(text):
        return folded_place
    return [*(match.start() for match in _CHARACTERS.finditer(text)), len(text)][folded_place]
