"""
What people said: labels that dialogues carry, and files of ratings.

A file is CSV, either long (a rating a line, with `rater` and `score`) or wide (an item a line and a column a rater).
Its other columns name the item: `dialogue_id`, and if there are such `system`, `turn`, `dimension` and `dataset`.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from perm_cli.comparing.systems import collapsed
from perm_cli.comparing.table import Given, Rated, Scores, table_of
from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.containers import read_rows
from perm_cli.dialogues.files.packing import broken
from perm_cli.dialogues.files.rows import Row
from perm_cli.dialogues.files.sources import kind_of, source_of
from perm_cli.dialogues.files.tables import header_of
from perm_cli.errors import Problem, SettingsError
from perm_cli.findings import shown
from perm_cli.text import one_line

_NAMES: Mapping[str, tuple[str, ...]] = {
    "dialogue_id": ("dialogue_id", "dialogue", "conversation_id", "conv_id", "conv", "conversation", "item", "id"),
    "system": ("system", "model"),
    "turn": ("turn",),
    "dimension": ("dimension", "attribute", "criterion"),
    "dataset": ("dataset",),
    "rater": ("rater", "annotator", "judge"),
    "score": ("score", "rating"),
    "kind": ("rater_kind", "kind"),
}
_OF_LONG = ("rater", "score", "kind")  # in a wide file, columns so called are raters
_NO_DIMENSION = "score"
_LONGEST = 9  # digits before a turn or a score means nothing, and its square too much
_PEOPLE = ("human", "expert", "annotator", "crowd", "person", "people", "rater", "worker", "user")
_TEXTS = frozenset({
    "text", "content", "utterance", "utterance_text", "message", "response", "response_post", "seeker_post", "reply",
    "seeker", "supporter", "prompt", "completion", "chosen", "rejected", "instruction", "question", "answer", "output",
})  # fmt: skip
_CROWD = ("crowd", "worker", "user")
_MODELS = frozenset({"judge", "judges", "model", "models", "simulated"})


def read_ratings(path: Path, people: Sequence[str] = ()) -> Scores:
    """
    Return the ratings in a CSV file; raise `SettingsError` with line and reason for what is none.

    `people` names the raters who are people; without it, a column `rater_kind` tells, or their names do
    (`human…`, `expert…`, `annotator…`, `crowd…`). Where there are others, a crowd is left out.
    """
    kinds: dict[str, str] = {}
    scores = table_of(_rows(path, kinds))
    if not scores.items:
        raise SettingsError(f"{path}: no ratings found, expected a line an item or a rating")
    unknown = set(people) - set(scores.raters)
    if unknown:
        known = ", ".join(scores.raters)
        raise SettingsError(f"--people: {', '.join(sorted(unknown))} not found in {path}, expected some of {known}")
    likely = [rater for rater in scores.raters if _is(_PEOPLE, rater, kinds)]
    named = people or [rater for rater in likely if not _is(_CROWD, rater, kinds)] or likely
    # People who are not asked for are no judges either.
    return scores.with_people(named).without(set(likely) - set(named))


def labels_of(dialogue: Dialogue) -> Iterator[tuple[Given, bool]]:
    """
    Yield the numbers in a dialogue's labels, and whether a person gave them.

    `{"empathy": 4}` was given by `labels`, `{"crowd": {"empathy": 4}}` by `crowd`, and
    `{"experts": {"ann": {"empathy": 4}}}` by `ann`. What stands under `turns` and the number of a turn is about that
    turn alone; what stands under `judge` or `simulated` is from no person.
    """
    turns = dialogue.labels.get("turns")
    rest = {name: value for name, value in dialogue.labels.items() if name != "turns" or not isinstance(turns, Mapping)}
    yield from _numbers(rest, (), Rated(dialogue.id, dialogue.system))
    if isinstance(turns, Mapping):
        for turn, labels in turns.items():
            if str(turn).isdecimal() and isinstance(labels, Mapping):
                yield from _numbers(labels, (), Rated(dialogue.id, dialogue.system, int(turn)))


def with_labels(scores: Scores, labels: Iterable[tuple[Given, bool]], people: Sequence[str] = ()) -> Scores:
    """
    Return a table of judges with people's labels beside, of single turns, of whole dialogues, or of both.

    What judges give a whole dialogue is the mean over its turns. A label that names no system is about the dialogue's
    only one. Labels of what no judge has rated are left out; raise `SettingsError` if none is left. A crowd is left out
    where there are others, unless `people` asks for it.
    """
    given = [each for each, person in labels if person and math.isfinite(each.score)]
    asked = _asked({each.rater for each in given}, people)
    given = [each for each in given if each.rater in asked]
    judged = _at_levels(scores, {each.item.turn > 0 for each in given})
    known = set(judged.items)
    alone = _only_systems(judged.items)
    placed = [
        each if item == each.item else each._replace(item=item)
        for each in given
        if (item := _placed(each.item, known, alone))
    ]
    if not placed:
        raise SettingsError(_nothing_shared(given, judged.items))
    return _beside(judged, table_of(placed))


def _nothing_shared(given: Sequence[Given], rated: Sequence[Rated]) -> str:
    """Return the message that no label is about what was rated, with an item of each side to compare."""
    found = f"{len(given):,} labels of other dialogues found, the first {_named(given[0].item)};" if given else ""
    first = f", the first {_named(rated[0])}" if rated else ""
    return f"{found or 'no labels found,'} expected some of the dialogues that were rated{first}"


def _named(item: Rated) -> str:
    parts = (shown(item.dialogue_id), item.system and f"of {shown(item.system)}", item.turn and f"turn {item.turn}")
    return " ".join(str(part) for part in parts if part)


def _beside(judged: Scores, labels: Scores) -> Scores:
    """Return a table with the labels of its items as further columns."""
    people = [f"{rater} (label)" if rater in judged.raters else rater for rater in labels.raters]
    places = {item: place for place, item in enumerate(judged.items)}
    rows = [places[item] for item in labels.items]
    judges = len(judged.raters)
    tables = {}
    for name in [*judged.tables, *(name for name in labels.tables if name not in judged.tables)]:
        tables[name] = np.full((len(judged.items), judges + len(people)), np.nan)
        if name in judged.tables:
            tables[name][:, :judges] = judged.tables[name]
        if name in labels.tables:
            tables[name][rows, judges:] = labels.tables[name]
    raters = [*judged.raters, *people]
    return replace(judged, raters=raters, tables=tables, people=judged.people | set(people))


def _at_levels(scores: Scores, by_turn: set[bool]) -> Scores:
    """Return the table at the levels that labels are about: single turns, whole dialogues, or one above the other."""
    whole = collapsed(scores)
    if True not in by_turn or not any(item.turn for item in scores.items):
        return whole
    if False not in by_turn:
        return scores
    tables = {name: np.vstack((table, whole.tables[name])) for name, table in scores.tables.items()}
    return replace(scores, items=[*scores.items, *whole.items], tables=tables)


def _asked(found: set[str], people: Sequence[str]) -> set[str]:
    """Return whose labels are looked at: those asked for, else all but the crowd, else the crowd."""
    unknown = set(people) - found
    if unknown:
        known = ", ".join(sorted(found)) or "nobody"
        raise SettingsError(f"--people: {', '.join(sorted(unknown))} not found in the labels, expected some of {known}")
    return set(people) or {rater for rater in found if not rater.lower().startswith(_CROWD)} or found


def _only_systems(items: Sequence[Rated]) -> dict[tuple[str, int], Rated | None]:
    """Return the item of each dialogue and turn that has one system only."""
    alone: dict[tuple[str, int], Rated | None] = {}
    for item in items:
        place = (item.dialogue_id, item.turn)
        alone[place] = None if place in alone else item
    return alone


def _placed(item: Rated, known: set[Rated], alone: Mapping[tuple[str, int], Rated | None]) -> Rated | None:
    if item in known:
        return item
    return None if item.system else alone.get((item.dialogue_id, item.turn))


def _numbers(value: Any, path: tuple[str, ...], item: Rated) -> Iterator[tuple[Given, bool]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _numbers(inner, (*path, str(name)), item)
    elif path and isinstance(value, int | float) and math.isfinite(value):
        rater = path[-2] if len(path) > 1 else "labels"
        yield Given(item, path[-1], one_line(rater), float(value)), path[0].lower() not in _MODELS


def _rows(path: Path, kinds: dict[str, str]) -> Iterator[Given]:
    columns: Mapping[str, str] = {}
    for row in _table(path):
        columns = columns or _columns(path, list(row.fields))
        cells = {ours: str(row.fields[theirs]).strip() for ours, theirs in columns.items()}
        item, dimension = _item(cells, path, row.number), _dimension(cells)
        for rater, text in _given(row, columns):
            kinds[one_line(rater)] = cells.get("kind", "")
            yield Given(item, dimension, one_line(rater), _number(text, path, row.number, rater))


def _given(row: Row, columns: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield who gave what in a row of a long file, which is one, or of a wide one."""
    if "score" in columns:
        yield str(row.fields[columns["rater"]]).strip(), str(row.fields[columns["score"]])
    else:
        yield from ((name, str(cell)) for name, cell in row.fields.items() if name not in columns.values())


def _table(path: Path) -> Iterator[Row]:
    source = source_of(str(path))
    if kind_of(source) not in {"table", "unknown", "text"}:
        raise SettingsError(f"{path}: no CSV file by its name found, expected a CSV file of ratings")
    for item in read_rows(source, "table"):
        if isinstance(item, Problem):
            raise SettingsError(str(item))
        if isinstance(item, Row):
            yield item


def _columns(path: Path, header: Sequence[str]) -> Mapping[str, str]:
    """Return the columns by our names; those of a long file only if it is one."""
    found = {ours: theirs for ours, names in _NAMES.items() if (theirs := _found(header, names))}
    if "dialogue_id" not in found:
        raise SettingsError(
            f"{path}:1: columns {', '.join(map(one_line, header))} found, expected one called dialogue_id"
        )
    if {"rater", "score"} <= found.keys():
        return found
    return {ours: theirs for ours, theirs in found.items() if ours not in _OF_LONG}


def _found(header: Sequence[str], names: Sequence[str]) -> str | None:
    lowered = {name.lower(): name for name in reversed(header)}
    return next((lowered[name] for name in names if name in lowered), None)


def _item(cells: Mapping[str, str], path: Path, number: int) -> Rated:
    dataset = f"{cells['dataset']}/" if cells.get("dataset") else ""
    turn = cells.get("turn") or "0"
    if not cells["dialogue_id"]:
        raise SettingsError(f"{path}:{number}: no dialogue_id found, expected one")
    if not turn.isdecimal() or len(turn) > _LONGEST:
        raise SettingsError(f"{path}:{number}: turn {shown(turn)} found, expected a number from 1")
    return Rated(dataset + cells["dialogue_id"], cells.get("system", ""), int(turn))


def _dimension(cells: Mapping[str, str]) -> str:
    dataset = f"{cells['dataset']}/" if cells.get("dataset") else ""
    return dataset + one_line(cells.get("dimension") or _NO_DIMENSION)


def _number(text: str, path: Path, number: int, rater: str) -> float:
    text = text.strip()
    if text.lower() in {"", "nan", "na", "n/a", "none", "null", "-"}:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not abs(value) < 10**_LONGEST:
        raise SettingsError(f"{path}:{number}: {one_line(rater)}: {shown(text)} found, expected a number or nothing")
    return value


def _is(prefixes: tuple[str, ...], rater: str, kinds: Mapping[str, str]) -> bool:
    return (kinds.get(rater) or rater).lower().startswith(prefixes)


def is_ratings_file(path: Path) -> bool:
    """Tell whether a CSV file holds ratings, and not dialogues: nothing in its header could be what somebody said."""
    source = source_of(str(path)) if path.is_file() else None
    if not source or kind_of(source) != "table":
        return False
    with suppress(OSError, SettingsError, UnicodeDecodeError, *broken()):  # what reads the dialogues says it
        return not {name.lower() for name in header_of(source)} & _TEXTS
    return False
