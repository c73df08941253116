"""Ratings in Parquet, which Ray workers write into `ratings/` of a run folder, one file per shard of the work."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from perm_cli.dialogues.files.parquet import ParquetError, table_rows, write_columns
from perm_cli.errors import RunError
from perm_cli.ratings.rating import COLUMNS, Rating, is_rating, rating_line

_AS_JSON = [each.name for each in COLUMNS if each.kind is dict]


def write_shard(ratings: Sequence[Rating], target: Path, draft: Path) -> None:
    """
    Write ratings as one Parquet file, completely or not at all; mappings are stored as JSON.

    The file is written to `draft` and then moved; raise `FileNotFoundError` if the draft or its folder was removed.
    """
    rows = [orjson.loads(rating_line(rating)) for rating in ratings]
    for row in rows:
        row |= {name: orjson.dumps(row[name]).decode() for name in _AS_JSON}
    write_columns(rows, {each.name: each.kind if each.kind in {int, float} else str for each in COLUMNS}, draft)
    draft.replace(target)


def read_shard(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yield the ratings of a file as stored rows, None for a damaged one; raise `RunError` if it cannot be read."""
    try:
        yield from map(_checked, table_rows(path))
    except (ParquetError, OSError) as error:
        raise RunError(f"{path}: {error}; remove the file to make its ratings again") from error


def _checked(row: dict[str, Any]) -> dict[str, Any] | None:
    try:
        row |= {name: orjson.loads(row[name]) for name in _AS_JSON if name in row}
    except (TypeError, orjson.JSONDecodeError):
        return None
    return row if is_rating(row) else None
