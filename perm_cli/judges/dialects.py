"""
The form of requests that an endpoint accepts: found by trying, remembered for the run.

A dialect starts with everything that is wanted. When the endpoint refuses a request, `softened` drops the part that it
complains about: the JSON schema for JSON mode, JSON mode for plain text, or one parameter.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from perm_cli.errors import CallFailed
from perm_cli.judges.judge import Request
from perm_cli.judges.settings import SENT, JudgeSettings

Form = Literal["schema", "json", "text"]
_WEAKER: Mapping[Form, Form] = {"schema": "json", "json": "text"}
_FORM_WORDS = re.compile(r"response_format|json_schema|json.?mode|json_object|schema|structured|grammar", re.IGNORECASE)
# The most alternatives that OpenAI gives, and what to ask of an endpoint that refuses so many.
_TOP_LOGPROBS = 20
_FEWER_LOGPROBS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What an endpoint accepts, as far as is known."""

    form: Form
    token_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"  # noqa: S105 - no password
    top_logprobs: int = _TOP_LOGPROBS
    dropped: frozenset[str] = frozenset()


def opening_dialect(settings: JudgeSettings) -> Dialect:
    """Return the dialect to begin with."""
    return Dialect(form="schema" if settings.structured == "auto" else settings.structured)


def payload_of(request: Request, settings: JudgeSettings, dialect: Dialect) -> dict[str, Any]:
    """Return the body of a chat completion request, apart from the model's name."""
    payload: dict[str, Any] = {
        "messages": [
            {"role": "system", "content": request.prompt.instructions},
            {"role": "user", "content": request.prompt.case},
        ],
        **settings.sent(),
        dialect.token_field: request.max_tokens or settings.max_tokens,
        **settings.params,
    }
    if dialect.form == "schema":
        shape = {"name": "verdict", "strict": True, "schema": request.schema}
        payload["response_format"] = {"type": "json_schema", "json_schema": shape}
    elif dialect.form == "json":
        payload["response_format"] = {"type": "json_object"}
    if request.seed is not None:
        payload["seed"] = request.seed
    if settings.logprobs:
        payload |= {"logprobs": True, "top_logprobs": dialect.top_logprobs}
    return {name: value for name, value in payload.items() if name not in dialect.dropped}


def softened(
    dialect: Dialect, payload: Mapping[str, Any], failure: CallFailed, settings: JudgeSettings
) -> Dialect | None:
    """Return the dialect without what the endpoint refused, None if the failure names nothing that can be dropped."""
    complaint = f"{failure.parameter or ''} {failure.message}"
    for name in _optional(payload, settings):
        if not re.search(rf"\b{re.escape(name)}\b", complaint):
            continue
        # OpenAI's reasoning models refuse `max_tokens` and want the same number under its newer name.
        if name == "max_tokens" and dialect.token_field == name and name not in settings.params:
            return replace(dialect, token_field="max_completion_tokens")  # noqa: S106 - no password
        if name == "top_logprobs" and dialect.top_logprobs > _FEWER_LOGPROBS:
            return replace(dialect, top_logprobs=_FEWER_LOGPROBS)
        # `top_logprobs` is invalid without `logprobs`, and `logprobs` without alternatives of no use.
        gone = {"logprobs", "top_logprobs"} if name in {"logprobs", "top_logprobs"} else {name}
        return replace(dialect, dropped=dialect.dropped | gone)
    if settings.structured == "auto" and dialect.form in _WEAKER and _FORM_WORDS.search(complaint):
        return replace(dialect, form=_WEAKER[dialect.form])
    return None


def guessed(dialect: Dialect, settings: JudgeSettings) -> Dialect | None:
    """Return the dialect to try once when a request with a schema was refused without naming a reason."""
    is_free = settings.structured == "auto" and dialect.form == "schema"
    return replace(dialect, form="json") if is_free else None


def _optional(payload: Mapping[str, Any], settings: JudgeSettings) -> list[str]:
    """Return the parameters of the payload that may be dropped, a name before any other that is part of it."""
    names = [*SENT, "seed", "top_logprobs", "logprobs", "max_tokens", *settings.params]
    return [name for name in names if name in payload]
