"""Files and standard input as bytes: packed, in other encodings, named, missing and broken."""

import gzip
import json
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from perm_cli.dialogues.files.sources import MAX_LINE_BYTES, Source, forget, source_of, stem_of, with_unique_systems
from tests.dialogue_files import census_of, ids, lines, messages, native, read, refusal, saved, told


def test_several_files_are_read_in_the_order_given() -> None:
    """Results keep the order of the input."""
    sources = [saved(lines(native(id=name)), f"{name}.jsonl") for name in "zay"]

    assert [dialogue.id for dialogue in read(*sources)] == ["z", "a", "y"]


def test_a_gzipped_file_is_read_like_the_plain_one() -> None:
    """Large data travel compressed; ids do not depend on it."""
    rows = lines(messages(), messages())

    packed, plain = read(saved(gzip.compress(rows), "logs.jsonl.gz")), read(saved(rows, "logs.jsonl"))

    assert packed == plain
    assert [(dialogue.id, dialogue.system) for dialogue in packed] == [("1", "logs"), ("2", "logs")]


def test_standard_input_is_read_twice_and_then_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe can be read once only, but everything is checked before the first call."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=BytesIO(lines(messages()))))

    source = source_of("-")
    dialogues = read(source)
    forget(source)

    assert [(dialogue.id, dialogue.system) for dialogue in dialogues] == [("1", "stdin")]
    assert not source.path.exists()


def test_a_problem_on_standard_input_is_named_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the temporary file would mean nothing to the user."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=BytesIO(b"")))
    source = source_of("-")

    message = refusal(source)
    forget(source)

    assert message == told("stdin: an empty file found, expected one JSON object per line")


@pytest.mark.parametrize("name", ["d.jsonl", "stdin"])
def test_a_file_is_never_forgotten(name: str) -> None:
    """It is the user's, whatever it is called."""
    source = saved(lines(native()), name)

    forget(source)

    assert source.path.exists()


def test_blank_lines_count_as_lines_and_as_nothing_else() -> None:
    """An editor must lead to the line that a message names."""
    source = saved(b"\n" + lines(messages()) + b"  \n\n" + lines(messages()) + b"{")

    assert refusal(source).startswith("d.jsonl:6: invalid JSON")


def test_a_last_line_without_an_end_is_read() -> None:
    """Many programs write none."""
    assert len(read(saved(lines(native(id="a"), native(id="b")).rstrip(b"\n")))) == 2


def test_a_byte_order_mark_is_read_with_a_remark() -> None:
    """Windows programs write one, and the dialogues are whole."""
    (census,) = census_of(saved(b"\xef\xbb\xbf" + lines(native())))

    assert census.dialogues == 1
    assert list(map(str, census.remarks)) == ["d.jsonl:1: byte-order mark found, expected plain UTF-8; ignored"]


def test_windows_line_ends_are_read_with_one_remark() -> None:
    """One remark a file is enough."""
    rows = lines(native(id="a"), native(id="b"), native(id="c"))

    (census,) = census_of(saved(rows.replace(b"\n", b"\r\n").replace(b"\r\n", b"\n", 1)))

    assert census.dialogues == 3
    assert list(map(str, census.remarks)) == ["d.jsonl:2: CRLF line ends found, expected LF; read anyway"]


def test_remarks_do_not_come_between_dialogues() -> None:
    """They are the census's; whoever judges gets dialogues only."""
    source = saved(b"\xef\xbb\xbf" + lines(native(id="a")).replace(b"\n", b"\r\n"))

    assert [dialogue.id for dialogue in read(source)] == ["a"]


def test_a_line_of_the_greatest_length_is_read() -> None:
    """The limit is what the message says."""
    row = lines(native()).rstrip(b"\n")

    dialogues = read(saved(row + b" " * (MAX_LINE_BYTES - len(row)) + b"\n"))

    assert len(dialogues) == 1


def test_a_line_too_long_is_named_with_its_true_size_and_the_rest_is_read() -> None:
    """A JSON array on one line is the usual reason; memory must not grow by it."""
    with Path("d.jsonl").open("wb") as stream:
        stream.seek(50 * 2**20 - 1)
        stream.write(b"\n[]\n")

    message = refusal(source_of("d.jsonl"))

    assert message == told(
        "d.jsonl:1: a line of 52,428,800 bytes found, expected at most 16,777,216",
        "d.jsonl:2: a list of 0 found, expected a JSON object",
    )


@pytest.mark.parametrize(
    ("name", "system"),
    [
        pytest.param("gpt-4.1.jsonl", "gpt-4.1", id="a version"),
        pytest.param("a/qwen2.5-72b.json.gz", "qwen2.5-72b", id="packed, in a folder"),
        pytest.param("llama-3.1.CSV", "llama-3.1", id="in capitals"),
        pytest.param("m.json.jsonl", "m.json", id="one ending"),
        pytest.param("claude-3.5", "claude-3.5", id="no ending"),
        pytest.param(".jsonl", "dialogues", id="nothing else"),
    ],
)
def test_a_file_is_called_without_the_endings_of_its_kind(name: str, system: str) -> None:
    """The names of models have dots in them, and two models must not become one."""
    assert stem_of(name) == source_of(name).system == system


@pytest.mark.parametrize(
    ("names", "systems"),
    [
        pytest.param(["m.jsonl", "n.jsonl"], ["m", "n"], id="told apart by themselves"),
        pytest.param(["a/m.jsonl", "b/m.jsonl", "b/n.jsonl"], ["a/m", "b/m", "n"], id="by folder"),
        pytest.param(["m.jsonl", "a/m.jsonl"], ["m", "a/m"], id="with and without folder"),
        pytest.param(["x/1/m.jsonl", "x/2/m.jsonl", "y/1/m.jsonl"], ["x/1/m", "2/m", "y/1/m"], id="by more folders"),
        pytest.param(["a/m.jsonl", "a/m.csv.gz"], ["m.jsonl", "m.csv.gz"], id="by ending"),
        pytest.param(["/m.jsonl", "../m.jsonl", "m.jsonl"], ["/m", "../m", "m"], id="by roots"),
    ],
)
def test_files_of_one_name_are_told_apart(names: list[str], systems: list[str]) -> None:
    """`a/out.jsonl b/out.jsonl` is how systems are laid out, and the user wrote no name twice."""
    assert [source.system for source in with_unique_systems([source_of(name) for name in names])] == systems


WHOLE = gzip.compress(lines(native()))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(WHOLE[:-9], "Compressed file ended before the end-of-stream marker was reached", id="cut"),
        pytest.param(lines(native()), "Not a gzipped file (b'{\"')", id="not gzip"),
        pytest.param(WHOLE + b"junk", "Not a gzipped file (b'ju')", id="junk behind it"),
        pytest.param(
            gzip.compress(b"")[:10] + b"\xff" * 20,
            "Error -3 while decompressing data: invalid block type",
            id="a block of no known type",
        ),
    ],
)
def test_a_broken_gzip_file_is_named(content: bytes, problem: str) -> None:
    """A broken download is the user's to mend."""
    message = refusal(saved(content, "d.gz"))

    assert message == told(f"d.gz: broken .gz data found ({problem}), expected a complete .gz file")


def test_a_path_that_leads_to_no_file_is_named() -> None:
    """A wrong path is the user's to mend."""
    Path("data").mkdir()
    saved(b"")

    assert refusal(*map(source_of, ("none.jsonl", "data", "d.jsonl/d.jsonl"))) == told(
        "none.jsonl: no such file, expected a JSONL file",
        "data: a directory found, expected a JSONL file",
        "d.jsonl/d.jsonl: cannot be read: Not a directory",
    )


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("name", ["d.csv", "d.csv.gz", "d.CSV.GZ"])
def test_a_utf_16_table_is_read_with_a_remark(name: str, order: str) -> None:
    """Excel calls it Unicode text, and the mark at its start tells it for certain."""
    text = f"\ufeffid\trole\ttext\r\nd\tsupporter\tÖl, 🥖 {'é' * 9000}\r\n".encode(f"utf-16-{order}")

    source = saved(gzip.compress(text) if name.lower().endswith("gz") else text, name)

    assert [str(each).partition(": ")[2] for each in census_of(source)[0].remarks] == [
        "byte-order mark found, expected plain UTF-8; ignored"
    ]
    assert read(source)[0].turns[0].text == f"Öl, 🥖 {'é' * 9000}"


def test_json_in_utf_16_is_read() -> None:
    """PowerShell writes it so where it is told to write a file."""
    text = f"{json.dumps(native(id='é'), ensure_ascii=False)}\n"

    assert ids(saved(text.encode("utf-16"), "d.json")) == ids(saved(text.encode("utf-16"), "d.jsonl")) == ["é"]


def test_a_file_in_zstandard_is_read_like_the_plain_one() -> None:
    """Data on hubs travel so."""
    zstd = pytest.importorskip("backports.zstd")
    rows = lines(native(), native(id="e"))

    assert read(saved(zstd.compress(rows), "d.jsonl.zst")) == read(saved(rows, "d.jsonl"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda packed: packed[:-4], "ended before", id="cut"),
        pytest.param(lambda packed: b"junk" + packed, "nable to decompress", id="junk"),
    ],
)
def test_a_broken_zstandard_file_is_named(change: Callable[[bytes], bytes], reason: str) -> None:
    """A download may be cut."""
    zstd = pytest.importorskip("backports.zstd")

    message = refusal(saved(change(zstd.compress(lines(native()))), "d.jsonl.zst"))

    assert message.startswith("d.jsonl.zst: broken .zst data found (")
    assert reason in message
    assert "expected a complete .zst file\n1 problem found" in message


def test_without_its_package_zstandard_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says what to install."""
    monkeypatch.setitem(sys.modules, "backports", None)

    assert refusal(saved(b"", "d.jsonl.zst")) == told(
        "d.jsonl.zst: backports.zstd is needed for .zst files: pip install 'perm-cli[zstd]'"
    )


@pytest.mark.parametrize(
    ("name", "noun"),
    [("d.json", "JSON"), ("d.csv", "CSV"), ("d.parquet", "Parquet"), ("d.eval", "log"), ("d", "JSONL")],
)
def test_a_file_that_is_not_there_is_named_by_its_kind(name: str, noun: str) -> None:
    """The message fits what was asked for."""
    pytest.importorskip("pyarrow")

    assert refusal(Source(name=name, path=Path(name))) == told(f"{name}: no such file, expected a {noun} file")
