"""
Read a judge's reply: the verdict in it, or the reason why there is none.

Every rule here was broken by somebody's judge. The last verdict wins and nothing earlier stands in for it; off
the scale is `out_of_range`, never clamped; a number in the rationale is no verdict. Reading never raises,
whatever the text.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from perm_cli.prompts.rubrics import Dimension
from perm_cli.ratings.verdict_objects import Object, objects_in, parsed, whole_object
from perm_cli.text import without_thinking

VerdictStatus = Literal["scored", "refused", "truncated", "unparseable", "out_of_range"]

_BLANK = r"[^\S\n]"
# Possessive: a long run of markup is walked once, however hostile the reply.
_MARKUP = rf"(?:{_BLANK}|[*_#>`~\"'|•-])*+"
_MARKUP_AFTER = rf"(?:{_BLANK}|[*_#>`~\"'|•])*+"  # a minus sign behind the label belongs to the number
_LABEL_WORDS = rf"(?:(?:my|the|your|final|overall|total|empathy|resonation|expression|reception){_BLANK}++)*+"
_NUMBERED = rf"(?:\d{{1,2}}[.)]{_MARKUP})?"
_SCORE_WORDS = r"(?:score|rating|(?:最[终終]|[综綜]合|[总總整][体體]|我的|共情)*+(?:[评評打得]分|分[数數]))"
_SCORE_LABEL = re.compile(
    rf"^{_MARKUP}{_NUMBERED}{_LABEL_WORDS}{_SCORE_WORDS}(?![^\W_])(?P<gap>{_MARKUP_AFTER}(?:\([^()\n]{{0,20}}\){_MARKUP_AFTER})?)"
    rf"(?P<sign>[:：=]{_MARKUP_AFTER}\n{{0,2}}|is{_BLANK}+(?=\d)|\n{{1,2}}(?={_MARKUP_AFTER}\d))?"
    rf"{_MARKUP_AFTER}(?P<value>[^\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
_SCORE_TAG = re.compile(r"<score>(?P<value>[^<]{0,40})</score>|\\boxed\{(?P<boxed>[^}]{0,40})\}", re.IGNORECASE)
_OPEN, _CLOSE = r"[\s*_`\"'(\[<{]*+", r"[\s*_`\"')\]>}]*+"
_VALUE = re.compile(
    rf"^{_OPEN}(?P<number>[+\-−–]?\d{{1,9}}(?:[.,]\d{{1,9}})?+)(?![\d.,]*\d){_CLOSE}分?+"
    rf"(?:(?:/|out\s+of|of){_OPEN}(?P<top>\d{{1,9}})(?:\.0+)?+(?![\d.,]*\d)分?+)?{_CLOSE}(?P<rest>.*)$",
    re.IGNORECASE | re.DOTALL,
)
# What may follow a verdict though it holds numbers: a remark that is set off from it. Another number is none.
_REMARK = re.compile(r"[\s.]*+(?:,\s|[(\[—–（，；。]|-\s|because\b|since\b|[:;]\s|\|)", re.IGNORECASE)
_ANOTHER = re.compile(
    r"[\s.,(\[]*+(?:[-–—~/]?\d|(?:[-–—~]|to\b|or\b|maybe\b)\s*+\d+\s*+(?:$|[^\w\s]|of\b|out\b))", re.IGNORECASE
)
_REASON_WORDS = r"(?:reason(?:ing)?|rationale|理由|原因|[评評][语語])"
_REASON = re.compile(rf"^{_MARKUP}{_REASON_WORDS}[*_]*{_BLANK}*[:：]", re.IGNORECASE | re.MULTILINE)
# A verdict that running text follows was a draft, if the reply was cut before its end: judges think aloud.
_GOES_ON = re.compile(
    rf"[\s*_#`\"')\]}}>|.~-]*+(?!{_REASON_WORDS}|explanation|justification|assessment|comment|summary|total|overall)\S",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"^\W*(?:(?:i['’]?m|i am|we are|we['’]re)\s+(?:so\s+|very\s+)?sorry|sorry|i\s+apologi[sz]e|as\s+an\s+ai"
    r"|i\s+(?:must\s+)?(?:decline|refuse)"
    r"|i\s*(?:can(?:no|['’])t|cannot|can\s+not|won['’]t|will\s+not)"
    r"|i(?:\s+am|['’]m)\s+(?:not\s+able|unable))\b",
    re.IGNORECASE,
)
_SCORE_KEYS = ("score", "评分", "得分", "分数")
_RATIONALE_KEYS = ("理由", "rationale", "reason", "reasoning", "explanation", "assessment", "justification")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    Hold what was read from a reply.

    Only a `scored` verdict has a score: a whole number on the scale, or the sum of the items. `position` is the
    place in the reply of the number, where log-probabilities are looked up. `note` says what was odd.
    """

    status: VerdictStatus
    score: int | None = None
    items: Mapping[str, int] | None = None
    rationale: str = ""
    position: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Stated:
    """Hold a number as stated: a score, or the reason why it is none."""

    status: VerdictStatus
    score: int | None = None
    position: int | None = None


def read_verdict(reply: str, dimension: Dimension, finish_reason: str = "stop") -> Verdict:
    """Return the verdict of a judge's reply; `finish_reason` is the provider's word on why it ended."""
    if finish_reason in {"content_filter", "refusal"}:
        return Verdict(status="refused", note=f"the provider ended the reply: {finish_reason}")
    cut = finish_reason in {"length", "max_tokens"}
    encoded = parsed(reply.strip())
    if isinstance(encoded, str) and whole_object(encoded):  # JSON in a JSON string
        return replace(read_verdict(encoded, dimension, finish_reason), position=None)
    whole = whole_object(reply)
    spoken = reply if whole else without_thinking(reply, " ")  # the places of the rest stay true
    if spoken is None:
        return Verdict(status="truncated", note="the reply ends inside its thinking")
    objects = [_unwrapped(each, spoken, dimension) for each in ([whole] if whole else objects_in(spoken))]
    read = _read_items if dimension.items else _read_scale
    verdict = read(spoken, objects, dimension, cut=cut)
    if verdict is None:
        verdict = _absent(spoken, cut=cut)
    return replace(verdict, rationale=_rationale(spoken, objects))


def _absent(spoken: str, *, cut: bool) -> Verdict:
    if cut:
        return Verdict(status="truncated", note="the reply ends before a verdict")
    if not spoken.strip():
        return Verdict(status="unparseable", note="an empty reply")
    if _REFUSAL.match(spoken.strip()):
        return Verdict(status="refused", note="the judge declined")
    return Verdict(status="unparseable", note="no verdict in the reply")


def _unwrapped(found: Object, text: str, dimension: Dimension) -> Object:
    """Return the object inside another that is its only field, if it is a whole verdict."""
    inner = found.inner(text)
    if not inner:
        return found
    if dimension.items:
        return inner if {item.name for item in dimension.items} <= inner.fields.keys() else found
    return inner if _score_key(inner) and not inner.fields.keys().isdisjoint(_RATIONALE_KEYS) else found


def _score_key(found: Object) -> str | None:
    return next((name for name in _SCORE_KEYS if name in found.fields), None)


def _read_scale(text: str, objects: list[Object], dimension: Dimension, *, cut: bool) -> Verdict | None:
    stated = [(each.end, _stated_in(each, key, text, dimension)) for each in objects if (key := _score_key(each))]
    outside = _blanked(text, objects)
    written = len(outside.rstrip())
    for match in _SCORE_LABEL.finditer(outside):
        if not match["sign"] and "|" not in match["gap"]:
            continue
        value = _number(match["value"], dimension, match.start("value"))
        unfinished = cut and match.end() >= written
        stated.append((match.end(), _Stated("truncated") if unfinished else value))
    for match in _SCORE_TAG.finditer(outside):
        group = "value" if match["value"] is not None else "boxed"
        stated.append((match.end(), _number(match[group], dimension, match.start(group))))
    if not stated and not cut and _is_bare(text):
        stated.append((0, _number(text.strip(), dimension, len(text) - len(text.lstrip()))))
    if not stated:
        return None
    end, last = max(stated, key=lambda pair: pair[0])
    if cut and _GOES_ON.match(outside, end):
        return _drafted()
    return Verdict(status=last.status, score=last.score, position=last.position, note=_why(last, dimension))


def _is_bare(text: str) -> bool:
    """Return whether a text is a number and nothing that has room for a reason, such as `4 out of 5`."""
    value = _VALUE.match(text.strip())
    return value is not None and not re.search(r"\w", value["rest"])


def _drafted() -> Verdict:
    return Verdict(status="truncated", note="the reply ends in the middle of what follows a verdict")


def _why(stated: _Stated, dimension: Dimension) -> str:
    match stated.status:
        case "out_of_range":
            return f"the last verdict is off the scale of {dimension.low} to {dimension.high}"
        case "unparseable":
            return f"the last verdict is no whole number from {dimension.low} to {dimension.high}"
        case "truncated":
            return "the reply ends inside its verdict"
        case _:
            return ""


def _read_items(text: str, objects: list[Object], dimension: Dimension, *, cut: bool) -> Verdict | None:
    names = [item.name for item in dimension.items]
    outside = _blanked(text, objects)
    found = {name: last for name in names if (last := _stated_item(name, outside, objects, dimension, cut=cut))}
    if not found:
        return None
    if cut and _GOES_ON.match(outside, max(end for end, _ in found.values())):
        return _drafted()
    stated = {name: last for name, (_, last) in found.items()}
    missing = [name for name in names if name not in stated]
    for status in ("truncated", "unparseable", "out_of_range"):
        wrong = [name for name in names if name in stated and stated[name].status == status]
        if wrong:
            return Verdict(status=status, note=f"{', '.join(wrong)}: not a whole number from 0 to {dimension.high}")
    if missing:
        return Verdict(status="truncated" if cut else "unparseable", note=f"{', '.join(missing)} missing")
    items = {name: score for name in names if (score := stated[name].score) is not None}
    total = sum(items.values())
    return Verdict(status="scored", score=total, items=items, note=_total_note(outside, objects, total))


def _stated_item(
    name: str, outside: str, objects: list[Object], dimension: Dimension, *, cut: bool
) -> tuple[int, _Stated] | None:
    """Return what is stated last about one item, in an object or on a line, and where it ends."""
    stated: list[tuple[int, _Stated]] = []
    for found in objects:
        if name in found.fields:
            value = found.stated(name)
            inner = value.get("score") if isinstance(value, dict) else value
            stated.append((found.end, _value_of(inner, dimension)))
    written = len(outside.rstrip())
    for match in _item_label(name).finditer(outside):
        unfinished = cut and match.end() >= written
        stated.append((match.end(), _Stated("truncated") if unfinished else _number(match["value"], dimension)))
    return max(stated, key=lambda pair: pair[0], default=None)


@cache
def _item_label(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"^{_MARKUP}{_NUMBERED}{name}(?![^\W_])[^\n:：=|]{{0,30}}[:：=|](?P<value>[^\n]*)",
        re.IGNORECASE | re.MULTILINE,
    )


_TOTAL = re.compile(rf"^{_MARKUP}total[^\n:：\d]{{0,20}}[:：][^\n\d]{{0,10}}(\d{{1,4}})", re.IGNORECASE | re.MULTILINE)


def _total_note(text: str, objects: list[Object], total: int) -> str:
    claimed: list[object] = [int(match.group(1)) for match in _TOTAL.finditer(text)]
    for found in objects:
        claimed += [found.stated(name) for name in ("total", "score") if name in found.fields][:1]
    wrong = [claim for claim in claimed if isinstance(claim, int | float) and claim != total]
    return f"a total of {wrong[-1]} is claimed, the items sum to {total}" if wrong else ""


def _stated_in(found: Object, key: str, text: str, dimension: Dimension) -> _Stated:
    stated = _value_of(found.stated(key), dimension)
    return replace(stated, position=found.place_of(key, text)) if stated.score is not None else stated


def _value_of(value: object, dimension: Dimension) -> _Stated:
    if isinstance(value, str):
        return _number(value, dimension)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _Stated("unparseable")
    if isinstance(value, float) and not math.isfinite(value):  # an integer too large for a float is off the scale
        return _Stated("unparseable")
    return _placed(value, dimension)


def _number(text: str, dimension: Dimension, offset: int = 0) -> _Stated:
    match = _VALUE.match(text)
    if not match or (match["top"] and int(match["top"]) != dimension.high):
        return _Stated("unparseable")
    rest = match["rest"]
    if re.search(r"\d", rest) and (_ANOTHER.match(rest) or not _REMARK.match(rest)):
        return _Stated("unparseable")
    number = match["number"].replace(",", ".").replace("−", "-").replace("–", "-")
    return replace(_placed(float(number), dimension), position=offset + match.start("number"))


def _placed(number: float, dimension: Dimension) -> _Stated:
    if not dimension.low <= number <= dimension.high:
        return _Stated("out_of_range")
    return _Stated("scored", int(number)) if number == int(number) else _Stated("unparseable")


def _blanked(text: str, objects: list[Object]) -> str:
    """Return `text` with its JSON objects blanked out: a label inside one belongs to its rationale."""
    if objects and objects[0].start == 0 and objects[0].end == len(text):
        return ""
    for found in objects:
        blank = re.sub(r"[^\n]", " ", text[found.start : found.end])
        text = text[: found.start] + blank + text[found.end :]
    return text


def _rationale(text: str, objects: list[Object]) -> str:
    for found in reversed(objects):
        for name in _RATIONALE_KEYS:
            if name in found.fields and isinstance(found.stated(name), str):
                return str(found.stated(name))
    start = _REASON.search(text)
    if not start:
        return ""
    end = _SCORE_LABEL.search(text, start.end())
    return text[start.end() : end.start() if end else len(text)].strip(" \t\r\n*_")
