"""
People's scores: labels inside dialogues, and CSV files of ratings.

A file is either long (one row per rating, with columns `rater` and `score`) or wide (one row per item and one column
per rater). The other columns name the item: `dialogue_id` and, optionally, `system`, `turn`, `dimension` and `dataset`.
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
_OF_LONG = ("rater", "score", "kind")  # in a wide file, columns of these names are raters
_NO_DIMENSION = "score"
_LONGEST = 9  # digits: a larger turn or score is meaningless, and its square would swamp every variance
_PEOPLE = ("human", "expert", "annotator", "crowd", "person", "people", "rater", "worker", "user")
_TEXTS = frozenset({
    "text", "content", "utterance", "utterance_text", "message", "response", "response_post", "seeker_post", "reply",
    "seeker", "supporter", "prompt", "completion", "chosen", "rejected", "instruction", "question", "answer", "output",
})  # fmt: skip
# A crowd rates differently from experts: mixed in, it would lower the ceiling that judges are compared with.
_CROWD = ("crowd", "worker", "user")
_MODELS = frozenset({"judge", "judges", "model", "models", "simulated"})


def read_ratings(path: Path, people: Sequence[str] = ()) -> Scores:
    """
    Read the ratings in a CSV file; raise `SettingsError` with the line and the reason if it cannot be read.

    `people` names the human raters; without it they are recognised by the column `rater_kind` or by their names
    (`human…`, `expert…`, `annotator…`, `crowd…`). Crowd raters are excluded if there are other people.
    """
    kinds: dict[str, str] = {}
    scores = table_of(_rows(path, kinds))
    if not scores.items:
        raise SettingsError(f"{path}: no ratings found, expected one row per item or per rating")
    unknown = set(people) - set(scores.raters)
    if unknown:
        known = ", ".join(scores.raters)
        raise SettingsError(
            f"--people: {', '.join(sorted(unknown))} not found in {path}, expected one or more of {known}"
        )
    likely = [rater for rater in scores.raters if _is(_PEOPLE, rater, kinds)]
    named = people or [rater for rater in likely if not _is(_CROWD, rater, kinds)] or likely
    # People who were not asked for must not pass for judges.
    return scores.with_people(named).without(set(likely) - set(named))


def labels_of(dialogue: Dialogue) -> Iterator[tuple[Given, bool]]:
    """
    Yield the numbers in a dialogue's labels, each with whether a person gave it.

    The rater of `{"empathy": 4}` is `labels`, of `{"crowd": {"empathy": 4}}` it is `crowd`, and of
    `{"experts": {"ann": {"empathy": 4}}}` it is `ann`. Labels under `turns` and a turn's number are of that turn.
    Labels under `judge`, `model` or `simulated` are not a person's.
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
    Return a table of judges with people's labels as further raters, for single turns, whole dialogues, or both.

    A judge's score of a whole dialogue is the mean over its turns. A label without a system belongs to the dialogue's
    only system. Labels of items that no judge has rated are dropped; raise `SettingsError` if none remain. Crowd raters
    are excluded if there are other people, unless `people` names them.
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
    """Return the message for labels and ratings without a common item, naming an item of each for comparison."""
    found = f"{len(given):,} labels of other dialogues found (first: {_named(given[0].item)})," if given else ""
    first = f" (first: {_named(rated[0])})" if rated else ""
    return f"{found or 'no labels found,'} expected labels of the rated dialogues{first}"


def _named(item: Rated) -> str:
    parts = (shown(item.dialogue_id), item.system and f"of {shown(item.system)}", item.turn and f"turn {item.turn}")
    return " ".join(str(part) for part in parts if part)


def _beside(judged: Scores, labels: Scores) -> Scores:
    """Return a table with the labels of its items as further raters."""
    # A person may have the name of a judge, and a table has one column per name.
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
    """Return the table with the items that labels are about: single turns, whole dialogues, or both."""
    whole = collapsed(scores)
    if True not in by_turn or not any(item.turn for item in scores.items):
        return whole
    if False not in by_turn:
        return scores
    tables = {name: np.vstack((table, whole.tables[name])) for name, table in scores.tables.items()}
    return replace(scores, items=[*scores.items, *whole.items], tables=tables)


def _asked(found: set[str], people: Sequence[str]) -> set[str]:
    """Return the raters whose labels count: those asked for, else all but crowd raters, else these."""
    unknown = set(people) - found
    if unknown:
        known = ", ".join(sorted(found)) or "nobody"
        raise SettingsError(
            f"--people: {', '.join(sorted(unknown))} not found in the labels, expected one or more of {known}"
        )
    return set(people) or {rater for rater in found if not rater.lower().startswith(_CROWD)} or found


def _only_systems(items: Sequence[Rated]) -> dict[tuple[str, int], Rated | None]:
    """Return, for each dialogue and turn, its item if only one system has one, else None."""
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
    """Yield the raters and scores of a row: one in a long file, one per rater column in a wide one."""
    if "score" in columns:
        yield str(row.fields[columns["rater"]]).strip(), str(row.fields[columns["score"]])
    else:
        yield from ((name, str(cell)) for name, cell in row.fields.items() if name not in columns.values())


def _table(path: Path) -> Iterator[Row]:
    source = source_of(str(path))
    if kind_of(source) not in {"table", "unknown", "text"}:
        raise SettingsError(f"{path}: another kind of file found, expected a CSV file of ratings")
    for item in read_rows(source, "table"):
        if isinstance(item, Problem):
            raise SettingsError(str(item))
        if isinstance(item, Row):
            yield item


def _columns(path: Path, header: Sequence[str]) -> Mapping[str, str]:
    """Return the file's columns by our names; those of a long file only if the file is long."""
    found = {ours: theirs for ours, names in _NAMES.items() if (theirs := _found(header, names))}
    if "dialogue_id" not in found:
        raise SettingsError(
            f"{path}:1: columns {', '.join(map(one_line, header))} found, expected one named dialogue_id"
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
        raise SettingsError(f"{path}:{number}: the dialogue_id is empty, expected an id")
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
    """Return whether a CSV file holds ratings rather than dialogues: no column of its header is one of texts."""
    source = source_of(str(path)) if path.is_file() else None
    if not source or kind_of(source) != "table":
        return False
    with suppress(OSError, SettingsError, UnicodeDecodeError, *broken()):  # reading it as dialogues reports these
        return not {name.lower() for name in header_of(source)} & _TEXTS
    return False
