"""JSON documents and lines, whole, damaged and hostile."""

import gzip
import json

import pytest

from perm_cli.dialogues.files import documents
from perm_cli.dialogues.files.bounds import excess_of
from perm_cli.dialogues.files.sources import MAX_LINE_BYTES
from tests.dialogue_files import BOM, UTF_8, census_of, ids, lines, messages, native, read, refusal, saved, told


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
            b"[1,\n2", "d.json:2: invalid JSON found at column 2, near '[1,\\n2': expected one JSON document", id="cut"
        ),
        pytest.param(b'[\n"a\xff"]', f"d.json:2: byte 0xff found at column 3, {UTF_8}", id="not UTF-8"),
        pytest.param(b"", "d.json: an empty file found, expected a list of objects, or one object", id="empty"),
        pytest.param(b"[]", "d.json: an empty file found, expected a list of objects, or one object", id="empty list"),
        pytest.param(b"5", "d.json: 5 found, expected a list or an object", id="a number"),
        pytest.param(
            b'[\n{"id": "\\ud800"}]',
            'd.json:2: invalid JSON found at column 9, near \'\\n{"id": "\\\\ud800"}]\': expected one JSON document',
            id="half a character",
        ),
    ],
)
def test_what_is_wrong_with_a_document_is_named(content: bytes, problem: str) -> None:
    """The line is that of an editor."""
    message = refusal(saved(content, "d.json"))

    assert message.startswith(problem.partition(", near")[0])
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "name", "problem"),
    [
        pytest.param(
            gzip.compress(b"[" + b" " * 20_000_000 + b"]"),  # half a megabyte could stand for the memory of the machine
            "d.json.gz",
            "a document of more than 16,777,216 bytes found",
            id="packs too well",
        ),
        pytest.param(
            b"[" + b"{}," * 5_000_000 + b"{}]",  # in memory some fifty times as much as on disk
            "d.json",
            "15,000,004 bytes of JSON found that would take about 0.6 GiB of memory",
            id="empty objects",
        ),
    ],
)
def test_a_document_out_of_all_proportion_is_not_loaded(content: bytes, name: str, problem: str) -> None:
    """A small file must not take the memory of the machine."""
    assert refusal(saved(content, name)) == told(f"{name}: {problem}, expected JSON Lines at that size")


def test_a_document_too_large_for_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few megabytes of gzip unpack to as much as one likes."""
    monkeypatch.setattr(documents, "MAX_DOCUMENT_BYTES", 1000)

    message = refusal(saved(gzip.compress(b"[" + b" " * 5000 + b"]"), "d.json.gz"))

    assert message == told("d.json.gz: a document of more than 1,000 bytes found, expected JSON Lines at that size")


@pytest.mark.parametrize("said", ["a word", "x" * 150])
def test_a_large_document_of_what_people_say_is_loaded(said: str) -> None:
    """Talk is not out of proportion, however short the turns are."""
    rows = [native(id=str(place), turns=[*native()["turns"], {"role": "seeker", "text": said}]) for place in range(50)]
    text = json.dumps(rows).encode()

    assert not excess_of(b"[" + b",".join([text] * (120_000_000 // len(text))) + b"]")


def test_a_place_in_a_document_is_named_when_its_id_comes_again() -> None:
    """There are no lines to lead to."""
    assert refusal(saved(json.dumps([native(), native()]).encode(), "d.json")) == told(
        "d.json: [1].id: 'd' found again (first at d.json: [0]), expected each id once per system"
    )
