"""
From the rows of a file to dialogues: the steps that formats are made of.

    containers ─► rows ─► (split, each_group) ─► dialogues, problems and remarks

Everything is a stream. What is no row is passed through at its place, so that no format loses a problem.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.packing import bare_name
from perm_cli.dialogues.files.rows import RoleMap, RowError
from perm_cli.dialogues.files.sources import Remark, stem_of
from perm_cli.dialogues.files.talk import Said
from perm_cli.errors import Problem
from perm_cli.text import one_line

MAX_GROUP = 100_000


@dataclass(frozen=True, slots=True)
class Row:
    """
    One object of a file: it `is_line` `number`, or record `number` of a document, found there at `path`.

    The dialogue of a row that `is_whole` is all that its file holds.
    """

    source: str
    number: int
    fields: Mapping[str, Any]
    path: str = ""
    is_line: bool = True
    is_whole: bool = False

    @property
    def own_id(self) -> str:
        """Return what a dialogue is called that has no id: after its file and line."""
        return f"{bare_name(self.source)}:{self.number}"

    @property
    def stem(self) -> str:
        """Return the name of the file without folder and endings."""
        return stem_of(self.source)

    @property
    def place(self) -> str:
        """Return where the row stands, for messages."""
        return ": ".join(filter(None, (f"{self.source}:{self.number}" if self.is_line else self.source, self.path)))

    def part(self, path: str, fields: Mapping[str, Any]) -> "Row":
        """Return a part of this row as one of its own."""
        return replace(self, fields=fields, path=self._below(one_line(path, 100)))

    def problem(self, field: str, message: str) -> Problem:
        """Return a problem at this row."""
        return Problem(self.source, self.number if self.is_line else 0, self._below(one_line(field)), message)

    def problems(self, error: RowError) -> Iterator[Problem]:
        """Yield what is wrong with this row."""
        return (self.problem(field, message) for field, message in error.findings)

    def _below(self, field: str) -> str:
        return f"{self.path}{'.' * bool(self.path and field and not field.startswith('['))}{field}"


@dataclass(frozen=True, slots=True)
class Found:
    """Hold a dialogue and the row that it comes from, the first if there are several."""

    dialogue: Dialogue
    row: Row


Item = Row | Problem | Remark
Made = Found | Problem | Remark


class NothingToJudge(ValueError):  # noqa: N818 - nothing is wrong with the file
    """Say why a record is passed over: the file is as it should be, but nobody answers anybody there."""


def one_a_row(
    items: Iterable[Item], to_dialogue: Callable[[Mapping[str, Any], RoleMap, str], Dialogue], roles: RoleMap
) -> Iterator[Made]:
    """Yield a dialogue a row, by a function that knows of fields, role names and an id to fall back on."""
    return each_row(items, lambda row: to_dialogue(row.fields, roles, row.own_id))


def each_row(items: Iterable[Item], to_dialogue: Callable[[Row], Dialogue]) -> Iterator[Made]:
    """Yield a dialogue a row; rows with nothing to judge are counted, and that is said at the end."""
    passed = Passed()
    for item in items:
        if isinstance(item, Row):
            yield from passed.made(item, partial(to_dialogue, item))
        else:
            yield item
    yield from passed.told()


def split(items: Iterable[Item], parts: Callable[[Row], Iterable[Row]]) -> Iterator[Item]:
    """Yield the parts of rows that hold several dialogues."""
    for item in items:
        if not isinstance(item, Row):
            yield item
            continue
        try:
            yield from parts(item)
        except RowError as error:
            yield from item.problems(error)


def each_group(
    items: Iterable[Item],
    key: Callable[[Row], Hashable],
    said: Callable[[Row], Said | None],
    to_dialogue: Callable[[Sequence[Row], Sequence[Said | None]], Dialogue],
) -> Iterator[Made]:
    """
    Yield a dialogue for rows in a row that have one key, by what is said in each of them.

    A dialogue with a wrong row is not made, and all its wrong rows are named.
    """
    passed = Passed()
    for group in _groups(items, key):
        if not isinstance(group, list):
            yield group
            continue
        spoken, wrong = _spoken(group, said)
        if wrong:
            yield from wrong
        else:
            yield from passed.made(group[0], partial(to_dialogue, group, spoken))
    yield from passed.told()


def _groups(items: Iterable[Item], key: Callable[[Row], Hashable]) -> Iterator[list[Row] | Problem | Remark]:
    group: list[Row] = []
    current: Hashable = None
    count = 0
    for item in items:
        own = _key(item, key) if isinstance(item, Row) else item
        if isinstance(own, list):
            yield from own
        elif not isinstance(item, Row):
            yield item
        else:
            if group and own != current:
                yield _group(group, count)
                group, count = [], 0
            current, count = own, count + 1
            group += [item] * (count <= MAX_GROUP)
    if group:
        yield _group(group, count)


def _key(row: Row, key: Callable[[Row], Hashable]) -> Hashable | list[Problem]:
    try:
        return key(row)
    except RowError as error:
        return list(row.problems(error))


def _group(rows: list[Row], count: int) -> list[Row] | Problem:
    what = f"a dialogue of {count:,} rows found, expected at most {MAX_GROUP:,}: is the column of ids the right one?"
    return rows if count <= MAX_GROUP else rows[0].problem("", what)


def _spoken(rows: Sequence[Row], said: Callable[[Row], Said | None]) -> tuple[list[Said | None], list[Problem]]:
    spoken: list[Said | None] = []
    wrong: list[Problem] = []
    for row in rows:
        try:
            spoken.append(said(row))
        except RowError as error:
            wrong += row.problems(error)
    return spoken, wrong


class Passed:
    """The count of what is passed over; a file may hold millions of it, so that it is told in one line."""

    def __init__(self, one: str = "record", many: str = "records") -> None:
        self._one, self._many = one, many
        self.count = 0
        self.found = False
        self.first: tuple[Row, str] | None = None

    def made(self, row: Row, make: Callable[[], Dialogue]) -> Sequence[Found | Problem]:
        """Return the dialogue, or what is wrong with it, or nothing."""
        try:
            found = Found(make(), row)
        except RowError as error:
            return list(row.problems(error))
        except NothingToJudge as reason:
            self.note(row, str(reason))
            return ()
        self.found = True
        return (found,)

    def note(self, row: Row, reason: str) -> None:
        """Count what is passed over in a row."""
        self.count += 1
        self.first = self.first or (row, reason)

    def told(self) -> Iterator[Problem | Remark]:
        """Say what was passed over; it is a problem where nothing else was found."""
        if self.first:
            row, reason = self.first
            records = f"1 {self._one}" if self.count == 1 else f"{self.count:,} {self._many}"
            where = row.path or f"line {row.number}"
            what = f"{records} passed over, the first at {where}: {reason}"
            yield Remark(row.source, 0, what) if self.found else Problem(row.source, 0, "", what)
