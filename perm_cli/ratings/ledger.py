"""
The ledger: an index of the ratings in a run folder, and the outcomes of those that its commands asked for.

It keeps the columns of every rating that fusing and resuming need, in a scratch database, so that memory does not grow
with the run. It is rebuilt from the folder's ratings whenever that is opened; the files remain the source of truth.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from perm_cli.dialogues.dialogue import judged_places
from perm_cli.disk import scratch_database
from perm_cli.ratings.columns import defaults_of
from perm_cli.ratings.rating import COLUMNS, Call, Rating, is_settled
from perm_cli.words import Role, Status, Turns

_BATCH = 1000
LineRanges = Sequence[tuple[int, int]]
"""Lines of `dialogues.jsonl`: the first and last line of each range, from 0, in ascending order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """
    What one command asked for: ratings under some settings, of the dialogues on these lines.

    `lines` is None if the run has no record of them; the ratings that exist then count as those asked for.
    """

    settings: str
    judge: str
    dimensions: tuple[str, ...]
    turns: Turns
    samples: int
    lines: LineRanges | None


def is_among(line: int, ranges: LineRanges) -> bool:
    """Return whether a line is in one of the ranges."""
    place = bisect_left(ranges, line, key=itemgetter(1))
    return place < len(ranges) and ranges[place][0] <= line


def ratings_of(ask: Ask, dialogues: Iterable["StoredDialogue"]) -> int:
    """Return the number of ratings that an ask covers."""
    places = sum(1 for dialogue in dialogues for _ in _places([ask], dialogue))
    return places * len(ask.dimensions) * ask.samples


class StoredDialogue(NamedTuple):
    """A dialogue of the run as the ledger needs it: its line, id, system and the roles of its turns."""

    line: int
    id: str
    system: str
    roles: Sequence[Role]


class Outcome(NamedTuple):
    """The outcome of a rating: the columns of `Rating` that rewards are made from."""

    key: str
    settings: str
    dialogue_id: str
    system: str
    turn: int
    dimension: str
    judge: str
    sample: int
    status: Status
    score: float | None
    tokens_in: int
    tokens_out: int
    cached_tokens: int
    cost_usd: float | None
    attempts: int
    latency_s: float
    reused: str


_KEPT = (*Outcome._fields, "at")
_of_row = itemgetter(*_KEPT)
_of_rating = attrgetter(*_KEPT)
_COLUMN = {each.name: each for each in COLUMNS}
_SQL_TYPES = {str: "TEXT", int: "INTEGER", float: "REAL"}
_HELD = ", ".join(("settled INTEGER", *(f"{name} {_SQL_TYPES[_COLUMN[name].kind]}" for name in _KEPT)))
_INSERT = f"INSERT INTO held VALUES ({', '.join('?' * (len(_KEPT) + 1))})"  # noqa: S608 - no names at all
_FIND = "SELECT 1 FROM held WHERE key = ? AND settings = ifnull(?, settings) AND settled LIMIT 1"
_PLACE = "dialogue_id, system, turn, dimension, sample, settings"
_LAST_KEY = f"""
    SELECT key FROM held WHERE ({_PLACE}) = (?, ?, ?, ?, ?, ?) ORDER BY at DESC, rowid DESC LIMIT 1
"""  # noqa: S608 - the names are ours
_TABLES = {
    "asked": "nth INTEGER, settings TEXT, judge TEXT, system TEXT, line INTEGER, dialogue_id TEXT, turn INTEGER, "
    "samples INTEGER",
    "parts": "settings TEXT, dimension TEXT, place INTEGER",
    "lines": "dialogue_id TEXT, system TEXT, line INTEGER",
    "numbers": "number INTEGER",
}
# If a dialogue was edited between commands, the text asked about last counts.
_FORGET_EARLIER_TEXTS = """
    DELETE FROM asked WHERE EXISTS (
        SELECT 1 FROM asked AS other WHERE other.dialogue_id = asked.dialogue_id AND other.system = asked.system
        AND other.settings = asked.settings AND other.line != asked.line AND other.nth > asked.nth
    )
"""
_ASK_FOR_WHAT_IS_HELD = """
    INSERT INTO asked SELECT -1, settings, judge, system, ifnull(
        (SELECT min(line) FROM lines WHERE lines.dialogue_id = held.dialogue_id AND lines.system = held.system),
        1 << 40
    ), dialogue_id, turn, max(sample) + 1 FROM held WHERE settings = ? GROUP BY judge, system, dialogue_id, turn
"""
# The last key at a place belongs to the text that was asked about last. Among the ratings with that key, a settled one
# counts before any other, because it is never made again.
_LATEST = f"""
    CREATE TABLE latest AS SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY {_PLACE} ORDER BY settled DESC, nth) AS rank FROM (
            SELECT *, row_number() OVER last AS nth, first_value(key) OVER last AS last_key
            FROM held WINDOW last AS (PARTITION BY {_PLACE} ORDER BY at DESC, rowid DESC)
        ) WHERE key = last_key
    ) WHERE rank = 1
"""  # noqa: S608 - the same
_OF_THE_CELL = ("settings", "judge", "dialogue_id", "system", "turn")
_OF_THE_PART = {"dimension": "parts.dimension", "sample": "numbers.number"}
_NOT_MADE = defaults_of(COLUMNS) | {"key": "", "status": "skipped"}


def _column(name: str) -> str:
    """Return the SQL of a column of an outcome, with a default where no rating was made."""
    if name in _OF_THE_CELL:
        return f"asked.{name}"
    if name in _OF_THE_PART:
        return _OF_THE_PART[name]
    value = _NOT_MADE[name]
    return f"ifnull(latest.{name}, {'NULL' if value is None else repr(value)})"


# In this order, the ratings that are fused together are adjacent.
_OUTCOMES = f"""
    SELECT {", ".join(map(_column, Outcome._fields))} FROM (
        SELECT settings, max(judge) AS judge, system, max(line) AS line, dialogue_id, turn, max(samples) AS samples
        FROM asked GROUP BY settings, system, dialogue_id, turn
    ) AS asked JOIN parts ON parts.settings = asked.settings JOIN numbers ON numbers.number < asked.samples
    LEFT JOIN latest ON latest.dialogue_id = asked.dialogue_id AND latest.system = asked.system
        AND latest.turn = asked.turn AND latest.dimension = parts.dimension AND latest.sample = numbers.number
        AND latest.settings = asked.settings
    ORDER BY asked.settings, asked.judge, asked.system, asked.line, asked.dialogue_id, asked.turn, parts.place, number
"""  # noqa: S608 - the names are ours


class Ledger:
    """An index of the ratings given to it at the start and those noted since."""

    def __init__(self, held: Iterable[Mapping[str, Any]]) -> None:
        self._database = scratch_database()
        self._database.execute(f"CREATE TABLE held ({_HELD})")
        self._noted: list[tuple[Any, ...]] = []
        entries = ((is_settled(row["status"], row["error"]), *_of_row(row)) for row in held)
        self._holds = False
        while batch := list(islice(entries, _BATCH)):
            self._database.executemany(_INSERT, batch)
            self._holds = True
        if self._holds:  # indexed only now: an index that grows with every row costs more
            self._database.execute("CREATE INDEX by_key ON held (key)")
            self._database.execute(f"CREATE INDEX by_place ON held ({_PLACE})")

    def holds(self, key: str, settings: str | None = None) -> bool:
        """Return whether there is a settled rating with this key under these settings, or under any if None."""
        return self._holds and self._database.execute(_FIND, (key, settings)).fetchone() is not None

    def last_key(self, call: Call, settings: str) -> str | None:
        """Return the key of the last rating at the place of this call; it differs from the call's after an edit."""
        if not self._holds:
            return None
        self._flush()
        asks = call.question
        place = (asks.dialogue_id, asks.system, asks.turn, asks.dimension.name, call.sample, settings)
        found = self._database.execute(_LAST_KEY, place).fetchone()
        return found[0] if found else None

    def settled(self, settings: str) -> int:
        """Return the number of ratings under these settings if all are settled, else -1."""
        by_key = "SELECT max(settled) AS settled FROM held WHERE settings = ? GROUP BY key"
        query = f"SELECT count(*), min(settled) FROM ({by_key})"  # noqa: S608 - the words are ours
        ratings, all_settled = self._database.execute(query, (settings,)).fetchone()
        return ratings if all_settled else -1

    def has_scored(self, judge: str) -> bool:
        """Return whether this judge has given any score in this folder."""
        query = "SELECT 1 FROM held WHERE judge = ? AND status = 'scored' LIMIT 1"
        return self._database.execute(query, (judge,)).fetchone() is not None

    def note(self, rating: Rating) -> None:
        """Add a new rating."""
        self._noted.append((is_settled(rating.status, rating.error), *_of_rating(rating)))
        if len(self._noted) >= _BATCH:
            self._flush()

    def outcomes(self, asks: Sequence[Ask], dialogues: Callable[[], Iterable[StoredDialogue]]) -> Iterator[Outcome]:
        """
        Yield the outcomes of all ratings asked for, ordered by settings, judge, system, dialogue and turn.

        A rating that was asked for and not made is `skipped`. `asks` are in the order in which they were made.
        """
        self._flush()
        for name, columns in _TABLES.items():
            self._database.execute(f"DROP TABLE IF EXISTS {name}")
            self._database.execute(f"CREATE TABLE {name} ({columns})")
        self._ask(asks, dialogues)
        self._database.execute("DROP TABLE IF EXISTS latest")
        self._database.execute(_LATEST)
        self._database.execute(f"CREATE INDEX latest_by_place ON latest ({_PLACE})")
        return map(Outcome._make, self._database.execute(_OUTCOMES))

    def _ask(self, asks: Sequence[Ask], dialogues: Callable[[], Iterable[StoredDialogue]]) -> None:
        parts = {(ask.settings, name, place) for ask in asks for place, name in enumerate(ask.dimensions)}
        self._database.executemany("INSERT INTO parts VALUES (?, ?, ?)", parts)
        asks = [replace(ask, judge=self._judge_of(ask)) for ask in asks]
        places = (place for dialogue in dialogues() for place in _places(asks, dialogue))
        self._database.executemany("INSERT INTO asked VALUES (?, ?, ?, ?, ?, ?, ?, ?)", places)
        if len(asks) > 1:
            self._database.execute("CREATE INDEX asked_by_dialogue ON asked (dialogue_id, system)")
            self._database.execute(_FORGET_EARLIER_TEXTS)
        if unrecorded := {ask.settings for ask in asks if ask.lines is None}:
            lines = ((dialogue.id, dialogue.system, dialogue.line) for dialogue in dialogues())
            self._database.executemany("INSERT INTO lines VALUES (?, ?, ?)", lines)
            self._database.execute("CREATE INDEX lines_by_dialogue ON lines (dialogue_id, system)")
            self._database.executemany(_ASK_FOR_WHAT_IS_HELD, ((settings,) for settings in unrecorded))
        (samples,) = self._database.execute("SELECT ifnull(max(samples), 0) FROM asked").fetchone()
        self._database.executemany("INSERT INTO numbers VALUES (?)", ((number,) for number in range(samples)))

    def _judge_of(self, ask: Ask) -> str:
        """Return the judge's most recent name, which is not part of its settings."""
        query = "SELECT judge FROM held WHERE settings = ? ORDER BY at DESC, rowid DESC LIMIT 1"
        found = self._database.execute(query, (ask.settings,)).fetchone()
        return str(found[0]) if found else ask.judge

    def spent(self) -> tuple[int, int, float]:
        """Return the calls, tokens and US dollars that all ratings made in this folder have cost."""
        query = "SELECT sum(attempts), sum(tokens_in + tokens_out), sum(cost_usd) FROM held WHERE reused = ''"
        calls, tokens, cost_usd = self._database.execute(query).fetchone()
        return calls or 0, tokens or 0, cost_usd or 0.0

    def close(self) -> None:
        """Delete the database."""
        self._database.close()

    def _flush(self) -> None:
        self._database.executemany(_INSERT, self._noted)
        self._noted.clear()


def _places(asks: Sequence[Ask], dialogue: StoredDialogue) -> Iterator[tuple[Any, ...]]:
    """Yield one row per ask and supporter turn of a dialogue that it covers."""
    for nth, ask in enumerate(asks):
        if ask.lines and is_among(dialogue.line, ask.lines):
            cell = (nth, ask.settings, ask.judge, dialogue.system, dialogue.line, dialogue.id)
            yield from ((*cell, turn, ask.samples) for turn in judged_places(dialogue.roles, ask.turns))
