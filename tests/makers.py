"""Small makers of what tests need many of."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from perm_cli.ratings.rating import Rating


def row(place: int = 0, **changes: Any) -> dict[str, Any]:
    """Return a row of the native format."""
    turns = [
        {"role": "seeker", "text": f"I lost number {place} today."},
        {"role": "supporter", "text": f"Losing number {place} hurts."},
    ]
    return {"id": f"d{place}", "system": "s", "turns": turns} | changes


def written(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return path


def rating(**changes: Any) -> Rating:
    """Return a rating."""
    usual: dict[str, Any] = {
        "key": "k",
        "settings": "x",
        "dialogue_id": "d",
        "system": "s",
        "turn": 2,
        "dimension": "reception",
        "judge": "j",
        "sample": 0,
        "status": "scored",
        "score": 3.0,
    }
    return Rating(**usual | changes)
