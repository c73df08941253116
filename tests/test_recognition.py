"""Which format a file is in, and what it is where its name does not say."""

from pathlib import Path
from typing import Any

import pytest

from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.sources import Source
from tests.dialogue_files import OWN, PAIR, census_of, lines, messages, native, paper, read, refusal, saved, told
from tests.fuzz.claims import dialogues_are_read_or_refused
from tests.published import SAMPLES


@pytest.mark.parametrize(
    ("row", "name"),
    [
        pytest.param(native(), "native", id="native"),
        pytest.param(paper(), "paper", id="paper"),
        pytest.param(messages(), "messages", id="messages"),
    ],
)
def test_the_format_is_recognised_and_named(row: dict[str, Any], name: str) -> None:
    """The user sees what the file was taken for before anything is paid."""
    (census,) = census_of(saved(lines(row)))

    assert (census.format, census.dialogues, census.supporter_turns) == (name, 1, 1)


def test_each_file_is_recognised_by_itself() -> None:
    """Systems are exported by different tools."""
    sources = [saved(lines(row), f"{n}.jsonl") for n, row in enumerate((native(), paper(), messages()))]

    censuses = census_of(*sources)

    assert [(census.source.name, census.format) for census in censuses] == [
        ("0.jsonl", "native"),
        ("1.jsonl", "paper"),
        ("2.jsonl", "messages"),
    ]


def test_one_file_holds_one_format() -> None:
    """A row of another format in the middle is a slip, not a wish."""
    source = saved(lines(native(), messages()))

    assert refusal(source) == told(
        "d.jsonl:2: id: this field is missing",
        "d.jsonl:2: turns: this field is missing",
        "d.jsonl:2: messages: unknown field; remove it",
    )


def test_a_format_that_is_asked_for_is_not_guessed() -> None:
    """`--format` settles what a row with fields of two formats is."""
    source = saved(lines(messages(dialogue=["x"])))

    assert census_of(source, reading=Reading(format="messages"))[0].format == "messages"
    assert refusal(source, reading=Reading(format="native")).startswith("d.jsonl:1: id: this field is missing")


def test_a_row_of_texts_by_other_names_is_shown_how_to_name_them() -> None:
    """The option stands in the line, with the two longest texts."""
    row = {"key": "x", "the post": "I lost my job.", "peer_reply": "That hurts.", "n": 5}

    message = refusal(saved(lines(row, row)))

    assert "expected its fields named, as in --columns 'seeker=the post,supporter=peer_reply', or one of the" in message


def test_the_formats_of_tables_are_named_where_none_fits() -> None:
    """A table can be read by any columns once they are named."""
    message = refusal(saved(b"a,b\n1,2\n", "d.csv"))

    assert message.startswith("d.csv:2: an object with a, b found, expected its fields named, as in --columns ")
    assert "others with --columns); empathetic (" in message
    assert "native" not in message


def test_a_column_called_like_a_field_of_json_is_a_column() -> None:
    """A cell holds no list of turns, whatever the column is called."""
    rows = "id,role,text,turns,messages\nd,supporter,Oh.,1,2\n"

    (census,) = census_of(saved(rows.encode(), "d.csv"))

    assert census.format == "csv"


@pytest.mark.parametrize("first", [OWN.encode() + b"d,seeker,a\n", b""])
def test_a_table_on_standard_input_is_read_where_it_is_said_to_be_one(first: bytes) -> None:
    """Lines of text that are no JSON could be anything."""
    source = saved(first or PAIR, "stdin")

    assert "invalid JSON" in refusal(source)
    if not first:
        assert [each.id for each in read(source, reading=Reading(format="csv"))] == ["d"]


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("ending", [".json", ".csv", ".eval", ".parquet", ".jsonl", ".gz", ""])
def test_a_file_by_another_ending_is_dialogues_or_refused(name: str, ending: str) -> None:
    """Whoever renames a file gets dialogues or a line, never a traceback."""
    content = SAMPLES[name]().path.read_bytes()

    dialogues_are_read_or_refused(content, f"x{ending}", Reading())


@pytest.mark.parametrize("name", SAMPLES)
def test_each_format_is_recognised_by_its_keys(name: str) -> None:
    """Nobody should have to know what a file is called in this program."""
    (census,) = census_of(SAMPLES[name]())

    assert census.format == name
    assert census.dialogues >= 1
    assert all(name == "empathetic" for remark in census.remarks)


@pytest.mark.parametrize("name", SAMPLES)
def test_each_format_is_read_twice_to_the_same_dialogues(name: str) -> None:
    """The program checks, then reads; ratings are found again by id."""
    source = SAMPLES[name]()

    assert read(source) == read(source)


@pytest.mark.parametrize("name", SAMPLES)
def test_each_format_is_read_from_standard_input_by_its_name_at_least(name: str) -> None:
    """A pipe has no ending that says what comes."""
    content = SAMPLES[name]().path.read_bytes()
    Path("spooled").write_bytes(content)

    dialogues = read(Source(name="stdin", path=Path("spooled")), reading=Reading(format=name))  # type: ignore[arg-type]  # a name of the table

    assert dialogues
