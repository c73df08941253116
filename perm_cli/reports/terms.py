"""Findings in groups, with each statistical term explained in the group that uses it first."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

TERMS: Mapping[str, str] = {
    "alpha": "Krippendorff's alpha (ordinal), agreement beyond chance: 1 is perfect, 0 is what chance would give",
    "rho": "Spearman's rank correlation: 1 if both orders of the replies are the same, 0 if unrelated, -1 if opposite",
    "counting": "rho of features that need no understanding: length, question marks, sympathy words, repeated words",
    "annotator test": (
        "whether the judge could replace one of the people: passed if, for at least half of them, it is as close to "
        "the others as that person is, within a margin that allows for its lower cost"
    ),
    "calibration": "the judge's levels mapped to people's by a map learned on other dialogues",
    "ties": "gives both replies the same score",
    "W": "Kendall's coefficient of concordance: 1 if all rankings are the same, 0 if they have nothing in common",
    "reliability": "ICC(A,k), expected agreement with another panel of as many such judges: 1 is perfect, 0 is none",
    "decisive": "significant at the 5 % level, adjusted for all comparisons in the same table (Holm)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Findings on one subject; a sentence that begins with two spaces belongs to the one before it."""

    title: str
    sentences: Sequence[str]
    terms: Mapping[str, str]


def grouped(found: Iterable[tuple[str, Sequence[str]]]) -> Iterator[Group]:
    """Yield pairs of a title and its findings as groups; a term is explained in the first group that uses it."""
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
