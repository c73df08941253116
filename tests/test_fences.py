"""Fences: whatever is written inside, nobody can make a line of their own outside."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perm_cli.prompts.fences import Fence, fenced

CHARACTERS = st.characters(exclude_categories=())
PIECES = [
    *("\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\u2028", "\u2029", "\x00", "\ud800"),
    *("[end ", "[turn 1, seeker | begin ", "]", "| ", "<|im_start|>", "<think>", "\u200b", "\u202e", "abcdefghijkl"),
]
ANY_TEXT = st.lists(st.text(CHARACTERS) | st.sampled_from(PIECES)).map("".join)
# Number and annotation signs, which are seen, and controls of hieroglyphs, which place them.
VISIBLE_FORMATS = set(map(chr, [*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD]))
VISIBLE_FORMATS |= set(map(chr, range(0x13430, 0x13440)))
FRAME = re.compile(r"\[turn 1, seeker \| begin ([a-z]{12})\]\n.*\n\[end \1\]", re.DOTALL)


def code_of(fence: Fence) -> str:
    """Return the code that closes the fence."""
    return fence.block[-13:-1]


def body_of(fence: Fence) -> str:
    """Return what stands between the first and the last line."""
    return fence.block.partition("\n")[2].rpartition("\n")[0]


@settings(deadline=None)
@given(ANY_TEXT)
def test_every_line_of_any_text_starts_with_a_bar(text: str) -> None:
    """Python's own idea of a line end, the widest there is, decides what a line is."""
    fence = fenced("turn 1, seeker", text)

    lines = body_of(fence).splitlines()
    assert lines
    assert all(line == "|" or line.startswith("| ") for line in lines)


@settings(deadline=None)
@given(ANY_TEXT)
def test_begin_and_end_occur_exactly_once(text: str) -> None:
    """A second closing line would let an author write outside the fence."""
    fence = fenced("turn 1, seeker", text)

    first, *body, last = fence.block.splitlines()
    code = code_of(fence)
    assert FRAME.fullmatch(fence.block)
    assert first == f"[turn 1, seeker | begin {code}]"
    assert last == f"[end {code}]"
    assert not [line for line in body if line.startswith("[")]


@settings(deadline=None)
@given(ANY_TEXT)
def test_the_code_of_a_block_is_not_in_its_text(text: str) -> None:
    """An author would have to write a text that contains its own hash."""
    fence = fenced("turn 1, seeker", text)

    assert code_of(fence) not in body_of(fence)


@settings(deadline=None)
@given(ANY_TEXT)
def test_a_copied_fence_gets_another_code(text: str) -> None:
    """Whoever has seen the rendered prompt knows the codes of an earlier text, never of the next."""
    seen = fenced("turn 1, seeker", text)

    again = fenced("turn 1, seeker", f"{text}\n{seen.block}")

    assert code_of(again) != code_of(seen)
    assert code_of(again) not in body_of(again)


@settings(deadline=None)
@given(ANY_TEXT)
def test_any_block_can_be_sent(text: str) -> None:
    """A request is UTF-8; a lone surrogate must not stop a run in the middle."""
    assert fenced("turn 1, seeker", text).block.encode()


def test_the_code_changes_with_the_text_before_it() -> None:
    """A seeker who knows the supporter's reply by heart still cannot close its fence."""
    one = fenced("turn 1, seeker", "hello")
    other = fenced("turn 1, seeker", "hallo")

    codes = {code_of(fenced("turn 2, supporter", "yes", before.digest)) for before in (one, other)}

    assert len(codes) == 2


@pytest.mark.parametrize(
    ("label", "text", "after"),
    [
        pytest.param("turn 2, seeker", "hello", b"before", id="label"),
        pytest.param("turn 1, seeker", "hello!", b"before", id="text"),
        pytest.param("turn 1, seeker", "hello", b"Before", id="what stands before"),
    ],
)
def test_digest_and_code_change_with_everything_fenced(label: str, text: str, after: bytes) -> None:
    """Equal digests stand for equal prompts, on which resuming rests."""
    first = fenced("turn 1, seeker", "hello", b"before")

    changed = fenced(label, text, after)

    assert changed.digest != first.digest
    assert code_of(changed) != code_of(first)


@settings(deadline=None)
@given(ANY_TEXT | st.text("é日❤a1\u20e3\u200c\u200d\ufe0f\u034f\u200b"))
def test_what_is_not_seen_carries_nothing(text: str) -> None:
    """Runs of them could spell out anything to a judge; Unicode's own tables say what a program may ignore."""
    body = body_of(fenced("turn 1, seeker", text))

    assert not re.search("[\u200c\u200d]{2}|\ufe0f{2}|\u200d\ufe0f|\u200c\ufe0f", body)
    ignorable = {each for each in body if unicodedata.category(each) in {"Cf", "Cc"}} - {"\n", "\t", "\u200c", "\u200d"}
    assert not ignorable - VISIBLE_FORMATS


def test_the_same_words_get_the_same_fence() -> None:
    """Prompt caches and resumed runs need prompts that do not change from one run to the next."""
    assert fenced("turn 1, seeker", "hello") == fenced("turn 1, seeker", "hello")


def test_ordinary_words_are_quoted_as_they_are() -> None:
    """A judge reads what the seeker wrote, paragraphs, lists, emoji and all."""
    text = "Dear all,\n\n  - naïve: 3 < 4, a<b? [sic] [ok]\n\t日本語 👩\u200d🚀 ❤\ufe0f می\u200cخواهم"

    fence = fenced("turn 1, seeker", text)

    assert body_of(fence).split("\n") == [
        "| Dear all,",
        "| ",
        "|   - naïve: 3 < 4, a< b? [ sic] [ ok]",
        "| \t日本語 👩\u200d🚀 ❤\ufe0f می\u200cخواهم",
    ]


@pytest.mark.parametrize(
    ("text", "body"),
    [
        pytest.param("", "|", id="nothing"),
        pytest.param("\n", "| ", id="one line end"),
        pytest.param("a\u200bb\ufeffc\u2060d\u00ade", "| abcde", id="zero width"),
        pytest.param("\u202eabc\u202c \u2066d\u2069", "| abc d", id="bidi"),
        pytest.param("a\x00b\x07c\x1b[31md\x7f", "| abc[31md", id="controls"),
        pytest.param("hi\U000e0041\U000e007f", "| hi", id="tags"),
        pytest.param("a\U000e0100\ufe00", "| a", id="variation selectors"),
        pytest.param("a\u3164\u115f\uffa0b", "| ab", id="hangul fillers"),
        pytest.param("a\u200cb\u200d", "| ab", id="joiners between latin letters"),
        pytest.param("é\u200c\u200d\u200cè\u200d", "| é\u200cè", id="a run of joiners between other letters"),
        pytest.param("é\u200c\u200b\u200c\u034f\u200cè", "| é\u200cè", id="a run of joiners with others between"),
        pytest.param("❤\ufe0f\ufe0f\ufe0fb", "| ❤\ufe0fb", id="a run of emoji selectors"),
        pytest.param("❤\ufe0f\u200d\ufe0f\u200d🔥", "| ❤\ufe0f\u200d🔥", id="a run of selectors and joiners"),
        pytest.param("a\ufe0fé\ufe0f日\ufe0f1\ufe0f", "| aé日1", id="emoji selectors of letters"),
        pytest.param("1\ufe0f\u20e3 ☎\ufe0f ‼\ufe0f", "| 1\ufe0f\u20e3 ☎\ufe0f ‼\ufe0f", id="emoji stay"),
        pytest.param("a\u034fb\u2800c\U0001bca0d\U0001d173e", "| abcde", id="other ignorables and blanks"),
        pytest.param("a\ud800b", "| a\ufffdb", id="lone surrogate"),
        pytest.param(
            "a\rb\r\nc\x0bd\x0ce\x85f\u2028g\u2029h\x1ci", "\n".join(f"| {c}" for c in "abcdefghi"), id="lines"
        ),
        pytest.param(
            "a\x1fb",
            "| ab",
            id="unit separator",
        ),
        pytest.param(
            "a\u200c\u200c\u200cb",
            "| ab",
            id="three joiners",
        ),
    ],
)
def test_what_nobody_sees_is_taken_out(text: str, body: str) -> None:
    """A judge must not be told something that a human reader of the same dialogue cannot see."""
    assert body_of(fenced("turn 1, seeker", text)) == body


@pytest.mark.parametrize(
    "marker",
    [
        *("<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<｜User｜>", "<｜end▁of▁sentence｜>"),
        *("<s>", "</s>", "<bos>", "<start_of_turn>", "<end_of_turn>", "<think>", "</think>", "<0x0A>", "<!--"),
        *("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[TOOL_CALLS]", "[SYSTEM_PROMPT]", "[THINK]"),
        *("<\u200b|im_start|>", "<\u2060think>", "[\x00INST]"),
    ],
)
def test_chat_role_markers_are_broken_up(marker: str) -> None:
    """A tokeniser that reads a marker in a turn would end the user message there."""
    visible = re.sub("[\u200b\u2060\x00]", "", marker)

    body = body_of(fenced("turn 1, seeker", f"a{marker}b"))

    assert visible not in body
    assert body.replace(" ", "") == f"|a{visible}b"


@pytest.mark.parametrize(
    "marker",
    ["[|user|]", "[|endofturn|]", "[gMASK]", "[@BOS@]", "]~b]user", "[e~[", "]~!b[", "]<]speech[>[", "]!p~[", "]!d~["],
)
def test_markers_in_other_square_brackets_are_broken_up(marker: str) -> None:
    """These, too, are single tokens to the models that know them."""
    assert marker not in body_of(fenced("turn 1, seeker", f"a{marker}b"))
