"""Reading rows from any container: JSON Lines, a JSON document, a table, Parquet, a zipped log, or plain text."""

from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO

from perm_cli.dialogues.files.archives import rows_of_log
from perm_cli.dialogues.files.documents import is_document, rows_of_document, rows_of_lines, rows_of_text
from perm_cli.dialogues.files.packing import broken, packing_of
from perm_cli.dialogues.files.parquet import rows_of_parquet
from perm_cli.dialogues.files.rows import Record
from perm_cli.dialogues.files.sources import BOM, Kind, Source, kind_of, opened
from perm_cli.dialogues.files.tables import rows_of_table
from perm_cli.errors import Problem, SettingsError
from perm_cli.text import one_line

_MAGIC: Mapping[bytes, Kind] = {b"PAR1": "parquet", b"PK\x03\x04": "log"}
_NOUNS: Mapping[Kind, str] = {"json": "JSON", "table": "CSV", "parquet": "Parquet", "log": "log", "text": "text"}


def read_rows(source: Source, otherwise: Kind = "lines") -> Iterator[Record]:
    """
    Yield the rows of a file; `otherwise` is its kind if neither its name nor its first bytes tell.

    An error that keeps the file from being read is yielded as a last `Problem`.
    """
    kind = kind_of(source)
    noun = _NOUNS.get(kind, "JSONL")
    try:
        if kind in {"unknown", "text"}:
            kind = _sniffed(source, otherwise)
        if whole := _WHOLE.get(kind):
            yield from whole(source)
            return
        if kind == "json":
            with opened(source) as stream:
                kind = "json" if is_document(stream) else "lines"
        with opened(source) as stream:
            yield from _STREAMED[kind](source, stream)
    except FileNotFoundError:
        yield Problem(source.name, 0, "", f"no such file, expected a {noun} file")
    except IsADirectoryError:
        yield Problem(source.name, 0, "", f"a directory found, expected a {noun} file")
    except SettingsError as error:  # a library is missing
        yield Problem(source.name, 0, "", str(error))
    except UnicodeDecodeError as error:
        yield Problem(source.name, 0, "", f"broken UTF-16 found ({error.reason}), expected whole characters")
    except broken() as error:
        packed = packing_of(source.name)
        what = f"broken {packed} data found ({one_line(str(error))}), expected a complete {packed} file"
        yield Problem(source.name, 0, "", what)
    except OSError as error:
        yield Problem(source.name, 0, "", f"cannot be read: {error.strerror or one_line(str(error))}")


_WHOLE: Mapping[Kind, Callable[[Source], Iterator[Record]]] = {"parquet": rows_of_parquet, "log": rows_of_log}
_STREAMED: Mapping[Kind, Callable[[Source, BinaryIO], Iterator[Record]]] = {
    "lines": rows_of_lines,
    "json": rows_of_document,
    "table": rows_of_table,
    "text": rows_of_text,
}


def _sniffed(source: Source, otherwise: Kind) -> Kind:
    """Return the kind of a file whose name does not tell, such as standard input, by its first bytes."""
    with opened(source) as stream:
        start = stream.read(64)
    if kind := _MAGIC.get(start[:4]):
        return kind
    is_json = start.removeprefix(BOM).lstrip()[:1] in {b"{", b"["}
    if is_json:
        return "json"
    if otherwise == "table" or (otherwise != "text" and kind_of(source) != "text"):
        return otherwise
    return "table" if b"\t" in start.partition(b"\n")[0] else "text"  # what Excel calls Unicode text
