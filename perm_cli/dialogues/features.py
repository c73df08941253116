"""
Features that can be counted in a reply without understanding it: length, questions, sympathy words, repeated words.

They are a control: a judge that correlates with people no better than these is a word counter. The list of words is
English and this project's own; it is not a measure of empathy.
"""

import math
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from operator import attrgetter

from perm_cli.dialogues.dialogue import Dialogue

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_QUESTION = re.compile(r"[?？]+")  # "???" is one question
SYMPATHY = frozenset(
    """
    ache afraid alone angry anxious appreciate awful brave burden care cares caring comfort confusing courage cry
    difficult disappointed disappointing dread exhausted exhausting fear feel feeling feelings feels felt frightening
    frustrated frustrating grief grieving guilty hard hear heard heartbreaking heartbroken heavy hope hug hurt hurting
    hurts imagine kind listen listening loneliness lonely loss lost love overwhelmed overwhelming pain painful
    proud rough sad sadness scared scary seem seems share sharing sorry sounds stress stressed stressful strong struggle
    struggling support supported tears terrible thank tough trust unfair understand understandable upset upsetting
    valid worried worry worrying
    """.split()  # noqa: SIM905 - a list of a hundred words reads best as text
)
_COMMON = frozenset(
    """
    a about after all also am an and any are as at be because been but by can could did do does doing don't for from
    get had has have he her him his how i i'm if in into is it it's its just like me more my no not now of on one or our
    out really she so some than that that's the their them then there they this to too up us very was we were what when
    where which who why will with would you you're your
    """.split()  # noqa: SIM905 - the same
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """
    The counted features of one supporter turn.

    `length` is the natural logarithm of the number of words plus one, `questions` the number of question marks,
    `sympathy` the words of sympathy per hundred words, and `overlap` the share of the seeker's content words so far
    that the reply repeats.
    """

    length: float
    questions: float
    sympathy: float
    overlap: float


NAMES = tuple(Features.__dataclass_fields__)
_in_order = attrgetter(*NAMES)
DESCRIPTIONS: Mapping[str, str] = {
    "length": "length",
    "questions": "question marks",
    "sympathy": "words of sympathy",
    "overlap": "words repeated from the seeker",
}


def features_of(reply: str, seeker: str) -> Features:
    """Return the features of a reply to everything that the seeker has said so far."""
    return features_after(reply, content_words(seeker))


def features_after(reply: str, said: AbstractSet[str]) -> Features:
    """Return the features of a reply to a seeker whose content words so far are `said`."""
    words = _words(reply)
    return Features(
        length=math.log1p(len(words)),
        questions=float(len(_QUESTION.findall(reply))),
        sympathy=100.0 * sum(map(SYMPATHY.__contains__, words)) / len(words) if words else 0.0,
        overlap=len(said & set(words)) / len(said) if said else 0.0,
    )


def content_words(text: str) -> set[str]:
    """Return the distinct words of a text without the common ones."""
    return set(_words(text)) - _COMMON


def features_by_turn(dialogue: Dialogue) -> dict[int, Features]:
    """Return the features of every supporter turn, by its number from 1."""
    said: set[str] = set()
    found = {}
    for place, turn in enumerate(dialogue.turns, 1):
        if turn.role == "seeker":
            said |= content_words(turn.text)
        else:
            found[place] = features_after(turn.text, said)
    return found


def as_row(features: Features) -> list[float]:
    """Return the features in the order of `NAMES`."""
    return list(_in_order(features))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower().replace("’", "'"))
