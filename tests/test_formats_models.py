"""Benchmarks and logs of models."""

import gzip
import json
from collections import Counter
from typing import Any

import pytest

from perm_cli.dialogues.dialogue import Dialogue, Turn
from tests.dialogue_files import ASKED, TOLD, census_of, document, lines, read, saved, seeker, supporter
from tests.published import eqbench3, ieval, log, one, sage, sample, sharegpt, task


def test_sharegpt_names_become_roles_and_the_system_is_an_instruction() -> None:
    """`system` names nobody there; `model` does."""
    dialogue = one(saved(lines(sharegpt(id=5, system="Be kind.", model="baker-7b", labels={"x": 1}))))

    assert dialogue == Dialogue(id="5", turns=(seeker(), supporter()), system="baker-7b", labels={"x": 1})


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"conversation": [{"human": ASKED, "assistant": TOLD}], "system": "x"}, id="ms-swift"),
        pytest.param(
            {"conversations": [{"role": "user", "content": ASKED}, {"role": "assistant", "content": TOLD}]}, id="role"
        ),
        pytest.param(
            sharegpt(
                {"from": "system", "value": "x"},
                {"from": "human", "value": ASKED},
                {"from": "function_call", "value": "{}"},
                {"from": "gpt", "value": f"# Analysis\nHm.\n# Response\n{TOLD}"},
            ),
            id="silent names and sections",
        ),
    ],
)
def test_variants_of_sharegpt_are_read(row: dict[str, Any]) -> None:
    """Many tools write it, each its own way."""
    assert [(turn.role, turn.text) for turn in one(saved(lines(row))).turns] == [("seeker", ASKED), ("supporter", TOLD)]


def test_what_one_side_says_twice_in_a_row_is_one_turn() -> None:
    """A reply in two messages is one reply."""
    told_twice = [{"from": "gpt", "value": text} for text in ("# Analysis\nA\n# Response\nR", "S")]

    dialogue = one(saved(lines(sharegpt({"from": "human", "value": ASKED}, *told_twice))))

    assert dialogue.turns == (seeker(), supporter("R\nS", "A"))


def test_an_answer_of_eqbench3_is_taken_apart_and_its_prompt_freed_of_the_form() -> None:
    """Its first two sections are never shown to the other side; the form it must keep is no part of the talk."""
    dialogue = one(document(eqbench3(task())))

    assert dialogue == Dialogue(
        id="1:1",
        turns=(seeker(), supporter(TOLD, "Hungry.\n\nAshamed.")),
        system="baker-7b",
        labels={"judge": {"warmth": 12.0, "insight": 15}},
        meta={"judge_model": "j"},
    )


@pytest.mark.parametrize(
    ("answer", "turn"),
    [
        pytest.param(
            f"# Perspective-taking\nP\n# Draft brainstorming\nB\n# Draft\n{TOLD}", supporter(TOLD, "P\n\nB"), id="draft"
        ),
        pytest.param(TOLD, supporter(), id="no sections"),
        pytest.param(f"<think>x</think>## **My response:**\n{TOLD}\n---\nBye", supporter(), id="marks and a rule"),
    ],
)
def test_other_answers_of_eqbench3_are_read_too(answer: str, turn: Turn) -> None:
    """Messages are drafted there, and models bend the form."""
    history = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": answer}]

    assert one(document(eqbench3(task(conversation_history=history)))).turns[1] == turn


def test_tasks_of_eqbench3_without_a_finished_dialogue_are_passed_over_with_a_remark() -> None:
    """A run that broke off is no reason to judge nothing, and nothing is left out in silence."""
    unfinished = task(prompts=[ASKED, "And now?"])
    runs = eqbench3(unfinished, task(), task(conversation_history=[]))
    runs["k1_baker"]["scenario_tasks"]["1"]["401"] = task()

    (census,) = census_of(document(runs))

    assert census.dialogues == 1
    reason = "1 of 2 replies found, expected a finished task"
    first = "k1_baker.scenario_tasks.1.1"
    assert [str(each) for each in census.remarks] == [f"d.json: 3 records passed over, the first at {first}: {reason}"]


def test_runs_of_eqbench3_travel_gzipped() -> None:
    """The published runs do."""
    packed = gzip.compress(json.dumps(eqbench3(task()), indent=1).encode())

    assert one(saved(packed, "runs.json.gz")).id == "1:1"


def test_a_record_of_ieval_is_a_dialogue_for_each_bot_and_event() -> None:
    """The bots are systems that answer under one id, so that they are compared on the same event."""
    dialogues = read(document([ieval(("Pink", "Purple", "Yellow", "Green"))]))

    assert Counter(dialogue.id for dialogue in dialogues) == {"c-proud": 4, "c-sad": 4}
    assert dialogues[1] == Dialogue(
        id="c-proud",
        turns=(seeker(), supporter()),
        scenario="Bread.",
        system="Purple",
        labels={"P": 3, "^P": 1, "Rating": 2},
        meta={"emotion": "proud", "event": "positive"},
    )


def test_a_line_of_ieval_without_a_bullet_goes_on_with_the_one_before() -> None:
    """Otherwise all later turns would change sides."""
    (dialogue, *_) = read(document([ieval(log=f"- {ASKED}\nIt did.\n\n- {TOLD}")]))

    assert dialogue.turns == (seeker(f"{ASKED}\nIt did."), supporter())


def test_sage_keeps_the_seekers_feelings() -> None:
    """They are simulated, and a reward to compare with."""
    dialogue = one(saved(lines(sage()), "baker-7b.jsonl"))

    assert dialogue == Dialogue(
        id="s1",
        turns=(seeker(), supporter(), seeker("It does.")),
        scenario="A kitchen.",
        persona="A baker.",
        system="baker-7b",
        labels={
            "simulated": {"emo_point": 55, "emo_state": "B"},
            "turns": {"1": {"simulated": {"emotion_point": 40}}, "3": {"simulated": {"emotion_point": 55}}},
        },
        meta={"target": "eq", "topic": "bread", "task": "vent", "character": "calm"},
    )


def test_a_sample_of_inspect_is_read_with_attachments_and_scores() -> None:
    """Large texts are kept apart in these logs; what the model thought is not what it said."""
    assert one(document(log())) == Dialogue(
        id="bread:7:1",
        turns=(seeker(), supporter()),
        system="openai/baker",
        labels={"judge": {"warmth": 4, "pass": "C"}},
        meta={"metadata": {"topic": "bread"}},
    )


def test_tools_and_pictures_in_a_sample_are_passed_over() -> None:
    """Neither side said them."""
    parts = [{"type": "image", "image": "data:"}, {"type": "text", "text": ASKED}]
    call = {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}
    said = [{"role": "user", "content": parts}, call, {"role": "tool", "content": "4"}]

    assert one(document(log(sample(*said, {"role": "assistant", "content": TOLD})))).turns == (seeker(), supporter())


@pytest.mark.parametrize("asked", [ASKED, [{"role": "user", "content": ASKED}]])
def test_a_sample_without_messages_is_read_from_input_and_output(asked: object) -> None:
    """Short logs keep no messages."""
    output = {"choices": [{"message": {"role": "assistant", "content": TOLD}}]}

    assert one(document(log(sample(messages=None, input=asked, output=output)))).turns == (seeker(), supporter())
