"""What files are made of: lines, documents, tables, Parquet and zipped logs, whole, damaged and hostile."""

import gzip
import io
import json
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perm_cli.dialogues.files import archives, documents
from perm_cli.dialogues.files.bounds import excess_of
from perm_cli.dialogues.files.cells import number_or_text
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.sources import MAX_LINE_BYTES, Source
from tests.fuzz.claims import dialogues_are_read_or_refused
from tests.test_formats import UTF_8, census_of, lines, messages, native, read, refusal, saved, told
from tests.test_formats_foreign import SAMPLES, log, sample

BOM = b"\xef\xbb\xbf"
OWN = "id,role,text\n"
NO_SAMPLES = "d.eval: samples: none found in a log of status None, expected at least one with a reply"
PAIR = f"{OWN}d,seeker,I lost my job.\nd,supporter,That hurts.\n".encode()


def ids(source: Source) -> list[str]:
    """Return the ids that are read."""
    return [dialogue.id for dialogue in read(source)]


def packed(*members: tuple[str, object], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip file; what is no bytes goes in as JSON."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return stream.getvalue()


HEADER = {"eval": {"task": "bread", "model": "m"}}
EVAL = [("header.json", HEADER), ("samples/7_epoch_1.json", sample()), ("samples/8_epoch_1.json", sample(id=8))]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param(json.dumps([native(id="a"), native(id="b")]).encode(), ["a", "b"], id="a list on one line"),
        pytest.param(json.dumps([native(id="a")], indent=2).encode(), ["a"], id="a list over lines"),
        pytest.param(json.dumps(native(id="a"), indent=2).encode(), ["a"], id="an object over lines"),
        pytest.param(lines(native(id="a")), ["a"], id="an object on one line"),
        pytest.param(lines(native(id="a"), native(id="b")), ["a", "b"], id="JSON Lines by another name"),
        pytest.param(b"\n\n" + lines(native(id="a"), native(id="b")), ["a", "b"], id="blank lines first"),
        pytest.param(json.dumps([messages(), messages()]).encode(), ["1", "2"], id="without ids"),
        pytest.param(
            b'[{"id": "a", "turns": [{"role": "supporter", "text": "x"}], "labels": {"e": NaN}}]', ["a"], id="NaN"
        ),
    ],
)
def test_a_json_file_is_a_document_or_lines(content: bytes, found: list[str]) -> None:
    """Its ending does not say which."""
    assert ids(saved(content, "d.json")) == found


def test_what_is_no_number_in_a_document_is_null() -> None:
    """Python writes NaN into JSON where a score is missing."""
    row = native(labels={"warmth": float("nan"), "insight": 3})

    (dialogue,) = read(saved(json.dumps([row]).encode(), "d.json"))

    assert dialogue.labels == {"warmth": None, "insight": 3}


def test_a_document_may_have_a_byte_order_mark_and_be_gzipped() -> None:
    """Windows programs write one; large data travel compressed."""
    content = BOM + json.dumps([native(id="a")], indent=1).replace("\n", "\r\n").encode()

    (census,) = census_of(saved(gzip.compress(content), "d.json.gz"))

    assert census.dialogues == 1
    assert ["byte-order mark" in str(remark) for remark in census.remarks] == [True]


def test_a_document_on_one_endless_line_is_read() -> None:
    """Programs that write no line ends write runs of hundreds of megabytes so."""
    filler = " " * MAX_LINE_BYTES

    assert ids(saved(f'{{"id": "a",{filler}"turns": [{{"role": "supporter", "text": "x"}}]}}'.encode(), "d.json")) == [
        "a"
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(
            b"[1,\n2", "d.json:2: wrong JSON found at column 2, near '[1,\\n2': expected one JSON document", id="cut"
        ),
        pytest.param(b'[\n"a\xff"]', f"d.json:2: byte 0xff found at column 3, {UTF_8}", id="not UTF-8"),
        pytest.param(b"", "d.json: an empty file found, expected a list of objects, or one", id="empty"),
        pytest.param(b"[]", "d.json: an empty file found, expected a list of objects, or one", id="empty list"),
        pytest.param(b"5", "d.json: 5 found, expected a list or an object", id="a number"),
        pytest.param(
            b'[\n{"id": "\\ud800"}]',
            'd.json:2: wrong JSON found at column 9, near \'\\n{"id": "\\\\ud800"}]\': expected one JSON document',
            id="half a character",
        ),
    ],
)
def test_what_is_wrong_with_a_document_is_named(content: bytes, problem: str) -> None:
    """The line is that of an editor."""
    message = refusal(saved(content, "d.json"))

    assert message.startswith(problem.partition(", near")[0])
    assert message.count("\n") == 1


def test_a_document_too_large_for_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few megabytes of gzip unpack to as much as one likes."""
    monkeypatch.setattr(documents, "MAX_DOCUMENT_BYTES", 1000)

    message = refusal(saved(gzip.compress(b"[" + b" " * 5000 + b"]"), "d.json.gz"))

    assert message == told("d.json.gz: a document of more than 1,000 bytes found, expected JSON Lines at that size")


def test_a_document_that_packs_too_well_is_not_unpacked_whole() -> None:
    """Half a megabyte of gzip can stand for the memory of the machine."""
    message = refusal(saved(gzip.compress(b"[" + b" " * 20_000_000 + b"]"), "d.json.gz"))

    assert message == told(
        "d.json.gz: a document of more than 16,777,216 bytes found, expected JSON Lines at that size"
    )


def test_a_document_of_empty_objects_is_not_loaded() -> None:
    """In memory they would take some fifty times as much as on disk."""
    content = b"[" + b"{}," * 5_000_000 + b"{}]"

    message = refusal(saved(content, "d.json"))

    what = "15,000,004 bytes of JSON found that would take about 0.6 GiB of memory, expected JSON Lines at that size"
    assert message == told(f"d.json: {what}")


@pytest.mark.parametrize("said", ["a word", "x" * 150])
def test_a_large_document_of_what_people_say_is_loaded(said: str) -> None:
    """Talk is not out of proportion, however short the turns are."""
    rows = [native(id=str(place), turns=[*native()["turns"], {"role": "seeker", "text": said}]) for place in range(50)]
    text = json.dumps(rows).encode()

    assert not excess_of(b"[" + b",".join([text] * (120_000_000 // len(text))) + b"]")


def test_a_place_in_a_document_is_named_when_its_id_comes_again() -> None:
    """There are no lines to lead to."""
    assert refusal(saved(json.dumps([native(), native()]).encode(), "d.json")) == told(
        "d.json: [1].id: 'd' found again (first at d.json: [0]), expected an id once a system"
    )


@pytest.mark.parametrize(
    ("content", "name"),
    [
        pytest.param(PAIR, "d.csv", id="csv"),
        pytest.param(PAIR.replace(b",", b"\t"), "d.tsv", id="tsv"),
        pytest.param(PAIR.replace(b",", b";"), "d.csv", id="semicolons"),
        pytest.param(PAIR.replace(b"\n", b"\r\n"), "d.csv", id="CRLF"),
        pytest.param(PAIR.rstrip(), "d.csv", id="no end"),
        pytest.param(PAIR.replace(b"\n", b"\n\n,,\n", 1), "d.csv", id="empty rows"),
        pytest.param(b"id, role ,text" + PAIR[len(OWN) - 1 :], "d.csv", id="blanks in the header"),
        pytest.param(gzip.compress(PAIR), "d.csv.gz", id="gzipped"),
        pytest.param(PAIR, "D.CSV", id="capitals"),
    ],
)
def test_a_table_is_read_however_it_is_written(content: bytes, name: str) -> None:
    """Spreadsheets of every country export tables."""
    (dialogue,) = read(saved(content, name))

    assert [(turn.role, turn.text) for turn in dialogue.turns] == [
        ("seeker", "I lost my job."),
        ("supporter", "That hurts."),
    ]


def test_a_quoted_cell_keeps_its_lines_and_the_next_row_its_number() -> None:
    """An editor must lead to the line that a message names."""
    rows = 'd,seeker,"I lost,\n""my""\r\njob."\nd,supporter,Oh.\ne,nurse,x\n'

    assert "d.csv:6: role: role 'nurse' found" in refusal(saved(f"{OWN}{rows}".encode(), "d.csv"))
    (dialogue,) = read(saved(f"{OWN}{rows}".encode().replace(b"e,nurse,x\n", b""), "d.csv"))
    assert dialogue.turns[0].text == 'I lost,\n"my"\r\njob.'


def test_a_table_with_a_byte_order_mark_is_read_with_a_remark() -> None:
    """Excel writes it, and the first column must not be called otherwise for it."""
    (census,) = census_of(saved(BOM + PAIR, "d.csv"))

    assert (census.dialogues, len(census.remarks)) == (1, 1)


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        pytest.param(
            PAIR + b"d,seeker,caf\xe9\n",
            [f"d.csv:4: byte 0xe9 found at column 13, {UTF_8}"],
            id="another encoding",
        ),
        pytest.param(
            PAIR + b"d,seeker,a\x00b\n", ["d.csv:4: a NUL byte found at column 11, expected text in UTF-8"], id="NUL"
        ),
        pytest.param(PAIR + b"d,seeker\n", ["d.csv:4: 2 cells found, expected 3, as in the header"], id="few cells"),
        pytest.param(
            PAIR + b"d,seeker,a,b\n", ["d.csv:4: 4 cells found, expected 3, as in the header"], id="many cells"
        ),
        pytest.param(
            PAIR.replace(b"id,role", b"id,id"),
            ["d.csv:1: column 'id' found twice, expected it once"],
            id="column twice",
        ),
        pytest.param(b"", ["d.csv: an empty file found, expected a header and rows below it"], id="empty"),
        pytest.param(
            OWN.encode(), ["d.csv: an empty file found, expected a header and rows below it"], id="header only"
        ),
        pytest.param(
            PAIR + b"d,seeker,a\rb\n",
            ["d.csv:4: new-line character seen in unquoted field found, expected rows of a CSV file"],
            id="a return in a cell",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_named(content: bytes, problems: list[str]) -> None:
    """The user mends the file without reading our code."""
    assert refusal(saved(content, "d.csv")) == told(*problems)


def test_the_formats_of_tables_are_named_where_none_fits() -> None:
    """A table can be read by any columns once they are named."""
    message = refusal(saved(b"a,b\n1,2\n", "d.csv"))

    assert message.startswith("d.csv:2: an object with a, b found, expected its fields named, as in --columns ")
    assert "others with --columns); empathetic (" in message
    assert "native" not in message


def test_a_cell_that_never_ends_is_not_held_in_memory() -> None:
    """One quote too many makes the rest of a file one cell."""
    with Path("d.csv").open("wb") as stream:
        stream.write(OWN.encode() + b'd,seeker,"')
        stream.writelines(b"x" * 2**20 + b"\n" for _ in range(20))

    message = refusal(Source(name="d.csv", path=Path("d.csv")))

    assert message == told("d.csv:2: field larger than field limit (16777216) found, expected rows of a CSV file")


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("name", ["d.csv", "d.csv.gz", "d.CSV.GZ"])
def test_a_utf_16_table_is_read_with_a_remark(name: str, order: str) -> None:
    """Excel calls it Unicode text, and the mark at its start tells it for certain."""
    text = f"\ufeffid\trole\ttext\r\nd\tsupporter\tÖl, 🥖 {'é' * 9000}\r\n".encode(f"utf-16-{order}")

    source = saved(gzip.compress(text) if name.lower().endswith("gz") else text, name)

    assert [str(each).partition(": ")[2] for each in census_of(source)[0].remarks] == [
        "byte-order mark found, expected plain UTF-8; read without it"
    ]
    assert read(source)[0].turns[0].text == f"Öl, 🥖 {'é' * 9000}"


def test_json_in_utf_16_is_read() -> None:
    """PowerShell writes it so where it is told to write a file."""
    text = f"{json.dumps(native(id='é'), ensure_ascii=False)}\n"

    assert ids(saved(text.encode("utf-16"), "d.json")) == ids(saved(text.encode("utf-16"), "d.jsonl")) == ["é"]


@pytest.mark.parametrize("first", ["sep=|\r\n", '"sep=|"\n', "SEP=|\n"])
def test_the_separator_that_a_table_names_is_taken(first: str) -> None:
    """Excel reads and writes such a line, which is no header."""
    source = saved(f"{first}id|role|text\nd|supporter|Oh, no; no.\nd|nurse|x\n".encode(), "d.csv")

    assert refusal(source).startswith("d.csv:4: role: role 'nurse' found")


def test_columns_without_a_name_are_left_out() -> None:
    """Spreadsheets leave such behind, and data frames their numbers."""
    source = saved(b",id,role,text,,\n0,d,supporter,Oh.,,\n1,d,seeker,Ah.,x,\n", "d.csv")

    assert [turn.text for turn in read(source)[0].turns] == ["Oh.", "Ah."]


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
        "d.jsonl.zst: backports.zstd not found, expected it for .zst files: pip install 'perm-cli[zstd]'"
    )


def test_a_column_called_like_a_field_of_json_is_a_column() -> None:
    """A cell holds no list of turns, whatever the column is called."""
    rows = "id,role,text,turns,messages\nd,supporter,Oh.,1,2\n"

    (census,) = census_of(saved(rows.encode(), "d.csv"))

    assert census.format == "csv"


@pytest.mark.parametrize("first", [OWN.encode() + b"d,seeker,a\n", b""])
def test_a_table_on_standard_input_is_read_where_it_is_said_to_be_one(first: bytes) -> None:
    """Lines of text that are no JSON could be anything."""
    source = saved(first or PAIR, "stdin")

    assert "wrong JSON" in refusal(source)
    if not first:
        assert [each.id for each in read(source, reading=Reading(format="csv"))] == ["d"]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        *(("4", 4), ("-4", -4), ("4.5", 4.5), (" 4 ", 4), ("1e5", 1e5), ("9" * 20, 1e20), ("007", "007"), ("4a", "4a")),
        *(("", ""), ("nan", "nan"), ("٤", "٤"), ("9" * 30, "9" * 30), ("1e999", "1e999"), (None, None), ([4], [4])),
    ],
)
def test_a_cell_is_the_number_that_it_spells(cell: object, value: object) -> None:
    """Correlations want numbers; names that look like some stay names."""
    found = number_or_text(cell)

    assert found == value
    assert type(found) is type(value)


def test_a_zipped_log_is_read_sample_by_sample() -> None:
    """The samples stand beside the header that says who answered."""
    source = saved(packed(*EVAL, ("_journal/x.json", {}), ("summaries.json", [])), "d.eval")

    assert [(each.id, each.system) for each in read(source)] == [("bread:7:1", "m"), ("bread:8:1", "m")]
    assert read(source)[0].turns == read(saved(json.dumps(log(), indent=1).encode(), "d.json"))[0].turns


def test_a_log_under_way_is_read_by_its_start() -> None:
    """Its header is written at the end."""
    assert ids(saved(packed(("_journal/start.json", HEADER), *EVAL[1:2]), "d.eval")) == ["bread:7:1"]


def test_the_later_of_two_members_of_one_name_counts() -> None:
    """A log grows at its end when a sample is run again."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = packed(*EVAL[:2], ("samples/7_epoch_1.json", sample(scores={"x": {"value": 9}})))

    (dialogue,) = read(saved(content, "d.eval"))

    assert dialogue.labels == {"judge": {"x": 9}}


def zstandard_member(content: bytes, name: bytes = b"samples/7_epoch_1.json", checksum: int | None = None) -> bytes:
    """Return a zip file with the header and one member in the compression that Python 3.11 does not know."""
    pa = pytest.importorskip("pyarrow")
    half = len(content) // 2
    codec = pa.Codec("zstd")
    squeezed = b"".join(codec.compress(part, asbytes=True) for part in (content[:half], content[half:]))
    sizes = (zlib.crc32(content) if checksum is None else checksum, len(squeezed), len(content), len(name))
    plain = zipfile.ZipInfo("header.json")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(plain, json.dumps(HEADER))
        directory = archive.start_dir
    before, after = stream.getvalue()[:directory], stream.getvalue()[directory:]
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 63, 0, 93, 0, 33, *sizes, 0) + name + squeezed
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 63, 63, 0, 93, 0, 33, *sizes, 0, 0, 0, 0, 0, directory) + name
    central = after[: after.index(b"PK\x05\x06")] + entry
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 2, 2, len(central), directory + len(local), 0)
    return before + local + central + end


def test_a_log_in_zstandard_is_read() -> None:
    """That is how logs are written today, in frames that follow each other."""
    assert ids(saved(zstandard_member(json.dumps(sample()).encode()), "d.eval")) == ["bread:7:1"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"{}", "d.eval: File is not a zip file found, expected a log of inspect_ai", id="no zip"),
        pytest.param(b"", "d.eval: File is not a zip file found, expected a log of inspect_ai", id="empty"),
        pytest.param(
            packed(("a.json", {})),
            "d.eval: a zip file without header.json found, expected a log of inspect_ai",
            id="another zip",
        ),
        pytest.param(
            packed(EVAL[0]),
            "d.eval: samples: none found in a log of status None, expected at least one with a reply",
            id="no samples",
        ),
        pytest.param(
            packed(("header.json", b"{")),
            "d.eval: header.json: wrong JSON found, expected one JSON object",
            id="header",
        ),
        pytest.param(
            packed(EVAL[0], ("samples/1.json", [])),
            "d.eval: samples/1.json: no object found, expected one JSON object",
            id="no object",
        ),
        pytest.param(
            packed(EVAL[0], ("samples/1/sample.json", sample())),
            "d.eval: samples/1/sample.json: a sample in chunks found, expected a whole one (inspect log convert)",
            id="chunks",
        ),
        pytest.param(
            packed(EVAL[0], ("samples/\x1b1.json", [])),
            "d.eval: samples/\\u001b1.json: no object found, expected one JSON object",
            id="a name to steer a terminal",
        ),
        pytest.param(
            packed(EVAL[0], method=zipfile.ZIP_BZIP2),
            "d.eval: header.json: compression 12 found, expected Deflate or Zstandard",
            id="another compression",
        ),
        pytest.param(
            packed(EVAL[0], ("samples/1.json", sample(id=None))),
            "d.eval: samples/1.json.id: None found, expected some text",
            id="no id",
        ),
    ],
)
def test_what_is_wrong_with_a_zipped_log_is_named(content: bytes, problem: str) -> None:
    """The member is named as a path would be."""
    assert refusal(saved(content, "d.eval")) == told(problem)


def test_a_damaged_member_is_named() -> None:
    """Downloads break off, and disks turn bits."""
    content = bytearray(packed(*EVAL))
    content[content.index(b"samples/8") + 60] ^= 255

    message = refusal(saved(bytes(content), "d.eval"))

    assert message.startswith("d.eval: samples/8_epoch_1.json: ")
    assert message.split("\n")[0].endswith("found, expected a whole member")


@pytest.mark.parametrize("checksum", [None, 1])
def test_a_damaged_member_in_zstandard_is_named(checksum: int | None) -> None:
    """What Python does not unpack, Python does not check."""
    content = zstandard_member(b"x" * 50, checksum=checksum)

    message = refusal(saved(content if checksum else content.replace(b"\x28\xb5\x2f\xfd", b"junk"), "d.eval"))

    assert message.startswith("d.eval: samples/7_epoch_1.json: ")
    assert "expected a whole member" in message


def test_a_member_that_unpacks_to_more_than_memory_holds_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what it says of itself nor what it unpacks to may pass the limit."""
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 1000)
    honest = packed(EVAL[0], ("samples/1.json", b" " * 5000))
    liar = bytearray(honest)
    said = struct.pack("<I", 5000)
    while said in liar:
        place = liar.index(said)
        liar[place : place + 4] = struct.pack("<I", 900)

    assert refusal(saved(honest, "d.eval")) == told("d.eval: samples/1.json: 5,000 bytes found, expected at most 1,000")
    assert "expected a whole member" in refusal(saved(bytes(liar), "d.eval"))
    squeezed = zstandard_member(b" " * 5000).replace(said, struct.pack("<I", 900))
    assert refusal(saved(squeezed, "d.eval")) == told(
        "d.eval: samples/7_epoch_1.json: more than 1,000 bytes found, expected fewer"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b" " * 20_000_000, "20,000,000 bytes found, expected at most 16,777,216"),
        (
            b'{"x":[' + b"{}," * 5_000_000 + b"{}]}",
            "15,000,010 bytes of JSON found that would take about 0.6 GiB of memory, expected less",
        ),
    ],
    ids=["unpacked", "parsed"],
)
def test_a_member_out_of_all_proportion_is_not_read(content: bytes, problem: str) -> None:
    """A log of some kilobytes would else take gigabytes."""
    message = refusal(saved(packed(EVAL[0], ("samples/1.json", content)), "d.eval"))

    assert message == told(f"d.eval: samples/1.json: {problem}")


def test_a_member_with_a_password_is_named() -> None:
    """Nobody is asked for one."""
    content = bytearray(packed(*EVAL[:2]))
    for start in (content.index(b"PK\x03\x04", 10) + 6, content.rindex(b"PK\x01\x02") + 8):
        content[start] |= 1

    assert "password required" in refusal(saved(bytes(content), "d.eval"))


def test_no_member_is_written_anywhere() -> None:
    """Their names could lead out of the folder."""
    before = set(Path.cwd().parent.rglob("*"))

    assert ids(saved(packed(*EVAL, ("../../samples/x.json", sample())), "d.eval")) == ["bread:7:1", "bread:8:1"]
    assert set(Path.cwd().parent.rglob("*")) - before == {Path.cwd() / "d.eval"}


def parquet(rows: list[dict[str, Any]], name: str = "d.parquet") -> Source:
    """Write a Parquet file."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    pq.write_table(pa.Table.from_pylist(rows), name)
    return Source(name=name, path=Path(name))


def test_parquet_holds_rows_of_any_format() -> None:
    """Data frames and hubs keep dialogues in it; what is missing in a row is null there."""
    source = parquet([native(id="a", system="x", labels=None), native(id="b", system=None, labels={"warmth": 4})])

    assert [(each.id, each.system, dict(each.labels)) for each in read(source)] == [
        ("a", "x", {}),
        ("b", "d", {"warmth": 4}),
    ]


def test_labels_in_parquet_may_be_json() -> None:
    """A column has one type, and labels have none."""
    source = parquet([native(id="a", labels='{"warmth": 4}', meta="{}"), native(id="b", labels="[1]", meta="{")])

    assert refusal(source) == told(
        "d.parquet:2: labels: '[1]' found, expected an object", "d.parquet:2: meta: '{' found, expected an object"
    )


@pytest.mark.parametrize(
    ("content", "name"),
    [
        pytest.param(b"PAR1 and no more", "d.parquet", id="broken"),
        pytest.param(b"", "d.parquet", id="empty"),
        pytest.param(b"PAR1 and no more", "stdin", id="broken, on standard input"),
    ],
)
def test_a_broken_parquet_file_is_named(content: bytes, name: str) -> None:
    """A wrong download is the user's to mend."""
    pytest.importorskip("pyarrow")

    assert refusal(saved(content, name)).split("\n")[0].endswith("found, expected a Parquet file of dialogues")


def test_a_table_whose_dictionary_stands_for_gigabytes_is_refused(tmp_path: Path) -> None:
    """It is written in kilobytes, and read it would take memory and hours."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    text = pa.array(["x" * 2**20])
    many = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), text)
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"id": many, "turns": many}), path, compression="zstd")

    assert path.stat().st_size < 2**17
    assert "bytes of rows in a file of" in refusal(Source(name="d.parquet", path=path))


def test_parquet_is_known_by_its_first_bytes_too() -> None:
    """Standard input has no ending."""
    Path("stdin").write_bytes(parquet([native()]).path.read_bytes())

    assert ids(Source(name="stdin", path=Path("stdin"))) == ["d"]


@pytest.mark.parametrize("name", ["d.parquet", "d.eval"])
def test_without_pyarrow_its_name_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra, and few need it."""
    content = zstandard_member(b"{}") if name == "d.eval" else b"PAR1"
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    assert "pip install 'perm-cli[parquet]'" in refusal(saved(content, name))


@pytest.mark.parametrize(
    ("name", "noun"),
    [("d.json", "JSON"), ("d.csv", "CSV"), ("d.parquet", "Parquet"), ("d.eval", "log"), ("d", "JSONL")],
)
def test_a_file_that_is_not_there_is_named_by_its_kind(name: str, noun: str) -> None:
    """The message fits what was asked for."""
    pytest.importorskip("pyarrow")

    assert refusal(Source(name=name, path=Path(name))) == told(f"{name}: no such file found, expected a {noun} file")


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("ending", [".json", ".csv", ".eval", ".parquet", ".jsonl", ".gz", ""])
def test_a_file_by_another_ending_is_dialogues_or_refused(name: str, ending: str) -> None:
    """Whoever renames a file gets dialogues or a line, never a traceback."""
    content = SAMPLES[name]().path.read_bytes()

    dialogues_are_read_or_refused(content, f"x{ending}", Reading())
