"""The check before the first call: what is counted, what is told and how much of it."""

import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perm_cli.dialogues.check import check_dialogues, read_dialogues
from perm_cli.dialogues.dialogue import judged_turns
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.sources import source_of
from perm_cli.errors import InputError, PermError
from tests.dialogue_files import (
    ALL_NAMES,
    ANSWERS,
    ASKS,
    OTHER_NAMES,
    USER,
    census_of,
    lines,
    messages,
    native,
    paper,
    read,
    refusal,
    saved,
    told,
)


@pytest.mark.parametrize(("turns", "count"), [pytest.param("all", 5, id="all"), pytest.param("last", 3, id="last")])
def test_supporter_turns_are_counted_as_they_will_be_judged(turns: Any, count: int) -> None:
    """The estimate of cost rests on it: dialogues of 1, 2 and 2 replies."""
    rows = [native(id=str(n), turns=[ASKS, ANSWERS] * pairs) for n, pairs in enumerate((1, 2, 2))]

    (census,) = census_of(saved(lines(*rows)), reading=Reading(turns=turns))

    assert (census.dialogues, census.supporter_turns) == (3, count)


def test_the_real_conversations_are_all_read(shared: Path) -> None:
    """The numbers are those of the data's own description."""
    (census,) = census_of(source_of(str(shared / "data" / "lend_an_ear.jsonl")))

    assert (census.format, census.dialogues, census.supporter_turns, census.remarks) == ("native", 50, 315, ())


def test_several_systems_may_answer_one_id() -> None:
    """That is how systems are compared."""
    rows = [native(system=system) for system in ("", "gpt", "claude")]

    found = [(each.id, each.system) for each in read(saved(lines(*rows), "bert.jsonl"))]

    assert found == [("d", "bert"), ("d", "gpt"), ("d", "claude")]


def test_an_id_twice_for_one_system_names_both_places() -> None:
    """Ratings are found again by id and system."""
    rows = [native(system="gpt"), native(), native(system="gpt")]

    assert refusal(saved(lines(*rows))) == told(
        "d.jsonl:3: id: 'd' found again (first at d.jsonl:1), expected each id once per system"
    )


def test_an_id_twice_is_found_across_files() -> None:
    """Files of one input are one set of dialogues."""
    rows = [native(id="x", system="s"), native(system="s")]
    sources = [saved(lines(*rows), "a.jsonl"), saved(lines(rows[1]), "b.jsonl")]

    assert refusal(*sources) == told(
        "b.jsonl:1: id: 'd' found again (first at a.jsonl:2), expected each id once per system"
    )


def test_an_absent_id_is_made_from_the_line() -> None:
    """Whoever looks for the dialogue finds it, by its file too where that is not the system; blank lines count."""
    rows = lines(paper()) + b"\n" + lines(paper(system="x"), paper(id="own"))

    found = [(dialogue.id, dialogue.system) for dialogue in read(saved(rows, "train.v2.jsonl"))]

    assert found == [("1", "train.v2"), ("train.v2.jsonl:3", "x"), ("own", "train.v2")]


def test_problems_of_one_kind_are_one_line_with_their_number() -> None:
    """A file in the wrong format has as many problems as lines."""
    names = f"{ALL_NAMES} {OTHER_NAMES}"
    rows = [*([1] * 3), *(messages(*([USER] * n), {"role": "nurse", "content": ""}) for n in range(100))]

    assert refusal(saved(lines(*rows))).split("\n") == [
        "d.jsonl:1: 1 found, expected a JSON object (and 2 more like it)",
        f"d.jsonl:4: messages[0].role: role 'nurse' found, expected one of: {names} (and 99 more like it)",
        "103 problems found; no call was made and nothing was written",
    ]


def test_twenty_kinds_of_problems_are_listed_and_the_rest_is_counted() -> None:
    """A file may be wrong in many ways."""
    *listed, more, count = refusal(saved(lines(*range(25)))).split("\n")

    assert listed == [f"d.jsonl:{n + 1}: {n} found, expected a JSON object" for n in range(20)]
    assert more == "… and 5 more"
    assert count == "25 problems found; no call was made and nothing was written"


def test_problems_of_all_files_are_told_at_once() -> None:
    """Mending one file after the other, a run each, would be tedious."""
    sources = [saved(b"[]\n", "a.jsonl"), source_of("none.jsonl"), saved(b"", "c.jsonl")]

    assert refusal(*sources) == told(
        "a.jsonl:1: a list of 0 found, expected a JSON object",
        "none.jsonl: no such file, expected a JSONL file",
        "c.jsonl: an empty file found, expected one JSON object per line",
    )


def test_a_message_stays_short_and_safe_whatever_a_row_holds() -> None:
    """A terminal must not be steered by a file, nor a log be filled."""
    row = native(turns=[ASKS, ANSWERS | {"role": "\x1b]0;pwned\x07" + "x" * 100_000}])

    message = refusal(saved(lines(row)))

    assert "\x1b" not in message
    assert len(message) < 400


def test_a_file_that_changes_after_the_check_is_refused() -> None:
    """What was checked is not what would be judged."""
    source = saved(lines(native()))
    check_dialogues([source], Reading())
    source.path.write_bytes(b"[]")

    with pytest.raises(PermError, match=r"expected a JSON object \(the file changed while it was read\)"):
        list(read_dialogues([source], Reading()))


WORDS = st.sampled_from(
    ["", " ", "x", "seeker", "supporter", "user", "assistant", "system", "text", "# Response", "\x00"]
)
KEYS = st.sampled_from(
    [
        *("id", "turns", "role", "text", "analysis", "messages", "content", "type", "dialogue", "persona", "identity"),
        *("scenario", "output", "response", "system", "labels", "meta", "", "\x1b"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
ALMOST_ROWS = st.builds(
    lambda row, more: row | more,
    st.sampled_from([native(), paper(), messages()]),
    st.dictionaries(KEYS, VALUES, max_size=1) | st.fixed_dictionaries({"id": WORDS}),
)
ALMOST_TURNS = st.builds(
    lambda row, more: (
        row | {name: [turn | more for turn in row[name]] for name in ("turns", "messages") if name in row}
    ),
    st.sampled_from([native(), messages()]),
    st.dictionaries(KEYS, WORDS | VALUES, max_size=1),
)
LINES = st.binary(max_size=30) | (ALMOST_ROWS | ALMOST_TURNS | VALUES).map(orjson.dumps)
CONTENTS = st.binary() | st.lists(LINES, min_size=1, max_size=3).map(b"\n".join)


@settings(deadline=None, max_examples=150)
@given(CONTENTS, st.sampled_from(["d.jsonl", "d.gz"]), st.booleans())
def test_any_bytes_are_either_dialogues_or_refused(content: bytes, name: str, packed: bool) -> None:
    """Whatever a file holds, the user gets dialogues or a list of problems, never a traceback."""
    source = saved(gzip.compress(content) if packed else content, name)

    try:
        censuses = check_dialogues([source], Reading())
    except InputError as error:
        shown, count = error.problems, error.count
        censuses = []

    if censuses:
        dialogues = list(read_dialogues([source], Reading()))
        assert len(dialogues) == censuses[0].dialogues >= 1
        assert sum(len(list(judged_turns(each, "all"))) for each in dialogues) == censuses[0].supporter_turns
    else:
        assert 1 <= len(shown) <= count
