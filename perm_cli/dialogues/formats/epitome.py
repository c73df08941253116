"""
EPITOME: a seeker's forum post, one response, and the level of empathy it shows, in one file per mechanism.

The three files have the same pairs; files given together are joined, in memory.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.files.cells import number_or_text
from perm_cli.dialogues.files.fields import id_in, text_in, words_in
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.rows import Record, Row, RowError
from perm_cli.dialogues.files.steps import Found, Made
from perm_cli.dialogues.format import Format

_MECHANISMS = ("emotional_reactions", "explorations", "interpretations")


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    return "seeker_post" in fields and "response_post" in fields


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:  # noqa: ARG001 - the columns say who speaks
    """Yield one dialogue per pair of posts, with the labels of all rows that are about it."""
    pairs: dict[tuple[str, str], _Pair] = {}
    for record in records:
        if not isinstance(record, Row):
            yield record
            continue
        try:
            _note(pairs, record)
        except RowError as error:
            yield from record.problems(error)
    # Only at the end: the labels of a pair are spread over all files.
    for (seeker_id, response_id), pair in pairs.items():
        turns = (Turn(role="seeker", text=pair.post), Turn(role="supporter", text=pair.response))
        own = "_".join(filter(None, (seeker_id, response_id)))
        yield Found(Dialogue(id=own, turns=turns, labels=_labels(pair)), pair.row)


@dataclass(slots=True)
class _Pair:
    row: Row
    post: str
    response: str
    levels: dict[str, list[Any]] = field(default_factory=dict)
    rationales: dict[str, list[str]] = field(default_factory=dict)


def _note(pairs: dict[tuple[str, str], _Pair], row: Row) -> None:
    fields = row.fields
    key = _key(row)
    post = text_in(fields.get("seeker_post"), "seeker_post")
    response = words_in(fields.get("response_post"), "response_post")
    pair = pairs.setdefault(key, _Pair(row, post, response))
    mechanism = _mechanism(row)
    if (level := fields.get("level")) not in (None, ""):
        pair.levels.setdefault(mechanism, []).append(number_or_text(level))
    known = pair.rationales.setdefault(mechanism, [])
    rationales = (part.strip() for part in words_in(fields.get("rationales"), "rationales").split("|"))
    known += [part for part in rationales if part and part not in known]


def _key(row: Row) -> tuple[str, str]:
    """Return the ids of the two posts; the unlabelled sample has one id for both, or none."""
    fields = row.fields
    if fields.keys() & {"sp_id", "rp_id"}:
        return id_in(fields.get("sp_id"), "sp_id"), id_in(fields.get("rp_id"), "rp_id")
    return id_in(fields.get("id") or row.own_id), ""


def _mechanism(row: Row) -> str:
    """Return the mechanism that a file rates, which only its name tells."""
    name = row.stem.lower().replace("-", "_")
    return next((mechanism for mechanism in _MECHANISMS if mechanism in name), "level")


def _labels(pair: _Pair) -> dict[str, Any]:
    """Return the first level of each mechanism, and all levels where a pair has several different ones."""
    labels: dict[str, Any] = {mechanism: levels[0] for mechanism, levels in pair.levels.items()}
    if others := {
        mechanism: levels for mechanism, levels in pair.levels.items() if any(each != levels[0] for each in levels)
    }:
        labels["levels"] = others
    if rationales := {mechanism: parts for mechanism, parts in pair.rationales.items() if parts}:
        labels["rationales"] = rationales
    return labels


FORMAT = Format(
    description="CSV files with sp_id, rp_id, seeker_post, response_post and level",
    recognises=recognises,
    read=read,
    container="table",
    is_joined=True,
)
