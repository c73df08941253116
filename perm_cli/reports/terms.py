"""Findings in groups, each with the terms that it uses explained where they first stand."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

TERMS: Mapping[str, str] = {
    "alpha": "Krippendorff's alpha, how far raters agree: 1 wholly, 0 as far as chance would have it",
    "rho": "rank correlation, whether two sides put the replies in the same order: 1 wholly, 0 not at all",
    "counting": "what mere counts reach: length, question marks, words of sympathy, words taken up",
    "annotator test": (
        "whether the judge is near enough to the people to take the place of one of them: passed if it is nearer to "
        "the others than most of them are"
    ),
    "calibration": "the judge's levels mapped to people's, as learned from other dialogues",
    "ties": "gives both replies the same score",
    "W": "Kendall's W, how far rankings agree: 1 wholly, 0 not at all",
    "reliability": "how far another panel of as many such judges would agree with this one: 1 wholly, 0 not at all",
    "decisive": "too large a difference for chance, all comparisons made here taken into account",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Findings on one thing; one that begins with two spaces belongs to the one before it."""

    title: str
    sentences: Sequence[str]
    terms: Mapping[str, str]


def grouped(found: Iterable[tuple[str, Sequence[str]]]) -> Iterator[Group]:
    """Yield findings, by title, as groups; each explanation stands in the first group that has its term."""
    explained: set[str] = set()
    for title, sentences in found:
        if not sentences:
            continue
        text = "\n".join(sentences)
        terms = {
            term: says
            for term, says in TERMS.items()
            if says not in explained and re.search(rf"(?<![\w-]){term}(?![\w-])", text)
        }
        explained |= set(terms.values())
        yield Group(title=title, sentences=sentences, terms=terms)
