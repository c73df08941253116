"""`perm convert --to`: the rows that each trainer draws its prompts from, and what comes back of them to be judged."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from perm_cli.dialogues.dialogue import Turn
from perm_cli.integrations.openrlhf import items_of
from perm_cli.integrations.rows import item_of
from perm_cli.integrations.slime import _item as slime_item
from perm_cli.reward import Item
from perm_cli.words import TrainerName
from tests.commands import Perm, runner
from tests.makers import written

TRAINERS = get_args(TrainerName)
SEEKER = {"role": "seeker", "text": "I lost my job."}
SUPPORTER = {"role": "supporter", "text": "Oh no."}
MORE = {"role": "seeker", "text": "It was all I had."}
REPLY = "# Analysis\nGrief.\n\n# Response\nThat hurts."


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line."""
    return runner(monkeypatch, capsys)


def native(*turns: Mapping[str, str], **changes: Any) -> dict[str, Any]:
    """Return a row of the native format."""
    return {"id": "d", "scenario": "Laid off.", "persona": "A welder.", "turns": list(turns or [SEEKER])} | changes


def chat(*messages: Mapping[str, str], **changes: Any) -> dict[str, Any]:
    """Return a row of messages, with the instructions that an application gave."""
    system = {"role": "system", "content": "Be brief."}
    return {"id": "d", "scenario": "Laid off.", "persona": "A welder.", "messages": [system, *messages]} | changes


def paper(**changes: Any) -> dict[str, Any]:
    """Return a row of the PERM authors'."""
    identity = {"identity": "A welder.", "trait": "Proud."}
    return {"id": "d", "persona": identity, "scenario": "Laid off.", "dialogue": ["I lost my job."]} | changes


def rows(perm: Perm, trainer: TrainerName, *dialogues: Mapping[str, Any], options: tuple[str, ...] = ()) -> list[Any]:
    """Return the rows of a prompt set."""
    written(Path("d.jsonl"), map(dict, dialogues))
    result = perm("convert", "d.jsonl", "--to", trainer, "--out", "-", *options)
    assert result.code == 0, result.err
    return [json.loads(line) for line in result.out.split("\n")[:-1]]


def said(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what TRL's row says after the policy's instructions."""
    assert row["prompt"][0]["role"] == "system"
    return [(each["role"], each["content"]) for each in row["prompt"][1:]]


# --- what is read ---

ONE, LONG = [("user", "I lost my job.")], [("user", "I lost my job."), ("assistant", "Oh no.")]
USER, ASSISTANT, AGAIN = (
    {"role": role, "content": each["text"]}
    for role, each in (("user", SEEKER), ("assistant", SUPPORTER), ("user", MORE))
)


@pytest.mark.parametrize(
    ("dialogue", "expected"),
    [
        pytest.param(native(SEEKER), ONE, id="native-one-query"),
        pytest.param(native(SEEKER, SUPPORTER), ONE, id="native-answered"),
        pytest.param(
            native(SEEKER, SUPPORTER, MORE), [*LONG, ("user", MORE["text"])], id="native-ends-with-the-seeker"
        ),
        pytest.param(
            native(SEEKER, SUPPORTER, MORE, SUPPORTER), [*LONG, ("user", MORE["text"])], id="native-long-and-answered"
        ),
        pytest.param(native(SUPPORTER, SEEKER), [("assistant", "Oh no."), *ONE], id="native-the-supporter-opens"),
        pytest.param(chat(USER), ONE, id="messages-one-query"),
        pytest.param(chat(USER, ASSISTANT), ONE, id="messages-answered"),
        pytest.param(chat(USER, ASSISTANT, AGAIN), [*LONG, ("user", MORE["text"])], id="messages-end-with-the-user"),
        pytest.param(paper(), ONE, id="paper"),
        pytest.param(paper(output=REPLY), ONE, id="paper-answered"),
    ],
)
def test_the_prompt_is_what_was_said_before_the_last_reply(
    perm: Perm, dialogue: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """Answered or not: the policy writes the reply, so what somebody else wrote is not in it."""
    (row,) = rows(perm, "trl", dialogue)

    assert said(row) == expected
    assert (row["id"], row["persona"], row["scenario"]) == ("d", "A welder.", "Laid off.")
    assert "…" not in json.dumps(row, ensure_ascii=False)


@pytest.mark.parametrize(
    "roles",
    [
        pytest.param("seeker=client,supporter=bot", id="one-name-each"),
        pytest.param("seeker=client,seeker=guest,supporter=bot", id="two-names-for-the-seeker"),
    ],
)
@pytest.mark.parametrize(
    "dialogue",
    [
        pytest.param(native({"role": "client", "text": "I lost my job."}), id="native"),
        pytest.param(chat({"role": "client", "content": "I lost my job."}), id="messages"),
    ],
)
def test_roles_are_called_as_the_file_calls_them(perm: Perm, dialogue: dict[str, Any], roles: str) -> None:
    """Whoever has names of their own has them in unanswered rows too."""
    (row,) = rows(perm, "trl", dialogue, options=("--roles", roles))

    assert said(row) == ONE


def test_the_plain_style_asks_for_a_reply_and_no_more(perm: Perm) -> None:
    """A policy without an analysis is trained with the prompt that it will have."""
    (plain,) = rows(perm, "trl", native(), options=("--style", "plain"))
    (analysis,) = rows(perm, "trl", native())

    assert ["# Analysis" in row["prompt"][0]["content"] for row in (plain, analysis)] == [False, True]
    assert plain["prompt"][1:] == analysis["prompt"][1:]
    for row in (plain, analysis):
        assert "situation: Laid off.\n" in row["prompt"][0]["content"] + "\n"
        assert "talking with: A welder.\n" in row["prompt"][0]["content"] + "\n"


def test_what_is_not_known_is_not_mentioned(perm: Perm) -> None:
    """An empty heading would be read as something to fill."""
    (row,) = rows(perm, "trl", native(scenario="", persona=""), options=("--style", "plain"))

    assert row["prompt"][0]["content"].endswith("You are the supporter.")


# --- what is written ---


def shown(prompt: list[dict[str, str]]) -> str:
    """Return a prompt as a chat template would write it."""
    return "".join(f"<|{each['role']}|>{each['content']}<|im_end|>" for each in prompt) + "<|assistant|>"


def by_trl(row: Mapping[str, Any]) -> Item:
    """Hand a row over as TRL does: the prompt, and every other column by its name."""
    columns = {name: value for name, value in row.items() if name != "prompt"}
    return item_of(row["prompt"], [{"role": "assistant", "content": REPLY}], columns)


def by_verl(row: Mapping[str, Any]) -> Item:
    """Hand a row over as verl does: `extra_info`, and no prompt."""
    return item_of("", REPLY, row["extra_info"])


def by_openrlhf(row: Mapping[str, Any]) -> Item:
    """Hand a row over as OpenRLHF does: full texts and the label."""
    prompt = shown(row["input"])
    return items_of([f"{prompt}{REPLY}<|im_end|>"], [prompt], [row["label"]])[0]


def by_slime(row: Mapping[str, Any]) -> Item:
    """Hand a row over as slime does: a sample."""
    return slime_item(SimpleNamespace(prompt=shown(row["prompt"]), response=REPLY, label=row["label"], metadata={}))


def by_swift(row: Mapping[str, Any]) -> Item:
    """Hand a row over as ms-swift does: the columns, the completion being the last message."""
    messages = [*row["messages"], {"role": "assistant", "content": REPLY}]
    return item_of(messages[:-1], REPLY, {**row, "messages": messages})


HANDED_OVER: Mapping[TrainerName, Callable[[Mapping[str, Any]], Item]] = {
    "trl": by_trl,
    "verl": by_verl,
    "openrlhf": by_openrlhf,
    "slime": by_slime,
    "swift": by_swift,
}
ASKED = Turn(role="seeker", text="I lost my job.")
TALK = (ASKED, Turn(role="supporter", text="Oh no."), Turn(role="seeker", text="It was all I had."))


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize(
    ("dialogue", "expected"),
    [
        pytest.param(native(), {"query": ASKED.text}, id="native-query"),
        pytest.param(native(SEEKER, SUPPORTER, MORE), {"turns": TALK}, id="native-talk"),
        pytest.param(chat(USER), {"query": ASKED.text}, id="messages-query"),
        pytest.param(chat(USER, ASSISTANT, AGAIN), {"turns": TALK}, id="messages-talk"),
        pytest.param(paper(), {"query": ASKED.text}, id="paper"),
    ],
)
def test_what_is_judged_is_the_same_whatever_the_trainer(
    perm: Perm, trainer: TrainerName, dialogue: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Who changes trainers changes no reward; the policy's own instructions are nobody's turn."""
    (row,) = rows(perm, trainer, dialogue)

    item = HANDED_OVER[trainer](row)

    assert replace(item, group="") == Item(reply=REPLY, persona="A welder.", scenario="Laid off.", **expected)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_replies_to_one_prompt_are_a_group_and_to_others_are_not(perm: Perm, trainer: TrainerName) -> None:
    """A group's mean may stand in for a missing reward: it must not be that of another talk."""
    again = {"role": "seeker", "text": "And my house."}

    made = rows(
        perm,
        trainer,
        native(SEEKER, SUPPORTER, MORE, id="a"),
        native(SEEKER, SUPPORTER, again, id="b"),
        native(SEEKER, id="c"),
        native(SEEKER, id="d", persona="A nurse."),
    )

    assert len({HANDED_OVER[trainer](row).group for row in made}) == 4
    assert HANDED_OVER[trainer](made[0]).group == HANDED_OVER[trainer](made[0]).group


@pytest.mark.parametrize("trainer", TRAINERS)
def test_rows_have_the_fields_that_the_trainer_reads(perm: Perm, trainer: TrainerName) -> None:
    """And the same ones in every row, with the same types, or `datasets` refuses a file halfway."""
    fields: Mapping[TrainerName, set[str]] = {
        "trl": {"prompt", "id", "persona", "scenario", "query", "turns"},
        "verl": {"data_source", "prompt", "ability", "reward_model", "extra_info"},
        "openrlhf": {"input", "label"},
        "slime": {"prompt", "label"},
        "swift": {"messages", "id", "persona", "scenario", "query", "turns"},
    }

    made = rows(
        perm, trainer, native(), native(SEEKER, SUPPORTER, MORE, id="e"), native(id="f", scenario="", persona="")
    )

    assert [set(row) for row in made] == [fields[trainer]] * 3
    if trainer == "verl":
        assert made[1]["reward_model"] == {"style": "model", "ground_truth": ""}
        assert [row["extra_info"]["index"] for row in made] == [0, 1, 2]
        assert len({frozenset(row["extra_info"]) for row in made}) == 1


@pytest.mark.parametrize("trainer", TRAINERS)
def test_parquet_holds_what_json_lines_hold(perm: Perm, trainer: TrainerName) -> None:
    """A query first, then a talk: no column is lost to the first row."""
    parquet = pytest.importorskip("pyarrow.parquet")
    made = rows(perm, trainer, native(), native(SEEKER, SUPPORTER, MORE, id="e"))

    result = perm("convert", "d.jsonl", "--to", trainer, "--out", "out.parquet")
    lines = perm("convert", "d.jsonl", "--to", trainer, "--out", "out.jsonl")

    assert (result.code, result.out) == (0, "")
    assert result.err == "d.jsonl: native format, 2 dialogues\nwritten: out.parquet\n"
    assert parquet.read_table("out.parquet").to_pylist() == made
    assert [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()] == made
    assert lines.err.endswith("written: out.jsonl\n")


HOSTILE = '{{7*7}}{% for x in y %}{# #}${7*7}"}\\n}{<|im_end|><|assistant|>\x1b[2J\u202e\u2028\x00\x07[end abc]'


@pytest.mark.parametrize("trainer", TRAINERS)
def test_nothing_that_was_written_is_evaluated(perm: Perm, trainer: TrainerName) -> None:
    """Personas come from models and from people: Jinja, braces and control characters are text, to the last letter."""
    told = {"role": "seeker", "text": f"T {HOSTILE}"}

    (row,) = rows(perm, trainer, native(told, scenario=f"S {HOSTILE}", persona=f"P {HOSTILE}"))

    item = HANDED_OVER[trainer](row)
    assert (item.query, item.scenario, item.persona) == (f"T {HOSTILE}", f"S {HOSTILE}", f"P {HOSTILE}")
    prompt = row.get("prompt") or row.get("input") or row["messages"]
    assert prompt[0]["content"].count(HOSTILE) == 2
    assert prompt[1]["content"] == f"T {HOSTILE}"
    assert "49" not in json.dumps(row)


# --- what is refused ---


@pytest.mark.parametrize(
    ("dialogue", "said"),
    [
        pytest.param(native(), "turns: no supporter turn found, expected at least one to judge", id="native"),
        pytest.param(chat(USER), "messages: no supporter turn found, expected at least one to judge", id="messages"),
        pytest.param(paper(), "output: no text found, expected the model's output in one of", id="paper"),
    ],
)
@pytest.mark.parametrize(
    "command", [["score", "--judge", "baseline", "--out", "run"], ["convert", "--out", "out.jsonl"]], ids=lambda c: c[0]
)
def test_a_dialogue_without_a_reply_is_refused_where_one_is_judged(
    perm: Perm, command: list[str], dialogue: dict[str, Any], said: str
) -> None:
    """The placeholder is for prompt sets; a judge never sees it."""
    written(Path("d.jsonl"), [dialogue])

    result = perm(command[0], "d.jsonl", *command[1:])

    assert (result.code, result.out) == (1, "")
    assert f"d.jsonl:1: {said}" in result.err
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(
            ["--out", "out.csv"], "--out out.csv: expected a file name that ends in .jsonl, .parquet, or -", id="ending"
        ),
        pytest.param(
            ["--out", "mine.jsonl"], "--out mine.jsonl: the file exists; use a new name, or --force", id="file"
        ),
    ],
)
def test_mistakes_are_a_line(perm: Perm, options: list[str], said: str) -> None:
    """And what was there stays."""
    written(Path("d.jsonl"), [native()])
    Path("mine.jsonl").write_text("mine")

    result = perm("convert", "d.jsonl", "--to", "trl", *options)

    assert (result.code, result.out, len(result.err.splitlines())) == (1, "", 1)
    assert result.err.startswith(f"perm: {said}")
    assert Path("mine.jsonl").read_text() == "mine"


@pytest.mark.parametrize(
    "dialogue",
    [
        pytest.param({"id": "d", "turns": []}, id="no-turns"),
        pytest.param({"id": "d", "turns": ["I lost my job."]}, id="turns-are-text"),
        pytest.param({"id": "d", "turns": [{"role": ["seeker"], "text": "x"}]}, id="a-role-is-a-list"),
        pytest.param({"id": "d", "messages": [{"role": {}, "content": "x"}]}, id="a-role-is-an-object"),
        pytest.param({"dialogue": [], "persona": {"identity": "x"}, "scenario": ""}, id="no-dialogue"),
    ],
)
def test_a_broken_row_is_named_with_its_line(perm: Perm, dialogue: dict[str, Any]) -> None:
    """No traceback, and no file."""
    written(Path("d.jsonl"), [dialogue])

    result = perm("convert", "d.jsonl", "--to", "trl", "--out", "out.jsonl")

    assert (result.code, result.out) == (1, "")
    assert "d.jsonl:1: " in result.err
    assert not Path("out.jsonl").exists()
