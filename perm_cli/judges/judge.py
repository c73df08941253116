"""The interface to a judge: one method that takes a request and returns a reply."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from perm_cli.prompts.book import Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A prompt and the JSON schema of its verdict; `max_tokens` overrides the judge's setting."""

    prompt: Prompt
    schema: Mapping[str, Any]
    max_tokens: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """One token of a reply and its alternatives with their natural log-probabilities."""

    text: bytes
    alternatives: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """
    The reply of a judge.

    `text` excludes thinking that the provider returns in a separate field; `tokens` is empty without
    log-probabilities. `cost_usd` is None if the price is unknown.
    """

    text: str
    finish_reason: str = "stop"
    tokens_in: int = 0
    tokens_out: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None
    model_served: str = ""
    attempts: int = 1
    tokens: tuple[TokenChoice, ...] = field(default=())


Response = tuple[Mapping[str, Any], Mapping[str, str]]
"""What a transport returns: an OpenAI-shaped body, and the headers."""


class Judge(Protocol):
    """A model that answers requests."""

    async def ask(self, request: Request) -> Reply:
        """Return the judge's reply; raise `CallFailed` if this call failed, `JudgeUnusable` if every call would."""
