"""Parquet, and Zstandard in logs: the only module that imports pyarrow, which is an optional dependency."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from perm_cli.dialogues.files.bounds import most_unpacked
from perm_cli.dialogues.files.rows import Record, Row
from perm_cli.dialogues.files.sources import Source
from perm_cli.errors import Problem, SettingsError
from perm_cli.text import one_line

# A Parquet column has one type for all rows; labels and metadata do not, and are kept as JSON.
JSON_COLUMNS = ("labels", "meta")
_ROWS = 64  # in memory at a time, since each may have a long text


class ParquetError(Exception):
    """A file that is not Parquet, or that its dictionaries blow up to gigabytes."""


def arrow() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet module; raise `SettingsError` with the install command if they are missing."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415 - the same
    except ImportError as error:
        what = "pyarrow is needed for Parquet and for the logs of inspect_ai"
        raise SettingsError(f"{what}: pip install 'perm-cli[parquet]'") from error
    return pa, pq


def rows_of_parquet(source: Source) -> Iterator[Record]:
    """Yield the rows of a Parquet file; a null means that the row does not have the field."""
    number = 0
    try:
        for row in table_rows(source.path):
            number += 1
            yield Row(source.name, number, _fields(row))
    except (ParquetError, orjson.JSONEncodeError, UnicodeDecodeError) as error:
        yield Problem(source.name, number, "", f"{one_line(str(error))} found, expected a Parquet file of dialogues")


def table_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file, `_ROWS` in memory at a time; raise `ParquetError` if it is not one."""
    pa, pq = arrow()
    unpacked, most = 0, most_unpacked(path.stat().st_size)
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS):
                unpacked += batch.nbytes
                if unpacked > most:
                    raise ParquetError(f"more than {most:,} bytes of rows in a file of {path.stat().st_size:,}")
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # with a number, the file could not be read; without one, pyarrow could not parse it
        raise ParquetError(str(error)) from error


def write_columns(rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, type], target: Path | BinaryIO) -> None:
    """Write rows as Parquet; `kinds` has the type of each column: str, int or float."""
    pa, pq = arrow()
    types = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    schema = pa.schema([(name, types[kind]) for name, kind in kinds.items()])
    pq.write_table(pa.Table.from_pylist(list(rows), schema), target, compression="zstd")


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
