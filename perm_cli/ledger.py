"""
The ledger: which ratings a run folder holds, and which of them a job wants.

It keeps of every rating what fusing and resuming need, in a scratch database, so that memory does not grow with
the run. It is filled from the ratings of the folder whenever that is opened; the folder remains the truth.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from perm_cli.ratings import Call, Rating, RatingRules, is_settled, unmade
from perm_cli.scratch import scratch
from perm_cli.words import Status

_BATCH = 1000
_COLUMNS = """
    settled INTEGER, rank INTEGER, key TEXT, settings TEXT, dialogue_id TEXT, system TEXT, turn INTEGER,
    dimension TEXT, judge TEXT, sample INTEGER, status TEXT, score REAL, tokens_in INTEGER, tokens_out INTEGER,
    cached_tokens INTEGER, cost_usd REAL, attempts INTEGER, latency_s REAL, reused TEXT
"""


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
_NAMES = ", ".join(Outcome._fields)
_INSERT = f"VALUES ({', '.join('?' * (len(Outcome._fields) + 2))})"
# A job wants a rating by giving it the rank of its dialogue. What stands together in this order is fused together.
_WANTED = f"""
    SELECT {_NAMES} FROM (
        SELECT rowid AS place, * FROM held WHERE rank IS NOT NULL UNION ALL SELECT rowid AS place, * FROM made
    ) ORDER BY settings, judge, system, rank, dialogue_id, turn, place
"""  # noqa: S608 - the names are ours
# What is settled is never made again, so it counts before anything that is not, wherever it stands.
_FIND = "SELECT rowid, settled FROM held WHERE key = ? ORDER BY settled DESC, rowid DESC LIMIT 1"
_LATEST = """
    SELECT place FROM (
        SELECT rowid AS place, row_number() OVER (PARTITION BY key ORDER BY settled DESC, rowid DESC) AS nth FROM held
    ) WHERE nth = 1
"""
_KEEP = "UPDATE held SET rank = ? WHERE rowid = ?"
_KEEP_LATEST = f"""
    UPDATE held SET rank = ifnull(
        (SELECT min(rowid) FROM ranks WHERE ranks.id = dialogue_id AND ranks.system = held.system), 1 << 40
    )
    WHERE rowid IN ({_LATEST}) AND settings = ifnull(:settings, settings)
"""  # noqa: S608 - the same


class Ledger:
    """Know the ratings held when it was made, and take note of those made since."""

    def __init__(self, held: Iterable[Mapping[str, Any]]) -> None:
        self._database = scratch()
        for table in ("held", "made"):
            self._database.execute(f"CREATE TABLE {table} ({_COLUMNS})")
        self._noted: list[tuple[Any, ...]] = []
        self._kept: list[tuple[int, int]] = []
        entries = ((is_settled(row["status"], row["error"]), None, *_of_row(row)) for row in held)
        self._holds = False
        while batch := list(islice(entries, _BATCH)):
            self._database.executemany(f"INSERT INTO held {_INSERT}", batch)
            self._holds = True
        if self._holds:
            self._database.execute("CREATE INDEX by_key ON held (key)")

    def keep(self, call: Call, *, unsettled: bool = False) -> bool:
        """Want the rating of this call and tell whether there is one, which need not be settled if so said."""
        found = self._find(call.key)
        if not found or not (found[1] or unsettled):
            return False
        self._kept.append((call.rank, found[0]))
        if len(self._kept) >= _BATCH:
            self._settle()
        return True

    def holds(self, key: str) -> bool:
        """Tell whether a rating with this key, not to be paid for again, was there when the folder was opened."""
        found = self._find(key)
        return bool(found and found[1])

    def _find(self, key: str) -> tuple[int, bool] | None:
        return self._database.execute(_FIND, (key,)).fetchone() if self._holds else None

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

    def keep_latest(self, dialogues: Iterable[tuple[str, str]], settings: str | None = None) -> None:
        """
        Want the latest rating of every key, or of those made under some settings.

        `dialogues` gives id and system, in the order that is wanted.
        """
        self._database.execute("CREATE TABLE ranks (id TEXT, system TEXT)")
        self._database.executemany("INSERT INTO ranks VALUES (?, ?)", dialogues)
        self._database.execute("CREATE INDEX by_dialogue ON ranks (id, system)")
        self._database.execute(_KEEP_LATEST, {"settings": settings})

    def note(self, rating: Rating, rank: int) -> None:
        """Take note of a rating just made, which is wanted."""
        settled = is_settled(rating.status, rating.error)
        self._noted.append((settled, rank, *_of_rating(rating)))
        if len(self._noted) >= _BATCH:
            self._settle()

    def miss(self, call: Call, rules: RatingRules) -> None:
        """Take note that a wanted rating is not made."""
        self.note(unmade(call, rules), call.rank)

    def wanted(self) -> Iterator[Outcome]:
        """Yield what is wanted: by settings, judge and system, then by dialogue and turn."""
        self._settle()
        return map(Outcome._make, self._database.execute(_WANTED))

    def all_settled(self) -> bool:
        """Tell whether no wanted rating would be made when asked for again."""
        self._settle()
        query = "SELECT 1 FROM held WHERE rank IS NOT NULL AND NOT settled UNION SELECT 1 FROM made WHERE NOT settled"
        return self._database.execute(query).fetchone() is None

    def spent(self) -> tuple[int, int, float]:
        """Return the calls, tokens and US dollars that the ratings held have cost, whoever asked for them."""
        query = "SELECT sum(attempts), sum(tokens_in + tokens_out), sum(cost_usd) FROM held WHERE reused = ''"
        calls, tokens, cost_usd = self._database.execute(query).fetchone()
        return calls or 0, tokens or 0, cost_usd or 0.0

    def close(self) -> None:
        """Forget everything."""
        self._database.close()

    def _settle(self) -> None:
        self._database.executemany(f"INSERT INTO made {_INSERT}", self._noted)
        self._database.executemany(_KEEP, self._kept)
        self._noted.clear()
        self._kept.clear()
