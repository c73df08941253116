"""Thinking marks: what a model thought must never be read as what it said."""

import pytest

from perm_cli.text import begins_thinking, closes_unopened_thinking, without_thinking

SPOKEN = "That hurts."
FORMS = [
    pytest.param("<think>", "</think>", id="most-models"),
    pytest.param("<Thinking >", "</THINKING>", id="in-any-case"),
    pytest.param("<thought>", "</thought>", id="exaone"),
    pytest.param("<reasoning>", "</reasoning>", id="grpo-recipes"),
    pytest.param("<seed:think>", "</seed:think>", id="seed-oss"),
    pytest.param("<mm:think>", "</mm:think>", id="minimax-m3"),
    pytest.param("<longcat_think>", "</longcat_think>", id="longcat"),
    pytest.param("<ifm|think_faster>", "</ifm|think_faster>", id="k2"),
    pytest.param("<think:opensource>", "</think:opensource>", id="hunyuan"),
    pytest.param("[THINK]", "[/THINK]", id="mistral"),
    pytest.param("◁think▷", "◁/think▷", id="kimi-vl"),
    pytest.param("<|open|>think<|sep|>", "<|close|>think<|sep|><|open|>response<|sep|>", id="kimi-k3"),
    pytest.param("<|begin_of_thought|>", "<|end_of_thought|><|begin_of_solution|>", id="openthinker"),
    pytest.param("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>", id="command-a"),
    pytest.param("<|inner_prefix|>", "<|inner_suffix|>", id="apertus"),
    pytest.param("<|think|>", "<|end|><|begin|>assistant<|content|>", id="solar-open"),
    pytest.param("<|think:start|>", "<|think:end|>", id="solar-open-2"),
    pytest.param("<|channel>thought\n", "<channel|>", id="gemma-4"),
    pytest.param("<unused94>thought\n", "<unused95>", id="medgemma"),
    pytest.param("[unused16]", "[unused17]", id="pangu"),
    pytest.param("<|content_thinking|>", "<|end_message|><|message_model|><|content_text|>", id="inkling"),
    pytest.param(
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
        id="harmony",
    ),
]
NEVER_ALONE = [
    pytest.param(
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>commentary to=functions.x<|message|>{}<|call|>"
        "<|start|>assistant<|channel|>final <|constrain|>json<|message|>",
        id="harmony-with-a-tool",
    ),
    pytest.param("analysisHe says: ", "assistantfinal", id="harmony-without-special-tokens"),
    pytest.param("Here is my thought process: ", "Here is my response:", id="granite"),
    pytest.param("Here's my thought process: ", "Here's my response:", id="granite-short"),
    pytest.param("to=self<|message|>", "<|eom|><|start|>assistant to=user<|message|>", id="muse"),
    pytest.param("/think\n", "<|im_end|>\n<|im_start|>assistant\n", id="hyperclova"),
]
THOUGHT = "Perhaps this: Score: 5.\n{}"


@pytest.mark.parametrize(("opens", "ends"), [*FORMS, *NEVER_ALONE])
def test_what_is_thought_is_taken_out(opens: str, ends: str) -> None:
    """In each of the forms that models write."""
    assert (without_thinking(f"{opens}{THOUGHT}{ends}{SPOKEN}") or "").strip() == SPOKEN


@pytest.mark.parametrize(("opens", "ends"), [*FORMS, *NEVER_ALONE])
def test_thinking_without_an_end_leaves_nothing(opens: str, ends: str) -> None:  # noqa: ARG001 - one table for all
    """A thought that was cut is no reply, whatever it considers."""
    assert without_thinking(opens + THOUGHT) is None


@pytest.mark.parametrize(("opens", "ends"), FORMS)
def test_an_end_alone_means_that_all_before_it_is_thinking(opens: str, ends: str) -> None:  # noqa: ARG001 - the same
    """Many chat templates write the opening mark themselves, which is then no part of the completion."""
    assert (without_thinking(THOUGHT + ends + SPOKEN) or "").strip() == SPOKEN


@pytest.mark.parametrize(("opens", "ends"), [*FORMS, *NEVER_ALONE])
def test_where_the_template_has_opened_it_text_without_an_end_is_thinking(opens: str, ends: str) -> None:
    """And with its end it is read as ever, whether the opening mark is repeated or not."""
    assert without_thinking(THOUGHT, opened=True) is None
    assert (without_thinking(THOUGHT + ends + SPOKEN, opened=True) or "").strip() == SPOKEN
    assert without_thinking(opens + THOUGHT, opened=True) is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Here is my response: I see you.", id="words"),
        pytest.param("analysis of what you said", id="a-word-in-small-letters"),
        pytest.param("My assistantfinal words", id="an-end-in-words"),
        pytest.param("a < b, think > c, and [think] so", id="signs"),
        pytest.param("<thinker> and <rethink>", id="other-tags"),
        pytest.param("I answered <answer>no</answer> to that", id="answer-in-the-middle"),
    ],
)
def test_text_that_only_looks_like_a_mark_is_left_as_it_is(text: str) -> None:
    """Else words of the reply would vanish before they are judged."""
    assert without_thinking(text) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("<think>hm</think>\n<answer>\nThat hurts.\n</answer>", id="answer"),
        pytest.param("<think>hm</think><response>That hurts.</response>\n", id="response"),
        pytest.param("<|begin_of_box|>That hurts.<|end_of_box|>", id="box"),
        pytest.param("<|channel|>final<|message|>That hurts.<|return|>", id="harmony-final"),
    ],
)
def test_what_stands_around_the_answer_is_no_part_of_it(text: str) -> None:
    """The seeker would not see it."""
    assert (without_thinking(text) or "").strip() == SPOKEN


def test_a_mark_of_another_form_ends_nothing() -> None:
    """A model may quote one form while it thinks in another."""
    assert without_thinking("[THINK]the user wrote </think> and\nScore: 5") is None
    assert without_thinking("[THINK]the user wrote </think>[/THINK]Yes.") == "Yes."


def test_a_filler_keeps_every_place() -> None:
    """Log-probabilities are looked up at the place of the verdict."""
    text = "<|channel|>analysis<|message|>5?<|end|><|start|>assistant<|channel|>final<|message|>Score: 4<|return|>"

    said = without_thinking(text, " ") or ""

    assert len(said) == len(text)
    assert said.index("4") == text.index("4")


@pytest.mark.parametrize(
    ("prompt", "begins"),
    [
        pytest.param("<|im_start|>assistant\n<think>\n", True, id="qwen"),
        pytest.param("<\uff5cAssistant\uff5c><think>\n", True, id="deepseek"),
        pytest.param("<|turn>model\n<|channel>thought\n", True, id="gemma"),
        pytest.param("<|start|>assistant<|channel|>analysis<|message|>", True, id="harmony"),
        pytest.param("<|start|>assistant<|channel|>final<|message|>", False, id="harmony-final"),
        pytest.param("<|im_start|>assistant\n<think>\n\n</think>\n\n", False, id="thinking-switched-off"),
        pytest.param("<|im_start|>assistant\n", False, id="nothing"),
        pytest.param("What does <think> mean?", False, id="in-a-question"),
        pytest.param("", False, id="empty"),
    ],
)
def test_a_prompt_may_begin_the_thinking(prompt: str, begins: bool) -> None:
    """It is the end of the prompt that the policy goes on from."""
    assert begins_thinking(prompt) is begins


@pytest.mark.parametrize(
    ("text", "alone"),
    [("Sad.</think>That hurts.", True), ("<think>Sad.</think>That hurts.", False), ("Here is my response: x", False)],
)
def test_an_end_without_a_beginning_is_noticed(text: str, alone: bool) -> None:
    """It shows that the chat template begins the thinking."""
    assert closes_unopened_thinking(text) is alone
