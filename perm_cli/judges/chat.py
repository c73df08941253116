"""
A judge behind a chat completion API, over any transport.

`ChatJudge` finds the dialect the endpoint accepts, and is the one place that retries: exponentially with jitter,
within limits on attempts and time, as late as `Retry-After` asks, and only what may pass.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from perm_cli.errors import CallFailed, JudgeUnusable
from perm_cli.judges.dialects import Dialect, opening_dialect, payload_of, softened
from perm_cli.judges.replies import read_reply
from perm_cli.judges.seam import Reply, Request
from perm_cli.judges.settings import JudgeSettings, Price

Sleep = Callable[[float], Awaitable[None]]

ATTEMPTS = 8
ATTEMPTS_UNANSWERED = 3  # before anything ever answered, the address is the likelier mistake
PATIENCE_S = 300.0
_BACKOFF = wait_random_exponential(multiplier=0.5, max=30)
_UNREACHED = frozenset({"connection", "not_json"})


class Transport(Protocol):
    """
    Carry one payload to an endpoint and its OpenAI-shaped answer back.

    `where` names the endpoint in messages, `dropped` the parameters it was never sent.
    """

    where: str
    dropped: frozenset[str]

    async def send(self, payload: dict[str, Any]) -> Mapping[str, Any]:
        """Return the answer's body; raise `CallFailed` or `JudgeUnusable`."""


class ChatJudge:
    """Ask a chat completion endpoint for verdicts."""

    def __init__(
        self,
        settings: JudgeSettings,
        transport: Transport,
        price: Price | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.settings = settings
        self.dialect = opening_dialect(settings)
        self._transport = transport
        self._price = price
        self._answered = False
        self._retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, CallFailed) and error.transient),
            wait=_wait,
            stop=self._gives_up,
            sleep=sleep,
            reraise=True,
        )

    def effective(self) -> dict[str, Any]:
        """Return how the endpoint was in the end asked, for the record."""
        dropped = self.dialect.dropped | self._transport.dropped
        return {
            "form": self.dialect.form,
            "token_field": self.dialect.token_field,
            "dropped": sorted(dropped),
        }

    async def ask(self, request: Request) -> Reply:
        """Return the reply, after as many tries as the dialect and the weather need."""
        refused = 0
        while True:
            dialect = self.dialect
            payload = payload_of(request, self.settings, dialect)
            try:
                reply = await self._send(payload)
            except CallFailed as failure:
                refused += failure.attempts
                failure.attempts = refused
                if failure.kind != "rejected":
                    raise
                self._adapt(dialect, payload, failure)
            else:
                self._answered = True
                return replace(reply, attempts=reply.attempts + refused) if refused else reply

    def _adapt(self, dialect: Dialect, payload: Mapping[str, Any], failure: CallFailed) -> None:
        """Give up what was refused, unless another call has done so meanwhile."""
        if self.dialect is not dialect:
            return
        softer = softened(dialect, payload, failure, self.settings)
        if softer:
            self.dialect = softer
        elif self._answered:
            raise failure
        else:
            raise JudgeUnusable(f"{self._transport.where} refuses the request: {failure.message}") from failure

    async def _send(self, payload: dict[str, Any]) -> Reply:
        attempts = 1
        try:
            return read_reply(await self._transport.send(payload), self._price, attempts)
        except CallFailed as failure:
            first: CallFailed | None = failure

        async def again() -> Reply:
            # The retrying machinery costs as much as the call, so it is handed the first failure only if there is one.
            nonlocal attempts, first
            if first is not None:
                failed, first = first, None
                raise failed
            attempts += 1
            return read_reply(await self._transport.send(payload), self._price, attempts)

        try:
            return await self._retrying.copy()(again)  # it holds the state of one call
        except CallFailed as failure:
            failure.attempts = attempts
            if failure.kind in _UNREACHED and not self._answered:
                raise JudgeUnusable(f"{self._transport.where}: {failure.message}") from failure
            raise

    def _gives_up(self, state: RetryCallState) -> bool:
        failure = _failure(state)
        attempts = ATTEMPTS if self._answered or failure.kind not in _UNREACHED else ATTEMPTS_UNANSWERED
        return stop_after_attempt(attempts)(state) or stop_before_delay(PATIENCE_S)(state)


def _wait(state: RetryCallState) -> float:
    return max(_failure(state).retry_after_s or 0.0, _BACKOFF(state))


def _failure(state: RetryCallState) -> CallFailed:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, CallFailed)  # noqa: S101 - nothing else is retried
    return error
