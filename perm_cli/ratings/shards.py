"""Ratings in Parquet: what many machines write into `ratings/` of a run folder, one file per shard of the work."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from perm_cli.dialogues.files.bounds import OutOfProportion
from perm_cli.dialogues.files.parquet import table_rows
from perm_cli.errors import RunError
from perm_cli.ratings.rating import COLUMNS, Rating, is_rating, rating_line

_AS_JSON = [each.name for each in COLUMNS if each.kind is dict]


def write_shard(ratings: Sequence[Rating], target: Path, draft: Path) -> None:
    """
    Write ratings as one Parquet file, whole or not at all; mappings go in as JSON.

    The draft is put in its place at once; raise `FileNotFoundError` if it, or the folder it lies in, was taken away.
    """
    import pyarrow as pa  # noqa: PLC0415 - an extra
    import pyarrow.parquet as pq  # noqa: PLC0415 - the same

    rows = [orjson.loads(rating_line(rating)) for rating in ratings]
    for row in rows:
        row |= {name: orjson.dumps(row[name]).decode() for name in _AS_JSON}
    kinds = {int: pa.int64(), float: pa.float64()}
    schema = pa.schema([(each.name, kinds.get(each.kind, pa.string())) for each in COLUMNS])
    pq.write_table(pa.Table.from_pylist(rows, schema), draft, compression="zstd")
    draft.replace(target)


def read_shard(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yield the ratings of a file as they are stored, None for a damaged one; raise `RunError` if it cannot be read."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise RunError(f"{path}: pyarrow not found, expected it: pip install 'perm-cli[ray]'") from error
    try:
        yield from map(_checked, table_rows(path))
    except (pa.ArrowException, OSError, OutOfProportion) as error:
        raise RunError(f"{path}: {error}; remove the file, and its ratings are made again") from error


def _checked(row: dict[str, Any]) -> dict[str, Any] | None:
    try:
        row |= {name: orjson.loads(row[name]) for name in _AS_JSON if name in row}
    except (TypeError, orjson.JSONDecodeError):
        return None
    return row if is_rating(row) else None
