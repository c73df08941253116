"""The formats that people write themselves: native rows, messages and the rows of the PERM authors."""

from typing import Any

import pytest

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import read_roles
from tests.dialogue_files import (
    ALL_NAMES,
    ANSWERS,
    ASKS,
    ASSISTANT,
    NO_WORD,
    OTHER_NAMES,
    USER,
    UTF_8,
    lines,
    messages,
    native,
    paper,
    read,
    refusal,
    saved,
    told,
)

SAID = (Turn(role="seeker", text="I lost my job."), Turn(role="supporter", text="That hurts."))
THOUGHT = (SAID[0], Turn(role="supporter", text="That hurts.", analysis="He is ashamed."))
AROUND: dict[str, Any] = {"scenario": "S", "persona": "P", "system": "gpt", "labels": {"x": 1}}
PAPER = paper(id="d", system="gpt", labels={"x": 1})


@pytest.mark.parametrize(
    ("row", "turns", "around"),
    [
        pytest.param(
            native(turns=[ASKS, ANSWERS | {"analysis": "He is ashamed."}], meta={"y": [2]}, **AROUND),
            THOUGHT,
            AROUND | {"meta": {"y": [2]}},
            id="native",
        ),
        pytest.param(messages(id="d", temperature=0.7, **AROUND), SAID, AROUND, id="messages"),
        *(
            pytest.param(
                {key: value for key, value in PAPER.items() if key != "output"} | {name: PAPER["output"]},
                THOUGHT,
                AROUND | {"scenario": "Fired.", "persona": "A cook."},
                id=f"the PERM authors' {name}",
            )
            for name in ("output", "completion", "response")
        ),
    ],
)
def test_a_row_is_read_with_all_its_fields(
    row: dict[str, Any], turns: tuple[Turn, ...], around: dict[str, Any]
) -> None:
    """Nothing that a format can hold may be lost on the way to judge and report; analyses are kept from the seeker."""
    assert read(saved(lines(row))) == [Dialogue(id="d", turns=turns, **around)]


@pytest.mark.parametrize(
    "field", [pytest.param(name, id=name) for name in ("scenario", "persona", "system", "labels", "meta")]
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


def test_only_the_first_query_of_a_row_of_the_perm_authors_is_read() -> None:
    """Their training code does the same; later queries were answered by nobody."""
    (dialogue,) = read(saved(lines(paper(dialogue=["I lost my job.", "What now?"]))))

    assert [turn.text for turn in dialogue.turns] == ["I lost my job.", "That hurts."]


CALLS = [{"id": "c", "type": "function"}]


@pytest.mark.parametrize(
    "silent",
    [
        *({"role": role, "content": "You are helpful."} for role in ("system", "developer", "tool", "function")),
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "assistant", "content": "", "tool_calls": CALLS},  # as many servers write it
        {"role": "assistant", "tool_calls": CALLS},
    ],
    ids=["system", "developer", "tool", "function", "call", "call with empty content", "call without content"],
)
def test_instructions_and_tool_traffic_are_nobodys_turn(silent: dict[str, Any]) -> None:
    """Neither side said it, and the seeker never saw it."""
    (dialogue,) = read(saved(lines(messages(silent, USER, silent, ASSISTANT))))

    assert [(turn.role, turn.text) for turn in dialogue.turns] == [
        ("seeker", "I lost my job."),
        ("supporter", "That hurts."),
    ]


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


FORMATS = (
    "expected one of the formats native (one object per line with id and turns); messages (one object per line with "
    "messages); paper (one object per line with persona.identity, scenario, dialogue and the model's output); or "
    "mtbench, deepeval, sharegpt, eqbench3, esconv, empathetic, epitome, annomi, ieval, sage, inspect, promptfoo, "
    "batch, alpaca, completion, transcript, csv"
)
EMPTY = "d.jsonl: an empty file found, expected one JSON object per line"
ONE_OBJECT = "expected one JSON object per line"
OUTPUTS = "expected the model's output in one of: output, completion, response"


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        pytest.param(
            b'{"id":\n',
            [f"d.jsonl:1: invalid JSON found at column 7, near '{{\"id\":': {ONE_OBJECT}"],
            id="invalid JSON",
        ),
        pytest.param(
            b'{"id": NaN}',
            [f"d.jsonl:1: invalid JSON found at column 8, near '{{\"id\": NaN}}' (NaN is not JSON): {ONE_OBJECT}"],
            id="NaN",
        ),
        pytest.param(
            b'{"id": "\\ud800"}',
            [f'd.jsonl:1: invalid JSON found at column 9, near \'{{"id": "\\\\ud800"}}\': {ONE_OBJECT}'],
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
                "d.jsonl:1: id: this field is missing",
                "d.jsonl:1: turns[0].text: this field is missing",
            ],
            id="missing fields",
        ),
        pytest.param(
            lines(native(mood=1, turns=[ASKS, ANSWERS | {"by\x1b": 2}])),
            [
                "d.jsonl:1: turns[1].by\\u001b: unknown field; remove it",
                "d.jsonl:1: mood: unknown field; remove it",
            ],
            id="extra fields",
        ),
        pytest.param(
            lines(native(turns=[ASKS, ANSWERS | {"role": "bot"}])),
            [f"d.jsonl:1: turns[1].role: role 'bot' found, expected one of: seeker, supporter {OTHER_NAMES}"],
            id="unknown role",
        ),
        pytest.param(lines(native(turns=[ASKS, ANSWERS | {"text": " \n"}])), [NO_WORD], id="empty text"),
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
        pytest.param(lines(messages({"role": "assistant"})), [NO_WORD], id="messages without a reply"),
        pytest.param(
            lines({"messages": []}), ["d.jsonl:1: messages: a list of 0 found, expected at least 1"], id="no messages"
        ),
        pytest.param(
            lines(messages(USER | {"role": "nurse"}, ASSISTANT)),
            [f"d.jsonl:1: messages[0].role: role 'nurse' found, expected one of: {ALL_NAMES} {OTHER_NAMES}"],
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
                "d.jsonl:1: persona.identity: this field is missing",
                "d.jsonl:1: scenario: this field is missing",
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
            [f"d.jsonl:1: output: output and response found, {OUTPUTS}"],
            id="paper: two outputs",
        ),
        pytest.param(lines(paper(output="# Analysis\nHm.")), [NO_WORD], id="paper: all analysis"),
        pytest.param(
            b'   {"id":\n',
            [f"d.jsonl:1: invalid JSON found at column 10, near '   {{\"id\":': {ONE_OBJECT}"],
            id="indented JSON",
        ),
        pytest.param(
            b'{"id": "To Infinity",\n',
            [f"d.jsonl:1: invalid JSON found at column 22, near 'Infinity\",': {ONE_OBJECT}"],
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
