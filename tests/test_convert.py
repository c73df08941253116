"""`perm convert`: what is read comes out whole, and no file is lost to it."""

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perm_cli.cli import convert as command
from perm_cli.cli.options import ReadingOptions
from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.exports import WRITERS
from perm_cli.dialogues.files.cells import guarded, unguarded
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.sources import BOM, source_of
from perm_cli.errors import PermError
from tests.dialogue_files import lines, messages, native, read, saved

ROWS = [
    native(
        id="a",
        system="m",
        scenario="S",
        persona="P",
        turns=[{"role": "seeker", "text": "=1+1"}, {"role": "supporter", "text": "Oh,\n“no”.", "analysis": "Hm."}],
        labels={"warmth": 4, "notes": [{"turn": 2}]},
        meta={"x": None},
    ),
    native(id="b"),
]


def convert(*files: str, out: str, force: bool = False, **reading: Any) -> None:
    """Do what the command does."""
    command.convert(list(files), ReadingOptions(**reading), out, force=force)


def written(name: str, dialogues: list[Dialogue]) -> list[Dialogue]:
    """Write dialogues as a file of this name, and read them back."""
    with Path(name).open("wb") as stream:
        WRITERS[Path(name).suffix](iter(dialogues), stream)
    return read(source_of(name))


@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ".csv"])
def test_what_is_converted_reads_as_before(ending: str) -> None:
    """The file stands for the one it was made of."""
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    dialogues = read(saved(lines(*ROWS)))

    assert written(f"out{ending}", dialogues) == dialogues


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20).filter(
    lambda text: bool(text.strip("\x1c\x1d\x1e\x1f\x85").strip())
)
JSON = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.recursive(st.none() | st.booleans() | st.integers(-99, 99) | TEXT, st.lists, max_leaves=3),
    max_size=2,
)
ANALYSES = st.none() | TEXT.map(str.strip)


def turns(analyses: list[str | None], texts: list[str]) -> tuple[Turn, ...]:
    """Return turns that alternate and end with the supporter's."""
    asked = [Turn(role="seeker", text=text) for text in texts]
    told = [Turn(role="supporter", text=text, analysis=a or None) for text, a in zip(texts, analyses, strict=False)]
    return tuple(turn for pair in zip(asked, told, strict=False) for turn in pair)


DIALOGUES = st.lists(
    st.builds(
        Dialogue,
        id=TEXT,
        turns=st.builds(turns, st.lists(ANALYSES, min_size=1, max_size=2), st.lists(TEXT, min_size=2, max_size=3)),
        scenario=TEXT | st.just(""),
        system=TEXT | st.just(""),
        labels=JSON,
        meta=JSON,
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda dialogue: dialogue.id,
)


@settings(deadline=None, max_examples=60)
@given(dialogues=DIALOGUES)
@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ".csv"])
def test_whatever_dialogues_hold_comes_back(ending: str, dialogues: list[Dialogue]) -> None:
    """Quotes, line ends, formulas and labels of any kind are the user's."""
    if ending == ".parquet":
        pytest.importorskip("pyarrow")

    named = [replace(each, system=each.system or "out") for each in dialogues]
    assert written(f"out{ending}", dialogues) == named


@given(cell=st.text(st.sampled_from("'=+-@\t\r\n＝a1 ;"), max_size=8))
def test_a_guarded_cell_is_no_formula_and_comes_back(cell: str) -> None:
    """A spreadsheet runs what it takes for a formula, wherever the text came from."""
    safe = guarded(cell)

    assert not safe or safe[0] not in "=+-@\t\r\n＝"
    assert not safe.lstrip().startswith(("=", "+", "-", "@", "＝"))
    assert not [part for part in re.split("[;\r\n]", safe) if re.match(" *([=@＝]|[+-][a1])", part)]
    assert unguarded(safe) == cell


@pytest.mark.parametrize("text", ["hi;=1+1", "hi; =1+1", "hi;;@x", "hi\n=1+1;", "hi;-2+3", "hi;+cmd", "hi;'=1"])
def test_no_formula_comes_of_a_semicolon_or_a_line_end(text: str) -> None:
    """Where commas are decimal, spreadsheets part cells at semicolons and do not see the quotes."""
    row = native(turns=[{"role": "seeker", "text": text}, ROWS[0]["turns"][1]])
    dialogues = read(saved(lines(row)))

    assert written("out.csv", dialogues) == dialogues

    content = Path("out.csv").read_text(encoding="utf-8")
    assert not re.search(r'[;\n,"] *[=@+-][\w(]', content)


@pytest.mark.parametrize("text", ["Oh ;-) yes", "Three things:\n- sleep\n- eat", "a; b", "x = 1; y", "a -1;b=2"])
def test_smileys_and_lists_stay_as_they_are(text: str) -> None:
    """People read the table, too."""
    assert guarded(text) == text


def test_a_table_has_a_row_a_turn_and_no_formula(capsys: pytest.CaptureFixture[str]) -> None:
    """People open it with a spreadsheet."""
    saved(lines(*ROWS))

    convert("d.jsonl", out="out.csv")

    with Path("out.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["id"], row["turn"], row["role"], row["text"]) for row in rows] == [
        *(("a", "1", "seeker", "'=1+1"), ("a", "2", "supporter", "Oh,\n“no”.")),
        *(("b", "1", "seeker", "I lost my job."), ("b", "2", "supporter", "That hurts.")),
    ]
    assert json.loads(rows[0]["labels"]) == {"warmth": 4, "notes": [{"turn": 2}]}
    assert capsys.readouterr().err == "d.jsonl: native format, 2 dialogues\nwritten: out.csv\n"


def test_text_to_read_stays_text() -> None:
    """Nothing that was said may become a heading, a picture or a command to the terminal."""
    row = native(
        id="#1 *x*",
        system="m",
        scenario="S",
        labels={"x": 1},
        turns=[*ROWS[0]["turns"], {"role": "seeker", "text": "x"}],
    )
    row["turns"][2]["text"] = "# Title\n![x](http://x) <b>\x1b[31m `x`"
    saved(lines(row))

    convert("d.jsonl", out="out.md")

    text = Path("out.md").read_text(encoding="utf-8")
    assert text.startswith("## #1 \\*x\\* · m\n\n**scenario**\n\n> S\n\n**1 · seeker**\n\n> =1+1\n\n")
    assert "**2 · supporter's analysis**\n\n> > Hm.\n\n**2 · supporter**\n\n> Oh,\n> “no”.\n\n" in text
    assert "**3 · seeker**\n\n> # Title\n> !\\[x](http://x) \\<b>\ufffd\\[31m \\`x\\`\n\n" in text
    assert text.endswith('**labels**\n\n> {"x":1}\n\n')


def test_standard_output_is_json_lines_and_nothing_else() -> None:
    """It goes into the next program."""
    command = [sys.executable, "-m", "perm_cli", "convert", "-", "--out", "-"]

    done = subprocess.run(command, input=BOM + lines(messages(id="m")), capture_output=True, check=True)

    (row,) = map(json.loads, done.stdout.splitlines())
    assert row["turns"][0] == {"role": "seeker", "text": "I lost my job.", "analysis": None}
    assert done.stderr.decode().startswith("stdin: messages format, 1 dialogue\nstdin:1: byte-order mark found")


def test_columns_and_roles_are_taken() -> None:
    """Tables of anybody's making can be converted."""
    saved(b"q,a\nHow?,So.\n", "t.csv")

    convert("t.csv", out="out.jsonl", columns="seeker=q,supporter=a")

    (dialogue,) = read(source_of("out.jsonl"))
    assert (dialogue.id, dialogue.system) == ("2", "t")


def test_a_file_that_is_there_is_kept_unless_it_may_go() -> None:
    """Somebody's work may be in it."""
    saved(lines(native()))
    Path("out.jsonl").write_text("mine")

    with pytest.raises(PermError) as raised:
        convert("d.jsonl", out="out.jsonl")
    kept = Path("out.jsonl").read_text()
    convert("d.jsonl", out="out.jsonl", force=True)

    assert str(raised.value) == "--out out.jsonl: the file exists; use a new name, or --force to overwrite it"
    assert kept == "mine"
    assert read(source_of("out.jsonl")) == read(source_of("d.jsonl"))


def test_a_file_may_be_converted_in_its_place() -> None:
    """It is read to its end before it is replaced."""
    saved(lines(messages(id="m")))

    convert("d.jsonl", out="d.jsonl", force=True)

    assert read(source_of("d.jsonl"), reading=Reading(format="native"))[0].id == "m"


@pytest.mark.parametrize(
    ("content", "out", "problem"),
    [
        pytest.param(b"[]\n", "out.jsonl", "d.jsonl:1: a list of 0 found, expected a JSON object", id="wrong input"),
        pytest.param(
            lines(native()),
            "no/out.csv",
            "--out no/out.csv: cannot be written: No such file or directory",
            id="folder",
        ),
        pytest.param(
            lines(native()),
            "out.xlsx",
            "--out out.xlsx: expected a file name that ends in .jsonl, .csv, .parquet, .md",
            id="end",
        ),
    ],
)
def test_what_cannot_be_done_leaves_nothing_behind(content: bytes, out: str, problem: str) -> None:
    """Half a file looks like a whole one."""
    saved(content)

    with pytest.raises(PermError) as raised:
        convert("d.jsonl", out=out)

    assert str(raised.value).startswith(problem)
    assert [path.name for path in Path.cwd().iterdir()] == ["d.jsonl"]


def test_a_wrong_record_midway_keeps_the_old_file() -> None:
    """Writing is whole or not at all."""
    saved(lines(native(), native(id=" ")))
    Path("out.parquet").write_text("mine")

    with pytest.raises(PermError, match="expected some text"):
        convert("d.jsonl", out="out.parquet", force=True)

    assert sorted(path.name for path in Path.cwd().iterdir()) == ["d.jsonl", "out.parquet"]
    assert Path("out.parquet").read_text() == "mine"


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(PermError, match=r"pip install 'perm-cli\[parquet\]'"):
        written("out.parquet", read(saved(lines(native()))))
