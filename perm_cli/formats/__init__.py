"""
Read dialogues from files of any known format.

A format is a module with `SAYS` (what its rows look like), `ROLES` (its role names), `recognises` and
`to_dialogue`; adding one means writing that module and naming it in `FORMATS`.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any, Protocol

import orjson

from perm_cli.dialogues import Dialogue, judged_turns
from perm_cli.errors import SHOWN_PROBLEMS, InputError, PermError, Problem, SettingsError
from perm_cli.formats import messages, native, paper
from perm_cli.formats.rows import RoleMap, RowError, shown
from perm_cli.formats.sources import Line, Remark, Source, read_lines
from perm_cli.scratch import scratch
from perm_cli.terminal import one_line
from perm_cli.words import FormatName, Role, Turns


class Format(Protocol):
    """Turn rows of one kind of file into dialogues."""

    SAYS: str
    ROLES: RoleMap

    def recognises(self, row: Mapping[str, Any]) -> bool:
        """Tell whether the row looks like this format."""

    def to_dialogue(self, row: Mapping[str, Any], roles: RoleMap, fallback_id: str) -> Dialogue:
        """Return the row as a dialogue; raise `RowError` if it is not one."""


FORMATS: Mapping[str, Format] = {"native": native, "messages": messages, "paper": paper}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Say how to read: a format's name or `auto`, role names of the files, and which turns count."""

    format: FormatName = "auto"
    roles: RoleMap | None = None
    turns: Turns = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Count what a source holds; `format` is the one recognised, `digest` a hash over the bytes of the file."""

    source: Source
    format: str
    digest: str
    dialogues: int
    supporter_turns: int
    remarks: tuple[Remark, ...]


def read_roles(text: str) -> RoleMap:
    """Read `seeker=user,supporter=assistant` into a map from the file's names to ours."""
    roles: dict[str, Role] = {}
    for pair in text.split(","):
        ours, _, theirs = pair.partition("=")
        if ours.strip() not in {"seeker", "supporter"} or not theirs.strip():
            raise SettingsError(f"--roles: {pair!r} found, expected seeker=NAME,supporter=NAME")
        if theirs.strip() in roles:
            raise SettingsError(f"--roles: {theirs.strip()!r} found for both, expected two names")
        roles[theirs.strip()] = "seeker" if ours.strip() == "seeker" else "supporter"
    return roles


def check_dialogues(sources: Sequence[Source], reading: Reading) -> list[Census]:
    """
    Read every source to its end and count; raise `InputError` with all that is wrong in them.

    An id that one system uses twice is found with a table on disk, so that memory does not grow with the files.
    """
    with closing(scratch()) as seen:
        seen.execute("CREATE TABLE ids (id TEXT, system TEXT, source TEXT, line INTEGER, PRIMARY KEY (id, system))")
        return _checked(sources, reading, seen)


def _checked(sources: Sequence[Source], reading: Reading, seen: Connection) -> list[Census]:
    problems: list[Problem] = []
    count = 0
    censuses = []
    for source in sources:
        dialogues = turns = 0
        remarks: list[Remark] = []
        name: str = reading.format
        broken = count
        for item in _items(source, reading):
            match item:
                case Remark():
                    remarks.append(item)
                    continue
                case _Found():
                    name = item.format
                    dialogues += 1
                    turns += sum(1 for _ in judged_turns(item.dialogue, reading.turns))
                    problem = _repeated(item, source, seen)
                case Problem():
                    problem = item
            if problem:
                count += 1
                problems += [problem] * (len(problems) < SHOWN_PROBLEMS)
        if not dialogues and count == broken:
            count += 1
            problems.append(Problem(source.name, 0, "", "an empty file found, expected one JSON object a line"))
        censuses.append(
            Census(
                source=source,
                format=name,
                digest="" if count else _digest(source),
                dialogues=dialogues,
                supporter_turns=turns,
                remarks=tuple(remarks),
            )
        )
    if count:
        raise InputError(problems, count)
    return censuses


def read_dialogues(sources: Sequence[Source], reading: Reading) -> Iterator[Dialogue]:
    """Yield the dialogues of sources that `check_dialogues` has passed, one at a time."""
    for source in sources:
        for item in _items(source, reading):
            if isinstance(item, Problem):
                raise PermError(f"{item} (the file changed while it was read); what is rated so far is kept")
            if isinstance(item, _Found):
                yield item.dialogue


def _digest(source: Source) -> str:
    with source.path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class _Found:
    dialogue: Dialogue
    line: int
    format: str


def _repeated(found: _Found, source: Source, seen: Connection) -> Problem | None:
    own = (found.dialogue.id, found.dialogue.system)
    try:
        if seen.execute("INSERT OR IGNORE INTO ids VALUES (?, ?, ?, ?)", (*own, source.name, found.line)).rowcount:
            return None
    except UnicodeEncodeError:
        return Problem(source.name, found.line, "id", f"{shown(found.dialogue.id)} found, expected UTF-8")
    name, line = seen.execute("SELECT source, line FROM ids WHERE id = ? AND system = ?", own).fetchone()
    what = f"{shown(found.dialogue.id)} found again (first at {name}:{line}), expected an id once a system"
    return Problem(source.name, found.line, "id", what)


def _items(source: Source, reading: Reading) -> Iterator[_Found | Problem | Remark]:
    name: str = reading.format
    for item in read_lines(source):
        if not isinstance(item, Line):
            yield item
            continue
        row = _row(item, source)
        if isinstance(row, Problem):
            yield row
            continue
        if name == "auto":
            recognised = next((key for key, known in FORMATS.items() if known.recognises(row)), None)
            if recognised is None:
                yield Problem(source.name, item.number, "", _unrecognised(row))
                continue
            name = recognised
        yield from _dialogue(row, name, item.number, source, reading)


def _dialogue(
    row: Mapping[str, Any], name: str, number: int, source: Source, reading: Reading
) -> Iterator[_Found | Problem]:
    chosen = FORMATS[name]
    try:
        dialogue = chosen.to_dialogue(row, reading.roles or chosen.ROLES, f"{source.name.removesuffix('.gz')}:{number}")
    except RowError as error:
        for field, message in error.findings:
            yield Problem(source.name, number, field, message)
    else:
        try:
            orjson.dumps([dialogue.labels, dialogue.meta])  # the run folder keeps them
        except orjson.JSONEncodeError:
            yield Problem(source.name, number, "", "objects or lists nested too deep found, expected a few levels")
        else:
            yield _Found(dialogue, number, name)


def _row(line: Line, source: Source) -> Mapping[str, Any] | Problem:
    try:
        row = orjson.loads(line.text)
    except orjson.JSONDecodeError as error:
        return Problem(source.name, line.number, "", _why_not_json(line.text, error))
    if not isinstance(row, dict):
        return Problem(source.name, line.number, "", f"{shown(row)} found, expected a JSON object")
    return row


def _why_not_json(text: bytes, error: orjson.JSONDecodeError) -> str:
    with suppress(UnicodeDecodeError):
        text.decode()
        near = one_line(error.doc[max(error.pos - 10, 0) : error.pos + 10], 40) if error.doc else ""
        found = error.doc[error.pos :].lstrip("-")
        hint = next((f" ({word} is not JSON)" for word in ("NaN", "Infinity") if found.startswith(word)), "")
        return f"wrong JSON found at column {error.colno}, near {near!r}{hint}: expected one JSON object a line"
    place = _first_wrong_byte(text)
    return f"byte 0x{text[place]:02x} found at column {place + 1}, expected UTF-8"


def _first_wrong_byte(text: bytes) -> int:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return error.start
    return 0


def _unrecognised(row: Mapping[str, Any]) -> str:
    known = "; ".join(f"{name} ({each.SAYS})" for name, each in FORMATS.items())
    return f"{shown(row)} found, expected one of the formats {known}"
