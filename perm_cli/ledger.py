"""
The ledger: which ratings a run folder holds, and what has come of those that its commands asked for.

It keeps of every rating what fusing and resuming need, in a scratch database, so that memory does not grow with
the run. It is filled from the ratings of the folder whenever that is opened; the folder remains the truth.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from perm_cli.dialogues import judged_places
from perm_cli.ratings import Rating, is_settled
from perm_cli.scratch import scratch
from perm_cli.words import Role, Status, Turns

_BATCH = 1000
_COLUMNS = """
    settled INTEGER, key TEXT, settings TEXT, dialogue_id TEXT, system TEXT, turn INTEGER, dimension TEXT, judge TEXT,
    sample INTEGER, status TEXT, score REAL, tokens_in INTEGER, tokens_out INTEGER, cached_tokens INTEGER,
    cost_usd REAL, attempts INTEGER, latency_s REAL, reused TEXT
"""
LineRanges = Sequence[tuple[int, int]]
"""Lines of `dialogues.jsonl`: first and last of each range, counted from 0, in ascending order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """
    What one command asked for: ratings under some settings, of the dialogues on these lines.

    `lines` is None where the run has no record of them; what was asked for is then taken to be what there is.
    """

    settings: str
    judge: str
    dimensions: tuple[str, ...]
    turns: Turns
    samples: int
    lines: LineRanges | None

    def covers(self, line: int) -> bool:
        """Tell whether the dialogue on a line was asked about."""
        if not self.lines:
            return False
        place = bisect_left(self.lines, line, key=itemgetter(1))
        return place < len(self.lines) and self.lines[place][0] <= line


class Kept(NamedTuple):
    """A dialogue of the run as far as the ledger needs it: its line, its names and the roles of its turns."""

    line: int
    id: str
    system: str
    roles: Sequence[Role]


class Outcome(NamedTuple):
    """Hold what a rating came to, in the words of `Rating`."""

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


_of_row = itemgetter(*Outcome._fields)
_of_rating = attrgetter(*Outcome._fields)
_INSERT = f"INSERT INTO held VALUES ({', '.join('?' * (len(Outcome._fields) + 1))})"  # noqa: S608 - no names at all
# What is settled is never made again, so it counts before anything that is not, wherever it stands.
_FIND = "SELECT settled FROM held WHERE key = ? AND settings = ? ORDER BY settled DESC LIMIT 1"
_TABLES = {
    "asked": "nth INTEGER, settings TEXT, judge TEXT, system TEXT, line INTEGER, dialogue_id TEXT, turn INTEGER, "
    "samples INTEGER",
    "parts": "settings TEXT, dimension TEXT, place INTEGER",
    "lines": "dialogue_id TEXT, system TEXT, line INTEGER",
    "numbers": "number INTEGER",
}
# Of a dialogue that was edited, that text counts which was asked about last.
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
_LATEST = """
    CREATE TABLE latest AS SELECT * FROM (
        SELECT *, row_number() OVER (
            PARTITION BY settings, dialogue_id, system, turn, dimension, sample ORDER BY settled DESC, rowid DESC
        ) AS nth FROM held
    ) WHERE nth = 1
"""
_OF_THE_CELL = ("settings", "judge", "dialogue_id", "system", "turn")
_OF_THE_PART = {"dimension": "parts.dimension", "sample": "numbers.number"}
_NOT_MADE = {"key": "''", "status": "'skipped'", "score": "NULL", "cost_usd": "NULL", "reused": "''"}


def _column(name: str) -> str:
    """Return a column of an outcome whose rating may not have been made."""
    if name in _OF_THE_CELL:
        return f"asked.{name}"
    return _OF_THE_PART.get(name) or f"ifnull(latest.{name}, {_NOT_MADE.get(name, '0')})"


# What stands together in this order is fused together.
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
    """The ratings held when it was made, and those noted since."""

    def __init__(self, held: Iterable[Mapping[str, Any]]) -> None:
        self._database = scratch()
        self._database.execute(f"CREATE TABLE held ({_COLUMNS})")
        self._noted: list[tuple[Any, ...]] = []
        entries = ((is_settled(row["status"], row["error"]), *_of_row(row)) for row in held)
        self._holds = False
        while batch := list(islice(entries, _BATCH)):
            self._database.executemany(_INSERT, batch)
            self._holds = True
        if self._holds:
            self._database.execute("CREATE INDEX by_key ON held (key)")

    def holds(self, key: str, settings: str) -> bool:
        """Tell whether a rating with this key, not to be paid for again, is held under these settings."""
        return self._holds and self._database.execute(_FIND, (key, settings)).fetchone() == (1,)

    def holds_others(self, settings: str) -> bool:
        """Tell whether ratings are held under other settings."""
        query = "SELECT 1 FROM held WHERE settings != ? LIMIT 1"
        return self._database.execute(query, (settings,)).fetchone() is not None

    def settled(self, settings: str) -> int:
        """Return how many ratings under these settings are not to be paid for again, -1 if others are."""
        by_key = "SELECT max(settled) AS settled FROM held WHERE settings = ? GROUP BY key"
        query = f"SELECT count(*), min(settled) FROM ({by_key})"  # noqa: S608 - the words are ours
        ratings, all_settled = self._database.execute(query, (settings,)).fetchone()
        return ratings if all_settled else -1

    def has_scored(self, judge: str) -> bool:
        """Tell whether this judge has ever given a score in this folder."""
        query = "SELECT 1 FROM held WHERE judge = ? AND status = 'scored' LIMIT 1"
        return self._database.execute(query, (judge,)).fetchone() is not None

    def note(self, rating: Rating) -> None:
        """Add a rating that was just made."""
        self._noted.append((is_settled(rating.status, rating.error), *_of_rating(rating)))
        if len(self._noted) >= _BATCH:
            self._settle()

    def outcomes(self, asks: Sequence[Ask], dialogues: Callable[[], Iterable[Kept]]) -> Iterator[Outcome]:
        """
        Yield what came of everything that was asked for: by settings and system, then by dialogue and turn.

        A rating that was asked for and not made is `skipped`. Asks come in the order in which they were made.
        """
        self._settle()
        for name, columns in _TABLES.items():
            self._database.execute(f"DROP TABLE IF EXISTS {name}")
            self._database.execute(f"CREATE TABLE {name} ({columns})")
        self._ask(asks, dialogues)
        self._database.execute("DROP TABLE IF EXISTS latest")
        self._database.execute(_LATEST)
        columns = "dialogue_id, system, turn, dimension, sample, settings"
        self._database.execute(f"CREATE INDEX by_place ON latest ({columns})")
        return map(Outcome._make, self._database.execute(_OUTCOMES))

    def _ask(self, asks: Sequence[Ask], dialogues: Callable[[], Iterable[Kept]]) -> None:
        parts = {(ask.settings, name, place) for ask in asks for place, name in enumerate(ask.dimensions)}
        self._database.executemany("INSERT INTO parts VALUES (?, ?, ?)", parts)
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

    def spent(self) -> tuple[int, int, float]:
        """Return the calls, tokens and US dollars that the ratings held have cost, whoever asked for them."""
        query = "SELECT sum(attempts), sum(tokens_in + tokens_out), sum(cost_usd) FROM held WHERE reused = ''"
        calls, tokens, cost_usd = self._database.execute(query).fetchone()
        return calls or 0, tokens or 0, cost_usd or 0.0

    def close(self) -> None:
        """Forget everything."""
        self._database.close()

    def _settle(self) -> None:
        self._database.executemany(_INSERT, self._noted)
        self._noted.clear()


def _places(asks: Sequence[Ask], dialogue: Kept) -> Iterator[tuple[Any, ...]]:
    """Yield a row for every supporter turn of a dialogue that was asked about."""
    for nth, ask in enumerate(asks):
        if ask.covers(dialogue.line):
            cell = (nth, ask.settings, ask.judge, dialogue.system, dialogue.line, dialogue.id)
            yield from ((*cell, turn, ask.samples) for turn in judged_places(dialogue.roles, ask.turns))
