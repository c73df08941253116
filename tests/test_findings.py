"""Findings: what does not fit is said in our words, whatever it is."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from perm_cli.findings import finding_of, shown


class _Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=2, max_length=5, pattern=r"^\w+$")] = "ok"
    mood: Literal["good", "bad"] = "good"
    count: Annotated[int, Field(ge=1, lt=5)] = 1
    share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1.0
    is_on: bool = True
    names: Annotated[list[str], Field(min_length=1, max_length=2)] = ["x"]
    about: Annotated[dict[str, str], Field(max_length=2)] = {}


def findings(value: Any, *, quoting: bool = True) -> list[tuple[str, str]]:
    """Return what is wrong with a thing."""
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(_Thing).validate_python(value)
    return [finding_of(detail, quoting=quoting) for detail in raised.value.errors()]


@pytest.mark.parametrize(
    ("value", "place", "what"),
    [
        ({"name": 5}, "name", "5 found, expected text"),
        ({"name": "x"}, "name", "'x' found, expected at least 2 characters"),
        ({"name": "x" * 70}, "name", f"'{'x' * 58}… found, expected at most 5 characters"),
        ({"name": "a b"}, "name", r"'a b' found, expected text of the form ^\w+$"),
        ({"mood": "\x1b[31m"}, "mood", r"'\x1b[31m' found, expected 'good' or 'bad'"),
        ({"count": 0}, "count", "0 found, expected at least 1"),
        ({"count": 5}, "count", "5 found, expected less than 5"),
        ({"count": 1.5}, "count", "1.5 found, expected a whole number"),
        ({"count": "x"}, "count", "'x' found, expected a whole number"),
        ({"count": 16**4000}, "count", "a number of thousands of digits found, expected less than 5"),
        ({"share": 0.0}, "share", "0.0 found, expected more than 0"),
        ({"share": float("inf")}, "share", "inf found, expected a finite number"),
        ({"share": []}, "share", "a list of 0 found, expected a number"),
        ({"is_on": "perhaps"}, "is_on", "'perhaps' found, expected true or false"),
        ({"names": []}, "names", "a list of 0 found, expected at least 1"),
        ({"names": {"a": 1}}, "names", "an object with a found, expected a list"),
        ({"names": ["a", None]}, "names[1]", "None found, expected text"),
        ({"about": 5}, "about", "5 found, expected an object"),
        ({"about": dict.fromkeys("abc", "")}, "about", "an object with a, b, c found, expected at most 2"),
        ({"about": {"a.b\x1b": 1}}, r"about.a.b\u001b", "1 found, expected text"),
        ({"nam\x1be": 1}, r"nam\u001be", "unknown field; remove it"),
        (5, "", "5 found, expected an object"),
    ],
)
def test_what_is_wrong_is_said_in_our_words(value: Any, place: str, what: str) -> None:
    """Pydantic's own words are for programmers, and end with links."""
    assert findings(value) == [(place, what)]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        (True, "true or false"),
        (5, "a number"),
        (["secret"], "a list of 1"),
        ({"secret": 1}, "an object"),
    ],
)
def test_unless_quoting_a_value_is_told_by_its_type(value: Any, kind: str) -> None:
    """What somebody has said stays out of logs."""
    assert findings({"name": value}, quoting=False) == [("name", f"{kind} found, expected text")]


def test_a_large_value_is_shown_at_once() -> None:
    """A message needs its first characters, and never more than a line."""
    assert shown("x" * 10_000_000) == f"'{'x' * 58}…"
    assert len(shown(dict.fromkeys(map(str, range(1_000_000))))) <= 80
