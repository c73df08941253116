"""Dialects: what a request holds, and what is given up when an endpoint complains."""

from dataclasses import replace
from typing import Any

import pytest

from perm_cli.errors import CallFailed
from perm_cli.judges.dialects import Dialect, opening_dialect, payload_of, softened
from perm_cli.judges.judge import Request
from perm_cli.judges.settings import JudgeSettings
from perm_cli.prompts.book import Prompt

SCHEMA = {"type": "object"}
REQUEST = Request(prompt=Prompt("Rate the reply.", "I am here."), schema=SCHEMA)
JUDGE = JudgeSettings(name="j", model="openai/m")
PARAMS = replace(JUDGE, params={"reasoning_effort": "low", "top_p": 0.9})
STRICT = Dialect(form="schema")
USUAL = {
    "messages": [{"role": "system", "content": "Rate the reply."}, {"role": "user", "content": "I am here."}],
    "temperature": 0.3,
    "max_tokens": 1024,
}


def refusal(message: str, parameter: str | None = None) -> CallFailed:
    """Return what comes of an endpoint's `400`."""
    return CallFailed(message, kind="rejected", transient=False, status=400, parameter=parameter)


def soften(message: str, judge: JudgeSettings = JUDGE, dialect: Dialect = STRICT, **request: Any) -> Dialect | None:
    """Return the dialect after one complaint about an ordinary request."""
    payload = payload_of(replace(REQUEST, **request), judge, dialect)
    return softened(dialect, payload, refusal(message), judge)


@pytest.mark.parametrize(
    ("form", "asked"),
    [
        pytest.param(
            "schema",
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "verdict", "strict": True, "schema": SCHEMA},
                }
            },
            id="schema",
        ),
        pytest.param("json", {"response_format": {"type": "json_object"}}, id="json"),
        pytest.param("text", {}, id="text"),
    ],
)
def test_a_request_asks_for_its_form(form: Any, asked: dict[str, Any]) -> None:
    """Nothing else in the request depends on it."""
    assert payload_of(REQUEST, JUDGE, Dialect(form=form)) == USUAL | asked


@pytest.mark.parametrize(
    ("judge", "request_", "dialect", "part"),
    [
        pytest.param(JUDGE, replace(REQUEST, seed=0), STRICT, {"seed": 0}, id="seed-nought"),
        pytest.param(JUDGE, replace(REQUEST, max_tokens=4096), STRICT, {"max_tokens": 4096}, id="more-room"),
        pytest.param(replace(JUDGE, temperature=0.0), REQUEST, STRICT, {"temperature": 0.0}, id="temperature"),
        pytest.param(replace(JUDGE, max_tokens=7), REQUEST, STRICT, {"max_tokens": 7}, id="tokens"),
        pytest.param(PARAMS, REQUEST, STRICT, {"reasoning_effort": "low", "top_p": 0.9}, id="params"),
        pytest.param(
            replace(JUDGE, params={"temperature": 1}),
            REQUEST,
            STRICT,
            {"temperature": 1},
            id="params-have-the-last-word",
        ),
        pytest.param(
            replace(JUDGE, logprobs=True), REQUEST, STRICT, {"logprobs": True, "top_logprobs": 20}, id="logprobs"
        ),
        pytest.param(
            JUDGE,
            REQUEST,
            replace(STRICT, token_field="max_completion_tokens"),  # noqa: S106 - no password
            {"max_completion_tokens": 1024},
            id="the-newer-name",
        ),
    ],
)
def test_a_request_holds_what_was_asked_for(
    judge: JudgeSettings, request_: Request, dialect: Dialect, part: dict[str, Any]
) -> None:
    """The settings are part of a rating's identity, so they must reach the judge."""
    payload = payload_of(request_, judge, dialect)

    assert payload.items() >= part.items()


def test_a_request_leaves_out_what_was_dropped() -> None:
    """What an endpoint refused once is not sent a second time."""
    dialect = replace(STRICT, dropped=frozenset({"temperature", "top_p"}))

    payload = payload_of(REQUEST, PARAMS, dialect)

    assert not payload.keys() & {"temperature", "top_p"}
    assert payload["reasoning_effort"] == "low"


@pytest.mark.parametrize(
    ("structured", "form"), [("auto", "schema"), ("schema", "schema"), ("json", "json"), ("text", "text")]
)
def test_a_judge_is_first_asked_for_the_strictest_form(structured: Any, form: str) -> None:
    """What it accepts is found out by trying."""
    assert opening_dialect(replace(JUDGE, structured=structured)) == Dialect(form=form)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("'response_format' of type 'json_schema' is not supported with this model.", id="openai"),
        pytest.param("Invalid schema for response_format 'verdict'", id="schema"),
        pytest.param("This model does not support JSON mode", id="json-mode"),
        pytest.param("Failed to initialize grammar", id="llama-cpp"),
        pytest.param("Structured outputs are unavailable", id="structured"),
    ],
)
def test_a_complaint_about_the_form_weakens_it_step_by_step(message: str) -> None:
    """A schema, then JSON mode, then plain text, then nothing is left to give up."""
    first = soften(message)
    assert first == replace(STRICT, form="json")

    second = soften(message, dialect=first)
    assert second == replace(STRICT, form="text")

    assert soften(message, dialect=second) is None


@pytest.mark.parametrize("structured", ["schema", "json", "text"])
def test_a_forced_form_is_never_weakened(structured: Any) -> None:
    """Who forces a form would rather stop than get another one."""
    judge = replace(JUDGE, structured=structured)

    assert soften("response_format is not supported", judge, opening_dialect(judge)) is None


def test_a_forced_form_does_not_keep_a_parameter_from_going() -> None:
    """Only the form was forced."""
    judge = replace(JUDGE, structured="schema")

    assert soften("temperature is not supported", judge) == replace(STRICT, dropped=frozenset({"temperature"}))


@pytest.mark.parametrize(
    ("message", "judge", "request_", "changes"),
    [
        pytest.param(
            "Unsupported value: 'temperature' does not support 0.3",
            JUDGE,
            {},
            {"dropped": {"temperature"}},
            id="temperature",
        ),
        pytest.param("seed: unknown field", JUDGE, {"seed": 1}, {"dropped": {"seed"}}, id="seed"),
        pytest.param(
            "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
            JUDGE,
            {},
            {"token_field": "max_completion_tokens"},
            id="token-field",
        ),
        pytest.param(
            "top_logprobs must be at most 5",
            replace(JUDGE, logprobs=True),
            {},
            {"top_logprobs": 5},
            id="fewer-alternatives",
        ),
        pytest.param(
            "logprobs are not available for this model",
            replace(JUDGE, logprobs=True),
            {},
            {"dropped": {"logprobs", "top_logprobs"}},
            id="no-log-probabilities",
        ),
        pytest.param(
            "unknown field reasoning_effort", PARAMS, {}, {"dropped": {"reasoning_effort"}}, id="own-parameter"
        ),
        pytest.param("unknown field top_p", PARAMS, {}, {"dropped": {"top_p"}}, id="another-parameter"),
    ],
)
def test_a_complaint_about_a_parameter_gives_that_one_up(
    message: str, judge: JudgeSettings, request_: dict[str, Any], changes: dict[str, Any]
) -> None:
    """And no other: a judge without its temperature is one that was not asked for."""
    softer = soften(message, judge, **request_)

    wanted = {name: frozenset(value) if name == "dropped" else value for name, value in changes.items()}
    assert softer == replace(STRICT, **wanted)


def test_the_parameter_named_by_the_endpoint_counts_as_much_as_its_message() -> None:
    """OpenAI names it in a field of its own."""
    payload = payload_of(REQUEST, JUDGE, STRICT)

    softer = softened(STRICT, payload, refusal("Unsupported value", "temperature"), JUDGE)

    assert softer == replace(STRICT, dropped=frozenset({"temperature"}))


def test_too_many_alternatives_twice_means_none_at_all() -> None:
    """Fewer than five would be worth little."""
    judge = replace(JUDGE, logprobs=True)

    softer = soften("top_logprobs is too large", judge, replace(STRICT, top_logprobs=5))

    assert softer is not None
    assert softer.dropped == {"logprobs", "top_logprobs"}


def test_what_was_dropped_stays_dropped() -> None:
    """Else two complaints would take turns for ever."""
    first = soften("temperature is not supported", PARAMS)
    assert first is not None

    second = soften("unknown field top_p", PARAMS, first)
    assert second is not None
    assert second.dropped == {"temperature", "top_p"}

    third = soften("no json_schema here", PARAMS, second)
    assert third == replace(second, form="json")


@pytest.mark.parametrize(
    ("message", "judge"),
    [
        pytest.param("The prompt is invalid", JUDGE, id="nothing-named"),
        pytest.param("seed: unknown field", JUDGE, id="a-parameter-that-was-not-sent"),
        pytest.param("unknown field my_top_p_value", PARAMS, id="part-of-a-longer-name"),
    ],
)
def test_a_complaint_about_nothing_we_can_give_up_gives_up_nothing(message: str, judge: JudgeSettings) -> None:
    """Then the run stops and shows the message."""
    assert soften(message, judge) is None


@pytest.mark.parametrize(
    ("name", "judge"),
    [
        pytest.param("temperature", JUDGE, id="temperature"),
        pytest.param("max_tokens", JUDGE, id="max-tokens"),
        pytest.param("top_p", PARAMS, id="own-parameter"),
        pytest.param("top_logprobs", replace(JUDGE, params={"logprobs": True, "top_logprobs": 9}), id="own-logprobs"),
        pytest.param(
            "max_tokens",
            replace(JUDGE, params={"max_tokens": 9}),
            id="own-max-tokens",
        ),
    ],
)
def test_no_request_is_refused_for_one_thing_for_ever(name: str, judge: JudgeSettings) -> None:
    """Every softening must change the request, or the loop around it would never end."""
    dialect: Dialect | None = STRICT

    for _ in range(9):
        if dialect is None or name not in (payload := payload_of(REQUEST, judge, dialect)):
            break
        dialect = softened(dialect, payload, refusal(f"{name} is not supported"), judge)
    else:
        pytest.fail("still refused for the same thing")
