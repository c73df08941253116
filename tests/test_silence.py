"""Replies that say nothing are passed over in every format, counted, and refused with `strict`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.sources import Source, source_of
from tests.commands import Perm, runner
from tests.dialogue_files import (
    ANSWERS,
    ASKED,
    ASKS,
    ASSISTANT,
    TOLD,
    USER,
    census_of,
    document,
    lines,
    messages,
    native,
    paper,
    read,
    refusal,
    saved,
    table,
    told,
)
from tests.published import ED_HEADER, annomi, epitome, eqbench3, esconv, ieval, log, sage, sample, sharegpt, task

PASSED = "1 empty reply passed over, the first at {}: turn 2 has no text for the seeker (--strict refuses it)"


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line."""
    return runner(monkeypatch, capsys)


def of_two(*turns: tuple[str, str], roles: tuple[str, str], names: tuple[str, str]) -> list[dict[str, Any]]:
    """Return what two sides said as a format names it."""
    return [{names[0]: roles[side == "b"], names[1]: text} for side, text in turns]


TALK = (("a", ASKED), ("b", ""), ("a", "It does."), ("b", TOLD))
CHAT = of_two(*TALK, roles=("user", "assistant"), names=("role", "content"))
PAIRS: dict[str, tuple[Callable[[], Source], str]] = {
    "native": (lambda: saved(lines(native(turns=[ASKS, ANSWERS | {"text": " "}, ASKS, ANSWERS]))), "line 1"),
    "messages": (lambda: saved(lines(messages(*CHAT))), "line 1"),
    "messages, null": (lambda: saved(lines(messages(USER, ASSISTANT | {"content": None}, USER, ASSISTANT))), "line 1"),
    "sharegpt": (
        lambda: saved(lines(sharegpt(*of_two(*TALK, roles=("human", "gpt"), names=("from", "value"))))),
        "line 1",
    ),
    "eqbench3": (lambda: document(eqbench3(task(conversation_history=CHAT))), "k1_baker.scenario_tasks.1.1"),
    "esconv": (
        lambda: document([esconv(dialog=of_two(*TALK, roles=("seeker", "supporter"), names=("speaker", "content")))]),
        "[0]",
    ),
    "empathetic": (
        lambda: saved(f"{ED_HEADER}c,1,x,y,1,a,,\nc,2,x,y,2,,,\nc,3,x,y,1,b,,\nc,4,x,y,2,c,,\n".encode(), "d.csv"),
        "line 2",
    ),
    "annomi": (
        lambda: table(*(annomi(place, ("client", "therapist")[place % 2], said[1]) for place, said in enumerate(TALK))),
        "line 2",
    ),
    "sage": (lambda: saved(lines(sage(*CHAT))), "line 1"),
    "inspect": (lambda: document(log(sample(*CHAT))), "samples[0]"),
    "csv": (
        lambda: table(
            *(
                {"id": "d", "turn": str(n), **each}
                for n, each in enumerate(of_two(*TALK, roles=("user", "gpt"), names=("role", "text")))
            )
        ),
        "line 2",
    ),
}


@pytest.mark.parametrize(("source", "place"), PAIRS.values(), ids=PAIRS)
def test_an_empty_reply_is_passed_over_with_a_remark_and_what_follows_stays(
    source: Callable[[], Source], place: str
) -> None:
    """One slip of a model is no reason to judge nothing of what it said."""
    (census,) = census_of(source())
    (dialogue,) = read(source())

    assert [turn.role for turn in dialogue.turns] == ["seeker", "seeker", "supporter"]
    assert (census.supporter_turns, [each.message for each in census.remarks]) == (1, [PASSED.format(place)])


@pytest.mark.parametrize("source", [source for source, _ in PAIRS.values()], ids=PAIRS)
def test_an_empty_reply_is_refused_if_that_is_asked_for(source: Callable[[], Source]) -> None:
    """Whoever compares systems turn by turn must not lose one of them."""
    assert "turn 2: an empty reply found, expected text for the seeker" in refusal(
        source(), reading=Reading(strict=True)
    )


ALONE: dict[str, Callable[[str], Source]] = {
    "native": lambda text: saved(lines(native(), native(id="e", turns=[ASKS, ANSWERS | {"text": text}]))),
    "messages": lambda text: saved(lines(messages(), messages(USER, ASSISTANT | {"content": text}))),
    "paper": lambda text: saved(lines(paper(), paper(output=text or None))),
    "epitome": lambda text: table(epitome("1"), epitome("2", response="r2") | {"response_post": text}),
    "ieval": lambda text: document([ieval(bots=("Pink",)), ieval(bots=("Blue",), log=f"- {ASKED}\n- {text}")]),
    "pairs": lambda text: table({"seeker": ASKED, "supporter": TOLD}, {"seeker": ASKED, "supporter": text}),
}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((name, "") for name in ALONE),
        *((name, text) for name in ("messages", "paper", "pairs") for text in ("<think>Hm.", "# Analysis\nHm.")),
    ],
)
def test_a_dialogue_without_another_reply_is_passed_over_too(name: str, text: str) -> None:
    """There is nothing to judge in it, and both is said; what a model only thought is no reply."""
    (census,) = census_of(ALONE[name](text))

    assert census.dialogues in {1, 2}
    assert [each.message.partition(" passed")[0] for each in census.remarks] in (
        ["1 empty reply", "1 record"],
        ["2 empty replies", "2 records"],
    )


def test_a_file_of_nothing_but_empty_replies_is_refused() -> None:
    """A run over it would come to nothing."""
    message = refusal(saved(lines(messages(USER, ASSISTANT | {"content": ""}))))

    reason = "only empty replies found, expected at least one to judge"
    assert message == told(f"d.jsonl: 1 record passed over, the first at line 1: {reason}")


def test_notes_about_turns_keep_to_their_turns() -> None:
    """The numbers of the turns behind an empty one change."""
    labels = {"warmth": 3, "turns": {"1": {"a": 1}, "2": {"b": 2}, "4": {"c": 3}, "note": 5}}
    turns = [ASKS, ANSWERS | {"text": ""}, ASKS, ANSWERS]

    (dialogue,) = read(saved(lines(native(turns=turns, labels=labels))))

    assert dialogue.labels == {"warmth": 3, "turns": {"1": {"a": 1}, "3": {"c": 3}, "note": 5}}


def test_an_empty_last_reply_is_what_nobody_has_answered() -> None:
    """A trainer draws its prompt from what was said before it."""
    source = saved(lines(messages(USER, ASSISTANT, USER, ASSISTANT | {"content": ""})))

    (dialogue,) = read(source, reading=Reading(unanswered=True))

    assert [turn.role for turn in dialogue.turns] == ["seeker", "supporter", "seeker", "supporter"]


def test_the_command_line_says_what_was_passed_over_and_may_refuse_it(perm: Perm) -> None:
    """The option stands where files are read."""
    Path("d.jsonl").write_text(json.dumps(messages(*CHAT)))

    passed, refused = (perm("plan", "d.jsonl", "--judge", "baseline", *options) for options in ((), ("--strict",)))

    assert (passed.code, refused.code) == (0, 1)
    assert "d.jsonl:1: turn 2: an empty reply found, expected text for the seeker\n" in refused.err


@pytest.mark.parametrize("name", ["sage_last-empty.jsonl", "sage_mid-empty.jsonl"])
def test_results_of_sage_with_an_empty_message_are_read(shared: Path, name: str) -> None:
    """Seven of nineteen published files have one."""
    (census,) = census_of(source_of(str(shared / "data" / "faults" / name)))

    assert (census.dialogues, census.supporter_turns, len(census.remarks)) == (3, 5, 1)


PARTS = [
    {"type": "thinking", "thinking": "Hm.", "signature": "x"},
    {"type": "redacted_thinking", "data": "x"},
    {"type": "reasoning", "summary": []},
    {"type": "output_text", "text": "That"},
    {"type": "tool_use", "id": "1", "name": "n", "input": {}},
    {"type": "text", "text": "hurts."},
]


def test_parts_of_a_message_are_read_as_what_they_are() -> None:
    """Thinking and tool traffic is nobody's turn, and words are words in every dialect of the interface."""
    asked = {"role": "user", "content": [{"type": "input_text", "text": "I lost"}, "my job."]}
    traffic = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "4"}]}
    refused = {"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot."}]}

    (dialogue,) = read(saved(lines(messages(asked, ASSISTANT | {"content": PARTS[:5]}, traffic, refused))))

    assert [turn.text for turn in dialogue.turns] == ["I lost\nmy job.", "That", "I cannot."]


def test_a_message_of_thinking_alone_is_an_empty_reply() -> None:
    """Its tokens were all spent before a word was said."""
    (census,) = census_of(saved(lines(messages(USER, ASSISTANT | {"content": PARTS[:3]}, USER, ASSISTANT))))

    assert [each.message for each in census.remarks] == [PASSED.format("line 1")]


def test_a_picture_is_still_refused() -> None:
    """A judge would be asked about what it cannot see."""
    picture = USER | {"content": [{"type": "image_url", "image_url": {"url": "x"}}]}

    assert refusal(saved(lines(messages(picture, ASSISTANT)))) == told(
        "d.jsonl:1: messages[0].content: 'image_url' part found, expected text only"
    )
