"""Text made harmless for a terminal: nothing from a dialogue may move the cursor, hide or reorder what is shown."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perm_cli.text import harmless, one_line

ANY_TEXT = st.text(st.characters(exclude_categories=()) | st.sampled_from("\x1b\r\n\u2028\u202e\u2066\u200b\ud800"))
REORDERING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@settings(deadline=None)
@given(ANY_TEXT)
def test_no_escape_control_bidi_or_newline_survives(text: str) -> None:
    """Unicode's own tables say what is dangerous, so that a gap in our pattern shows."""
    shown = one_line(text)

    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(character) for character in shown} & REORDERING
    assert len(f"{shown}.".splitlines()) == 1


@settings(deadline=None)
@given(ANY_TEXT, st.integers(1, 300))
def test_the_length_is_bounded_whatever_is_spelled_out(text: str, limit: int) -> None:
    """A control character becomes six; a table row must not grow by that."""
    shown = one_line(text, limit)

    assert len(shown) <= limit


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("naïve 日本語 ❤\ufe0f", "naïve 日本語 ❤\ufe0f", id="ordinary text stays"),
        pytest.param("a\tb\nc\rd", "a b c d", id="tabs and line ends are spaces"),
        pytest.param("\x1b[31mred\x1b[0m", "\\u001b[31mred\\u001b[0m", id="colour code"),
        pytest.param("\x1b]0;title\x07", "\\u001b]0;title\\u0007", id="window title"),
        pytest.param("\x9b2J", "\\u009b2J", id="clear the screen by one byte"),
        pytest.param("\u202egnp.exe", "\\u202egnp.exe", id="right to left override"),
        pytest.param("\u2066x\u2069", "\\u2066x\\u2069", id="isolates"),
        pytest.param("a\u200bb\ufeffc\u00add", "a\\u200bb\\ufeffc\\u00add", id="zero width"),
        pytest.param(
            "a\u2028b\u2029c\x85d\x0be\x0cf", "a\\u2028b\\u2029c\\u0085d\\u000be\\u000cf", id="rare line ends"
        ),
        pytest.param("\U000e0041", "\\ue0041", id="tag character"),
        pytest.param("\ud800", "\\ud800", id="lone surrogate"),
        pytest.param("\x00\x7f", "\\u0000\\u007f", id="NUL and delete"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_unsafe_characters_are_spelled_out(text: str, shown: str) -> None:
    """Spelled out, not dropped: whoever mends the file must be able to find them."""
    assert one_line(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("12345", "12345", id="just fits"),
        pytest.param("123456", "1234…", id="one too many"),
        pytest.param("1234\x00", "1234…", id="too long once spelled out"),
        pytest.param("x" * 1_000_000, "xxxx…", id="a million"),
    ],
)
def test_a_cut_is_marked(text: str, shown: str) -> None:
    """A reader must see that there is more."""
    assert one_line(text, 5) == shown


def test_a_line_has_two_hundred_characters_unless_told() -> None:
    """Messages quote text of any length and stay on a line or two."""
    assert len(one_line("x" * 500)) == 200


def test_lines_stay_lines_where_there_may_be_many() -> None:
    """A message has as many as it needs, and nothing else that moves the cursor."""
    assert harmless("a\x1b[2J\n\tb\r\nc") == "a\\u001b[2J\n b \nc"
