"""
Read a judge's reply: the verdict in it, or the reason why there is none.

Every rule here was broken by somebody's judge. The last verdict wins and nothing earlier stands in for it; off
the scale is `out_of_range`, never clamped; a number in the rationale is no verdict. Reading never raises,
whatever the text.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from perm_cli.rubrics import Dimension
from perm_cli.thinking import without_thinking

VerdictStatus = Literal["scored", "refused", "truncated", "unparseable", "out_of_range"]

_BLANK = r"[^\S\n]"
# Possessive: a long run of markup is walked once, however hostile the reply.
_MARKUP = rf"(?:{_BLANK}|[*_#>`~\"'|•-])*+"
_MARKUP_AFTER = rf"(?:{_BLANK}|[*_#>`~\"'|•])*+"  # a minus sign behind the label belongs to the number
_LABEL_WORDS = rf"(?:(?:my|the|your|final|overall|total|empathy|resonation|expression|reception){_BLANK}++)*+"
_NUMBERED = rf"(?:\d{{1,2}}[.)]{_MARKUP})?"
_SCORE_LABEL = re.compile(
    rf"^{_MARKUP}{_NUMBERED}{_LABEL_WORDS}(?:score|rating)(?![^\W_])(?P<gap>{_MARKUP_AFTER}(?:\([^()\n]{{0,20}}\){_MARKUP_AFTER})?)"
    rf"(?P<sign>[:：=]{_MARKUP_AFTER}\n{{0,2}}|is{_BLANK}+(?=\d)|\n{{1,2}}(?={_MARKUP_AFTER}\d))?"
    rf"{_MARKUP_AFTER}(?P<value>[^\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
_SCORE_TAG = re.compile(r"<score>(?P<value>[^<]{0,40})</score>|\\boxed\{(?P<boxed>[^}]{0,40})\}", re.IGNORECASE)
_OPEN, _CLOSE = r"[\s*_`\"'(\[<{]*+", r"[\s*_`\"')\]>}]*+"
_VALUE = re.compile(
    rf"^{_OPEN}(?P<number>[+\-−–]?\d{{1,9}}(?:[.,]\d{{1,9}})?+)(?![\d.,]*\d){_CLOSE}"
    rf"(?:(?:/|out\s+of|of){_OPEN}(?P<top>\d{{1,9}})(?:\.0+)?+(?![\d.,]*\d))?{_CLOSE}(?P<rest>.*)$",
    re.IGNORECASE | re.DOTALL,
)
# What may follow a verdict though it holds numbers: a remark that is set off from it. Another number is none.
_REMARK = re.compile(r"[\s.]*+(?:,\s|[(\[—–]|-\s|because\b|since\b|[:;]\s|\|)", re.IGNORECASE)
_ANOTHER = re.compile(
    r"[\s.,(\[]*+(?:[-–—~/]?\d|(?:[-–—~]|to\b|or\b|maybe\b)\s*+\d+\s*+(?:$|[^\w\s]|of\b|out\b))", re.IGNORECASE
)
_REASON = re.compile(rf"^{_MARKUP}(?:reason(?:ing)?|rationale|理由)[*_]*{_BLANK}*[:：]", re.IGNORECASE | re.MULTILINE)
_REFUSAL = re.compile(
    r"^\W*(?:(?:i['’]?m|i am|we are|we['’]re)\s+(?:so\s+|very\s+)?sorry|sorry|i\s+apologi[sz]e|as\s+an\s+ai"
    r"|i\s+(?:must\s+)?(?:decline|refuse)"
    r"|i\s*(?:can(?:no|['’])t|cannot|can\s+not|won['’]t|will\s+not)"
    r"|i(?:\s+am|['’]m)\s+(?:not\s+able|unable))\b",
    re.IGNORECASE,
)
_RATIONALE_KEYS = ("rationale", "reason", "reasoning", "explanation", "assessment", "justification")
_MAX_JSON_STARTS = 200
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\]]', re.DOTALL)
_JSON_COLON = re.compile(r'\s*:\s*"?')
_JSON = json.JSONDecoder(strict=False)


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
    whole = _parsed(reply.strip())
    spoken = reply if isinstance(whole, dict) else without_thinking(reply, " ")  # the places of the rest stay true
    if spoken is None:
        return Verdict(status="truncated", note="the reply ends inside its thinking")
    objects = [_Object(whole, 0, len(reply))] if isinstance(whole, dict) else list(_json_objects(spoken))
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


def _parsed(text: str) -> Any:
    try:
        return _JSON.decode(text)
    except (ValueError, RecursionError):
        return None


class _Object:
    """Hold a JSON object found in a reply, from `start` up to `end`; of keys that differ in case the last counts."""

    def __init__(self, value: Mapping[str, Any], start: int, end: int) -> None:
        self.fields = {key.strip().lower(): key for key in value}
        self.value = value
        self.start = start
        self.end = end

    def stated(self, name: str) -> Any:
        """Return the value under a key called `name`, in any case."""
        return self.value[self.fields[name]]


def _json_objects(text: str) -> Iterator[_Object]:
    position = text.find("{")
    for _ in range(_MAX_JSON_STARTS):
        if position < 0:
            return
        try:
            value, end = _JSON.raw_decode(text, position)
        except (ValueError, RecursionError):
            end = position + 1
        else:
            yield _Object(value, position, end)
        position = text.find("{", end)


def _read_scale(text: str, objects: list[_Object], dimension: Dimension, *, cut: bool) -> Verdict | None:
    stated = [(found.end, _stated_in(found, text, dimension)) for found in objects if "score" in found.fields]
    outside = _blanked(text, objects)
    for match in _SCORE_LABEL.finditer(outside):
        if not match["sign"] and "|" not in match["gap"]:
            continue
        value = _number(match["value"], dimension, match.start("value"))
        unfinished = cut and not outside[match.end() :].strip()
        stated.append((match.end(), _Stated("truncated") if unfinished else value))
    for match in _SCORE_TAG.finditer(outside):
        group = "value" if match["value"] is not None else "boxed"
        stated.append((match.end(), _number(match[group], dimension, match.start(group))))
    if not stated and not cut and _VALUE.match(text.strip()) and len(text.split()) <= _BARE_WORDS:
        stated.append((0, _number(text.strip(), dimension, len(text) - len(text.lstrip()))))
    if not stated:
        return None
    last = max(stated, key=lambda pair: pair[0])[1]
    return Verdict(status=last.status, score=last.score, position=last.position, note=_why(last, dimension))


_BARE_WORDS = 4  # "4 out of 5", and nothing that has room for a reason


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


def _read_items(text: str, objects: list[_Object], dimension: Dimension, *, cut: bool) -> Verdict | None:
    names = [item.name for item in dimension.items]
    outside = _blanked(text, objects)
    stated = {name: last for name in names if (last := _stated_item(name, outside, objects, dimension, cut=cut))}
    if not stated:
        return None
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


def _stated_item(name: str, outside: str, objects: list[_Object], dimension: Dimension, *, cut: bool) -> _Stated | None:
    """Return what is stated last about one item, in an object or on a line."""
    stated: list[tuple[int, _Stated]] = []
    for found in objects:
        if name in found.fields:
            value = found.stated(name)
            inner = value.get("score") if isinstance(value, dict) else value
            stated.append((found.end, _value_of(inner, dimension)))
    for match in _item_label(name).finditer(outside):
        unfinished = cut and not outside[match.end() :].strip()
        stated.append((match.end(), _Stated("truncated") if unfinished else _number(match["value"], dimension)))
    return max(stated, key=lambda pair: pair[0])[1] if stated else None


@cache
def _item_label(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"^{_MARKUP}{_NUMBERED}{name}(?![^\W_])[^\n:：=|]{{0,30}}[:：=|](?P<value>[^\n]*)",
        re.IGNORECASE | re.MULTILINE,
    )


_TOTAL = re.compile(rf"^{_MARKUP}total[^\n:：\d]{{0,20}}[:：][^\n\d]{{0,10}}(\d{{1,4}})", re.IGNORECASE | re.MULTILINE)


def _total_note(text: str, objects: list[_Object], total: int) -> str:
    claimed: list[object] = [int(match.group(1)) for match in _TOTAL.finditer(text)]
    for found in objects:
        claimed += [found.stated(name) for name in ("total", "score") if name in found.fields][:1]
    wrong = [claim for claim in claimed if isinstance(claim, int | float) and claim != total]
    return f"a total of {wrong[-1]} is claimed, the items sum to {total}" if wrong else ""


def _stated_in(found: _Object, text: str, dimension: Dimension) -> _Stated:
    stated = _value_of(found.stated("score"), dimension)
    return (
        replace(stated, position=_place_of(found.fields["score"], found, text)) if stated.score is not None else stated
    )


def _place_of(field: str, found: _Object, text: str) -> int | None:
    """Return where the value of the object's own last `field` begins, passing over those of objects inside it."""
    quoted = f'"{field}"'
    if "\\" not in text and text.count(quoted, found.start, found.end) == 1:  # as nearly always
        colon = _JSON_COLON.match(text, text.index(quoted, found.start) + len(quoted))
        return colon.end() if colon else None
    depth, place = 0, None
    for token in _JSON_TOKEN.finditer(text, found.start, found.end):
        depth += (token.group() in "{[") - (token.group() in "}]")
        if depth == 1 and token.group() == quoted and (colon := _JSON_COLON.match(text, token.end())):
            place = colon.end()
    return place


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


def _blanked(text: str, objects: list[_Object]) -> str:
    """Return `text` with its JSON objects blanked out: a label inside one belongs to its rationale."""
    if objects and objects[0].start == 0 and objects[0].end == len(text):
        return ""
    for found in objects:
        blank = re.sub(r"[^\n]", " ", text[found.start : found.end])
        text = text[: found.start] + blank + text[found.end :]
    return text


def _rationale(text: str, objects: list[_Object]) -> str:
    for found in reversed(objects):
        for name in _RATIONALE_KEYS:
            if name in found.fields and isinstance(found.stated(name), str):
                return str(found.stated(name))
    start = _REASON.search(text)
    if not start:
        return ""
    end = _SCORE_LABEL.search(text, start.end())
    return text[start.end() : end.start() if end else len(text)].strip(" \t\r\n*_")
