"""Read an OpenAI-shaped chat completion, whichever route it came by, into a `Reply`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from perm_cli.errors import CallFailed
from perm_cli.judges.seam import Reply, TokenChoice
from perm_cli.judges.settings import Price

_BEYOND = 2**24  # tokens that no context holds


def read_reply(body: Mapping[str, Any], price: Price | None, attempts: int) -> Reply:
    """Return the first choice of a completion; raise `CallFailed` if there is none."""
    choices = body.get("choices")
    if not isinstance(choices, Sequence) or not choices or not isinstance(choices[0], Mapping):
        raise CallFailed("an answer without choices", kind="malformed", transient=True)
    choice = choices[0]
    message, usage = _object(choice.get("message")), _object(body.get("usage"))
    tokens_in, tokens_out = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    details = _object(usage.get("prompt_tokens_details"))
    cached = _count(details.get("cached_tokens")) or _count(usage.get("prompt_cache_hit_tokens"))
    cached = min(cached, tokens_in)
    return Reply(
        text=_text(message.get("content")),
        finish_reason="refusal" if message.get("refusal") else _said(choice.get("finish_reason")) or "stop",
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cached_tokens=cached,
        cost_usd=price.cost_usd(tokens_in, tokens_out, cached) if price else None,
        model_served=_said(body.get("model")),
        attempts=attempts,
        tokens=_tokens(choice.get("logprobs")),
    )


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(_said(part.get("text")) for part in content if isinstance(part, Mapping))
    return _said(content)


def _said(value: object) -> str:
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
        return ()  # of a shape nobody knows: as good as none


def _token(token: Mapping[str, Any]) -> TokenChoice:
    text = bytes(iter(token["bytes"])) if token.get("bytes") else _said(token.get("token")).encode()
    others = token.get("top_logprobs") or ()
    choices = tuple((_said(other["token"]), float(other["logprob"])) for other in others)
    if any(math.isnan(logprob) for _, logprob in choices):
        raise ValueError("not a number")
    return TokenChoice(text, choices)
