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
from typing import Any, Literal

from perm_cli.rubrics import Dimension

VerdictStatus = Literal["scored", "refused", "truncated", "unparseable", "out_of_range"]

_BLANK = r"[^\S\n]"
# Possessive: a long run of markup is walked once, however hostile the reply.
_MARKUP = rf"(?:{_BLANK}|[*_#>`~\"'|•-])*+"
_MARKUP_AFTER = rf"(?:{_BLANK}|[*_#>`~\"'|•])*+"  # a minus sign behind the label belongs to the number
_LABEL_WORDS = r"(?:(?:my|the|your|final|overall|total|empathy|resonation|expression|reception)\s+)*"
_SCORE_LABEL = re.compile(
    rf"^{_MARKUP}{_LABEL_WORDS}(?:score|rating)\b{_MARKUP}"
    rf"(?:[:：=]{_MARKUP_AFTER}\n{{0,2}}|\|?is{_BLANK}+(?=\d)|(?<=\|)|(?<=\|{_BLANK})|\n{{1,2}}(?={_MARKUP_AFTER}\d))"
    rf"{_MARKUP_AFTER}(?P<value>[^\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
_SCORE_TAG = re.compile(r"<score>(?P<value>[^<]{0,40})</score>|\\boxed\{(?P<boxed>[^}]{0,40})\}", re.IGNORECASE)
_VALUE = re.compile(
    r"^[\s*_`\"'(\[<{]*(?P<number>[+\-−–]?\d{1,9}(?:[.,]\d{1,9})?)"
    r"[\s*_`\"')\]>}]*(?:(?:/|out\s+of|of)[\s*_`\"'(\[]*(?P<top>\d{1,9})(?:\.0+)?(?![\d.,]*\d))?"
    r"(?P<rest>[^\d]*)$",
    re.IGNORECASE,
)
_REASON = re.compile(rf"^{_MARKUP}(?:reason(?:ing)?|rationale|理由)[*_]*{_BLANK}*[:：]", re.IGNORECASE | re.MULTILINE)
_THINKING_TAG = re.compile(r"<(?P<end>/?)(?:think(?:ing)?|reasoning|thought)\s*>", re.IGNORECASE)
_REFUSAL = re.compile(
    r"^\W*(?:(?:i['’]?m|i am|we are|we['’]re)\s+(?:so\s+|very\s+)?sorry|sorry|i\s+apologi[sz]e|as\s+an\s+ai"
    r"|i\s+(?:must\s+)?(?:decline|refuse)"
    r"|i\s*(?:can(?:no|['’])t|cannot|can\s+not|won['’]t|will\s+not)"
    r"|i(?:\s+am|['’]m)\s+(?:not\s+able|unable))\b",
    re.IGNORECASE,
)
_RATIONALE_KEYS = ("rationale", "reason", "reasoning", "explanation", "assessment", "justification")
_MAX_JSON_STARTS = 200
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
    spoken = reply if isinstance(whole, dict) else _without_thinking(reply)
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


def _without_thinking(reply: str) -> str | None:
    """Blank thinking out, keeping every position; `None` if the reply never comes out of it."""
    spoken, opened = "", None
    for tag in _THINKING_TAG.finditer(reply):
        if tag["end"]:
            # A block whose start stands in the judge's own template has an end only.
            start = len(spoken) if opened is not None else 0
            spoken = spoken[:start] + " " * (tag.end() - start)
            opened = None
        elif opened is None:
            opened = tag.start()
            spoken += reply[len(spoken) : opened]
    return None if opened is not None else spoken + reply[len(spoken) :]


def _parsed(text: str) -> Any:
    try:
        return _JSON.decode(text)
    except (ValueError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class _Object:
    """Hold a JSON object found in a reply, from `start` up to `end`."""

    value: Mapping[str, Any]
    start: int
    end: int


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
    stated = [(found.end, _stated_in(found, text, dimension)) for found in objects if _field(found.value, "score")]
    outside = _blanked(text, objects)
    for match in _SCORE_LABEL.finditer(outside):
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
    stated: dict[str, _Stated] = {}
    for found in objects:
        for name in names:
            field = _field(found.value, name)
            if field:
                value = found.value[field]
                inner = value.get("score") if isinstance(value, dict) else value
                stated[name] = _value_of(inner, dimension)
    outside = _blanked(text, objects)
    for name in names:
        for match in _item_label(name).finditer(outside):
            unfinished = cut and not outside[match.end() :].strip()
            stated[name] = _Stated("truncated") if unfinished else _number(_head(match["value"]), dimension)
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


def _item_label(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"^{_MARKUP}(?:\d{{1,2}}[.)]{_MARKUP})?{name}\b[^\n:：=|]{{0,30}}[:：=|](?P<value>[^\n]*)",
        re.IGNORECASE | re.MULTILINE,
    )


def _head(text: str) -> str:
    """Return the number an item's line begins with, without the remark after it."""
    match = re.match(
        r"[\s*_`\"'(\[]*[+\-−–]?\d[\d.,]*[\s*_`\"')\]]*(?:(?:/|out\s+of|of)[\s*_`\"'(\[]*\d+)?(?!\s*[-–—/]\s*\d)",
        text,
    )
    return match.group() if match else text


_TOTAL = re.compile(r"^[\s*_#>\-]*total[^\n:：\d]{0,20}[:：][^\n\d]{0,10}(\d{1,4})", re.IGNORECASE | re.MULTILINE)


def _total_note(text: str, objects: list[_Object], total: int) -> str:
    claimed: list[object] = [int(match.group(1)) for match in _TOTAL.finditer(text)]
    for found in objects:
        field = _field(found.value, "total") or _field(found.value, "score")
        claimed += [found.value[field]] if field else []
    wrong = [claim for claim in claimed if isinstance(claim, int | float) and claim != total]
    return f"a total of {wrong[-1]} is claimed, the items sum to {total}" if wrong else ""


def _stated_in(found: _Object, text: str, dimension: Dimension) -> _Stated:
    field = _field(found.value, "score") or "score"
    stated = _value_of(found.value[field], dimension)
    keys = list(re.finditer(rf'"{re.escape(field)}"\s*:\s*"?', text[found.start : found.end]))
    return replace(stated, position=found.start + keys[-1].end()) if keys and stated.score is not None else stated


def _field(value: Mapping[str, Any], name: str) -> str | None:
    """Return the object's last key called `name`, in any case."""
    return next((key for key in reversed(list(value)) if key.strip().lower() == name), None)


def _value_of(value: object, dimension: Dimension) -> _Stated:
    if isinstance(value, str):
        return _number(value, dimension)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return _Stated("unparseable")
    return _placed(value, dimension)


def _number(text: str, dimension: Dimension, offset: int = 0) -> _Stated:
    match = _VALUE.match(text)
    if not match or (match["top"] and int(match["top"]) != dimension.high):
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
            field = _field(found.value, name)
            if field and isinstance(found.value[field], str):
                return str(found.value[field])
    start = _REASON.search(text)
    if not start:
        return ""
    end = _SCORE_LABEL.search(text, start.end())
    return text[start.end() : end.start() if end else len(text)].strip(" \t\r\n*_")
