"""
Arbitrary tables, read by the names of their columns: one row per turn, or one per dialogue of two turns.

`--columns` maps columns to fields; a table with the native column names needs none.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import orjson

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.cells import HEADER, number_or_text, unguarded
from perm_cli.dialogues.files.columns import Columns
from perm_cli.dialogues.files.fields import checked_dialogue, id_in, object_in, text_in, words_in
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import ROLE_NAMES, RoleMap, role_of_speaker
from perm_cli.dialogues.files.rows import Record, Row, RowError
from perm_cli.dialogues.files.steps import Made, each_group
from perm_cli.dialogues.files.talk import (
    Utterance,
    content_in,
    is_tool_traffic,
    said_by,
    said_in,
    turns_in_messages,
    turns_of,
    with_notes,
)
from perm_cli.dialogues.format import Format
from perm_cli.findings import shown
from perm_cli.text import one_line
from perm_cli.words import Role

_LABEL = "label."
_NOWHERE = object()
_OF_MESSAGES = {*HEADER[1:], "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal", "timestamp"}


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    return any(
        set(names) <= fields.keys() for names in (("role", "text"), ("role", "content"), ("seeker", "supporter"))
    )


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:
    """Yield one dialogue per id and system, whose rows are consecutive, or one per row with a pair of turns."""
    columns = reading.columns or Columns()
    roles = reading.roles or ROLE_NAMES
    return each_group(
        _prepared(records, columns),
        partial(_key, columns=columns),
        partial(_said, columns=columns, roles=roles),
        partial(_dialogue, columns=columns, roles=roles),
    )


def _prepared(records: Iterable[Record], columns: Columns) -> Iterator[Record]:
    """Yield rows without guards, and at the end a problem for each requested column that no row has."""
    unseen = dict(columns.named())
    row: Row | None = None
    for record in records:
        if isinstance(record, Row):
            row = record
            unseen = {name: column for name, column in unseen.items() if not _has(row, column)}
            yield _as_meant(row, columns)
        else:
            yield record
    if row:
        for name, column in unseen.items():
            option = f"--columns {one_line(name, 60)}=…"
            yield row.problem("", f"no row has a column {shown(column)} ({option})")


def _as_meant(row: Row, columns: Columns) -> Row:
    """Return a row without the guards of our own tables; if no column could be an id, the file is one dialogue."""
    others = row.fields.keys() - _OF_MESSAGES - {column for _, column in columns.named()}
    has_id = _has(row, columns.of("id")) or any(not name.startswith(_LABEL) for name in others)
    if not has_id and not _is_pair(row, columns):
        return replace(row, is_whole=True)
    if not row.fields.keys() >= set(HEADER):
        return row
    cells = {name: unguarded(cell) if isinstance(cell, str) else cell for name, cell in row.fields.items()}
    return replace(row, fields=cells)


def _is_pair(row: Row, columns: Columns) -> bool:
    if {"seeker", "supporter"} & columns.fields.keys():
        return True
    return not _has(row, columns.of("role")) and {"seeker", "supporter"} <= row.fields.keys()


def _key(row: Row, columns: Columns) -> Hashable:
    if _is_pair(row, columns):
        return row.number
    own = "" if row.is_whole else id_in(_cell(row, columns, "id"), columns.of("id"))
    return own, _words(row, columns, "system")


def _said(row: Row, columns: Columns, roles: RoleMap) -> Utterance | None:
    if _is_pair(row, columns):
        return None
    name = text_in(_cell(row, columns, "role"), columns.of("role"))
    role = role_of_speaker(name, roles, columns.of("role"))
    if role is None:
        return None
    name = "text" if "text" in columns.fields or "content" not in row.fields else "content"
    column, value = columns.of(name), _cell(row, columns, name)
    content = content_in(value, column)
    if is_tool_traffic(value) or (not content and row.fields.get("tool_calls")):
        return None
    text = said_in(role, content, column)
    return Utterance(role=role, text=text) if role == "seeker" else _answer(row, columns, text, column)


def _answer(row: Row, columns: Columns, text: str, column: str) -> Utterance:
    """Return the supporter's turn; without a column for the analysis, it may be a section of the text."""
    if _has(row, columns.of("analysis")):
        return Utterance(role="supporter", text=text, analysis=_words(row, columns, "analysis").strip() or None)
    return said_by("supporter", text, column)


def _dialogue(rows: Sequence[Row], spoken: Sequence[Utterance | None], columns: Columns, roles: RoleMap) -> Dialogue:
    if _is_pair(rows[0], columns):
        spoken = [said for side in get_args(Role) for said in _said_by(side, rows[0], columns, roles)]
    labels, noted = _labels(rows, spoken, columns)
    turns, notes = turns_of(_in_order(rows, noted, columns))
    first = rows[0]
    own = _value(first, columns.of("id"))
    dialogue = Dialogue(
        id=first.own_id if own in (None, "") else id_in(own, columns.of("id")),
        turns=turns,
        scenario=_words(first, columns, "scenario"),
        persona=_words(first, columns, "persona"),
        system=_words(first, columns, "system"),
        labels=with_notes(labels, notes),
        meta=_object(first, "meta"),
    )
    return checked_dialogue(dialogue, columns.of("role"))


def _said_by(name: Role, row: Row, columns: Columns, roles: RoleMap) -> Sequence[Utterance]:
    """Return the utterances in one column of a pair, which in JSON may be a list of messages of both sides."""
    column, value = columns.of(name), _cell(row, columns, name)
    if isinstance(value, list):
        turns = turns_in_messages(value, column, roles)
        return [Utterance(role=each.role, text=each.text, analysis=each.analysis) for each in turns]
    if name == "seeker":
        return [Utterance(role=name, text=text_in(value, column))]
    return [_answer(row, columns, words_in(value, column), column)]


def _in_order(rows: Sequence[Row], spoken: Sequence[Utterance | None], columns: Columns) -> Sequence[Utterance | None]:
    column = columns.of("turn")
    if not _has(rows[0], column) or len(rows) != len(spoken):
        return spoken
    return [said for _, said in sorted(zip(rows, spoken, strict=True), key=lambda pair: _place(pair[0], column))]


def _place(row: Row, column: str) -> float:
    place = number_or_text(_value(row, column))
    # A number and not text, or turn 10 would come before turn 2.
    if not isinstance(place, int | float):
        raise RowError([(column, f"{shown(place)} found, expected a number")])
    return place


def _labels(
    rows: Sequence[Row], spoken: Sequence[Utterance | None], columns: Columns
) -> tuple[Mapping[str, Any], Sequence[Utterance | None]]:
    """Return the labels of the dialogue, and the utterances with those that differ between rows as notes."""
    labels = dict(_object(rows[0], "labels"))
    named = {name.removeprefix(_LABEL): name for name in rows[0].fields if name.startswith(_LABEL)}
    for name, column in {**named, **columns.labels}.items():
        values = [number_or_text(_value(row, column)) for row in rows]
        known = [value for value in values if value not in (None, "")]
        if known and all(value == known[0] for value in known):
            labels[name] = known[0]
        elif known:
            # Labels that differ between rows are about turns; the same in all rows, they are about the dialogue.
            spoken = [_noted(said, name, value) for said, value in zip(spoken, values, strict=True)]
    return labels, spoken


def _noted(said: Utterance | None, name: str, value: object) -> Utterance | None:
    if said is None or value in (None, ""):
        return said
    return replace(said, notes={**said.notes, name: value})


def _object(row: Row, column: str) -> Mapping[str, Any]:
    """Return the object in a column, which may be JSON text, as in the tables that perm writes."""
    value = row.fields.get(column)
    if isinstance(value, str):
        try:
            value = orjson.loads(value) if value.strip() else {}
        except orjson.JSONDecodeError:
            value = row.fields[column]
    return object_in(value, column)


def _cell(row: Row, columns: Columns, name: str) -> object:
    column = columns.of(name)
    if not _has(row, column):
        known = one_line(", ".join(row.fields), 100)
        raise RowError(
            [(column, f"no such column among {known}; name the one that holds the {name}: --columns {name}=…")]
        )
    return _value(row, column)


def _has(row: Row, column: str) -> bool:
    return _value(row, column, _NOWHERE) is not _NOWHERE


def _value(row: Row, column: str, missing: object = None) -> object:
    """Return the value of a column, which may be the path of a field in JSON, as in `response.output`."""
    if column in row.fields:
        return row.fields[column]
    value: object = row.fields
    for name in column.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return missing
        value = value[name]
    return value


def _words(row: Row, columns: Columns, name: str) -> str:
    return words_in(_value(row, columns.of(name)), columns.of(name))


FORMAT = Format(
    description="a table with the columns id, role and text, or seeker and supporter; others with --columns",
    recognises=recognises,
    read=read,
    container="table",
)
