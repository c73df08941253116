"""
From the rows of a file to dialogues: the steps that formats are made of.

    containers ─► rows ─► (split, each_group) ─► dialogues, problems and remarks

Everything is a stream. What is no row is passed through at its place, so that no format loses a problem.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.roles import RoleMap
from perm_cli.dialogues.files.rows import Record, Row, RowError
from perm_cli.dialogues.files.sources import Remark
from perm_cli.errors import Problem

MAX_GROUP = 100_000
SaidT = TypeVar("SaidT")


@dataclass(frozen=True, slots=True)
class Found:
    """A dialogue, and the row that it comes from, the first if there are several."""

    dialogue: Dialogue
    row: Row


Made = Found | Problem | Remark


class NothingToJudge(ValueError):  # noqa: N818 - nothing is wrong with the file
    """The reason why a record is passed over: the file is as it should be, but nobody answers anybody there."""


def one_a_row(
    records: Iterable[Record], to_dialogue: Callable[[Mapping[str, Any], RoleMap, str], Dialogue], roles: RoleMap
) -> Iterator[Made]:
    """Yield one dialogue per row, made by a function of its fields, the role names and an id to fall back on."""
    return each_row(records, lambda row: to_dialogue(row.fields, roles, row.own_id))


def each_row(records: Iterable[Record], to_dialogue: Callable[[Row], Dialogue]) -> Iterator[Made]:
    """Yield one dialogue per row; rows with nothing to judge are counted, and one remark at the end says so."""
    passed = Passed()
    for record in records:
        if isinstance(record, Row):
            yield from passed.made(record, partial(to_dialogue, record))
        else:
            yield record
    yield from passed.told()


def split(records: Iterable[Record], parts: Callable[[Row], Iterable[Row]]) -> Iterator[Record]:
    """Yield the parts of rows that hold several dialogues."""
    for record in records:
        if not isinstance(record, Row):
            yield record
            continue
        try:
            yield from parts(record)
        except RowError as error:
            yield from record.problems(error)


def each_group(
    records: Iterable[Record],
    key: Callable[[Row], Hashable],
    said: Callable[[Row], SaidT],
    to_dialogue: Callable[[Sequence[Row], Sequence[SaidT]], Dialogue],
) -> Iterator[Made]:
    """
    Yield a dialogue for rows in a row that have one key, by what is said in each of them.

    A dialogue with a wrong row is not made, and all its wrong rows are named.
    """
    passed = Passed()
    for group in _groups(records, key):
        if not isinstance(group, list):
            yield group
            continue
        spoken, wrong = _spoken(group, said)
        if wrong:
            yield from wrong
        else:
            yield from passed.made(group[0], partial(to_dialogue, group, spoken))
    yield from passed.told()


def _groups(records: Iterable[Record], key: Callable[[Row], Hashable]) -> Iterator[list[Row] | Problem | Remark]:
    group: list[Row] = []
    current: Hashable = None
    count = 0
    for record in records:
        own = _key(record, key) if isinstance(record, Row) else record
        if isinstance(own, list):
            yield from own
        elif not isinstance(record, Row):
            yield record
        else:
            if group and own != current:
                yield _group(group, count)
                group, count = [], 0
            current, count = own, count + 1
            group += [record] * (count <= MAX_GROUP)
    if group:
        yield _group(group, count)


def _key(row: Row, key: Callable[[Row], Hashable]) -> Hashable | list[Problem]:
    try:
        return key(row)
    except RowError as error:
        return list(row.problems(error))


def _group(rows: list[Row], count: int) -> list[Row] | Problem:
    what = f"a dialogue of {count:,} rows found, expected at most {MAX_GROUP:,}: is the id column the right one?"
    return rows if count <= MAX_GROUP else rows[0].problem("", what)


def _spoken(rows: Sequence[Row], said: Callable[[Row], SaidT]) -> tuple[list[SaidT], list[Problem]]:
    spoken: list[SaidT] = []
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
        """Yield what was passed over, as a remark, or as a problem where nothing else was found."""
        if self.first:
            row, reason = self.first
            records = f"1 {self._one}" if self.count == 1 else f"{self.count:,} {self._many}"
            where = row.path or f"line {row.number}"
            what = f"{records} passed over, the first at {where}: {reason}"
            yield Remark(row.source, 0, what) if self.found else Problem(row.source, 0, "", what)
