"""What people said: read from labels and files as it stands there, and refused by line where it cannot be."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from perm_cli.comparing.labels import is_ratings_file, labels_of, read_ratings
from perm_cli.comparing.table import Rated
from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.errors import SettingsError

SPOKEN = (Turn(role="seeker", text="Hm."), Turn(role="supporter", text="Yes?"))


def made(content: str | bytes, name: str = "r.csv") -> Path:
    """Write a file."""
    path = Path(name)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_wide_file_has_a_column_a_rater() -> None:
    """An item a line; an empty cell is a score that was not given."""
    scores = read_ratings(made("dialogue_id,system,turn,dimension,human1,gpt\nd,s,2,warmth,3,4\nd,t,2,warmth,,5\n"))

    assert scores.items == [Rated("d", "s", 2), Rated("d", "t", 2)]
    assert (scores.judges, scores.humans) == (["gpt"], ["human1"])
    np.testing.assert_array_equal(scores.of("warmth", ["human1", "gpt"]), [[3, 4], [np.nan, 5]])


def test_a_long_file_has_a_line_a_rating() -> None:
    """The two shapes hold the same."""
    wide = read_ratings(made("id,human1,gpt\nd,3,4\ne,,5\n"))
    long = read_ratings(made("id,rater,score\nd,human1,3\nd,gpt,4\ne,gpt,5\n"))

    assert (long.items, long.raters, long.people) == (wide.items, wide.raters, wide.people)
    np.testing.assert_array_equal(long.tables["score"], wide.tables["score"])


def test_data_sets_in_one_file_are_kept_apart() -> None:
    """The same name in two of them is two dialogues, on two dimensions."""
    scores = read_ratings(made("dataset,dialogue_id,dimension,a,b\nx,1,warmth,1,2\ny,1,warmth,3,4\n"))

    assert [item.dialogue_id for item in scores.items] == ["x/1", "y/1"]
    assert list(scores.tables) == ["x/warmth", "y/warmth"]


@pytest.mark.parametrize("cell", ["", " ", "nan", "NaN", "NA", "n/a", "none", "null", "-"])
def test_what_stands_for_nothing_is_missing(cell: str) -> None:
    """Every program writes it another way."""
    assert math.isnan(read_ratings(made(f"id,a\nd,{cell}\ne,1\n")).tables["score"][0, 0])


@pytest.mark.parametrize(
    ("header", "people"),
    [
        pytest.param("human,expert_2,annotator3,gpt-4o,llama", {"human", "expert_2", "annotator3"}, id="several"),
        pytest.param("crowd,worker7,gpt", {"crowd", "worker7"}, id="a-crowd"),
        pytest.param("Human,EXPERT,o4-mini", {"Human", "EXPERT"}, id="capitals"),
        pytest.param("gpt,claude", set(), id="none"),
    ],
)
def test_people_are_known_by_their_names(header: str, people: set[str]) -> None:
    """A file from elsewhere says it no other way."""
    line = ",".join(["3"] * len(header.split(",")))

    assert read_ratings(made(f"id,{header}\nd,{line}\n")).people == people


def test_a_crowd_beside_others_is_left_out() -> None:
    """It is no judge either; one can ask for it."""
    path = made("id,ann,expert1,crowd\nd,1,2,3\n")

    assert (read_ratings(path).raters, read_ratings(path).humans) == (["ann", "expert1"], ["expert1"])
    assert read_ratings(path, ["crowd"]).humans == ["crowd"]


def test_a_column_of_kinds_counts_before_names() -> None:
    """`rater_kind` is said, a name is guessed; a hostile name has one too."""
    lines = "d,human_like_bot,judge,3\nd,ann,expert,4\nd,\x1bzed,expert,4\n"

    assert read_ratings(made("id,rater,rater_kind,score\n" + lines)).humans == ["ann", "\\u001bzed"]


def test_people_that_are_named_are_the_people() -> None:
    """Whatever they are called; a name that is not there is a line."""
    path = made("id,ann,human1\nd,3,4\n")

    assert read_ratings(path, ["ann"]).humans == ["ann"]
    with pytest.raises(SettingsError, match=r"--people: bob not found in r\.csv, expected one or more of ann, human1"):
        read_ratings(path, ["bob"])


@pytest.mark.parametrize("column", ["judge", "annotator", "rating", "kind", "score"])
def test_in_a_wide_file_a_rater_may_be_called_anything(column: str) -> None:
    """A column that means something in a long file must not be lost in a wide one."""
    assert read_ratings(made(f"id,{column},other\nd,3,4\n")).raters == [column, "other"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param("", "r.csv: no ratings found", id="empty"),
        pytest.param("a,b\n1,2\n", "r.csv:1: columns a, b found, expected one named dialogue_id", id="no-item"),
        pytest.param("id,a\n", "r.csv: no ratings found", id="header-only"),
        pytest.param("id\nd\n", "r.csv: no ratings found", id="no-rater"),
        pytest.param("id,a,b\nd,1\n", "r.csv:2: 2 cells found, expected 3", id="a-short-line"),
        pytest.param("id,a\n\nd,1,2\n", "r.csv:3: 3 cells found, expected 2", id="a-long-line"),
        pytest.param("id,a\nd,good\n", "r.csv:2: a: 'good' found, expected a number or nothing", id="a-word"),
        pytest.param("id,a\nd,inf\n", "r.csv:2: a: 'inf' found, expected a number or nothing", id="infinity"),
        pytest.param("id,a\nd,1e308\n", "r.csv:2: a: '1e308' found, expected a number", id="whose-square-is-none"),
        pytest.param("id,rater,score\nd,x,=1+1\n", "r.csv:2: x: '=1+1' found, expected a number", id="a-formula"),
        pytest.param("id,a\nd,\x1b[2J\n", r"r.csv:2: a: '\x1b[2J' found", id="a-terminal-code"),
        pytest.param("id,turn,a\nd,last,1\n", "r.csv:2: turn 'last' found, expected a number from 1", id="turn"),
        pytest.param(f"id,turn,a\nd,{'9' * 5000},1\n", "found, expected a number from 1", id="an-endless-turn"),
        pytest.param("id,a\n,1\n", "r.csv:2: the dialogue_id is empty, expected an id", id="an-item-without-a-name"),
        pytest.param("id,a,a\nd,1,2\n", "r.csv:1: column 'a' found twice, expected it once", id="twice"),
        pytest.param(b"id,a\n\xff,1\n", "expected UTF-8 (Windows text: iconv ", id="not-utf-8"),
        pytest.param(f"id,a\nd,{'1' * 140_000}\n", "found, expected a number or nothing", id="a-giant-cell"),
    ],
)
def test_a_file_that_is_wrong_is_one_line(content: str | bytes, said: str) -> None:
    """Where, what was found and what was expected."""
    with pytest.raises(SettingsError) as caught:
        read_ratings(made(content))

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("id;human1;gpt\nd;3;4\n", id="semicolons"),
        pytest.param("sep=|\r\nid|human1|gpt\r\nd|3|4\r\n", id="a separator that it names"),
        pytest.param("id\thuman1\tgpt\r\nd\t3\t4\r\n".encode("utf-16"), id="UTF-16"),
        pytest.param(",id,human1,gpt,\n0,d,3,4,\n", id="columns without a name"),
    ],
)
def test_ratings_are_read_as_spreadsheets_write_them(content: str | bytes) -> None:
    """As dialogues are."""
    scores = read_ratings(made(content))

    assert (scores.items, scores.raters) == ([Rated("d")], ["human1", "gpt"])


def test_a_file_that_is_not_there_is_a_line() -> None:
    """So is one that may not be read."""
    with pytest.raises(SettingsError, match=r"no\.csv: no such file, expected a CSV file"):
        read_ratings(Path("no.csv"))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        pytest.param("r.csv", "dialogue_id,human,gpt\n", True, id="raters"),
        pytest.param("r.csv", "\ufeffid,rater,score\n", True, id="with-a-mark-of-byte-order"),
        pytest.param("r.csv", "id,role,Text\n", False, id="turns"),
        pytest.param("r.csv", "id,seeker,supporter\n", False, id="exchanges"),
        pytest.param("r.csv", "x" * 140_000, True, id="a-giant-cell"),
        pytest.param("r.csv", "id;role;text\n".encode("utf-16"), False, id="turns-as-Excel-writes-them"),
        pytest.param("r.tsv", "id\trater\tscore\n", True, id="with-tabs"),
        pytest.param("r.csv.gz", b"nonsense", False, id="broken"),
        pytest.param("r.jsonl", "{}", False, id="no-csv"),
    ],
)
def test_ratings_are_told_from_dialogues_by_their_columns(name: str, content: str, expected: bool) -> None:
    """Both may come as CSV."""
    assert is_ratings_file(made(content, name)) is expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({"empathy": 4}, [("labels", "empathy", 0, 4.0, True)], id="plain"),
        pytest.param({"crowd": {"empathy": 4}}, [("crowd", "empathy", 0, 4.0, True)], id="by-a-group"),
        pytest.param({"experts": {"ann": {"empathy": 4}}}, [("ann", "empathy", 0, 4.0, True)], id="by-a-person"),
        pytest.param({"judge": {"empathy": 4}}, [("judge", "empathy", 0, 4.0, False)], id="by-a-judge"),
        pytest.param({"simulated": {"x": {"e": 1}}}, [("x", "e", 0, 1.0, False)], id="simulated"),
        pytest.param({"turns": {"2": {"e": 1}}}, [("labels", "e", 2, 1.0, True)], id="of-a-turn"),
        pytest.param({"turns": 3}, [("labels", "turns", 0, 3.0, True)], id="turns-as-a-number"),
        pytest.param({"turns": {"last": {"e": 1}, "2": 5}}, [], id="turns-of-no-number"),
        pytest.param({"a": "4", "b": None, "c": [4], "d": float("nan"), "e": {}}, [], id="no-numbers"),
    ],
)
def test_labels_are_the_numbers_and_who_gave_them(labels: Any, expected: list[Any]) -> None:
    """Whatever else stands among them."""
    found = labels_of(Dialogue(id="d", system="s", turns=SPOKEN, labels=labels))

    given = [(each.rater, each.dimension, each.item.turn, each.score, by_person) for each, by_person in found]
    assert given == expected


def test_real_ratings_are_those_that_pandas_reads(shared: Path) -> None:
    """Long and wide, cell by cell."""
    path = shared / "data/ratings/expert_panel.csv"
    long = pd.read_csv(path, dtype={"dialogue_id": str})
    table = long.assign(
        item=long["dataset"] + "/" + long["dialogue_id"], name=long["dataset"] + "/" + long["dimension"]
    )

    scores = read_ratings(path)

    assert scores.people == set(long.loc[long["rater_kind"] == "expert", "rater"])
    table = table[table["rater_kind"] != "crowd"]  # left out where there are experts
    ids = [item.dialogue_id for item in scores.items]
    for name, rows in table.groupby("name"):
        expected = rows.pivot_table(index="item", columns="rater", values="score", aggfunc="last")
        found = pd.DataFrame(scores.tables[str(name)], index=ids, columns=scores.raters)
        given = found.loc[expected.index, expected.columns].to_numpy()
        assert given == pytest.approx(expected.to_numpy(), nan_ok=True, abs=1e-9)
        assert found.notna().sum().sum() == expected.notna().sum().sum()
