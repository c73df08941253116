"""
Reading a judge's reply: the verdict in it, or the reason why there is none.

Each rule handles what some judge has really written. The last verdict wins, and an earlier one never replaces it; a
score off the scale is `out_of_range`, never clamped; a number in the rationale is not a verdict. Reading never raises
an error, whatever the text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from perm_cli.prompts.rubrics import Dimension
from perm_cli.prompts.scales import SCORE, Number, Stated, is_bare
from perm_cli.ratings.verdict_objects import Object, objects_in, parsed, whole_object
from perm_cli.text import without_thinking

VerdictStatus = Literal["scored", "refused", "truncated", "unparseable", "out_of_range"]

_BLANK = r"[^\S\n]"
# Possessive quantifiers: a long run of markup is scanned once, so that a hostile reply cannot cause backtracking.
_MARKUP = rf"(?:{_BLANK}|[*_#>`~\"'|•-])*+"
_MARKUP_AFTER = rf"(?:{_BLANK}|[*_#>`~\"'|•])*+"  # without "-": after the label, a minus sign belongs to the number
_NUMBERED = rf"(?:\d{{1,2}}[.)]{_MARKUP})?"
_SCORE_WORDS = r"(?:score|rating|(?:最[终終]|[综綜]合|[总總整][体體]|我的|共情)*+(?:[评評打得]分|分[数數]))"
_SCORE_TAG = re.compile(r"<score>(?P<value>[^<]{0,40})</score>|\\boxed\{(?P<boxed>[^}]{0,40})\}", re.IGNORECASE)
_REASON_WORDS = r"(?:reason(?:ing)?|rationale|理由|原因|[评評][语語])"
_REASON = re.compile(rf"^{_MARKUP}{_REASON_WORDS}[*_]*{_BLANK}*[:：]", re.IGNORECASE | re.MULTILINE)
# If a truncated reply continues with prose after a verdict, that verdict was a draft: judges think aloud and may still
# change their mind.
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
    What was read from a reply.

    Only a `scored` verdict has a score, which the scale computes from the stated numbers; `items` has these if there
    are several. `position` is where a single number stands in the reply, for looking up log-probabilities. `note`
    describes anything unusual.
    """

    status: VerdictStatus
    score: float | None = None
    items: Mapping[str, int] | None = None
    rationale: str = ""
    position: int | None = None
    note: str = ""


def read_verdict(reply: str, dimension: Dimension, finish_reason: str = "stop") -> Verdict:
    """Return the verdict in a judge's reply; `finish_reason` is the reason given by the provider for its end."""
    if finish_reason in {"content_filter", "refusal"}:
        return Verdict(status="refused", note=f"the provider ended the reply: {finish_reason}")
    cut = finish_reason in {"length", "max_tokens"}
    encoded = parsed(reply.strip())
    if isinstance(encoded, str) and whole_object(encoded):  # JSON in a JSON string
        return replace(read_verdict(encoded, dimension, finish_reason), position=None)
    whole = whole_object(reply)
    spoken = reply if whole else without_thinking(reply, " ")  # the filler keeps all positions valid
    if spoken is None:
        return Verdict(status="truncated", note="the reply ends inside its thinking")
    objects = [_unwrapped(each, spoken, dimension) for each in ([whole] if whole else objects_in(spoken))]
    read = _read_single if is_single(dimension) else _read_several
    verdict = read(spoken, objects, dimension, cut=cut)
    if verdict is None:
        verdict = _absent(spoken, cut=cut)
    return replace(verdict, rationale=_rationale(spoken, objects, dimension))


def is_single(dimension: Dimension) -> bool:
    """Return whether a verdict is a single number rather than several items."""
    return [field.name for field in dimension.scale.fields] == [SCORE]


def _absent(spoken: str, *, cut: bool) -> Verdict:
    if cut:
        return Verdict(status="truncated", note="the reply ends before a verdict")
    if not spoken.strip():
        return Verdict(status="unparseable", note="an empty reply")
    if _REFUSAL.match(spoken.strip()):
        return Verdict(status="refused", note="the judge declined")
    return Verdict(status="unparseable", note="no verdict in the reply")


def _unwrapped(found: Object, text: str, dimension: Dimension) -> Object:
    """Return the object inside a wrapper object if it is a complete verdict, else the object itself."""
    inner = found.inner(text)
    if not inner:
        return found
    if not is_single(dimension):
        # Judges wrap a verdict in an object such as {"verdict": {...}}; a partial one inside is something else.
        return inner if {field.name for field in dimension.scale.fields} <= inner.fields.keys() else found
    return inner if _score_key(inner) and not inner.fields.keys().isdisjoint(_RATIONALE_KEYS) else found


def _score_key(found: Object) -> str | None:
    return next((name for name in _SCORE_KEYS if name in found.fields), None)


@cache
def _score_label(dimension: str) -> re.Pattern[str]:
    """Return the pattern of a label and its number: `Score: 4`, or `Final warmth rating is 4` for dimension warmth."""
    words = rf"(?:(?:my|the|your|final|overall|total|empathy|{_spelled(dimension)}){_BLANK}++)*+"
    return re.compile(
        rf"^{_MARKUP}{_NUMBERED}{words}{_SCORE_WORDS}(?![^\W_])"
        rf"(?P<gap>{_MARKUP_AFTER}(?:\([^()\n]{{0,20}}\){_MARKUP_AFTER})?)"
        rf"(?P<sign>[:：=]{_MARKUP_AFTER}\n{{0,2}}|is{_BLANK}+(?=\d)|\n{{1,2}}(?={_MARKUP_AFTER}\d))?"
        rf"{_MARKUP_AFTER}(?P<value>[^\n]*)",
        re.IGNORECASE | re.MULTILINE,
    )


def _spelled(name: str) -> str:
    """Return a pattern for a name; judges write its underscores as spaces or hyphens."""
    return re.escape(name).replace("_", "[ _-]")


def _read_single(text: str, objects: list[Object], dimension: Dimension, *, cut: bool) -> Verdict | None:
    (field,) = dimension.scale.fields
    stated = [(each.end, _stated_in(each, key, text, field)) for each in objects if (key := _score_key(each))]
    outside = _blanked(text, objects)
    written = len(outside.rstrip())
    for match in _score_label(dimension.name).finditer(outside):
        if not match["sign"] and "|" not in match["gap"]:
            continue
        value = field.read_text(match["value"], match.start("value"))
        # In a truncated reply, a number at the very end may have lost digits: "1" may be the beginning of "10".
        unfinished = cut and match.end() >= written
        stated.append((match.end(), Stated("truncated") if unfinished else value))
    for match in _SCORE_TAG.finditer(outside):
        group = "value" if match["value"] is not None else "boxed"
        stated.append((match.end(), field.read_text(match[group], match.start(group))))
    if not stated and not cut and is_bare(text):
        stated.append((0, field.read_text(text.strip(), len(text) - len(text.lstrip()))))
    if not stated:
        return None
    end, last = max(stated, key=lambda pair: pair[0])
    if cut and _GOES_ON.match(outside, end):
        return _drafted()
    score = None if last.number is None else dimension.scale.score({field.name: last.number})
    return Verdict(status=last.status, score=score, position=last.position, note=_why(last, field))


def _drafted() -> Verdict:
    return Verdict(status="truncated", note="the reply ends in the middle of what follows a verdict")


def _why(stated: Stated, field: Number) -> str:
    match stated.status:
        case "out_of_range":
            return f"the last verdict is off the scale of {field.low} to {field.high}"
        case "unparseable":
            return f"the last verdict is no whole number from {field.low} to {field.high}"
        case "truncated":
            return "the reply ends inside its verdict"
        case _:
            return ""


def _read_several(text: str, objects: list[Object], dimension: Dimension, *, cut: bool) -> Verdict | None:
    fields = {field.name: field for field in dimension.scale.fields}
    outside = _blanked(text, objects)
    found = {name: last for name, field in fields.items() if (last := _stated_last(field, outside, objects, cut=cut))}
    if not found:
        return None
    if cut and _GOES_ON.match(outside, max(end for end, _ in found.values())):
        return _drafted()
    stated = {name: last for name, (_, last) in found.items()}
    missing = [name for name in fields if name not in stated]
    for status in ("truncated", "unparseable", "out_of_range"):
        wrong = [name for name in fields if name in stated and stated[name].status == status]
        if wrong:
            low, high = fields[wrong[0]].low, fields[wrong[0]].high
            return Verdict(status=status, note=f"{', '.join(wrong)}: not a whole number from {low} to {high}")
    if missing:
        return Verdict(status="truncated" if cut else "unparseable", note=f"{', '.join(missing)} missing")
    items = {name: number for name in fields if (number := stated[name].number) is not None}
    score = dimension.scale.score(items)
    return Verdict(status="scored", score=score, items=items, note=_total_note(outside, objects, score))


def _stated_last(field: Number, outside: str, objects: list[Object], *, cut: bool) -> tuple[int, Stated] | None:
    """Return the last number stated for one item, in an object or on a line, and where it ends; None if none is."""
    stated: list[tuple[int, Stated]] = []
    for found in objects:
        if field.name in found.fields:
            value = found.stated(field.name)
            stated.append((found.end, field.read(value.get("score") if isinstance(value, dict) else value)))
    written = len(outside.rstrip())
    for match in _item_label(field.name).finditer(outside):
        unfinished = cut and match.end() >= written
        stated.append((match.end(), Stated("truncated") if unfinished else field.read_text(match["value"])))
    return max(stated, key=lambda pair: pair[0], default=None)


@cache
def _item_label(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"^{_MARKUP}{_NUMBERED}{_spelled(name)}(?![^\W_])[^\n:：=|]{{0,30}}[:：=|](?P<value>[^\n]*)",
        re.IGNORECASE | re.MULTILINE,
    )


_TOTAL = re.compile(rf"^{_MARKUP}total[^\n:：\d]{{0,20}}[:：][^\n\d]{{0,10}}(\d{{1,4}})", re.IGNORECASE | re.MULTILINE)


def _total_note(text: str, objects: list[Object], total: float) -> str:
    claimed: list[object] = [int(match.group(1)) for match in _TOTAL.finditer(text)]
    for found in objects:
        claimed += [found.stated(name) for name in ("total", "score") if name in found.fields][:1]
    # A total that differs from the sum of the items is noted but never believed.
    wrong = [claim for claim in claimed if isinstance(claim, int | float) and claim != total]
    return f"a total of {wrong[-1]} is claimed, the items sum to {total:g}" if wrong else ""


def _stated_in(found: Object, key: str, text: str, field: Number) -> Stated:
    stated = field.read(found.stated(key))
    return replace(stated, position=found.place_of(key, text)) if stated.number is not None else stated


def _blanked(text: str, objects: list[Object]) -> str:
    """Return `text` with its JSON objects replaced by spaces: a label inside one is part of its rationale."""
    if objects and objects[0].start == 0 and objects[0].end == len(text):
        return ""
    for found in objects:
        blank = re.sub(r"[^\n]", " ", text[found.start : found.end])
        text = text[: found.start] + blank + text[found.end :]
    return text


def _rationale(text: str, objects: list[Object], dimension: Dimension) -> str:
    for found in reversed(objects):
        for name in _RATIONALE_KEYS:
            if name in found.fields and isinstance(found.stated(name), str):
                return str(found.stated(name))
    start = _REASON.search(text)
    if not start:
        return ""
    end = _score_label(dimension.name).search(text, start.end())
    return text[start.end() : end.start() if end else len(text)].strip(" \t\r\n*_")
