"""Dialogues from files: formats of people's own making, and whatever else a file holds, named with line and field."""

import gzip
import json
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perm_cli.dialogues.check import Census, check_dialogues, read_dialogues
from perm_cli.dialogues.dialogue import Dialogue, Turn, judged_turns
from perm_cli.dialogues.files.reading import Reading, read_roles
from perm_cli.dialogues.files.sources import MAX_LINE_BYTES, Source, forget, source_of, stem_of, told_apart
from perm_cli.dialogues.files.talk import ROLE_NAMES
from perm_cli.errors import InputError, PermError, SettingsError

ASKS = {"role": "seeker", "text": "I lost my job."}
ANSWERS = {"role": "supporter", "text": "That hurts."}
USER = {"role": "user", "content": "I lost my job."}
ASSISTANT = {"role": "assistant", "content": "That hurts."}


def native(**fields: Any) -> dict[str, Any]:
    """Return a native row."""
    return {"id": "d", "turns": [ASKS, ANSWERS]} | fields


def paper(**fields: Any) -> dict[str, Any]:
    """Return a row of the PERM authors."""
    row = {"persona": {"identity": "A cook."}, "scenario": "Fired.", "dialogue": ["I lost my job."]}
    return row | {"output": "# Analysis\nHe is ashamed.\n# Response\nThat hurts."} | fields


def messages(*turns: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a row of OpenAI messages."""
    return {"messages": list(turns) or [USER, ASSISTANT]} | fields


def lines(*rows: object) -> bytes:
    """Return rows as JSON Lines."""
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def saved(content: bytes, name: str = "d.jsonl") -> Source:
    """Write a file and return it as a source."""
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(content)
    return source_of(name)


def read(*sources: Source, reading: Reading | None = None) -> list[Dialogue]:
    """Return the dialogues of sources that pass the check."""
    check_dialogues(sources, reading or Reading())
    return list(read_dialogues(sources, reading or Reading()))


def refusal(*sources: Source, reading: Reading | None = None) -> str:
    """Return what the user is told about sources that do not pass the check."""
    with pytest.raises(InputError) as raised:
        check_dialogues(sources, reading or Reading())
    return str(raised.value)


def told(*problems: str) -> str:
    """Return the message that consists of these problems."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n".join([*problems, f"{count} found; no call was made and nothing was written"])


def census_of(*sources: Source, reading: Reading | None = None) -> list[Census]:
    """Return the counts of sources that pass the check."""
    return check_dialogues(sources, reading or Reading())


def test_a_native_row_is_read_with_all_its_fields() -> None:
    """Nothing that the format can hold may be lost on the way to judge and report."""
    turns = [ASKS, ANSWERS | {"analysis": "He is ashamed."}]
    row = native(turns=turns, scenario="S", persona="P", system="gpt", labels={"x": 1}, meta={"y": [2]})

    (dialogue,) = read(saved(lines(row)))

    assert dialogue == Dialogue(
        id="d",
        turns=(
            Turn(role="seeker", text="I lost my job."),
            Turn(role="supporter", text="That hurts.", analysis="He is ashamed."),
        ),
        scenario="S",
        persona="P",
        system="gpt",
        labels={"x": 1},
        meta={"y": [2]},
    )


@pytest.mark.parametrize(
    "field",
    [pytest.param(name, id=name) for name in ("scenario", "persona", "system", "labels", "meta")],
)
def test_null_stands_for_an_absent_field(field: str) -> None:
    """Exports from data frames write null where there is nothing."""
    assert read(saved(lines(native(**{field: None})))) == read(saved(lines(native())))


@pytest.mark.parametrize("analysis", [None, "", " \n"])
def test_a_blank_analysis_is_none(analysis: str | None) -> None:
    """Nothing was thought aloud, so resonation is judged from the reply."""
    turns = [ASKS | {"analysis": analysis}, ANSWERS | {"analysis": analysis}]

    (dialogue,) = read(saved(lines(native(turns=turns))))

    assert [turn.analysis for turn in dialogue.turns] == [None, None]


@pytest.mark.parametrize("output", ["output", "completion", "response"])
def test_a_row_of_the_perm_authors_becomes_two_turns(output: str) -> None:
    """Their released data can be scored as it is, with the analysis kept from the seeker."""
    row = paper()
    row[output] = row.pop("output")

    (dialogue,) = read(saved(lines(row | {"system": "perm-7b", "id": "p1", "labels": {"x": 1}})))

    assert dialogue == Dialogue(
        id="p1",
        turns=(
            Turn(role="seeker", text="I lost my job."),
            Turn(role="supporter", text="That hurts.", analysis="He is ashamed."),
        ),
        scenario="Fired.",
        persona="A cook.",
        system="perm-7b",
        labels={"x": 1},
    )


def test_only_the_first_query_of_a_row_of_the_perm_authors_is_read() -> None:
    """Their training code does the same; later queries were answered by nobody."""
    (dialogue,) = read(saved(lines(paper(dialogue=["I lost my job.", "What now?"]))))

    assert [turn.text for turn in dialogue.turns] == ["I lost my job.", "That hurts."]


def test_messages_become_turns() -> None:
    """Chat logs of any system can be scored as they are."""
    row = messages(id="m", system="gpt", scenario="S", persona="P", labels={"x": 1}, temperature=0.7)

    (dialogue,) = read(saved(lines(row)))

    assert dialogue == Dialogue(
        id="m",
        turns=(Turn(role="seeker", text="I lost my job."), Turn(role="supporter", text="That hurts.")),
        scenario="S",
        persona="P",
        system="gpt",
        labels={"x": 1},
    )


@pytest.mark.parametrize("role", ["system", "developer", "tool", "function"])
def test_instructions_and_tool_results_are_nobodys_turn(role: str) -> None:
    """Neither side said them."""
    silent = {"role": role, "content": "You are helpful."}

    (dialogue,) = read(saved(lines(messages(silent, USER, silent, ASSISTANT))))

    assert [turn.role for turn in dialogue.turns] == ["seeker", "supporter"]


def test_a_message_that_only_calls_a_tool_is_nobodys_turn() -> None:
    """The seeker never saw it."""
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function"}]}
    bare = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function"}]}

    (dialogue,) = read(saved(lines(messages(USER, call, bare, ASSISTANT))))

    assert [turn.text for turn in dialogue.turns] == ["I lost my job.", "That hurts."]


def test_a_message_that_calls_a_tool_may_have_empty_content() -> None:
    """Many servers write an empty string beside `tool_calls`."""
    call = {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "type": "function"}]}

    (dialogue,) = read(saved(lines(messages(USER, call, ASSISTANT))))

    assert [turn.text for turn in dialogue.turns] == ["I lost my job.", "That hurts."]


def test_content_parts_are_one_text() -> None:
    """The API allows both forms for the same words."""
    parts = [{"type": "text", "text": "I lost"}, {"type": "text", "text": "my job."}]

    (dialogue,) = read(saved(lines(messages(USER | {"content": parts}, ASSISTANT))))

    assert dialogue.turns[0].text == "I lost\nmy job."


def test_an_assistant_message_is_taken_apart_at_its_headings() -> None:
    """A policy's analysis must not be judged as if the seeker had read it."""
    answer = {"role": "assistant", "content": "# Analysis\nHe is ashamed.\n# Response\nThat hurts."}

    (dialogue,) = read(saved(lines(messages(USER, answer))))

    assert dialogue.turns[1] == Turn(role="supporter", text="That hurts.", analysis="He is ashamed.")


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
        "d.jsonl:2: id: nothing found, expected this field",
        "d.jsonl:2: turns: nothing found, expected this field",
        "d.jsonl:2: messages: unknown field found, expected it to be left out",
    )


def test_a_format_that_is_asked_for_is_not_guessed() -> None:
    """`--format` settles what a row with fields of two formats is."""
    source = saved(lines(messages(dialogue=["x"])))

    assert census_of(source, reading=Reading(format="messages"))[0].format == "messages"
    assert refusal(source, reading=Reading(format="native")).startswith("d.jsonl:1: id: nothing found")


@pytest.mark.parametrize(
    ("row", "roles"),
    [
        pytest.param(
            native(turns=[ASKS | {"role": "client"}, ANSWERS | {"role": "therapist"}]),
            "seeker=client,supporter=therapist",
            id="native",
        ),
        pytest.param(
            messages(USER | {"role": "human"}, ASSISTANT | {"role": "gpt"}), "seeker=human,supporter=gpt", id="messages"
        ),
        pytest.param(
            messages(USER | {"role": "system"}, ASSISTANT),
            "seeker=system,supporter=assistant",
            id="a silent role speaks",
        ),
    ],
)
def test_other_role_names_are_mapped(row: dict[str, Any], roles: str) -> None:
    """Counselling data call the two sides many names."""
    (dialogue,) = read(saved(lines(row)), reading=Reading(roles=read_roles(roles)))

    assert [turn.role for turn in dialogue.turns] == ["seeker", "supporter"]


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        pytest.param("seeker=user,supporter=bot", {"user": "seeker", "bot": "supporter"}, id="both"),
        pytest.param(" seeker = user , supporter=bot ", {"user": "seeker", "bot": "supporter"}, id="blanks"),
        pytest.param("seeker=a,seeker=b,supporter=c", {"a": "seeker", "b": "seeker", "c": "supporter"}, id="two names"),
        pytest.param("seeker=a=b", {"a=b": "seeker"}, id="a name with an equals sign"),
    ],
)
def test_a_role_map_leads_from_their_names_to_ours(text: str, roles: dict[str, str]) -> None:
    """The option is typed by hand."""
    assert read_roles(text) == roles


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        pytest.param("", "''", id="nothing"),
        pytest.param("seeker", "'seeker'", id="no name"),
        pytest.param("seeker=", "'seeker='", id="empty name"),
        pytest.param("user=seeker", "'user=seeker'", id="the wrong way round"),
        pytest.param("seeker=user,", "''", id="comma at the end"),
    ],
)
def test_a_wrong_role_map_names_the_pair(text: str, pair: str) -> None:
    """A map that is half understood would judge the wrong side."""
    with pytest.raises(SettingsError) as raised:
        read_roles(text)

    assert str(raised.value) == f"--roles: {pair} found, expected seeker=NAME,supporter=NAME"


def test_a_role_map_with_one_name_for_both_is_refused() -> None:
    """Otherwise the later pair would win in silence."""
    with pytest.raises(SettingsError, match="'user' found for both, expected two names"):
        read_roles("seeker=user,supporter=user")


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


def test_several_files_are_read_in_the_order_given() -> None:
    """Results keep the order of the input."""
    sources = [saved(lines(native(id=name)), f"{name}.jsonl") for name in "zay"]

    assert [dialogue.id for dialogue in read(*sources)] == ["z", "a", "y"]


def test_a_gzipped_file_is_read_like_the_plain_one() -> None:
    """Large data travel compressed; ids do not depend on it."""
    rows = lines(messages(), messages())

    packed, plain = read(saved(gzip.compress(rows), "logs.jsonl.gz")), read(saved(rows, "logs.jsonl"))

    assert packed == plain
    assert [(dialogue.id, dialogue.system) for dialogue in packed] == [("1", "logs"), ("2", "logs")]


def test_standard_input_is_read_twice_and_then_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe can be read once only, but everything is checked before the first call."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=BytesIO(lines(messages()))))

    source = source_of("-")
    dialogues = read(source)
    forget(source)

    assert [(dialogue.id, dialogue.system) for dialogue in dialogues] == [("1", "stdin")]
    assert not source.path.exists()


def test_a_problem_on_standard_input_is_named_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the temporary file would mean nothing to the user."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=BytesIO(b"")))
    source = source_of("-")

    message = refusal(source)
    forget(source)

    assert message == told("stdin: an empty file found, expected one JSON object a line")


def test_a_file_is_never_forgotten() -> None:
    """It is the user's."""
    source = saved(lines(native()))

    forget(source)

    assert source.path.exists()


def test_a_file_called_stdin_is_never_forgotten() -> None:
    """It is the user's, too."""
    source = saved(lines(native()), "stdin")

    forget(source)

    assert source.path.exists()


def test_blank_lines_count_as_lines_and_as_nothing_else() -> None:
    """An editor must lead to the line that a message names."""
    source = saved(b"\n" + lines(messages()) + b"  \n\n" + lines(messages()) + b"{")

    assert refusal(source).startswith("d.jsonl:6: wrong JSON")


def test_a_last_line_without_an_end_is_read() -> None:
    """Many programs write none."""
    assert len(read(saved(lines(native(id="a"), native(id="b")).rstrip(b"\n")))) == 2


def test_a_byte_order_mark_is_read_with_a_remark() -> None:
    """Windows programs write one, and the dialogues are whole."""
    (census,) = census_of(saved(b"\xef\xbb\xbf" + lines(native())))

    assert census.dialogues == 1
    assert list(map(str, census.remarks)) == ["d.jsonl:1: byte-order mark found, expected plain UTF-8; read without it"]


def test_windows_line_ends_are_read_with_one_remark() -> None:
    """One remark a file is enough."""
    rows = lines(native(id="a"), native(id="b"), native(id="c"))

    (census,) = census_of(saved(rows.replace(b"\n", b"\r\n").replace(b"\r\n", b"\n", 1)))

    assert census.dialogues == 3
    assert list(map(str, census.remarks)) == ["d.jsonl:2: CRLF line end found, expected LF; read all the same"]


def test_remarks_do_not_come_between_dialogues() -> None:
    """They are the census's; whoever judges gets dialogues only."""
    source = saved(b"\xef\xbb\xbf" + lines(native(id="a")).replace(b"\n", b"\r\n"))

    assert [dialogue.id for dialogue in read(source)] == ["a"]


def test_a_line_of_the_greatest_length_is_read() -> None:
    """The limit is what the message says."""
    row = lines(native()).rstrip(b"\n")

    dialogues = read(saved(row + b" " * (MAX_LINE_BYTES - len(row)) + b"\n"))

    assert len(dialogues) == 1


def test_a_line_too_long_is_named_with_its_true_size_and_the_rest_is_read() -> None:
    """A JSON array on one line is the usual reason; memory must not grow by it."""
    with Path("d.jsonl").open("wb") as stream:
        stream.seek(50 * 2**20 - 1)
        stream.write(b"\n[]\n")

    message = refusal(source_of("d.jsonl"))

    assert message == told(
        "d.jsonl:1: a line of 52,428,800 bytes found, expected at most 16,777,216",
        "d.jsonl:2: a list of 0 found, expected a JSON object",
    )


def test_several_systems_may_answer_one_id() -> None:
    """That is how systems are compared."""
    rows = [native(system=system) for system in ("", "gpt", "claude")]

    found = [(each.id, each.system) for each in read(saved(lines(*rows), "bert.jsonl"))]

    assert found == [("d", "bert"), ("d", "gpt"), ("d", "claude")]


def test_an_id_twice_for_one_system_names_both_places() -> None:
    """Ratings are found again by id and system."""
    rows = [native(system="gpt"), native(), native(system="gpt")]

    assert refusal(saved(lines(*rows))) == told(
        "d.jsonl:3: id: 'd' found again (first at d.jsonl:1), expected an id once a system"
    )


def test_an_id_twice_is_found_across_files() -> None:
    """Files of one input are one set of dialogues."""
    rows = [native(id="x", system="s"), native(system="s")]
    sources = [saved(lines(*rows), "a.jsonl"), saved(lines(rows[1]), "b.jsonl")]

    assert refusal(*sources) == told(
        "b.jsonl:1: id: 'd' found again (first at a.jsonl:2), expected an id once a system"
    )


def test_an_absent_id_is_made_from_the_line() -> None:
    """Whoever looks for the dialogue finds it, by its file too where that is not the system; blank lines count."""
    rows = lines(paper()) + b"\n" + lines(paper(system="x"), paper(id="own"))

    found = [(dialogue.id, dialogue.system) for dialogue in read(saved(rows, "train.v2.jsonl"))]

    assert found == [("1", "train.v2"), ("train.v2.jsonl:3", "x"), ("own", "train.v2")]


@pytest.mark.parametrize(
    ("name", "system"),
    [
        pytest.param("gpt-4.1.jsonl", "gpt-4.1", id="a version"),
        pytest.param("a/qwen2.5-72b.json.gz", "qwen2.5-72b", id="packed, in a folder"),
        pytest.param("llama-3.1.CSV", "llama-3.1", id="in capitals"),
        pytest.param("m.json.jsonl", "m.json", id="one ending"),
        pytest.param("claude-3.5", "claude-3.5", id="no ending"),
        pytest.param(".jsonl", "dialogues", id="nothing else"),
    ],
)
def test_a_file_is_called_without_the_endings_of_its_kind(name: str, system: str) -> None:
    """The names of models have dots in them, and two models must not become one."""
    assert stem_of(name) == source_of(name).system == system


@pytest.mark.parametrize(
    ("names", "systems"),
    [
        pytest.param(["m.jsonl", "n.jsonl"], ["m", "n"], id="told apart by themselves"),
        pytest.param(["a/m.jsonl", "b/m.jsonl", "b/n.jsonl"], ["a/m", "b/m", "n"], id="by folder"),
        pytest.param(["m.jsonl", "a/m.jsonl"], ["m", "a/m"], id="with and without folder"),
        pytest.param(["x/1/m.jsonl", "x/2/m.jsonl", "y/1/m.jsonl"], ["x/1/m", "2/m", "y/1/m"], id="by more folders"),
        pytest.param(["a/m.jsonl", "a/m.csv.gz"], ["m.jsonl", "m.csv.gz"], id="by ending"),
        pytest.param(["/m.jsonl", "../m.jsonl", "m.jsonl"], ["/m", "../m", "m"], id="by roots"),
    ],
)
def test_files_of_one_name_are_told_apart(names: list[str], systems: list[str]) -> None:
    """`a/out.jsonl b/out.jsonl` is how systems are laid out, and the user wrote no name twice."""
    assert [source.system for source in told_apart([source_of(name) for name in names])] == systems


FORMATS = (
    "expected one of the formats native (one object a line with id and turns); messages (one object a line with "
    "messages); paper (one object a line with persona.identity, scenario, dialogue and the model's output); or "
    "mtbench, deepeval, sharegpt, eqbench3, esconv, empathetic, epitome, annomi, ieval, sage, inspect, promptfoo, "
    "batch, alpaca, completion, transcript, csv"
)
EMPTY = "d.jsonl: an empty file found, expected one JSON object a line"
ONE_OBJECT = "expected one JSON object a line"
ALL_NAMES = ", ".join(ROLE_NAMES)
OTHER_NAMES = "(other names: --roles seeker=…,supporter=…)"
NO_WORD = "d.jsonl: 1 record passed over, the first at line 1: no reply with a word in it found, expected one to judge"
UTF_8 = "expected UTF-8 (text of Windows: iconv -f WINDOWS-1252 -t UTF-8; in Excel: save as CSV UTF-8)"
OUTPUTS = "expected the model's output in one of: output, completion, response"


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        pytest.param(
            b'{"id":\n', [f"d.jsonl:1: wrong JSON found at column 7, near '{{\"id\":': {ONE_OBJECT}"], id="wrong JSON"
        ),
        pytest.param(
            b'{"id": NaN}',
            [f"d.jsonl:1: wrong JSON found at column 8, near '{{\"id\": NaN}}' (NaN is not JSON): {ONE_OBJECT}"],
            id="NaN",
        ),
        pytest.param(
            b'{"id": "\\ud800"}',
            [f'd.jsonl:1: wrong JSON found at column 9, near \'{{"id": "\\\\ud800"}}\': {ONE_OBJECT}'],
            id="lone surrogate escape",
        ),
        pytest.param(b'{"id": "a\xff"}', [f"d.jsonl:1: byte 0xff found at column 10, {UTF_8}"], id="not UTF-8"),
        pytest.param(
            b"\xff\xfe{\x00}\x00\n",
            ["d.jsonl: broken UTF-16 found (truncated data), expected whole characters"],
            id="half UTF-16",
        ),
        pytest.param(b"", [EMPTY], id="empty file"),
        pytest.param(b"\n \n\t\r\n\n", [EMPTY], id="blank lines"),
        pytest.param(b"\xef\xbb\xbf", [EMPTY], id="byte-order mark only"),
        pytest.param(
            b'[1, 2]\n"x"\n3\nnull\n',
            [
                "d.jsonl:1: a list of 2 found, expected a JSON object",
                "d.jsonl:2: 'x' found, expected a JSON object",
                "d.jsonl:3: 3 found, expected a JSON object",
                "d.jsonl:4: None found, expected a JSON object",
            ],
            id="no objects",
        ),
        pytest.param(lines({"a": 1, "b\n": 2}), [f"d.jsonl:1: an object with a, b  found, {FORMATS}"], id="no format"),
        pytest.param(lines({}), [f"d.jsonl:1: an object with no fields found, {FORMATS}"], id="empty object"),
        pytest.param(
            lines({"turns": [{"role": "supporter"}]}),
            [
                "d.jsonl:1: id: nothing found, expected this field",
                "d.jsonl:1: turns[0].text: nothing found, expected this field",
            ],
            id="missing fields",
        ),
        pytest.param(
            lines(native(mood=1, turns=[ASKS, ANSWERS | {"by\x1b": 2}])),
            [
                "d.jsonl:1: turns[1].by\\u001b: unknown field found, expected it to be left out",
                "d.jsonl:1: mood: unknown field found, expected it to be left out",
            ],
            id="extra fields",
        ),
        pytest.param(
            lines(native(turns=[ASKS, ANSWERS | {"role": "bot"}])),
            [
                f"d.jsonl:1: turns[1].role: role 'bot' found, expected one of: seeker, supporter {OTHER_NAMES}",
            ],
            id="unknown role",
        ),
        pytest.param(
            lines(native(turns=[ASKS, ANSWERS | {"text": " \n"}])),
            [NO_WORD],
            id="empty text",
        ),
        pytest.param(
            lines(native(id=" ", turns=[])),
            [
                "d.jsonl:1: id: ' ' found, expected some text",
                "d.jsonl:1: turns: a list of 0 found, expected at least 1",
            ],
            id="empty id and no turns",
        ),
        pytest.param(
            lines(native(id=5, turns=["x"], labels=[])),
            [
                "d.jsonl:1: id: 5 found, expected text",
                "d.jsonl:1: turns[0]: 'x' found, expected an object",
                "d.jsonl:1: labels: a list of 0 found, expected an object",
            ],
            id="other types",
        ),
        pytest.param(
            lines(native(turns={"a": 1})),
            ["d.jsonl:1: turns: an object with a found, expected a list"],
            id="an object for a list",
        ),
        pytest.param(
            lines(native(turns=[ASKS])),
            ["d.jsonl:1: turns: no supporter turn found, expected at least one to judge"],
            id="no supporter turn",
        ),
        pytest.param(
            lines(native(turns=[ASKS | {"analysis": "hm"}, ANSWERS])),
            ["d.jsonl:1: turns[0].analysis: an analysis found on a seeker turn, expected none"],
            id="analysis on a seeker turn",
        ),
        pytest.param(
            lines(messages({"role": "assistant"})),
            [NO_WORD],
            id="messages without a reply",
        ),
        pytest.param(
            lines({"messages": []}),
            ["d.jsonl:1: messages: a list of 0 found, expected at least 1"],
            id="no messages",
        ),
        pytest.param(
            lines(messages(USER | {"role": "nurse"}, ASSISTANT)),
            [
                f"d.jsonl:1: messages[0].role: role 'nurse' found, expected one of: {ALL_NAMES} {OTHER_NAMES}",
            ],
            id="unknown role of a message",
        ),
        pytest.param(
            lines(messages(USER | {"content": [{"type": "image_url"}]}, ASSISTANT)),
            ["d.jsonl:1: messages[0].content: 'image_url' part found, expected text only"],
            id="a picture",
        ),
        pytest.param(
            lines(messages(USER | {"content": []}, ASSISTANT)),
            ["d.jsonl:1: messages[0].content: '' found, expected some text"],
            id="no parts",
        ),
        pytest.param(
            lines(messages(USER, {"role": "assistant", "content": "# Analysis\nHm."})),
            [NO_WORD],
            id="a message that is all analysis",
        ),
        pytest.param(
            lines(paper(persona="A cook.", dialogue=[])),
            [
                "d.jsonl:1: persona: 'A cook.' found, expected an object",
                "d.jsonl:1: dialogue: a list of 0 found, expected at least 1",
            ],
            id="paper: other types",
        ),
        pytest.param(
            lines({"dialogue": ["x"], "persona": {}}),
            [
                "d.jsonl:1: persona.identity: nothing found, expected this field",
                "d.jsonl:1: scenario: nothing found, expected this field",
            ],
            id="paper: missing fields",
        ),
        pytest.param(
            lines({name: value for name, value in paper().items() if name != "output"}),
            [f"d.jsonl:1: output: no text found, {OUTPUTS}"],
            id="paper: no output",
        ),
        pytest.param(
            lines(paper(response="x")),
            [
                f"d.jsonl:1: output: output and response found, {OUTPUTS}",
            ],
            id="paper: two outputs",
        ),
        pytest.param(
            lines(paper(output="# Analysis\nHm.")),
            [NO_WORD],
            id="paper: all analysis",
        ),
        pytest.param(
            b'   {"id":\n',
            [f"d.jsonl:1: wrong JSON found at column 10, near '   {{\"id\":': {ONE_OBJECT}"],
            id="indented JSON",
        ),
        pytest.param(
            b'{"id": "To Infinity",\n',
            [f"d.jsonl:1: wrong JSON found at column 22, near 'Infinity\",': {ONE_OBJECT}"],
            id="a word of the text",
        ),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_field(content: bytes, problems: list[str]) -> None:
    """The user mends the file without reading our code; nothing has been paid yet."""
    assert refusal(saved(content)) == told(*problems)


@pytest.mark.parametrize("content", [None, 5, {"a": 1}])
def test_content_of_another_type_is_one_problem_in_the_words_of_the_file(content: object) -> None:
    """`content.list[dict[str,any]]` is no field of the file, and "'text' part found, expected text" no help."""
    message = refusal(saved(lines(messages(USER | {"content": content}, ASSISTANT))))

    assert message.startswith("d.jsonl:1: messages[0].content: ")
    assert "expected text only" not in message
    assert message.count("\n") == 1


def make_nothing() -> str:
    """Name a file that is not there."""
    return "none.jsonl"


def make_directory() -> str:
    """Make a directory."""
    Path("data").mkdir()
    return "data"


def make_file_as_folder() -> str:
    """Name a file below a file."""
    saved(b"")
    return "d.jsonl/d.jsonl"


def make_cut_gzip() -> str:
    """Write a gzipped file that was not copied to its end."""
    return saved(gzip.compress(lines(native()))[:-9], "d.gz").name


def make_plain_gzip() -> str:
    """Write a plain file with the wrong ending."""
    return saved(lines(native()), "d.gz").name


def make_mixed_gzip() -> str:
    """Write a gzipped file with something behind its end."""
    return saved(gzip.compress(lines(native())) + b"junk", "d.gz").name


def make_broken_gzip() -> str:
    """Write a gzipped file whose first block is of no known type."""
    return saved(gzip.compress(b"")[:10] + b"\xff" * 20, "d.gz").name


GZIP = "expected a complete .gz file"


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        pytest.param(make_nothing, "none.jsonl: no such file found, expected a JSONL file", id="missing"),
        pytest.param(make_directory, "data: a directory found, expected a JSONL file", id="directory"),
        pytest.param(
            make_file_as_folder, "d.jsonl/d.jsonl: Not a directory found, expected a readable file", id="below a file"
        ),
        pytest.param(
            make_cut_gzip,
            "d.gz: broken .gz data found (Compressed file ended before the end-of-stream marker was reached), " + GZIP,
            id="cut gzip",
        ),
        pytest.param(
            make_plain_gzip, f"d.gz: broken .gz data found (Not a gzipped file (b'{{\"')), {GZIP}", id="not gzip"
        ),
        pytest.param(
            make_mixed_gzip, f"d.gz: broken .gz data found (Not a gzipped file (b'ju')), {GZIP}", id="junk behind gzip"
        ),
        pytest.param(
            make_broken_gzip,
            f"d.gz: broken .gz data found (Error -3 while decompressing data: invalid block type), {GZIP}",
            id="broken gzip",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_named(make: Callable[[], str], problem: str) -> None:
    """A wrong path or a broken download is the user's to mend."""
    name = make()

    assert refusal(source_of(name)) == told(problem)


def test_problems_of_one_kind_are_one_line_with_their_number() -> None:
    """A file in the wrong format has as many problems as lines."""
    names = f"{ALL_NAMES} {OTHER_NAMES}"
    rows = [*([1] * 3), *(messages(*([USER] * n), {"role": "nurse", "content": ""}) for n in range(100))]

    assert refusal(saved(lines(*rows))).split("\n") == [
        "d.jsonl:1: 1 found, expected a JSON object (and 2 more like it)",
        f"d.jsonl:4: messages[0].role: role 'nurse' found, expected one of: {names} (and 99 more like it)",
        "103 problems found; no call was made and nothing was written",
    ]


def test_a_row_of_texts_by_other_names_is_shown_how_to_name_them() -> None:
    """The option stands in the line, with the two longest texts."""
    row = {"key": "x", "the post": "I lost my job.", "peer_reply": "That hurts.", "n": 5}

    message = refusal(saved(lines(row, row)))

    assert "expected its fields named, as in --columns 'seeker=the post,supporter=peer_reply', or one of the" in message


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
        "none.jsonl: no such file found, expected a JSONL file",
        "c.jsonl: an empty file found, expected one JSON object a line",
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
