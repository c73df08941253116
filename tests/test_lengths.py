"""Lengths: token counts that need no network, and what counts as the completion."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from perm_cli.dialogues.dialogue import Turn
from perm_cli.dialogues.tokens import SHIPPED, completion_text, token_counter
from perm_cli.errors import SettingsError


@pytest.fixture
def own_tokenizer(tmp_path: Path) -> Path:
    """Return the file of a tokeniser that cuts at spaces and puts a mark in front of every text."""
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "[BOS]": 1, "hello": 2}, unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="[BOS] $0", special_tokens=[("[BOS]", 1)])
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        pytest.param("", 0, id="empty"),
        pytest.param("hello world", 2, id="words"),
        pytest.param("<|endoftext|>", 7, id="a-special-token-is-plain-text"),  # < | endo ft ext | >
    ],
)
def test_the_shipped_encoding_counts(text: str, tokens: int) -> None:
    """The numbers are cl100k_base's, as its public counter gives them."""
    assert token_counter(SHIPPED)(text) == tokens


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_can_be_counted(text: str) -> None:
    """A token is at least a byte, and no text has none but the empty one."""
    count = token_counter(SHIPPED)(text)

    assert bool(text) <= count <= len(text.encode())


def test_a_tokeniser_of_one_s_own_counts_without_its_special_tokens(own_tokenizer: Path) -> None:
    """The policy is charged for what it wrote, not for the marks around it."""
    assert token_counter(str(own_tokenizer))("hello big world") == 3


def test_a_name_that_is_neither_is_refused() -> None:
    """Nothing is fetched from a hub."""
    with pytest.raises(SettingsError, match="--tokenizer: 'gpt2' found, expected cl100k_base or the path"):
        token_counter("gpt2")


def test_a_broken_tokeniser_file_is_refused(tmp_path: Path) -> None:
    """The message names the file."""
    path = tmp_path / "tokenizer.json"
    path.write_text("{}", encoding="utf-8")

    with pytest.raises(SettingsError, match=r"tokenizer\.json: .*, expected a tokenizer\.json"):
        token_counter(str(path))


def test_the_completion_of_a_plain_turn_is_its_text() -> None:
    """Nothing is added that the policy did not write."""
    assert completion_text(Turn(role="supporter", text="I am here.")) == "I am here."


def test_an_analysis_counts_as_much_as_the_reply() -> None:
    """A policy that thinks aloud for pages pays for it; the headings are those of the authors' format."""
    turn = Turn(role="supporter", text="I am here.", analysis="She is alone.")

    assert completion_text(turn) == "# Analysis\nShe is alone.\n\n# Response\nI am here."
