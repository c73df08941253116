"""The command line for tests: a runner, judges of known habits behind a real address, and runs made by hand."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from perm_cli.cli import main
from perm_cli.judges.retrying import RetryPolicy
from perm_cli.ratings.rating import rating_line
from tests.loopback import Answer, Loopback, refusal
from tests.makers import rating, row, written

HABITS: Mapping[str, Callable[[int, bool], int]] = {
    "fair": lambda ticket, good: 2 + ticket % 2 + 2 * good,  # 2 or 3, and two more for the good system
    "kind": lambda ticket, good: 4 + (ticket % 2 or good),  # all but the worst get a 5
    "flat": lambda _, __: 3,
    "wrong": lambda ticket, good: 5 - ticket % 2 - 2 * good,  # likes what the others do not
}


class Result(NamedTuple):
    """Hold what a command came to."""

    code: int
    out: str
    err: str


Perm = Callable[..., Result]

AT_ONCE = RetryPolicy(backoff=lambda _: 0.0)
"""Failed calls are tried again as often as usual, and waited for never."""


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["perm", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Result(code, *capsys.readouterr())

    return run


def tickets(path: Path, count: int = 8, systems: Sequence[str] = ("good", "poor"), start: int = 0) -> Path:
    """Write dialogues that every system has answered."""
    rows = []
    for place in range(start, start + count):
        for system in systems:
            reply = "I hear you." if system == "good" else "So?"
            turns = [
                {"role": "seeker", "text": f"I lost ticket {place} today."},
                {"role": "supporter", "text": reply},
            ]
            rows.append(row(place, system=system, turns=turns))
    return written(path, rows)


def by_habit(body: Mapping[str, Any]) -> Answer:
    """Answer as the habit says that the model is named after; one named otherwise has a wrong key."""
    habit = HABITS.get(body["model"])
    if not habit:
        return refusal(401, "no such key")
    said = json.dumps(body["messages"])
    ticket = re.search(r"ticket (\d+)", said)
    assert ticket
    level = habit(int(ticket[1]), "I hear you." in said)
    properties = body["response_format"]["json_schema"]["schema"]["properties"]
    values = {
        name: level * (4 if len(rule["enum"]) > 5 else 1) if "enum" in rule else f"{body['model']} says so."
        for name, rule in properties.items()
    }
    return Answer(text=json.dumps(values))


def judges(server: Loopback, *names: str) -> list[str]:
    """Return the options that name these judges of the server."""
    return [*(part for name in names for part in ("--judge", f"openai/{name}")), "--base-url", server.url]


Scored = Mapping[tuple[str, str], Sequence[float | None]]


def a_run(path: Path, scored: Scored, judge: str = "j", settings: str = "0123456789ab", **changes: Any) -> Path:
    """Write a run folder by hand; None is a rating without a score."""
    path.mkdir(parents=True)
    names = ("resonation", "expression", "reception", "bystander")
    lines = [
        rating_line(
            rating(
                key=f"{judge}{settings}{dialogue_id}{system}{name}{score}",
                settings=settings,
                dialogue_id=dialogue_id,
                system=system,
                judge=judge,
                dimension=name,
                status="unparseable" if score is None else "scored",
                score=score,
                **changes,
            )
        )
        for (dialogue_id, system), scores in scored.items()
        for name, score in zip(names, scores, strict=True)
    ]
    (path / "ratings.jsonl").write_bytes(b"".join(lines))
    record = {
        "perm_run": 1,
        "settings": {settings: {}},
        "commands": [{"settings": settings, "ratings": len(lines), "score": "mode"}],
    }
    (path / "run.json").write_text(json.dumps(record))
    kept(path, ({"id": dialogue_id, "system": system} for dialogue_id, system in scored))
    return path


def kept(path: Path, changes: Iterable[Mapping[str, Any]]) -> None:
    """Write the dialogues of a run folder."""
    rows = [
        {"scenario": "", "persona": "", "labels": {}, "meta": {}}
        | row()
        | {"turns": [turn | {"analysis": None} for turn in row()["turns"]]}
        | dict(change)
        for change in changes
    ]
    written(path / "dialogues.jsonl", rows)
