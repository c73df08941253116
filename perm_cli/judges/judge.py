"""The interface between the runner and whatever model judges: one method, a request in, a reply out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from perm_cli.prompts.book import Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt with the JSON schema its verdict should fit; `max_tokens` overrides the judge's own."""

    prompt: Prompt
    schema: Mapping[str, Any]
    max_tokens: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """One token of a reply and what the judge might have written instead, with natural log-probabilities."""

    text: bytes
    alternatives: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """
    The answer of a judge.

    `text` leaves out what the provider returns apart as thinking; `tokens` is empty without log-probabilities.
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


Answer = tuple[Mapping[str, Any], Mapping[str, str]]
"""What a transport brings back: the body, OpenAI-shaped, and the headers."""


class Judge(Protocol):
    """What answers requests; raises `CallFailed` for a call that failed and `JudgeUnusable` if every call would."""

    async def ask(self, request: Request) -> Reply:
        """Return the judge's reply."""
