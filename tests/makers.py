"""Small makers of what tests need many of."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from perm_cli.prompts.rubrics import default_pack
from perm_cli.ratings.rating import Rating
from perm_cli.rewards import formula
from perm_cli.rewards.formula import Recipe, formula_of
from perm_cli.words import FusionName

EMPATHY = ("resonation", "expression", "reception")
DIMENSIONS = (*EMPATHY, "bystander")
FORMULA = formula_of(default_pack(), Recipe())
BOUNDS = {name: each.bounds for name, each in default_pack().dimensions.items()}


def empathy_of(scores: Sequence[float], fusion: FusionName, weights: Sequence[float] = ()) -> float:
    """Fuse scores of 1 to 5 as the paper does."""
    return formula.empathy_of([score / 5 for score in scores], fusion, weights)


def bystander_term(score: float, coefficient: float) -> float:
    """Return what the bystander's 0 to 100 take off."""
    return formula.term_of(score / 100, coefficient)


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
