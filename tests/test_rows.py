"""From what trainers hand over to items: every shape of prompt, completion and column that they are known to have."""

import asyncio
import uuid
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from perm_cli.dialogues.dialogue import Turn
from perm_cli.errors import SettingsError
from perm_cli.integrations import verifiers
from perm_cli.integrations.openrlhf import _warn_of_label, about_of, items_of, without_specials
from perm_cli.integrations.rows import _warn_of_nothing, finite, group_of, item_of, rationale_of, reply_in, turns_in
from perm_cli.reward import Item, Perm, Result
from perm_cli.rewards.formula import Recipe
from perm_cli.rewards.reward import unrated
from perm_cli.training.items import dialogue_of

SEEKER = Turn(role="seeker", text="I failed.")


def said(role: str, content: Any, **others: Any) -> dict[str, Any]:
    """Return a message."""
    return {"role": role, "content": content} | others


@pytest.mark.parametrize(
    ("completion", "reply"),
    [
        pytest.param("  That hurts. ", "  That hurts. ", id="plain text stays as it is"),
        pytest.param("", "", id="nothing"),
        pytest.param([], "", id="no message"),
        pytest.param(None, "", id="none"),
        pytest.param([said("assistant", "That hurts.")], "That hurts.", id="a chat of one"),
        pytest.param(
            [said("assistant", "Let me look."), said("tool", "42"), said("assistant", "That hurts.")],
            "That hurts.",
            id="the last after a tool",
        ),
        pytest.param(
            [said("assistant", "That hurts."), said("assistant", None, tool_calls=[{}]), said("tool", "42")],
            "That hurts.",
            id="a call of a tool says nothing",
        ),
        pytest.param([{"role": "assistant"}], "", id="no content"),
        pytest.param([said("assistant", None)], "", id="content is none"),
        pytest.param([said("assistant", "That hurts."), said("assistant", " ")], "That hurts.", id="a blank at last"),
        pytest.param([said("tool", "42"), said("user", "And?")], "", id="nothing of its own"),
        pytest.param([said("assistant", "Yes.", reasoning_content="Sad.")], "Yes.", id="reasoning apart"),
        pytest.param([said("assistant", None, reasoning_content="Sad.")], "", id="reasoning only"),
        pytest.param(
            [said("assistant", [{"type": "text", "text": "That"}, {"type": "text", "text": "hurts."}])],
            "That\nhurts.",
            id="parts",
        ),
        pytest.param(
            [said("assistant", [{"type": "text", "text": "Yes."}, {"type": "image", "text": None}])],
            "Yes.",
            id="parts with none, as a table of parts has",
        ),
        pytest.param([SimpleNamespace(role="assistant", content="Yes.")], "Yes.", id="objects"),
        pytest.param([{"from": "gpt", "value": "Yes."}], "Yes.", id="sharegpt"),
    ],
)
def test_the_reply_is_what_the_policy_said_last(completion: object, reply: str) -> None:
    """Whatever shape it comes in."""
    assert reply_in(completion) == reply


@pytest.mark.parametrize(
    ("prompt", "turns"),
    [
        pytest.param("I failed.", (SEEKER,), id="text"),
        pytest.param(" ", (), id="blank"),
        pytest.param(None, (), id="none"),
        pytest.param([said("system", "Be kind."), said("user", "I failed.")], (SEEKER,), id="instructions"),
        pytest.param([said("developer", "Be kind."), said("human", "I failed.")], (SEEKER,), id="other names"),
        pytest.param([said("user", "I failed."), said("tool", "42"), {"role": "user"}], (SEEKER,), id="tools"),
        pytest.param([said("user", [{"type": "text", "text": "I failed."}])], (SEEKER,), id="parts"),
        pytest.param([{"role": "seeker", "text": "I failed."}], (SEEKER,), id="the native format"),
        pytest.param(
            [said("user", "I failed."), said("assistant", "# Analysis\nSad.\n# Response\nOh.")],
            (SEEKER, Turn(role="supporter", text="Oh.", analysis="Sad.")),
            id="an earlier answer",
        ),
        pytest.param(
            [said("user", "I failed."), said("assistant", "<think>Sad.</think>")], (SEEKER,), id="an earlier thought"
        ),
    ],
)
def test_the_talk_is_what_the_two_said(prompt: object, turns: tuple[Turn, ...]) -> None:
    """Instructions are for the policy; a judge must not take them for the seeker's."""
    assert turns_in(prompt) == turns


def test_columns_say_what_the_prompt_was_made_of() -> None:
    """The policy's prompt is full of instructions; what the seeker said is beside it."""
    about = {"query": "I failed.", "persona": "Proud.", "scenario": "An exam.", "turns": None, "other": object}

    found = item_of("Instructions: reply to …", "That hurts.", about, tokens=7)

    assert (found.query, found.turns) == ("I failed.", ())
    assert (found.persona, found.scenario, found.reply, found.tokens) == ("Proud.", "An exam.", "That hurts.", 7)


def test_perms_own_rows_are_read() -> None:
    """Persona and dialogue as the authors' data has them."""
    row = {"persona": {"identity": "Proud.", "age": 3}, "scenario": "An exam.", "dialogue": ["I failed.", "Yes."]}

    found = item_of("Instructions", "That hurts.", row)

    assert (found.persona, found.scenario, found.query) == ("Proud.", "An exam.", "I failed.")


def test_a_whole_talk_can_stand_beside_the_prompt() -> None:
    """In the native format; what is the last thing said in it, a query need not say again."""
    turns = [{"role": "seeker", "text": "I failed."}, {"role": "supporter", "text": "Oh.", "analysis": None}]

    assert item_of("p", "r", {"turns": turns}).turns == (SEEKER, Turn(role="supporter", text="Oh."))
    both = item_of("p", "r", {"turns": turns, "query": "Hello."})
    assert (both.query, len(both.turns)) == ("", 2)
    assert item_of("p", "r", {"turns": turns[:1], "query": "I failed."}).query == "I failed."
    assert item_of("p", "r", {"query": "  "}).turns == (Turn(role="seeker", text="p"),)


SUPPORTER = Turn(role="supporter", text="Oh.")
AND = Turn(role="seeker", text="And now?")
ROLLOUT = [said("assistant", "Oh."), said("user", "And now?"), said("assistant", "<think>Hm.</think>We look.")]


@pytest.mark.parametrize(
    ("prompt", "about"),
    [
        pytest.param([said("system", "Be kind."), said("user", "I failed.")], {}, id="a chat"),
        pytest.param("I failed.", {}, id="text"),
        pytest.param("Instructions", {"query": "I failed."}, id="a query beside it"),
        pytest.param("Instructions", {"turns": [{"role": "seeker", "text": "I failed."}]}, id="turns beside it"),
    ],
)
def test_of_several_turns_the_last_reply_is_judged_in_the_whole_talk(prompt: object, about: dict[str, Any]) -> None:
    """What a simulated seeker said during the rollout is what the reply answers."""
    found = item_of(prompt, ROLLOUT, about)

    assert (found.query, found.turns) == ("", (SEEKER, SUPPORTER, AND))
    assert found.reply == "<think>Hm.</think>We look."


def test_what_is_said_after_the_last_reply_and_by_tools_is_no_part_of_the_talk() -> None:
    """The policy has not answered the one, and nobody has said the other."""
    completion = [
        said("assistant", "Let me look.", tool_calls=[{}]),
        said("tool", "42"),
        *ROLLOUT[:1],
        said("user", "Bye."),
    ]

    found = item_of("I failed.", completion, {})

    assert [turn.text for turn in found.turns] == ["I failed.", "Let me look."]
    assert found.reply == "Oh."


def test_a_prompt_that_has_grown_beyond_its_row_is_the_talk() -> None:
    """Some trainers hand over all messages of a rollout as the prompt of its last reply."""
    prompt = [said("system", "Be kind."), said("user", "I failed."), *ROLLOUT[:2]]

    assert item_of(prompt, "We look.", {"query": "I failed."}).turns == (SEEKER, SUPPORTER, AND)
    assert item_of(prompt, "We look.", {"query": "I lost."}).query == "I lost."


def test_a_rollout_of_verifiers_is_judged_in_its_talk() -> None:
    """A trace has its messages in nodes; those that were sampled from the policy begin the completion."""
    chat = [said("user", "I failed."), *ROLLOUT]
    nodes = [
        SimpleNamespace(message=SimpleNamespace(**each), parent=place - 1 if place else None, sampled=bool(place))
        for place, each in enumerate(chat)
    ]
    task = SimpleNamespace(prompt="I failed.", query="I failed.")
    perm = Perm(judge="baseline")

    in_line = asyncio.run(verifiers.scored(perm, task, SimpleNamespace(nodes=nodes, last_reply=ROLLOUT[-1]["content"])))
    parted = asyncio.run(verifiers.scored(perm, task, SimpleNamespace(nodes=nodes, last_reply="We look at it.")))
    (whole,) = perm.score_now([item_of("I failed.", ROLLOUT, {})])
    (alone,) = perm.score_now([item_of("I failed.", "We look at it.", {})])
    perm.close()

    assert (in_line.parts, parted.parts) == (whole.parts, alone.parts)
    assert whole.parts != alone.parts


@pytest.mark.parametrize(
    ("prompt", "opened"),
    [
        pytest.param("<|im_start|>assistant\n<think>\n", True, id="rendered text"),
        pytest.param("<|im_start|>assistant\n", False, id="rendered text that does not"),
        pytest.param([said("user", "Hi."), said("assistant", "<think>\n")], True, id="a reply begun for it"),
        pytest.param([said("user", "<think>")], False, id="a user's words"),
    ],
)
def test_a_prompt_that_begins_the_thinking_is_noticed(prompt: object, opened: bool) -> None:
    """Then the completion starts inside, and says nothing if it does not come out."""
    found = item_of(prompt, "She is sad. That hurts.", {"query": "I failed."})

    assert found.opened is opened
    assert (dialogue_of(found) is None) is opened


def test_columns_that_say_nothing_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """A misnamed column would have every reply judged as if it were said into the void."""
    _warn_of_nothing.cache_clear()

    item_of("", "r", {"question": "I failed."})

    assert "no query, turns or prompt found" in caplog.text


@pytest.mark.parametrize("name", ["query", "persona", "scenario", "turns", "dialogue"])
@pytest.mark.parametrize("value", [None, "", [], {}, 3, {"identity": None}], ids=repr)
def test_columns_of_other_rows_are_none(name: str, value: object) -> None:
    """Data sets that were joined have every column in every row."""
    found = item_of("I failed.", "That hurts.", {name: value})

    assert dialogue_of(found) == dialogue_of(Item(query="I failed.", reply="That hurts."))


def test_completions_of_one_prompt_are_a_group_and_no_others() -> None:
    """Whichever part tells prompts apart."""
    chat = [said("user", "I failed.")]
    turns = [{"role": "seeker", "text": "I failed."}]
    rows: list[tuple[object, dict[str, Any]]] = [
        ("p", {}),
        (chat, {}),
        ("p", {"query": "q"}),
        ("p", {"persona": "x"}),
        ("p", {"scenario": "x"}),
        ("p", {"turns": turns}),
        ("p", {"turns": [*turns, {"role": "supporter", "text": "Oh."}]}),
        ("p", {"dialogue": ["q2", "x"]}),
    ]

    groups = [item_of(prompt, reply, about).group for prompt, about in rows for reply in ("a", "b")]

    assert groups[::2] == groups[1::2]
    assert len(set(groups)) == len(rows)
    assert all(groups)


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param("\udc00", id="half a character"),
        pytest.param([said("user", "\ud83d")], id="in a chat"),
        pytest.param([said("user", "x", at=datetime(2026, 1, 1, tzinfo=UTC), id=uuid.UUID(int=1))], id="other types"),
        pytest.param([SimpleNamespace(role="user", content="x")], id="objects"),
        pytest.param({1: {2: 3}, (4, 5): 2**70}, id="what JSON does not hold"),
    ],
)
def test_any_prompt_has_a_group(prompt: object) -> None:
    """A batch of thousands must not end of one odd row."""
    assert group_of(prompt) == group_of(prompt)
    assert item_of(prompt, "r", {"scenario": "\udc00"}).group


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Yes.<|im_end|>", "Yes."),
        ("Yes.<|im_end|>\n<|endoftext|> ", "Yes."),
        ("Yes.</s>", "Yes."),
        ("Yes.<end_of_turn>\n", "Yes."),
        ("Is 1<2? </b>", "Is 1<2? </b>"),
        ("<|im_end|> is a token.", "<|im_end|> is a token."),
    ],
)
def test_special_tokens_at_the_end_are_nobodys_words(text: str, left: str) -> None:
    """Trainers that hand over decoded text leave them there; a judge would wonder."""
    assert without_specials(text) == left


@pytest.mark.parametrize(
    ("label", "row"),
    [
        ('{"query": "q"}', {"query": "q"}),
        ({"query": "q"}, {"query": "q"}),
        ("gold", {}),
        ("[1]", {}),
        ("", {}),
        (None, {}),
        (3, {}),
    ],
)
def test_a_label_that_is_no_object_says_nothing(label: object, row: dict[str, str]) -> None:
    """It may be another reward's."""
    assert about_of(label) == row


def test_a_label_that_is_no_object_is_refused_or_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """What was meant to say who is answered would be passed over otherwise; some labels are for other rewards."""
    _warn_of_label.cache_clear()

    with pytest.raises(SettingsError, match=r"label: wrong JSON found .*, expected an object with query"):
        about_of("{'query': 'q'}")
    assert [about_of(label) for label in (None, "", "{}")] == [{}, {}, {}]
    assert caplog.records == []
    assert about_of("Paris") == {}
    assert "a label that is no object found" in caplog.text


def test_the_prompt_is_taken_off_the_front_only() -> None:
    """A policy may repeat it."""
    (found,) = items_of(["P: hi. P: hi."], ["P: hi."], None)

    assert found.reply == " P: hi."


def result(**changes: Any) -> Result:
    """Return a result that nobody has judged."""
    parts = unrated("j", "s", Recipe(), None, None)
    return Result(**{"reward": None, "parts": parts, "rationales": {}} | changes)


def test_a_rationale_is_a_line_with_every_dimension() -> None:
    """For the tables of completions that trainers log."""
    found = rationale_of(result(rationales={"reception": "It helps."}))

    assert found == (
        "resonation: no score (not rated) | expression: no score (not rated) | reception: It helps. | "
        "bystander: no score (not rated)"
    )
    assert rationale_of(result(empty=True)) == "nothing is said to the seeker"


def test_numbers_only_are_numbers_only() -> None:
    """Trainers that stack them into an array take nothing else."""
    assert finite({"a": None, "b": 3, "c": 0.5, "d": True}) == {"a": 0.0, "b": 3.0, "c": 0.5, "d": 1.0}
