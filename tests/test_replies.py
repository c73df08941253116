"""Replies: completions as providers write them, and as they should not."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perm_cli.errors import CallFailed
from perm_cli.judges.judge import Reply, TokenChoice
from perm_cli.judges.replies import read_reply
from perm_cli.judges.settings import Price


def body(message: object = None, **changes: Any) -> dict[str, Any]:
    """Return a completion; `changes` go into its one choice, `usage` and `model` beside it."""
    beside = {name: changes.pop(name) for name in ("usage", "model") if name in changes}
    return {"choices": [{"message": {"content": "Score: 4"} if message is None else message} | changes]} | beside


def test_a_completion_becomes_a_reply() -> None:
    """Everything a rating records of a call is taken from here."""
    answer = body(
        finish_reason="length",
        model="m-2026",
        usage={"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}},
    )

    reply = read_reply(answer, Price(input=0.15, output=0.6, cached=0.075), 3)

    # 600 fresh tokens at 0.15, 400 at 0.075, 100 at 0.6: 90 + 30 + 60 = 180 millionths.
    assert reply == Reply(
        text="Score: 4",
        finish_reason="length",
        tokens_in=1000,
        tokens_out=100,
        cached_tokens=400,
        cost_usd=pytest.approx(180e-6),  # type: ignore[arg-type]
        model_served="m-2026",
        attempts=3,
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param("Score: 4", "Score: 4", id="text"),
        pytest.param(None, "", id="null"),
        pytest.param([{"type": "text", "text": "Score: "}, {"type": "text", "text": "4"}], "Score: 4", id="parts"),
        pytest.param(
            [{"type": "thinking", "thinking": [{"text": "5?"}]}, {"type": "text", "text": "Score: 4"}],
            "Score: 4",
            id="thinking-part",
        ),
        pytest.param(["Score: 4", {"text": None}, {}], "", id="odd-parts"),
        pytest.param(4, "", id="number"),
    ],
)
def test_the_text_is_what_the_judge_said(content: object, text: str) -> None:
    """Thinking that comes apart from the answer is no part of it."""
    reply = read_reply(body({"content": content, "reasoning_content": "Score: 5"}), None, 1)

    assert reply.text == text


@pytest.mark.parametrize(
    ("message", "finish_reason", "read"),
    [
        pytest.param({"content": "x"}, "stop", "stop", id="stop"),
        pytest.param({"content": "x"}, None, "stop", id="null"),
        pytest.param({"content": "x"}, "content_filter", "content_filter", id="filter"),
        pytest.param({"content": None, "refusal": "I can't."}, "stop", "refusal", id="refusal"),
        pytest.param({"content": "x", "refusal": None}, "length", "length", id="no-refusal"),
    ],
)
def test_the_finish_reason_says_how_the_reply_ended(message: object, finish_reason: str | None, read: str) -> None:
    """OpenAI writes a refusal beside the content and still says `stop`."""
    reply = read_reply(body(message, finish_reason=finish_reason), None, 1)

    assert reply.finish_reason == read


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        pytest.param({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}, (9, 0, 4), id="openai"),
        pytest.param({"prompt_tokens": 9, "prompt_cache_hit_tokens": 5}, (9, 0, 5), id="deepseek"),
        pytest.param(
            {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 5},
            (9, 0, 5),
            id="both",
        ),
        pytest.param({"prompt_tokens": 9, "prompt_tokens_details": None}, (9, 0, 0), id="null-details"),
        pytest.param({"completion_tokens": -3}, (0, 0, 0), id="negative"),
        pytest.param(
            {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 10**12}}, (9, 0, 0), id="cached-beyond-all"
        ),
        pytest.param({"prompt_tokens": 9, "prompt_cache_hit_tokens": 10}, (9, 0, 9), id="more-cached-than-sent"),
        pytest.param({"prompt_tokens": 2**53 - 1, "completion_tokens": 10**9}, (0, 0, 0), id="beyond-any-context"),
        pytest.param({"prompt_tokens": "9", "completion_tokens": None}, (0, 0, 0), id="no-numbers"),
        pytest.param(None, (0, 0, 0), id="null"),
        pytest.param({}, (0, 0, 0), id="empty"),
    ],
)
def test_tokens_are_counted_as_the_provider_counts_them(usage: object, counts: tuple[int, int, int]) -> None:
    """A server that does not count costs us the numbers, not the rating."""
    reply = read_reply(body(usage=usage), None, 1)

    assert (reply.tokens_in, reply.tokens_out, reply.cached_tokens) == counts


def test_without_a_price_there_is_no_cost() -> None:
    """None is not nought: the summary says that the cost is unknown."""
    assert read_reply(body(usage={"prompt_tokens": 9}), None, 1).cost_usd is None


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({}, id="empty"),
        pytest.param({"choices": None}, id="null"),
        pytest.param({"choices": []}, id="none"),
        pytest.param({"choices": [None]}, id="null-choice"),
        pytest.param({"choices": ["Score: 4"]}, id="text-choice"),
        pytest.param({"choices": "Score: 4"}, id="text"),
        pytest.param({"choices": {"0": {}}}, id="object"),
    ],
)
def test_an_answer_without_choices_is_a_failed_call_that_may_pass(answer: dict[str, Any]) -> None:
    """Overloaded routers answer so, with a `200`."""
    with pytest.raises(CallFailed, match="without choices") as caught:
        read_reply(answer, None, 1)

    assert (caught.value.kind, caught.value.transient) == ("malformed", True)


def logprobs(*tokens: object) -> dict[str, Any]:
    """Return log-probabilities as they stand in a choice."""
    return {"content": list(tokens)}


def test_log_probabilities_become_choices_of_tokens() -> None:
    """Bytes are kept where they are given, as a token may end inside a character."""
    given_tokens = logprobs(
        {"token": "\\xc3", "bytes": [195], "top_logprobs": []},
        {"token": "4", "bytes": None, "top_logprobs": [{"token": "4", "logprob": -0.5}, {"token": "5", "logprob": -1}]},
        {"token": "."},
    )

    reply = read_reply(body(logprobs=given_tokens), None, 1)

    assert reply.tokens == (
        TokenChoice(b"\xc3", ()),
        TokenChoice(b"4", (("4", -0.5), ("5", -1.0))),
        TokenChoice(b".", ()),
    )


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(None, id="null"),
        pytest.param({"content": None}, id="null-content"),
        pytest.param({"tokens": ["4"]}, id="the-older-shape"),
        pytest.param([1], id="list"),
        pytest.param(logprobs("4"), id="token-is-text"),
        pytest.param(logprobs({"token": "4", "bytes": "NA=="}), id="bytes-in-base64"),
        pytest.param(logprobs({"token": "4", "bytes": [300]}), id="bytes-that-are-none"),
        pytest.param(logprobs({"token": "4", "top_logprobs": {"4": -0.5}}), id="alternatives-in-an-object"),
        pytest.param(logprobs({"token": "4", "top_logprobs": [{"token": "4"}]}), id="no-logprob"),
        pytest.param(logprobs({"token": "4", "top_logprobs": [{"token": "4", "logprob": None}]}), id="null-logprob"),
    ],
)
def test_odd_log_probabilities_cost_only_themselves(odd: object) -> None:
    """The verdict is in the text all the same."""
    reply = read_reply(body(logprobs=odd), None, 1)

    assert reply.text == "Score: 4"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
USAGE = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": JSON,
        "completion_tokens": JSON,
        "prompt_tokens_details": JSON | st.fixed_dictionaries({"cached_tokens": JSON}),
        "prompt_cache_hit_tokens": JSON,
    },
)
CHOICE = st.fixed_dictionaries(
    {"message": JSON | st.fixed_dictionaries({}, optional={"content": JSON, "refusal": JSON})},
    optional={"finish_reason": JSON},
)
BODIES = st.fixed_dictionaries(
    {"choices": JSON | st.lists(CHOICE | JSON, max_size=2)}, optional={"usage": JSON | USAGE, "model": JSON}
)


@settings(deadline=None)
@given(BODIES)
def test_an_answer_of_wrong_types_is_read_or_is_a_failed_call(answer: dict[str, Any]) -> None:
    """Whatever a server makes up, the run goes on."""
    try:
        reply = read_reply(answer, Price(input=1.0, output=1.0), 1)
    except CallFailed as failure:
        assert failure.transient  # noqa: PT017 - both ways are fine
    else:
        assert isinstance(reply.text, str)
        assert min(reply.tokens_in, reply.tokens_out, reply.cached_tokens) >= 0
