"""
Quotes in rationales: what a judge puts between quotation marks, and whether anybody has said it.

A quote is held against the talk with case, spaces and the shape of quotation marks ignored, and without the
punctuation at its ends. One that does not occur was made up by the judge, or is no quote but a word set off.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_MARKS = {'"': '"', "“": "”", "”": "”", "„": "“", "«": "»", "「": "」", "‘": "’", "'": "'"}
_OPENING = re.compile(r"""["“„«「‘]|(?<![\w'])'(?=\S)""")
_ENDS = " \t\n.,;:!?…-–—\"'“”‘’"
_LEAST = 6  # characters, or two words: less is found in any talk
_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Quote:
    """
    Hold a quote by its place in the rationale; `source` is where it was said, by text and place in it.

    None if nobody has said it.
    """

    start: int
    end: int
    source: tuple[int, int, int] | None


def quotes_in(rationale: str, texts: Sequence[str]) -> list[Quote]:
    """Return the quotes in a rationale, looked for in these texts."""
    folded = [_folded(text) for text in texts]
    found = []
    position = 0
    while opening := _OPENING.search(rationale, position):
        start = opening.end()
        closing = _closing(rationale, opening.group(), start)
        if closing is None:
            position = start
            continue
        position = closing + 1
        wanted = _folded(rationale[start:closing].strip(_ENDS))[0]
        if len(wanted) >= _LEAST or " " in wanted:
            found.append(Quote(start, closing, _source(wanted, folded)))
    return found


def _closing(text: str, mark: str, start: int) -> int | None:
    closing = _MARKS[mark]
    for place in range(start, min(start + _LONGEST, len(text))):
        inside_word = closing in "’'" and text[place - 1 : place].isalnum() and text[place + 1 : place + 2].isalnum()
        if text[place] == closing and not inside_word:
            return place
    return None


def _source(wanted: str, folded: Sequence[tuple[str, list[int]]]) -> tuple[int, int, int] | None:
    for number, (text, places) in enumerate(folded):
        at = text.find(wanted)
        if at >= 0:
            return number, places[at], places[at + len(wanted) - 1] + 1
    return None


def _folded(text: str) -> tuple[str, list[int]]:
    """Return the text for comparing, and of each of its characters the place it comes from."""
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        plain = " " if character.isspace() else "'" if character in "’‘ʼ" else '"' if character in "“”„" else character
        if plain == " " and characters and characters[-1] == " ":
            continue
        for folded in plain.casefold():
            characters.append(folded)
            places.append(place)
    return "".join(characters), places
