"""Parquet, and what is said where pyarrow is missing."""

import sys
from pathlib import Path

import pytest

from perm_cli.dialogues.files.sources import Source
from tests.dialogue_files import ids, native, parquet, read, refusal, saved, told
from tests.test_archives import zstandard_member


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
