"""Validation errors of values from outside, in the words of all our messages: what was found, what was expected."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any

from pydantic_core import ErrorDetails, ValidationError

from perm_cli.text import one_line

Finding = tuple[str, str]

# By the first word of pydantic's error type: int_type, int_parsing and int_from_float mean the same to a user.
_EXPECTED = {
    "bool": "true or false",
    "dataclass": "an object",
    "dict": "an object",
    "finite": "a finite number",
    "float": "a number",
    "frozen": "a list",
    "int": "a whole number",
    "list": "a list",
    "mapping": "an object",
    "model": "an object",
    "string": "text",
    "tuple": "a list",
}
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
    "too_short": ("at least", "min_length"),
    "too_long": ("at most", "max_length"),
    "string_too_short": ("at least", "min_length"),
    "string_too_long": ("at most", "max_length"),
}
NON_BLANK = r"\S"


def first_finding(error: ValidationError) -> str:
    """Return the first error and its place on one line."""
    place, what = finding_of(error.errors(include_url=False)[0])
    return f"{place}: {what}" if place else what


def finding_of(detail: ErrorDetails, *, quoting: bool = True) -> Finding:
    """Return the place and the description of a pydantic error; unless `quoting`, values are described by type only."""
    return path_of(detail["loc"]), _what(detail, shown if quoting else _kind_of)


def path_of(location: Sequence[str | int]) -> str:
    """Return a location inside a value as a path: `turns[2].role`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{one_line(part, 60)}" for part in location)
    return path.removeprefix(".")


def shown(value: object) -> str:
    """Return a short, safe description of a value from a file that shows its type."""
    if isinstance(value, str):
        return one_line(repr(value[:100]), 60)
    if isinstance(value, int | float | None):
        return _digits(value)
    if isinstance(value, Mapping):
        return one_line(f"an object with {', '.join(map(str, islice(value, 10))) or 'no fields'}", 80)
    return f"a list of {len(value)}" if isinstance(value, Sequence) else type(value).__name__


def _digits(value: float | None) -> str:
    try:
        return one_line(repr(value), 60)
    except ValueError:  # Python refuses to print integers of more than a few thousand digits
        return "a number of thousands of digits"


def _kind_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return f"text of {len(value):,} characters"
        case Mapping():
            return "an object"
        case _:
            return shown(value)


def _what(detail: ErrorDetails, show: Callable[[object], str]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    match kind:
        case "missing":
            return "this field is missing"
        case "unexpected_keyword_argument" | "extra_forbidden":
            return "unknown field; remove it"
        case "value_error" | "assertion_error":
            return str(context["error"])
        case "json_invalid":
            return f"invalid JSON: {context['error']}"
        case _:
            return f"{show(detail['input'])} found, expected {_expected(kind, context)}"


def _expected(kind: str, context: Mapping[str, Any]) -> str:
    if kind == "string_too_short" and context["min_length"] == 1:
        return "some text"
    if kind in _BOUNDS:
        words, name = _BOUNDS[kind]
        bound = context[name]
        number = f"{bound:g}" if isinstance(bound, float) else f"{bound:,}"
        return f"{words} {number}{' characters' if kind.startswith('string') else ''}"
    if kind == "string_pattern_mismatch":
        return "some text" if context["pattern"] == NON_BLANK else f"text of the form {context['pattern']}"
    return str(context.get("expected") or _EXPECTED.get(kind.partition("_")[0], kind.replace("_", " ")))


_TYPO = 0.85  # similarity of two names that differ by a typing error


def nearest(name: str, known: Iterable[str], most: int = 1) -> list[str]:
    """Return at most `most` known names similar to `name`, the most similar first."""
    return get_close_matches(name, list(known), most)


def expected_name(name: str, known: Iterable[str]) -> str:
    """Return the most similar known name for a message, or all of them if none is similar."""
    names = list(known)
    near = nearest(name.lower(), names)
    return near[0] if near else f"one of {', '.join(names)}"


def misspelt(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` is a misspelling of, None if that is not certain."""
    names = list(known)
    near = [] if name in names else get_close_matches(name, names, 1, _TYPO)
    return near[0] if near else None
