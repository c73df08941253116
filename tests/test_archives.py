"""Zipped logs of inspect_ai, whole, damaged and hostile."""

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from perm_cli.dialogues.files import archives
from tests.dialogue_files import ids, read, refusal, saved, told
from tests.published import log, sample

NO_SAMPLES = "d.eval: samples: none found in a log with status None, expected at least one with a reply"


def packed(*members: tuple[str, object], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip file; what is no bytes goes in as JSON."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return stream.getvalue()


HEADER = {"eval": {"task": "bread", "model": "m"}}
EVAL = [("header.json", HEADER), ("samples/7_epoch_1.json", sample()), ("samples/8_epoch_1.json", sample(id=8))]


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
            "d.eval: samples: none found in a log with status None, expected at least one with a reply",
            id="no samples",
        ),
        pytest.param(
            packed(("header.json", b"{")),
            "d.eval: header.json: invalid JSON found, expected one JSON object",
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
