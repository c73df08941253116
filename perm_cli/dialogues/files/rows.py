"""Rows of files, each a mapping of fields, and the errors found in them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from perm_cli.dialogues.files.packing import bare_name
from perm_cli.dialogues.files.sources import Remark, stem_of
from perm_cli.errors import Problem
from perm_cli.findings import Finding
from perm_cli.text import one_line


class RowError(ValueError):
    """An error in one row, with one pair of field and message per finding."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in findings))
        self.findings = findings


@dataclass(frozen=True, slots=True)
class Row:
    """
    One object of a file: line `number` if it `is_line`, else object `number` of a document, at `path`.

    If it `is_whole`, its dialogue is all that the file holds.
    """

    source: str
    number: int
    fields: Mapping[str, Any]
    path: str = ""
    is_line: bool = True
    is_whole: bool = False

    @property
    def own_id(self) -> str:
        """Return the id for a dialogue without one: the name of the file and the number of the row."""
        return f"{bare_name(self.source)}:{self.number}"

    @property
    def stem(self) -> str:
        """Return the name of the file without folder and endings."""
        return stem_of(self.source)

    @property
    def place(self) -> str:
        """Return the place of the row, for messages."""
        return ": ".join(filter(None, (f"{self.source}:{self.number}" if self.is_line else self.source, self.path)))

    def part(self, path: str, fields: Mapping[str, Any]) -> "Row":
        """Return a part of this row as a row at `path` below it."""
        return replace(self, fields=fields, path=self._below(one_line(path, 100)))

    def problem(self, field: str, message: str) -> Problem:
        """Return a problem at this row."""
        return Problem(self.source, self.number if self.is_line else 0, self._below(one_line(field)), message)

    def problems(self, error: RowError) -> Iterator[Problem]:
        """Yield what is wrong with this row."""
        return (self.problem(field, message) for field, message in error.findings)

    def _below(self, field: str) -> str:
        return f"{self.path}{'.' * bool(self.path and field and not field.startswith('['))}{field}"


Record = Row | Problem | Remark
"""What is read at each place of a file: a row, a problem that prevents one, or a remark."""
