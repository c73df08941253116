"""
The steps from rows to dialogues, from which formats are composed.

    containers ─► rows ─► (split, each_group) ─► dialogues, problems and remarks

All steps are streams. Problems and remarks pass through in their places, so that no format loses one.
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

MAX_GROUP = 100_000  # rows of one dialogue; more are a wrong id column, and would fill the memory
UtteranceT = TypeVar("UtteranceT")


@dataclass(frozen=True, slots=True)
class Found:
    """A dialogue and the row it was made from, the first one if there are several."""

    dialogue: Dialogue
    row: Row


Made = Found | Problem | Remark


class NothingToJudge(ValueError):  # noqa: N818 - nothing is wrong with the file
    """The reason for skipping a record that is valid but has no reply to judge."""


def one_per_row(
    records: Iterable[Record], to_dialogue: Callable[[Mapping[str, Any], RoleMap, str], Dialogue], roles: RoleMap
) -> Iterator[Made]:
    """Yield one dialogue per row, made by a function of its fields, the role names and a fallback id."""
    return each_row(records, lambda row: to_dialogue(row.fields, roles, row.own_id))


def each_row(records: Iterable[Record], to_dialogue: Callable[[Row], Dialogue]) -> Iterator[Made]:
    """Yield one dialogue per row; rows with nothing to judge are counted in one remark at the end."""
    skipped = Skipped()
    for record in records:
        if isinstance(record, Row):
            yield from skipped.made(record, partial(to_dialogue, record))
        else:
            yield record
    yield from skipped.summary()


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
    said: Callable[[Row], UtteranceT],
    to_dialogue: Callable[[Sequence[Row], Sequence[UtteranceT]], Dialogue],
) -> Iterator[Made]:
    """
    Yield one dialogue per run of consecutive rows with the same key, from what is `said` in each row.

    A dialogue with wrong rows is not made; a problem is yielded for each of them.
    """
    skipped = Skipped()
    for group in _groups(records, key):
        if not isinstance(group, list):
            yield group
            continue
        spoken, wrong = _spoken(group, said)
        if wrong:
            yield from wrong
        else:
            yield from skipped.made(group[0], partial(to_dialogue, group, spoken))
    yield from skipped.summary()


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


def _spoken(rows: Sequence[Row], said: Callable[[Row], UtteranceT]) -> tuple[list[UtteranceT], list[Problem]]:
    spoken: list[UtteranceT] = []
    wrong: list[Problem] = []
    for row in rows:
        try:
            spoken.append(said(row))
        except RowError as error:
            wrong += row.problems(error)
    return spoken, wrong


class Skipped:
    """The count of skipped records, and the first of them: a file may have millions, which get one remark."""

    def __init__(self, one: str = "record", many: str = "records") -> None:
        self._one, self._many = one, many
        self.count = 0
        self.found = False
        self.first: tuple[Row, str] | None = None

    def made(self, row: Row, make: Callable[[], Dialogue]) -> Sequence[Found | Problem]:
        """Return the dialogue, or the problems with it, or nothing if it is skipped."""
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
        """Count a skipped record of a row."""
        self.count += 1
        self.first = self.first or (row, reason)

    def summary(self) -> Iterator[Problem | Remark]:
        """Yield the number of skipped records as a remark, or as a problem if the file has nothing else."""
        if self.first:
            row, reason = self.first
            records = f"1 {self._one}" if self.count == 1 else f"{self.count:,} {self._many}"
            where = row.path or f"line {row.number}"
            what = f"{records} passed over, the first at {where}: {reason}"
            yield Remark(row.source, 0, what) if self.found else Problem(row.source, 0, "", what)
