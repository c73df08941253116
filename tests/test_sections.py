"""A policy's answer taken apart: what the seeker reads must never hold what the seeker may not see."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perm_cli.dialogues.files.sections import Answer, read_answer

LINES = st.lists(st.sampled_from(["# Analysis", "# Response", "<think>", "</think>", "words", "", "  ## response: "]))


@pytest.mark.parametrize(
    ("text", "response", "analysis"),
    [
        pytest.param("# Analysis\nShe grieves.\n# Response\nI hear you.", "I hear you.", "She grieves.", id="paper"),
        pytest.param("I hear you.", "I hear you.", None, id="no headings"),
        pytest.param("# Response\nI hear you.", "I hear you.", None, id="response only"),
        pytest.param("# Analysis\n\n# Response\nI hear you.", "I hear you.", None, id="empty analysis"),
        pytest.param("# Analysis\nShe grieves.", "", "She grieves.", id="nothing said"),
        pytest.param("# Analysis\nShe grieves.\n# Response\n \n", "", "She grieves.", id="blank response"),
        pytest.param("# Response\nYes.\n# Analysis\nShe grieves.", "Yes.", "She grieves.", id="other order"),
        pytest.param("### ANALYSIS:\nA\n###### response :\nR", "R", "A", id="depth, case and colon"),
        pytest.param("# **Analysis**\nA\n#**Response**:\nR", "R", "A", id="bold"),
        pytest.param("  # Analysis  \nA\n\t# Response\t\nR", "R", "A", id="blanks around headings"),
        pytest.param("Sure!\n# Analysis\nA\n# Response\nR", "R", "A", id="words before the first heading"),
        pytest.param("# Analysis\nA\n\nA2\n# Response\nR\n\nR2\n", "R\n\nR2", "A\n\nA2", id="paragraphs"),
        pytest.param("My analysis: # Response\nis fine.", "My analysis: # Response\nis fine.", None, id="in a line"),
        pytest.param("# Responses\nR", "# Responses\nR", None, id="another word"),
        pytest.param("####### Response\nR", "####### Response\nR", None, id="no heading of markdown"),
        pytest.param("<think>hm</think>Yes.", "Yes.", None, id="thinking"),
        pytest.param("<THINKING>a\nb</THINKING>\nYes.", "Yes.", None, id="the long word for thinking"),
        pytest.param("<think># Response\nno</think># Response\nYes.", "Yes.", None, id="headings in thinking"),
        pytest.param("<think>a</think>Yes<think>b</think>.", "Yes.", None, id="two thoughts"),
        pytest.param("**Analysis**\nA\n**Response**\nR", "R", "A", id="bold without a hash"),
        pytest.param("__Analysis:__\nA\n__Response__:\nR", "R", "A", id="bold with underscores and colons"),
        pytest.param("**Analysis:** A\n\n**Response:** R", "R", "A", id="bold in the line of its text"),
        pytest.param("**analysis**： A\n**response**： R", "R", "A", id="bold with a full-width colon"),
        pytest.param("**Response** matters", "**Response** matters", None, id="bold word in a sentence"),
        pytest.param("**Analysis**\nA", "", "A", id="bold, nothing said"),
        pytest.param("[THINK]hm[/THINK]Yes.", "Yes.", None, id="thinking in brackets"),
        pytest.param("<|channel|>analysis<|message|>hm", "", None, id="thinking that never ends"),
        pytest.param("", "", None, id="nothing"),
    ],
)
def test_an_answer_is_taken_apart_at_its_headings(text: str, response: str, analysis: str | None) -> None:
    """The analysis is judged for resonation only; everything else is judged on the response."""
    assert read_answer(text) == Answer(response, analysis)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("# Analysis\r\nA\r\n# Response\r\nR", id="CRLF"),
        pytest.param("# Analysis\nA\n# **Response:**\nR", id="colon inside the bold"),
    ],
)
def test_a_heading_is_recognised_however_it_is_set(text: str) -> None:
    """A missed heading shows the private analysis to seeker and bystander, as if it had been said."""
    assert read_answer(text) == Answer("R", "A")


def test_a_thinking_block_opened_by_the_chat_template_belongs_to_nobody() -> None:
    """Reasoning models get `<think>` from their chat template and write the closing tag only."""
    assert read_answer("She wants comfort.\n</think>\nI hear you.") == Answer("I hear you.", None)


@settings(deadline=None)
@given(LINES)
def test_no_complete_thinking_block_and_no_blank_edge_is_left(lines: list[str]) -> None:
    """Whatever a policy writes, both parts are text ready to be judged."""
    answer = read_answer("\n".join(lines))

    assert not re.search("<think>.*</think>", answer.response, re.DOTALL)
    assert answer.response == answer.response.strip()
    assert answer.analysis is None or answer.analysis.strip() == answer.analysis != ""
