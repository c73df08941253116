"""Parquet: rows as lines of JSON would have them, where pyarrow is installed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from perm_cli.dialogues.files.bounds import OutOfProportion, most_unpacked
from perm_cli.dialogues.files.rows import Record, Row
from perm_cli.dialogues.files.sources import Source
from perm_cli.errors import Problem
from perm_cli.text import one_line

# A column has one type for all rows; what dialogues carry along has none, and is kept as JSON.
JSON_COLUMNS = ("labels", "meta")
_ROWS = 64  # in memory at a time, each of which may hold a long text


def rows_of_parquet(source: Source) -> Iterator[Record]:
    """Yield the rows of a Parquet file; what is missing in a row is null in a table."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
    except ImportError:
        yield Problem(source.name, 0, "", "a Parquet file found, expected pyarrow to read it: pip install pyarrow")
        return
    number = 0
    try:
        for row in table_rows(source.path):
            number += 1
            yield Row(source.name, number, _fields(row))
    except (pa.ArrowException, OSError, orjson.JSONEncodeError, UnicodeDecodeError, OutOfProportion) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the file could not be read; without a number, it could not be understood
        yield Problem(source.name, number, "", f"{one_line(str(error))} found, expected a Parquet file of dialogues")


def table_rows(path: Path) -> Iterator[dict[str, Any]]:
    """
    Yield the rows of a Parquet file, a few in memory at a time; it needs pyarrow.

    Raise `OutOfProportion` where a dictionary lets a few bytes stand for gigabytes.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    unpacked, most = 0, most_unpacked(path.stat().st_size)
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_ROWS):
            unpacked += batch.nbytes
            if unpacked > most:
                raise OutOfProportion(f"more than {most:,} bytes of rows in a file of {path.stat().st_size:,}")
            yield from batch.to_pylist()


def _fields(row: Mapping[str, Any]) -> Mapping[str, Any]:
    filled = {name: value for name, value in row.items() if value is not None}
    fields: dict[str, Any] = orjson.loads(orjson.dumps(filled, default=str))
    for name in JSON_COLUMNS:
        if isinstance(text := fields.get(name), str):
            fields[name] = _object(text)
    return fields


def _object(text: str) -> object:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value if isinstance(value, dict) else text
