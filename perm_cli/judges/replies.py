"""Reading an OpenAI-shaped chat completion, from any route, into a `Reply`."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from perm_cli.errors import CallFailed
from perm_cli.judges.failures import error_of, is_refusal, message_of
from perm_cli.judges.judge import Reply, TokenChoice
from perm_cli.judges.settings import Price
from perm_cli.text import one_line

_LONGEST = 200_000  # characters; reading a reply of megabytes would block the event loop for seconds
_READ = 20_000  # characters of a text that is only shown in part
_LONGEST_NAME = 200
_SHOWN = 300
_BEYOND = 2**24  # tokens: no context is that long, and a hostile count would empty a budget


def read_reply(
    body: Mapping[str, Any], price: Price | None, attempts: int, redact: Callable[[str], str] = str
) -> Reply:
    """
    Return the first choice of a completion as a reply; raise `CallFailed` if there is none or it is a failure.

    All texts are passed through `redact` after their parts are joined, since a key could be split between parts.
    """
    choices = body.get("choices")
    if not isinstance(choices, Sequence) or not choices or not isinstance(choices[0], Mapping):
        raise CallFailed("an answer without choices", kind="malformed", transient=True)
    choice = choices[0]
    if choice.get("error") or choice.get("finish_reason") == "error":
        raise _broken_off(error_of({"error": choice.get("error") or {}}), redact)
    message, usage = _object(choice.get("message")), _object(body.get("usage"))
    tokens_in, tokens_out = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    details = _object(usage.get("prompt_tokens_details"))
    cached = _count(details.get("cached_tokens")) or _count(usage.get("prompt_cache_hit_tokens"))
    cached = min(cached, tokens_in)  # some endpoints report more than the whole prompt
    text = _text(message.get("content")) or _arguments(message)
    if len(text) > _LONGEST:
        raise CallFailed(f"a reply of {len(text):,} characters", kind="too_large", transient=False)
    return Reply(
        text=redact(text),
        finish_reason="refusal" if message.get("refusal") else _string(choice.get("finish_reason")) or "stop",
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cached_tokens=cached,
        cost_usd=price.cost_usd(tokens_in, tokens_out, cached) if price else None,
        model_served=redact(_string(body.get("model"))[:_READ])[:_LONGEST_NAME],
        attempts=attempts,
        tokens=_tokens(choice.get("logprobs")),
    )


def _broken_off(error: Mapping[str, Any], redact: Callable[[str], str]) -> CallFailed:
    """Return the failure of a provider behind a router that broke off in the middle of its reply."""
    message = one_line(redact(message_of(error)[0][:_READ]) or "the provider broke off the reply", _SHOWN)
    refused = is_refusal(f"{error.get('code')} {message}")
    return CallFailed(message, kind="refused" if refused else "server", transient=not refused)


def _arguments(message: Mapping[str, Any]) -> str:
    """Return the arguments of a tool call, empty if there is none; some servers implement JSON schemas that way."""
    calls = message.get("tool_calls")
    call = _object(calls[0]).get("function") if isinstance(calls, list) and calls else message.get("function_call")
    arguments = _object(call).get("arguments")
    return orjson.dumps(arguments).decode() if isinstance(arguments, Mapping) else _string(arguments)


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(_string(part.get("text")) for part in content if isinstance(part, Mapping))
    return _string(content)


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < _BEYOND else 0


def _tokens(logprobs: object) -> tuple[TokenChoice, ...]:
    content = _object(logprobs).get("content")
    if not isinstance(content, list):
        return ()
    try:
        return tuple(_token(token) for token in content)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return ()  # an unknown shape counts as no log-probabilities; the text of the reply is still good


def _token(token: Mapping[str, Any]) -> TokenChoice:
    text = bytes(iter(token["bytes"])) if token.get("bytes") else _string(token.get("token")).encode()
    others = token.get("top_logprobs") or ()
    choices = tuple((_string(other["token"]), float(other["logprob"])) for other in others)
    if any(math.isnan(logprob) for _, logprob in choices):
        raise ValueError("not a number")
    return TokenChoice(text, choices)
