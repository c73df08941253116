"""
The JSON objects in a judge's reply, which may contain its verdict.

Invalid JSON is read by narrow rules only, which allow single quotes, a trailing comma and unknown escapes in an
otherwise valid flat object. A lenient parser would turn a garbled reply into a score.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_MOST_STARTS = 200  # braces that are tried: a hostile reply of braces would take quadratic time
_LONGEST_FLAT = 20_000  # characters, since every start is tried and a reply may have very many
_STRING = r'"(?:[^"\\]|\\.)*+"'
_SINGLE = r"'(?:[^'\\]|\\.)*+'"
_TOKEN = re.compile(rf"{_STRING}|{_SINGLE}|[{{}}\[\]]", re.DOTALL)
_COLON = re.compile(r"""\s*:\s*["']?""")
# A flat object. The match fails at a quote that does not end a string, because then it was an apostrophe and the object
# cannot be trusted.
_PAIR = (
    rf"(?:{_STRING}|{_SINGLE})\s*:\s*"
    rf"(?:(?:{_STRING}|{_SINGLE})(?=\s*[,}}])|-?(?:0|[1-9]\d{{0,8}})(?:\.\d{{1,9}})?|true|false|null)"
)
_FLAT = re.compile(rf"\{{\s*(?:{_PAIR}\s*(?:,\s*|(?=\}})))++\}}", re.DOTALL)
_FENCE = re.compile(r"\s*(?:```\w*\s*)?")
_FIELD = re.compile(rf"({_STRING}|{_SINGLE})\s*:\s*({_STRING}|{_SINGLE}|[^\s,}}]+)", re.DOTALL)
_JSON = json.JSONDecoder(strict=False)


class Object:
    """A JSON object of a reply, from `start` up to `end`; of keys that differ only in case the last one counts."""

    def __init__(self, value: Mapping[str, Any], start: int, end: int) -> None:
        self.fields = {key.strip().lower(): key for key in value}
        self.value = value
        self.start = start
        self.end = end

    def stated(self, name: str) -> Any:
        """Return the value of key `name`, ignoring case."""
        return self.value[self.fields[name]]

    def place_of(self, name: str, text: str) -> int | None:
        """Return where the value of the object's last own key `name` begins in the reply, ignoring nested objects."""
        double, single = (f"{quote}{self.fields[name]}{quote}" for quote in "\"'")
        if "\\" not in text and text.count(double, self.start, self.end) == 1 and single not in text:  # the usual case
            colon = _COLON.match(text, text.index(double, self.start) + len(double))
            return colon.end() if colon else None
        depth, place = 0, None
        for token in _TOKEN.finditer(text, self.start, self.end):
            depth += (token.group() in "{[") - (token.group() in "}]")
            if depth == 1 and token.group() in {double, single} and (colon := _COLON.match(text, token.end())):
                place = colon.end()
        return place

    def inner(self, text: str) -> "Object | None":
        """Return the object that is this object's only value, None if there is none."""
        if len(self.value) != 1 or not isinstance(next(iter(self.value.values())), dict):
            return None
        place = self.place_of(next(iter(self.fields)), text)
        return None if place is None else _object_at(text, place)


def parsed(text: str) -> Any:
    """Return a text parsed as JSON, None if it is not JSON."""
    try:
        return _JSON.decode(text)
    except (ValueError, RecursionError):
        return None


def whole_object(text: str) -> Object | None:
    """Return the object if it is the whole text apart from a code fence around it, else None."""
    position = _FENCE.match(text).end()  # type: ignore[union-attr]  # it also matches the empty string
    found = _object_at(text, position)
    return found if found and not text[found.end :].strip("` \t\r\n") else None


def objects_in(text: str) -> Iterator[Object]:
    """Yield the outermost objects in a text, in order."""
    position = text.find("{")
    for _ in range(_MOST_STARTS):
        if position < 0:
            return
        found = _object_at(text, position)
        if found:
            yield found
        position = text.find("{", found.end if found else position + 1)


def _object_at(text: str, position: int) -> Object | None:
    try:
        value, end = _JSON.raw_decode(text, position)
    except (ValueError, RecursionError):
        flat = _FLAT.match(text, position, position + _LONGEST_FLAT)
        return Object(_fields(flat.group()), position, flat.end()) if flat else None
    return Object(value, position, end) if isinstance(value, dict) else None


def _fields(flat: str) -> dict[str, Any]:
    return {_plain(field[1]): _plain(field[2]) for field in _FIELD.finditer(flat)}


def _plain(written: str) -> Any:
    """Return the value of a string or literal, with single quotes read as double quotes."""
    if written.startswith("'"):
        inner = re.sub(r'\\(.)|"', lambda found: _requoted(found.group()), written[1:-1], flags=re.DOTALL)
        written = f'"{inner}"'
    value = parsed(written)
    return written[1:-1] if value is None and written != "null" else value


def _requoted(written: str) -> str:
    return {"\\'": "'", '"': '\\"'}.get(written, written)
