"""Tables of anybody's making: which column holds what, row a turn or row a dialogue."""

import json
from typing import Any

import pytest

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.files.columns import Columns, read_columns
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import ROLE_NAMES
from perm_cli.dialogues.files.sources import Source
from perm_cli.dialogues.files.steps import MAX_GROUP
from perm_cli.errors import SettingsError
from tests.dialogue_files import (
    ASKED,
    OTHER_NAMES,
    TOLD,
    census_of,
    lines,
    native,
    parquet,
    read,
    refusal,
    saved,
    seeker,
    supporter,
    table,
    told,
)


def by(columns: str, **reading: Any) -> Reading:
    """Return a reading by columns."""
    return Reading(columns=read_columns(columns), **reading)


def said(who: str, text: str, **cells: Any) -> dict[str, Any]:
    """Return a row of a table with columns of its own."""
    return {"conv": "a", "who": who, "said": text} | cells


OURS = "conv, who, said"
CONV = "id=conv,role=who,text=said"


def test_a_row_a_turn_is_read_by_the_columns_that_are_named() -> None:
    """Every laboratory has a table of its own."""
    rows = [
        said("user", ASKED, model="m", place="kitchen", who_am_i="baker", w="4"),
        said("assistant", TOLD, model="m", place="kitchen", who_am_i="baker", w="4"),
        said("user", ASKED, model="n", place="", who_am_i="", w=""),
        said("assistant", TOLD, model="n", place="", who_am_i="", w=""),
    ]

    dialogues = read(table(*rows), reading=by(f"{CONV},system=model,scenario=place,persona=who_am_i,label.warmth=w"))

    assert dialogues == [
        Dialogue(
            id="a",
            turns=(seeker(), supporter()),
            system="m",
            scenario="kitchen",
            persona="baker",
            labels={"warmth": 4},
        ),
        Dialogue(id="a", turns=(seeker(), supporter()), system="n"),
    ]


def test_columns_of_our_own_names_need_no_map() -> None:
    """A table that was made for this program says all by itself."""
    row = {"id": "a", "scenario": "S", "label.warmth": "4.5", "analysis": "", "labels": '{"x": [1]}', "meta": ""}
    rows = [row | {"role": "user", "text": ASKED}, row | {"role": "assistant", "text": TOLD, "analysis": "A"}]

    (dialogue,) = read(table(*rows))

    assert dialogue == Dialogue(
        id="a", system="d", turns=(seeker(), supporter(TOLD, "A")), scenario="S", labels={"x": [1], "warmth": 4.5}
    )


def test_a_row_a_dialogue_is_read_as_a_post_and_its_answer() -> None:
    """Most tables of single answers look so."""
    row = {"q": ASKED, "a": f"# Analysis\nHm.\n# Response\n{TOLD}", "model": "m"}

    dialogues = read(table(row, row), reading=by("seeker=q,supporter=a,system=model"))

    assert dialogues == [
        Dialogue(id=f"d.csv:{line}", turns=(seeker(), supporter(TOLD, "Hm.")), system="m") for line in (2, 6)
    ]


def test_a_pair_may_have_an_id_and_an_analysis_of_its_own() -> None:
    """Where there is a column for it, the answer is taken as it stands."""
    (dialogue,) = read(table({"id": "7", "seeker": ASKED, "supporter": "# Response\nx", "analysis": "A"}))

    assert (dialogue.id, dialogue.turns[1]) == ("7", supporter("# Response\nx", "A"))


def test_turns_are_put_in_the_order_of_their_column() -> None:
    """Tables are sorted by anything."""
    rows = [said("assistant", TOLD, n="10"), said("user", ASKED, n="9")]

    assert read(table(*rows), reading=by(f"{CONV},turn=n"))[0].turns == (seeker(), supporter())


def test_a_label_that_differs_within_a_dialogue_is_a_note_about_its_turns() -> None:
    """It was given to each of them, and a dialogue has no such number."""
    rows = [
        *(said("user", ASKED, w=""), said("system", "Be kind.", w="9"), said("assistant", TOLD, w="3")),
        *(said("assistant", "Oh.", w="5"), said("user", "Yes.", w="")),
    ]

    (dialogue,) = read(table(*rows), reading=by(f"{CONV},label.warmth=w"))

    assert dialogue.turns == (seeker(), supporter(f"{TOLD}\nOh."), seeker("Yes."))
    assert dialogue.labels == {"turns": {"2": {"warmth": [3, 5]}}}


def test_rows_of_json_and_of_parquet_have_columns_too() -> None:
    """It is the same table."""
    rows = [said("user", ASKED, w=4), said("assistant", TOLD, w=4)]
    reading = by(f"{CONV},label.warmth=w")

    assert (
        read(saved(lines(*rows)), reading=reading)
        == read(parquet(rows), reading=reading)
        == [Dialogue(id="a", system="d", turns=(seeker(), supporter()), labels={"warmth": 4})]
    )


def test_a_column_may_be_the_path_of_a_field_and_ids_are_made() -> None:
    """Answers of interfaces are kept as they came."""
    rows = [{"asked": {"text": ASKED}, "answer": {"choice": {"said": TOLD}}}] * 2
    reading = by("seeker=asked.text,supporter=answer.choice.said")

    documents = read(saved(json.dumps(rows).encode(), "d.json"), reading=reading)

    assert [(each.id, each.system, each.turns) for each in documents] == [
        ("1", "d", (seeker(), supporter())),
        ("2", "d", (seeker(), supporter())),
    ]
    assert read(saved(lines(*rows)), reading=reading) == documents


def test_a_field_that_is_named_may_hold_messages() -> None:
    """A log keeps what was said before as the interface took it, and the answer as text."""
    said = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": TOLD}]
    row = {"log": [*said, said[0]], "answer": TOLD, "whole": said[1:]}

    text, messages = (one(row, f"seeker=log,supporter={name}") for name in ("answer", "whole"))

    assert text == messages == (seeker(), supporter(), seeker(), supporter())


def one(row: dict[str, Any], columns: str) -> tuple[Turn, ...]:
    """Return the turns of a row of JSON."""
    (dialogue,) = read(saved(lines(row)), reading=by(columns))
    return dialogue.turns


def test_turns_in_a_table_with_a_column_that_may_be_an_id_are_not_one_dialogue() -> None:
    """All conversations would be judged as one."""
    rows = [{"talk": str(n), "role": "user", "text": ASKED} for n in range(2)]

    assert "name the one that holds the id: --columns id=… (and 1 more like it)" in refusal(table(*rows))


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        pytest.param("id=a", Columns(fields={"id": "a"}), id="one"),
        pytest.param(" id = a b ,label.x y=c", Columns(fields={"id": "a b"}, labels={"x y": "c"}), id="blanks"),
        pytest.param("text=a=b", Columns(fields={"text": "a=b"}), id="an equals sign in a column"),
    ],
)
def test_a_map_of_columns_is_read(text: str, columns: Columns) -> None:
    """The option is typed by hand."""
    assert read_columns(text) == columns


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("", "'' found, expected FIELD=COLUMN,…", id="nothing"),
        pytest.param("id", "'id' found, expected FIELD=COLUMN,…", id="no column"),
        pytest.param("utterance=text", "'utterance=text' found, expected FIELD=COLUMN,…", id="the wrong way round"),
        pytest.param("label.=w", "'label.=w' found, expected FIELD=COLUMN,…", id="no name"),
        pytest.param("id=a,id=b", "'id' found twice, expected one column for it", id="twice"),
    ],
)
def test_a_wrong_map_of_columns_names_the_pair(text: str, found: str) -> None:
    """A map that is half understood would judge the wrong text."""
    with pytest.raises(SettingsError) as raised:
        read_columns(text)

    assert str(raised.value).startswith(f"--columns: {found}")


def test_columns_go_with_tables_only() -> None:
    """Another format knows its own fields."""
    with pytest.raises(
        SettingsError, match="--columns cannot be used with --format esconv; leave --format out or pass csv"
    ):
        by("id=a", format="esconv")


@pytest.mark.parametrize(
    ("source", "reading", "problems"),
    [
        pytest.param(
            lambda: table(said("assistant", TOLD)),
            by(f"{CONV},system=model,label.warmth=w"),
            [
                "d.csv:2: no row has a column 'model' (--columns system=…)",
                "d.csv:2: no row has a column 'w' (--columns label.warmth=…)",
            ],
            id="columns that are nowhere",
        ),
        pytest.param(
            lambda: table(said("assistant", TOLD)),
            by("id=conv,role=who"),
            [
                f"d.csv:2: text: no such column among {OURS}; name the one that holds the text: --columns text=…",
            ],
            id="no column of text",
        ),
        pytest.param(
            lambda: table(said("user", ""), said("nurse", TOLD)),
            by(CONV),
            [
                "d.csv:2: said: '' found, expected some text",
                f"d.csv:3: who: role 'nurse' found, expected one of: {', '.join(ROLE_NAMES)} {OTHER_NAMES}",
            ],
            id="no text and no role",
        ),
        pytest.param(
            lambda: table(said("assistant", TOLD, n="x")),
            by(f"{CONV},turn=n"),
            ["d.csv:2: n: 'x' found, expected a number"],
            id="no number",
        ),
        pytest.param(
            lambda: table(said("user", ASKED)),
            by(CONV),
            ["d.csv:2: who: no supporter turn found, expected at least one to judge"],
            id="no supporter",
        ),
        pytest.param(
            lambda: table(
                said("user", "1"), said("assistant", "2"), said("user", "3", conv="b"), said("assistant", "4")
            ),
            by(CONV),
            [
                "d.csv:4: who: no supporter turn found, expected at least one to judge",
                "d.csv:5: id: 'a' found again (first at d.csv:2), expected each id once per system",
            ],
            id="rows apart",
        ),
        pytest.param(
            lambda: table({"seeker": ASKED, "supporter": TOLD, "labels": "[1]", "meta": "{"}),
            Reading(),
            ["d.csv:2: labels: a list of 1 found, expected an object"],
            id="labels",
        ),
        pytest.param(
            lambda: table({"seeker": ASKED, "supporter": TOLD, "meta": "{"}),
            Reading(),
            ["d.csv:2: meta: '{' found, expected an object"],
            id="meta",
        ),
        pytest.param(
            lambda: table({"seeker": " ", "supporter": TOLD}),
            Reading(),
            ["d.csv:2: seeker: ' ' found, expected some text"],
            id="half a pair",
        ),
    ],
)
def test_what_is_wrong_with_the_columns_is_named(source: Any, reading: Reading, problems: list[str]) -> None:
    """A misspelt column must not become a missing label in silence."""
    assert refusal(source(), reading=reading) == told(*problems)


def test_a_dialogue_without_end_is_not_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrong column of ids makes all rows one dialogue."""
    monkeypatch.setattr("perm_cli.dialogues.files.steps.MAX_GROUP", 3)
    rows = [said("assistant", TOLD, conv=conv) for conv in ("a", *"bbbbb", "c")]

    assert MAX_GROUP > 1000
    assert refusal(table(*rows), reading=by(CONV)) == told(
        "d.csv:3: a dialogue of 5 rows found, expected at most 3: is the id column the right one?"
    )


def test_named_columns_settle_the_format() -> None:
    """A row that looks like another format is a row of a table where columns are named."""
    source: Source = saved(lines(native(q=ASKED, a=TOLD)))

    (census,) = census_of(source, reading=by("seeker=q,supporter=a"))

    assert census.format == "csv"
