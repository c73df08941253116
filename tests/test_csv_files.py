"""Tables of text, however they are written."""

import gzip
from pathlib import Path

import pytest

from perm_cli.dialogues.files.cells import number_or_text
from perm_cli.dialogues.files.sources import Source
from tests.dialogue_files import BOM, OWN, PAIR, UTF_8, census_of, read, refusal, saved, told


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
            PAIR + b"d,seeker,caf\xe9\n", [f"d.csv:4: byte 0xe9 found at column 13, {UTF_8}"], id="another encoding"
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


def test_a_cell_that_never_ends_is_not_held_in_memory() -> None:
    """One quote too many makes the rest of a file one cell."""
    with Path("d.csv").open("wb") as stream:
        stream.write(OWN.encode() + b'd,seeker,"')
        stream.writelines(b"x" * 2**20 + b"\n" for _ in range(20))

    message = refusal(Source(name="d.csv", path=Path("d.csv")))

    assert message == told("d.csv:2: field larger than field limit (16777216) found, expected rows of a CSV file")


@pytest.mark.parametrize("first", ["sep=|\r\n", '"sep=|"\n', "SEP=|\n"])
def test_the_separator_that_a_table_names_is_taken(first: str) -> None:
    """Excel reads and writes such a line, which is no header."""
    source = saved(f"{first}id|role|text\nd|supporter|Oh, no; no.\nd|nurse|x\n".encode(), "d.csv")

    assert refusal(source).startswith("d.csv:4: role: role 'nurse' found")


def test_columns_without_a_name_are_left_out() -> None:
    """Spreadsheets leave such behind, and data frames their numbers."""
    source = saved(b",id,role,text,,\n0,d,supporter,Oh.,,\n1,d,seeker,Ah.,x,\n", "d.csv")

    assert [turn.text for turn in read(source)[0].turns] == ["Oh.", "Ah."]


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
