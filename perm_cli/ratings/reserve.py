"""Ratings of other runs that can be reused for calls with the same key: `--reuse`."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import orjson

from perm_cli.disk import scratch_database
from perm_cli.errors import RunError
from perm_cli.ratings.rating import Rating, is_settled, rating_line
from perm_cli.ratings.run_folder import RunFolder, run_folders

_PUT = "INSERT OR REPLACE INTO ratings VALUES (?, ?, ?)"


class Reserve:
    """The settled ratings of other run folders by key, in a database on disk; the last one per key counts."""

    def __init__(self, runs: Iterable[Path]) -> None:
        self._database = scratch_database()
        self._database.execute("CREATE TABLE ratings (key TEXT PRIMARY KEY, run TEXT, line BLOB)")
        for run in run_folders(runs):
            if not (run / "ratings.jsonl").exists() and not (run / "ratings").is_dir():
                raise RunError(f"--reuse: {run}: no ratings found, expected a folder that perm score has written")
            rows = (
                (row["key"], run.name, orjson.dumps(row))
                for row in RunFolder(run).rows()
                if is_settled(row["status"], row["error"])
            )
            self._database.executemany(_PUT, rows)

    def put(self, rating: Rating, run: str) -> None:
        """Add a new rating of a run."""
        self._database.execute(_PUT, (rating.key, run, rating_line(rating)))

    def get(self, key: str) -> Rating | None:
        """Return the rating with this key, its `reused` set to the run that paid for it; None if there is none."""
        found = self._database.execute("SELECT run, line FROM ratings WHERE key = ?", (key,)).fetchone()
        if found is None:
            return None
        rating = Rating(**orjson.loads(found[1]))
        return rating if rating.reused else replace(rating, reused=found[0])

    def close(self) -> None:
        """Delete the database."""
        self._database.close()
