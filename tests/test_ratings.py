"""Ratings: one question, asked until the reply can be read or is known not to come."""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perm_cli.errors import CallFailed, JudgeUnusable
from perm_cli.judges.judge import Reply, Request, TokenChoice
from perm_cli.prompts.book import Prompt, Question
from perm_cli.prompts.rubrics import Pack
from perm_cli.ratings.rating import (
    Call,
    Rating,
    RatingRules,
    is_settled,
    key_of,
    rate,
    rating_line,
    read_rating,
    schema_of,
)
from tests.makers import rating

PROMPT = Prompt("Rate the reply.", "I am here.")
RULES = RatingRules(settings="x", judge="j", max_tokens=100)
EXPECTED = replace(RULES, expected=True)
ITEMS = '{"effectiveness": 15, "clarity": 15, "efficiency": 15, "objectivity": 15, "accuracy": 15}'
NO_CHANCES = "no log-probabilities at the verdict: the stated score stands"


class Scripted:
    """A judge that says, or raises, one thing after the other."""

    def __init__(self, *answers: Reply | str | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []

    async def ask(self, request: Request) -> Reply:
        """Return the next answer."""
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Reply(text=answer) if isinstance(answer, str) else answer


Asking = Callable[..., Call]


@pytest.fixture
def call_for(pack: Pack) -> Asking:
    """Return a maker of calls."""

    def make(name: str = "reception", **changes: Any) -> Call:
        question = Question(
            dialogue_id="d", system="s", turn=2, dimension=pack.dimensions[name], view={}, digest=b"prompt"
        )
        return Call(**{"question": question, "sample": 0, "key": "k"} | changes)

    return make


async def test_a_reply_with_a_verdict_is_a_scored_rating(call_for: Asking) -> None:
    """All that the line in the file needs is on the rating."""
    reply = Reply(
        text="Reason: near\nScore: 4",
        tokens_in=50,
        tokens_out=9,
        cached_tokens=20,
        cost_usd=0.25,
        model_served="m-1",
        attempts=2,
    )

    made = await rate(Scripted(reply), call_for(sample=3), PROMPT, RULES)

    assert replace(made, at="", latency_s=0.0) == Rating(
        key="k",
        settings="x",
        dialogue_id="d",
        system="s",
        turn=2,
        dimension="reception",
        judge="j",
        sample=3,
        status="scored",
        score=4,
        rationale="near",
        raw="Reason: near\nScore: 4",
        tokens_in=50,
        tokens_out=9,
        cached_tokens=20,
        cost_usd=0.25,
        model_served="m-1",
        attempts=2,
    )


async def test_a_bystander_s_rating_keeps_its_items(call_for: Asking) -> None:
    """The score is their sum, out of a hundred."""
    made = await rate(Scripted(ITEMS), call_for("bystander"), PROMPT, RULES)

    assert (made.score, set((made.items or {}).values())) == (75, {15})


async def test_a_garbled_reply_is_asked_for_once_more(call_for: Asking) -> None:
    """What both attempts cost is on the one rating."""
    replies = [
        Reply(text="Warm!", tokens_in=50, tokens_out=2, cached_tokens=1, cost_usd=0.25),
        Reply(text="Score: 4", tokens_in=50, tokens_out=3, cached_tokens=40, cost_usd=0.5, attempts=3),
    ]

    made = await rate(Scripted(*replies), call_for(), PROMPT, RULES)

    assert (made.status, made.score, made.raw) == ("scored", 4, "Score: 4")
    assert (made.attempts, made.tokens_in, made.tokens_out, made.cached_tokens) == (4, 100, 5, 41)
    assert made.cost_usd == 0.75


@pytest.mark.parametrize("reask", [0, 1, 3])
async def test_a_judge_that_stays_garbled_is_asked_no_more_than_that(reask: int, call_for: Asking) -> None:
    """Every attempt is paid for."""
    judge = Scripted(*["Warm!"] * 9)

    made = await rate(judge, call_for(), PROMPT, replace(RULES, reask=reask))

    assert (made.status, made.score, made.attempts) == ("unparseable", None, reask + 1)
    assert len(judge.asked) == reask + 1


async def test_a_cut_reply_is_asked_for_again_with_four_times_the_room(call_for: Asking) -> None:
    """A judge that thinks before it speaks may need it."""
    judge = Scripted(Reply(text="Reason: be", finish_reason="length"), "Score: 4")

    made = await rate(judge, call_for(), PROMPT, RULES)

    assert [request.max_tokens for request in judge.asked] == [None, 400]
    assert (made.status, made.attempts) == ("scored", 2)


async def test_a_reply_cut_twice_stays_truncated(call_for: Asking) -> None:
    """Room is given once; who fills that too would fill any."""
    judge = Scripted(*[Reply(text="<think>", finish_reason="length")] * 9)

    made = await rate(judge, call_for(), PROMPT, RULES)

    assert (made.status, made.score, made.attempts) == ("truncated", None, 2)


async def test_a_cut_reply_that_is_garbled_next_is_asked_for_with_the_same_room(call_for: Asking) -> None:
    """The two remedies add up, each at most as often as it alone would."""
    cut = Reply(text="<think>", finish_reason="length")
    judge = Scripted(cut, "Warm!", "Score: 4")

    made = await rate(judge, call_for(), PROMPT, RULES)

    assert [request.max_tokens for request in judge.asked] == [None, 400, 400]
    assert (made.status, made.attempts) == ("scored", 3)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        pytest.param("Score: 9", "out_of_range", id="off-the-scale"),
        pytest.param("I'm sorry, I can't.", "refused", id="refused"),
    ],
)
async def test_a_clear_answer_is_not_asked_for_again(text: str, status: str, call_for: Asking) -> None:
    """Asking until the answer pleases would be choosing it."""
    made = await rate(Scripted(text), call_for(), PROMPT, RULES)

    assert (made.status, made.score, made.attempts) == (status, None, 1)


@pytest.mark.parametrize("transient", [True, False])
async def test_a_failed_call_is_a_rating_without_a_score(transient: bool, call_for: Asking) -> None:
    """One bad call among a million must not end the run."""
    failure = CallFailed("no answer", kind="timeout", transient=transient)
    failure.attempts = 8

    made = await rate(Scripted(failure), call_for(), PROMPT, RULES)

    assert (made.status, made.score, made.attempts) == ("failed", None, 8)
    assert made.error == {"kind": "timeout", "message": "no answer", "transient": transient}
    assert is_settled(made.status, made.error) is not transient


async def test_a_failure_after_a_garbled_reply_still_counts_what_was_paid(call_for: Asking) -> None:
    """The first reply was billed whatever came of the second."""
    garbled = Reply(text="Warm!", tokens_in=50, tokens_out=2, cost_usd=0.25)

    made = await rate(Scripted(garbled, CallFailed("down", kind="server", transient=True)), call_for(), PROMPT, RULES)

    assert (made.status, made.tokens_in, made.cost_usd, made.attempts) == ("failed", 50, 0.25, 2)


async def test_a_provider_s_refusal_is_a_refusal(call_for: Asking) -> None:
    """Some providers refuse with an error instead of a reply."""
    made = await rate(
        Scripted(CallFailed("content_filter", kind="refused", transient=False)), call_for(), PROMPT, RULES
    )

    assert (made.status, made.note, made.error, made.attempts) == ("refused", "content_filter", None, 1)


async def test_a_judge_no_call_can_reach_stops_the_run(call_for: Asking) -> None:
    """A wrong key fails the same way a million times."""
    with pytest.raises(JudgeUnusable, match="wrong key"):
        await rate(Scripted(JudgeUnusable("wrong key")), call_for(), PROMPT, RULES)


@pytest.mark.parametrize(("seeded", "seed"), [(True, 3), (False, None)])
async def test_the_number_of_the_sample_is_the_seed_if_samples_are_seeded(
    seeded: bool,
    seed: int | None,
    call_for: Asking,
) -> None:
    """Samples with one seed would all be the same."""
    judge = Scripted("Score: 4")

    await rate(judge, call_for(sample=3), PROMPT, replace(RULES, seeded=seeded))

    assert [request.seed for request in judge.asked] == [seed]


async def test_the_request_carries_the_prompt_and_the_schema(call_for: Asking, pack: Pack) -> None:
    """The judge sees nothing else of the dialogue."""
    judge = Scripted("Score: 4")

    await rate(judge, call_for(), PROMPT, RULES)

    assert judge.asked == [Request(prompt=PROMPT, schema=schema_of(pack.dimensions["reception"]))]


def chances(**shares: float) -> tuple[tuple[str, float], ...]:
    """Return alternatives with these probabilities; a name such as `_4` stands for the digit."""
    return tuple((name.removeprefix("_"), math.log(share)) for name, share in shares.items())


def tokens(*texts: str | TokenChoice) -> tuple[TokenChoice, ...]:
    """Return tokens; of plain texts without an alternative."""
    return tuple(TokenChoice(each.encode(), ()) if isinstance(each, str) else each for each in texts)


AT_FOUR = TokenChoice(b"4", chances(_4=0.6, _5=0.2, x=0.2))
AT_THREE = TokenChoice(b"3", chances(_3=1.0))
# 0.6 and 0.2 are 0.75 and 0.25 of the 0.8 on the scale: 4 times 0.75 and 5 times 0.25 make 4.25; 0.2 is missing.
HAND_WORKED = (4.25, {"4": 0.75, "5": 0.25, "missing": 0.2})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param("Score: 4", tokens("Score", ":", " ", AT_FOUR), id="plain"),
        pytest.param('{"score": 4}', tokens('{"score', '": ', AT_FOUR, "}"), id="json"),
        pytest.param("Reason: 3\nScore: 4", tokens("Reason: ", AT_THREE, "\nScore: ", AT_FOUR), id="digit-before"),
        pytest.param("Score: 4\nReason: 3", tokens("Score: ", AT_FOUR, "\nReason: ", AT_THREE), id="digit-behind"),
        pytest.param(
            '{"rationale": "3 of 5", "score": 4}',
            tokens('{"rationale": "', AT_THREE, ' of 5", "score": ', AT_FOUR, "}"),
            id="digit-in-the-rationale",
        ),
        pytest.param("理由：近\nScore： 4", tokens("理由：近\n", "Score：", " ", AT_FOUR), id="multi-byte-before"),
        pytest.param(
            "é Score\nScore: 4",
            (TokenChoice(b"\xc3", ()), TokenChoice(b"\xa9", ()), *tokens(" Score\nScore: ", AT_FOUR)),
            id="token-inside-a-character",
        ),
        pytest.param(
            "Score: 4",
            tokens("Score:", TokenChoice(b" 4", ((" 4", math.log(0.6)), (" 5", math.log(0.2)), ("x", math.log(0.2))))),
            id="blank-in-the-token",
        ),
        pytest.param(
            "Score: 4",
            tokens("Score: ", TokenChoice(b"4", (*chances(_4=0.4, _5=0.2), (" 4", math.log(0.2))))),
            id="level-in-two-spellings",
        ),
        pytest.param(
            "Score: 4", tokens("maybe ", AT_THREE, "?\nScore: 5\n\n", "Score: ", AT_FOUR), id="thinking-tokens-before"
        ),
        pytest.param(
            "<think>3</think>Score: 4", tokens("<think>", AT_THREE, "</think>Score: ", AT_FOUR), id="thinking"
        ),
        pytest.param("Score: 4", tokens("Score: ", AT_FOUR, "<|im_end|>"), id="end-mark-behind"),
    ],
)
async def test_the_expected_score_weighs_the_levels_at_the_verdict(
    text: str, parts: tuple[TokenChoice, ...], call_for: Asking
) -> None:
    """One token beside the verdict, the weights would be of something else."""
    made = await rate(Scripted(Reply(text=text, tokens=parts)), call_for(), PROMPT, EXPECTED)

    assert (made.score, made.distribution) == (pytest.approx(HAND_WORKED[0]), pytest.approx(HAND_WORKED[1]))
    assert made.note == ""


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((), id="none-given"),
        pytest.param(tokens("Score", " 4"), id="not-the-text"),
        pytest.param(tokens("Score: "), id="too-few"),
        pytest.param(tokens("Score: ", "4"), id="no-alternatives"),
        pytest.param(tokens("Score: ", TokenChoice(b"4", chances(_9=0.6, x=0.4))), id="none-on-the-scale"),
        pytest.param(tokens("Score: ", TokenChoice(b"4", chances(_4=0.001, x=0.9))), id="hardly-any-on-the-scale"),
    ],
)
async def test_without_usable_log_probabilities_the_stated_score_stands_and_is_noted(
    parts: tuple[TokenChoice, ...], call_for: Asking
) -> None:
    """A finer score that is not one must say so."""
    made = await rate(Scripted(Reply(text="Score: 4", tokens=parts)), call_for(), PROMPT, EXPECTED)

    assert (made.score, made.distribution, made.note) == (4, None, NO_CHANCES)


async def test_log_probabilities_are_not_looked_at_unless_asked_for(call_for: Asking) -> None:
    """A plain run gives the paper's number."""
    reply = Reply(text="Score: 4", tokens=tokens("Score: ", AT_FOUR))

    made = await rate(Scripted(reply), call_for(), PROMPT, RULES)

    assert (made.score, made.distribution) == (4, None)


async def test_a_verdict_off_the_scale_gets_no_expected_score(call_for: Asking) -> None:
    """Its neighbours on the scale must not stand in for it."""
    nine = TokenChoice(b"9", chances(_9=0.6, _4=0.4))

    made = await rate(Scripted(Reply(text="Score: 9", tokens=tokens("Score: ", nine))), call_for(), PROMPT, EXPECTED)

    assert (made.status, made.score) == ("out_of_range", None)


async def test_a_bystander_has_no_expected_score(call_for: Asking) -> None:
    """Its five items stand at five places, and their sum at none."""
    made = await rate(Scripted(Reply(text=ITEMS, tokens=tokens(ITEMS))), call_for("bystander"), PROMPT, EXPECTED)

    assert (made.score, made.distribution, made.note) == (75, None, "")


@pytest.mark.parametrize(
    ("name", "names", "levels"),
    [
        pytest.param("reception", ["score"], [1, 2, 3, 4, 5], id="scale"),
        pytest.param(
            "bystander",
            ["effectiveness", "clarity", "efficiency", "objectivity", "accuracy"],
            list(range(21)),
            id="bystander",
        ),
    ],
)
def test_the_schema_wants_the_rationale_before_the_numbers(
    name: str, names: list[str], levels: list[int], pack: Pack
) -> None:
    """A judge that writes the number first makes up its reasons afterwards."""
    schema = schema_of(pack.dimensions[name])

    assert list(schema["properties"]) == schema["required"] == ["rationale", *names]
    assert [schema["properties"][each]["enum"] for each in names] == [levels] * len(names)
    assert schema["additionalProperties"] is False


def test_a_key_changes_with_each_thing_it_is_made_of(call_for: Asking) -> None:
    """What has another prompt, judge or sample is another rating and has to be paid for."""
    question = call_for().question
    other = replace(question, digest=b"other prompt")

    keys = {
        key_of(question, b"judge", 0),
        key_of(other, b"judge", 0),
        key_of(question, b"other judge", 0),
        key_of(question, b"judge", 1),
    }

    assert len(keys) == 4


@pytest.mark.parametrize("change", [{"dialogue_id": "e"}, {"system": "t"}])
def test_the_same_words_of_another_have_a_key_of_their_own(call_for: Asking, change: dict[str, str]) -> None:
    """Canned replies are rated each, or all but one of them would vanish from the results."""
    question = call_for().question

    assert key_of(question, b"judge", 0) != key_of(replace(question, **change), b"judge", 0)


TEXTS = st.text(st.characters(exclude_categories=()))
FILLED = st.builds(
    rating,
    dialogue_id=TEXTS,
    system=TEXTS,
    score=st.floats(1, 5),
    items=st.none() | st.dictionaries(st.text(), st.integers(0, 20)),
    distribution=st.none() | st.dictionaries(st.text(), st.floats(0, 1)),
    rationale=TEXTS,
    note=TEXTS,
    raw=TEXTS,
    model_served=TEXTS,
    cost_usd=st.none() | st.floats(0, 1),
    error=st.none() | st.dictionaries(st.text(), st.booleans() | st.text()),
)


@settings(deadline=None)
@given(FILLED)
def test_a_rating_comes_back_from_its_line(made: Rating) -> None:
    """Half a surrogate pair, which no file can hold, is all that may be lost."""
    line = rating_line(made)

    texts = {each.name: value for each in fields(made) if isinstance(value := getattr(made, each.name), str)}
    mended = {name: text.encode(errors="replace").decode() for name, text in texts.items()}
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert read_rating(line) == replace(made, **mended)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(rating_line(rating())[:-9], id="half-written"),
        pytest.param(b"\x00" * 40, id="noughts"),
        pytest.param(b"", id="empty"),
        pytest.param(b"[1]", id="list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"key": "k"}', id="fields-missing"),
        pytest.param(b'{"\xff": 1}', id="not-utf-8"),
    ],
)
def test_a_damaged_line_is_no_rating(line: bytes) -> None:
    """A machine that loses power in the middle of a line costs that one rating."""
    assert read_rating(line) is None


@pytest.mark.parametrize(
    ("changes", "settled"),
    [
        pytest.param({"status": "scored"}, True, id="scored"),
        pytest.param({"status": "refused"}, True, id="refused"),
        pytest.param({"status": "truncated"}, True, id="truncated"),
        pytest.param({"status": "unparseable"}, True, id="unparseable"),
        pytest.param({"status": "out_of_range"}, True, id="out-of-range"),
        pytest.param({"status": "skipped"}, False, id="skipped"),
        pytest.param({"status": "failed", "error": {"transient": True}}, False, id="failed-for-now"),
        pytest.param({"status": "failed", "error": {"transient": False}}, True, id="failed-for-good"),
        pytest.param({"status": "failed"}, False, id="failed-for-unknown-reasons"),
    ],
)
def test_only_what_may_turn_out_otherwise_is_asked_again(changes: dict[str, Any], settled: bool) -> None:
    """A resumed run pays for nothing twice and gives up on nothing too early."""
    made = rating(**changes)

    assert is_settled(made.status, made.error) is settled
