"""The rows of trainers, benchmarks, batch files and transcripts, as people have them at hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perm_cli.dialogues.check import read_dialogues
from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import read_roles
from perm_cli.dialogues.files.sources import Source, source_of, with_unique_systems
from tests.dialogue_files import ALL_NAMES, UTF_8, census_of, lines, read, refusal, saved, told

ASKED, TOLD, MORE, THEN = "The bread burned.", "That smell stays for days.", "It does.", "Open a window."
USER, BOT = {"role": "user", "content": ASKED}, {"role": "assistant", "content": TOLD}
LATER = [{"role": "user", "content": MORE}, {"role": "assistant", "content": THEN}]
TWO = (Turn(role="seeker", text=ASKED), Turn(role="supporter", text=TOLD))
FOUR = (*TWO, Turn(role="seeker", text=MORE), Turn(role="supporter", text=THEN))


SPOKEN_LINES = "lines such as `user: …` and `agent: …`"


def document(value: object, name: str = "d.json") -> Source:
    """Write a JSON document over many lines."""
    return saved(json.dumps(value, indent=1, ensure_ascii=False).encode(), name)


def row(**fields: Any) -> Callable[[], Source]:
    """Return what writes a row as JSON Lines."""
    return lambda: saved(lines(fields))


READ: dict[str, tuple[Callable[[], Source], str, tuple[Turn, ...]]] = {
    "prompt and completion": (row(prompt=ASKED, completion=TOLD), "completion", TWO),
    "prompt and response": (row(prompt=ASKED, response=TOLD, completion=None), "completion", TWO),
    "messages as prompt and completion": (row(prompt=[USER], completion=[BOT]), "completion", TWO),
    "a talk as prompt": (row(prompt=[USER, BOT, LATER[0]], completion=[LATER[1]]), "completion", FOUR),
    "a completion of several turns": (row(prompt=[USER], completion=[BOT, *LATER]), "completion", FOUR),
    "columns of a table": (
        lambda: saved(f"prompt,completion\n{ASKED},{TOLD}\n".encode(), "d.csv"),
        "completion",
        TWO,
    ),
    "instruction": (row(instruction=ASKED, input="", output=TOLD), "alpaca", TWO),
    "instruction and input": (row(instruction="Be kind.", input=ASKED, output=TOLD), "alpaca", TWO),
    "history": (row(instruction=MORE, output=THEN, history=[[ASKED, TOLD]]), "alpaca", FOUR),
    "a talk of deepeval": (lambda: document({"turns": [USER, BOT], "scenario": "S"}), "deepeval", TWO),
    "a list of messages": (lambda: document([USER, BOT, *LATER]), "csv", FOUR),
    "a list of lists of messages": (lambda: document([[USER, BOT]]), "messages", TWO),
    "a list of messages a line": (lambda: saved(lines([USER, BOT])), "messages", TWO),
    "a message a line": (lambda: saved(lines(USER, BOT)), "csv", TWO),
    "turns of a table without ids": (
        lambda: saved(f"role,text\nuser,{ASKED}\ngpt,{TOLD}\n".encode(), "d.csv"),
        "csv",
        TWO,
    ),
    "a list of strings": (lambda: document([f"求助者：{ASKED}", f"支持者：{TOLD}"]), "transcript", TWO),
    "lists of strings": (lambda: document([[f"user: {ASKED}", f"agent: {TOLD}"]]), "transcript", TWO),
    "a transcript": (
        lambda: saved(f"user: {ASKED}\n\nchatbot: {TOLD}\n\nuser: {MORE}\n\nchatbot: {THEN}\n".encode(), "d.txt"),
        "transcript",
        FOUR,
    ),
    "a transcript with names in bold": (
        lambda: saved(f"**Client:** {ASKED}\n**Therapist:** {TOLD}\n".encode(), "d.txt"),
        "transcript",
        TWO,
    ),
    "Unicode text of Excel": (
        lambda: saved(f"id\trole\ttext\r\nd\tuser\t{ASKED}\r\nd\tgpt\t{TOLD}\r\n".encode("utf-16"), "d.txt"),
        "csv",
        TWO,
    ),
    "promptfoo": (lambda: document(promptfoo(result())), "promptfoo", TWO),
    "a result of promptfoo a line": (lambda: saved(lines(result())), "promptfoo", TWO),
    "messages in promptfoo": (
        lambda: document(
            promptfoo(result(prompt={"raw": json.dumps([USER, BOT, LATER[0]])}, response={"output": THEN}))
        ),
        "promptfoo",
        FOUR,
    ),
}


def result(**fields: Any) -> dict[str, Any]:
    """Return a result of promptfoo."""
    usual = {"provider": {"id": "openai:x", "label": ""}, "prompt": {"raw": ASKED, "label": "p"}, "vars": {"a": "b"}}
    scores = {"success": True, "score": 1, "namedScores": {"warmth": 0.5}, "testIdx": 3, "promptIdx": 0}
    return usual | scores | {"response": {"output": TOLD, "tokenUsage": {}}} | fields


def promptfoo(*results: dict[str, Any]) -> dict[str, Any]:
    """Return a document of promptfoo."""
    return {"evalId": "e", "results": {"version": 3, "prompts": [], "results": list(results)}, "config": {}}


@pytest.mark.parametrize(("source", "form", "turns"), READ.values(), ids=READ)
def test_each_shape_is_recognised_and_read(source: Callable[[], Source], form: str, turns: tuple[Turn, ...]) -> None:
    """Nobody should have to write a program to have replies judged that lie there."""
    (census,) = census_of(source())
    (dialogue,) = read(source())

    assert census.format == form
    assert dialogue.turns == turns


PAIRS: dict[str, dict[str, Any]] = {
    "text": {"prompt": ASKED, "chosen": TOLD, "rejected": "Ok."},
    "messages": {"prompt": [USER], "chosen": [BOT], "rejected": [BOT | {"content": "Ok."}]},
    "whole talks": {"chosen": [USER, BOT], "rejected": [USER, BOT | {"content": "Ok."}]},
    "transcripts": {
        "chosen": f"\n\nHuman: {ASKED}\n\nAssistant: {TOLD}",
        "rejected": f"\n\nHuman: {ASKED}\n\nAssistant: Ok.",
    },
    "OpenAI's": {
        "input": {"messages": [USER]},
        "preferred_output": [BOT],
        "non_preferred_output": [BOT | {"content": "Ok."}],
    },
    "Alpaca's": {"instruction": ASKED, "input": "", "chosen": TOLD, "rejected": "Ok."},
}


@pytest.mark.parametrize("fields", PAIRS.values(), ids=PAIRS)
def test_what_was_chosen_and_rejected_are_two_systems_of_one_dialogue(fields: dict[str, Any]) -> None:
    """So `perm grade` tells whether a judge prefers what people preferred."""
    chosen, rejected = read(saved(lines(fields | {"id": "7"})))

    assert [(each.id, each.system) for each in (chosen, rejected)] == [("7", "chosen"), ("7", "rejected")]
    assert (chosen.turns, rejected.turns) == (TWO, (TWO[0], Turn(role="supporter", text="Ok.")))


def test_pairs_without_ids_stay_pairs() -> None:
    """The two replies are compared by their id."""
    made = read(saved(lines(PAIRS["text"], PAIRS["text"]), "a.jsonl"), saved(lines(PAIRS["text"]), "b.jsonl"))

    assert [each.id for each in made] == ["a.jsonl:1", "a.jsonl:1", "a.jsonl:2", "a.jsonl:2", "b.jsonl:1", "b.jsonl:1"]


@pytest.mark.parametrize(("name", "texts"), [("vera.txt", 3), ("smile.json", 2), ("cpsycoun.json", 2)])
def test_a_file_that_is_one_dialogue_is_called_like_it_and_its_folder_is_the_system(name: str, texts: int) -> None:
    """Benchmarks write a folder a model and a file a dialogue."""
    content = {
        "vera.txt": f"user: {ASKED}\n\nagent: {TOLD}\n\nuser: {MORE}\n".encode(),
        "smile.json": json.dumps(
            [{"role": "client", "content": ASKED}, {"role": "counselor", "content": TOLD}]
        ).encode(),
        "cpsycoun.json": json.dumps([f"来访者：{ASKED}", f"心理咨询师：{TOLD}"]).encode(),
    }[name]
    stem = name.partition(".")[0]

    dialogues = read(*with_unique_systems([saved(content, f"{folder}/{name}") for folder in ("gpt-4.1", "gpt-4.5")]))

    assert [(each.id, each.system, len(each.turns)) for each in dialogues] == [
        (stem, "gpt-4.1", texts),
        (stem, "gpt-4.5", texts),
    ]


def test_a_word_with_a_colon_is_no_speaker() -> None:
    """Each side is known by one name, and others stand in what it says."""
    text = f"user: {ASKED}\nclient: the baker\n\nagent: Note:\nmodel: {TOLD}\n"

    (dialogue,) = read(saved(text.encode(), "d.txt"))

    assert [turn.text for turn in dialogue.turns] == [f"{ASKED}\nclient: the baker", f"Note:\nmodel: {TOLD}"]


def test_speakers_may_have_other_names() -> None:
    """The option is the same as for other files."""
    source = saved(f"Ann: {ASKED}\nBen: {TOLD}\n".encode(), "d.txt")

    (dialogue,) = read(source, reading=Reading(roles=read_roles("seeker=Ann,supporter=Ben")))

    assert dialogue.turns == TWO


def request(own: str = "r1", **body: Any) -> dict[str, Any]:
    """Return a request of OpenAI's batches."""
    return {"custom_id": own, "method": "POST", "url": "/v1/x", "body": {"model": "m", "messages": [USER]} | body}


def answer(own: str = "r1", status: int = 200, **body: Any) -> dict[str, Any]:
    """Return an answer of OpenAI's batches."""
    usual = {"model": "m-2026", "choices": [{"index": 0, "message": BOT}]}
    return {"id": "b", "custom_id": own, "response": {"status_code": status, "body": usual | body}, "error": None}


THOUGHT = {"model": "m", "output": [{"type": "reasoning"}]}
SPOKEN = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": TOLD}]}
BATCHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "chat completions": (request(), answer()),
    "responses": (
        {"custom_id": "r1", "body": {"model": "m", "input": ASKED}},
        {
            "custom_id": "r1",
            "response": {"status_code": 200, "body": {"model": "m-2026", "output": [{"type": "reasoning"}, SPOKEN]}},
        },
    ),
    "Anthropic's": (
        {"custom_id": "r1", "params": {"model": "m", "system": "Be kind.", "messages": [USER]}},
        {
            "custom_id": "r1",
            "result": {
                "type": "succeeded",
                "message": {"model": "m-2026", "content": [{"type": "text", "text": TOLD}]},
            },
        },
    ),
}


@pytest.mark.parametrize(("asked", "replied"), BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("order", [1, -1], ids=["requests first", "answers first"])
def test_the_files_of_a_batch_are_joined(asked: dict[str, Any], replied: dict[str, Any], order: int) -> None:
    """The answers alone do not say what they answer."""
    sources = [saved(lines(asked), "in.jsonl"), saved(lines(replied), "out.jsonl")][::order]

    assert read(*sources) == [Dialogue(id="r1", turns=TWO, system="m-2026")]


def test_the_answers_of_two_models_to_one_batch_are_two_systems() -> None:
    """The same requests are sent to both."""
    sources = [saved(lines(request()), "in.jsonl")]
    sources += [saved(lines(answer(model=name)), f"{name}.jsonl") for name in "xy"]

    assert [(each.id, each.system) for each in read(*sources)] == [("r1", "x"), ("r1", "y")]


def test_requests_that_came_to_nothing_are_passed_over_with_a_remark() -> None:
    """A batch of thousands has some."""
    failed = answer("r2", 500, error={"message": "overloaded"})
    rows = [request(), request("r2"), request("r3"), request("r4")]
    expired = {"custom_id": "r3", "response": None, "error": {"code": "x", "message": "expired"}}

    censuses = census_of(saved(lines(*rows), "in.jsonl"), saved(lines(answer(), failed, expired), "out.jsonl"))

    assert [str(remark) for census in censuses for remark in census.remarks if "joined" not in str(remark)] == [
        "in.jsonl: 1 question without an answer, the first at line 4",
        "out.jsonl: 2 records passed over, the first at line 2: no reply found (overloaded), expected one to judge",
    ]


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        pytest.param(
            lambda: [saved(lines(answer()))],
            "d.jsonl: answers without questions found; pass the file of questions in the same command",
            id="answers of a batch",
        ),
        pytest.param(
            lambda: [saved(lines(request()))],
            "d.jsonl: questions without answers found; pass the file of answers in the same command",
            id="requests of a batch",
        ),
        pytest.param(
            lambda: [saved(lines(request(), answer(), answer("r9")))],
            "d.jsonl:3: an answer to 'r9' found, expected its question in one of the files",
            id="an answer to something else",
        ),
        pytest.param(
            lambda: [saved(f"Some notes\nuser: {ASKED}\n".encode(), "d.txt")],
            f"d.txt: transcript: 'Some notes' found at the start, expected `NAME: …` with one of the names {ALL_NAMES} "
            "(others: --roles seeker=…,supporter=…)",
            id="a text that is no transcript",
        ),
        pytest.param(
            lambda: [saved(lines({"prompt": ASKED, "completion": 5}))],
            "d.jsonl:1: completion: 5 found, expected text",
            id="a number for a reply",
        ),
        pytest.param(
            lambda: [saved(lines({"prompt": ASKED, "completion": TOLD, "response": TOLD}))],
            "d.jsonl:1: prompt: completion and response found, expected one reply to it",
            id="two replies",
        ),
        pytest.param(
            lambda: [saved(lines({"instruction": ASKED, "output": TOLD, "history": [[ASKED]]}))],
            "d.jsonl:1: history[0]: a list of 1 found, expected a pair of a question and its answer",
            id="half a history",
        ),
        pytest.param(
            lambda: [document(promptfoo(result(response={"error": "timed out"})))],
            "d.json: 1 record passed over, the first at results.results[0]: no output found (timed out), expected a "
            "reply to judge",
            id="a provider that failed",
        ),
        pytest.param(
            lambda: [saved(b"user: x\nagent: caf\xe9\n", "d.txt")],
            f"d.txt:2: byte 0xe9 found at column 11, {UTF_8}",
            id="a text of Windows",
        ),
        pytest.param(
            lambda: [saved(b"user: x\nagent: y\n" * 2**20, "d.txt")],
            "d.txt: a text of more than 16,777,216 bytes found, expected the transcript of one dialogue",
            id="a text without end",
        ),
        pytest.param(
            lambda: [saved(b" \n", "d.txt")], f"d.txt: an empty file found, expected {SPOKEN_LINES}", id="empty"
        ),
        pytest.param(
            lambda: [saved(b"user:\nagent: y\n", "d.txt")],
            "d.txt: transcript after user: '' found, expected some text",
            id="a seeker without a word",
        ),
        pytest.param(
            lambda: [saved(lines(request(None), answer()))],  # type: ignore[arg-type]  # what is wrong with it
            "d.jsonl:1: custom_id: None found, expected some text\n"
            "d.jsonl: answers without questions found; pass the file of questions in the same command",
            id="a request without an id",
        ),
        pytest.param(
            lambda: [saved(lines(request(), answer(choices=None, output=[{"type": "reasoning"}]) | {"error": None}))],
            "d.jsonl:2: response.body.choices: None found, expected a list that is not empty",
            id="no choices",
        ),
        pytest.param(
            lambda: [saved(lines(request(), {"custom_id": "r1", "response": {"status_code": 200, "body": THOUGHT}}))],
            "d.jsonl: 1 record passed over, the first at line 2: a response without a message found, expected a reply "
            "to judge",
            id="nothing but reasoning",
        ),
        pytest.param(
            lambda: [saved(lines({"instruction": ASKED, "output": TOLD, "history": {}}))],
            "d.jsonl:1: history: an object with no fields found, expected a list of pairs",
            id="a history that is none",
        ),
        pytest.param(
            lambda: [saved(lines(question(), {"question_id": 81, "choices": [{"turns": [TOLD] * 3}]}))],
            "d.jsonl:2: choices[0].turns: 3 answers found to 2 questions, expected an answer to each",
            id="more answers than questions",
        ),
    ],
)
def test_what_is_wrong_is_said(sources: Callable[[], list[Source]], problem: str) -> None:
    """Where, what, and what to do."""
    assert refusal(*sources()) == told(*problem.split("\n"))


def question(own: int = 81) -> dict[str, Any]:
    """Return a question of MT-bench."""
    return {"question_id": own, "category": "roleplay", "turns": [ASKED, MORE], "reference": []}


def test_answers_of_mt_bench_are_joined_with_their_questions() -> None:
    """The answers hold the model's turns alone."""
    told_by = {
        "question_id": 81,
        "answer_id": "x",
        "model_id": "vicuna",
        "choices": [{"index": 0, "turns": [TOLD, THEN]}],
    }

    dialogues = read(saved(lines(question()), "question.jsonl"), saved(lines(told_by), "vicuna.jsonl"))

    assert dialogues == [Dialogue(id="81", turns=FOUR, system="vicuna", meta={"category": "roleplay"})]


def test_results_of_promptfoo_are_compared_by_test_and_provider() -> None:
    """A second prompt to the same provider is another system."""
    results = [result(), result(provider="anthropic:y"), result(promptIdx=1), result(testIdx=4)]

    made = read(document(promptfoo(*results)))

    assert [(each.id, each.system) for each in made] == [
        ("3", "openai:x"),
        ("3", "anthropic:y"),
        ("3", "openai:x prompt 2"),
        ("4", "openai:x"),
    ]
    assert made[0].labels == {"judge": {"warmth": 0.5}}


SHAPES = (
    "alpaca-history.json",
    "alpaca.json",
    "deepeval.json",
    "dpo.json",
    "pc.json",
    "smile.json",
    "trl.json",
    "vera.txt",
)


@pytest.mark.parametrize("name", SHAPES)
def test_the_shapes_that_people_have_are_read(shared: Path, name: str) -> None:
    """Each is a file as somebody had it."""
    dialogues = read(source_of(str(shared / "data" / "faults" / name)))

    assert all(turn.text for each in dialogues for turn in each.turns)
    assert len(dialogues) == 1 + (name == "dpo.json")


def test_generated_ids_do_not_depend_on_where_a_file_is_read_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file by another spelling of its place is not rated, and paid for, again."""
    row = {"prompt": "I feel low.", "chosen": "I hear you.", "rejected": "So?"}
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.jsonl").write_text(json.dumps(row) + "\n")
    monkeypatch.chdir(tmp_path)

    def ids(*names: str) -> set[str]:
        return {each.id for each in read_dialogues(with_unique_systems([source_of(name) for name in names]), Reading())}

    assert ids("a/x.jsonl") == ids("./a/x.jsonl") == ids(str(tmp_path / "a" / "x.jsonl")) == {"x.jsonl:1"}
    assert ids("a/x.jsonl", "b/x.jsonl") == {"a/x.jsonl:1", "b/x.jsonl:1"}
