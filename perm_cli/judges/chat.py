"""
A judge behind a chat completion API, over any transport.

`ChatJudge` finds the dialect that the endpoint accepts, and is the only place that retries: by a `RetryPolicy`, within
the user's patience, and only transient failures. Every attempt waits for a permit from the limiter.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, NoReturn, Protocol

import orjson
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_before_delay

from perm_cli.errors import CallFailed, JudgeUnusable
from perm_cli.judges.budget import Usage
from perm_cli.judges.dialects import Dialect, guessed, opening_dialect, payload_of, softened
from perm_cli.judges.headers import allowances_of
from perm_cli.judges.judge import Reply, Request, Response
from perm_cli.judges.limiter import Limiter
from perm_cli.judges.outages import Outage
from perm_cli.judges.pace import Pace
from perm_cli.judges.replies import read_reply
from perm_cli.judges.retrying import UNREACHED, USUAL, RetryPolicy, usual_policy
from perm_cli.judges.route import Terms
from perm_cli.judges.settings import JudgeSettings, Price

# Failures of which the endpoint itself said that it did no work, so nothing is billed. A timeout is not among them: the
# reply may have been generated and billed although nobody waited for it.
_UNBILLED = frozenset({"rate_limited", "rejected", "too_long", "server"})
_FRAME_BYTES = 256  # that a chat template adds around the messages


class Transport(Protocol):
    """
    A connection to an endpoint that takes a payload and returns an OpenAI-shaped response.

    `where` names the endpoint in messages; `dropped` are the parameters that it was never sent.
    """

    where: str
    dropped: frozenset[str]

    @property
    def redact(self) -> Callable[[str], str]:
        """Return the function that removes the API key from a text."""

    async def send(self, payload: dict[str, Any]) -> Response:
        """Return the response; raise `CallFailed` or `JudgeUnusable`."""

    async def close(self) -> None:
        """Close all connections."""


@asynccontextmanager
async def chatting(settings: JudgeSettings, transport: Transport, terms: Terms) -> AsyncIterator["ChatJudge"]:
    """Open a judge over a transport, and close both at the end of the `with` block."""
    limiter = Limiter(Pace(terms.concurrency, settings.rpm, settings.tpm), terms.budget)
    try:
        yield ChatJudge(settings, transport, limiter, terms.price, on_outage=terms.on_outage, retry=usual_policy())
    finally:
        await transport.close()


class ChatJudge:
    """A judge at a chat completion endpoint."""

    def __init__(
        self,
        settings: JudgeSettings,
        transport: Transport,
        limiter: Limiter,
        price: Price | None = None,
        *,
        on_outage: Callable[[str], None] | None = None,
        retry: RetryPolicy = USUAL,
    ) -> None:
        self.settings = settings
        self.dialect = opening_dialect(settings)
        self._transport = transport
        self._limiter = limiter
        self._price = price
        self._on_outage = on_outage
        self._retry = retry
        self._outage = Outage(transport.where, settings.patience_s, on_outage)
        self._answered = False
        self._answers = 0
        self._failed_in_a_row = 0
        self._rejected: set[str] = set()
        self._estimates_usage = bool(limiter.budget or settings.tpm)
        self._retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, CallFailed) and error.transient),
            wait=self._wait_s,
            stop=self._gives_up,
            sleep=limiter.pause,
            reraise=True,
        )

    def effective(self) -> dict[str, Any]:
        """Return how the endpoint was finally asked, for the record of the run."""
        dropped = self.dialect.dropped | self._transport.dropped
        return {
            "form": self.dialect.form,
            "token_field": self.dialect.token_field,
            "dropped": sorted(dropped),
        }

    def stop(self, reason: Exception) -> None:
        """Begin no further call: calls that wait raise `reason`, calls in flight are finished."""
        self._limiter.end(reason)

    async def ask(self, request: Request) -> Reply:
        """Return the reply, after adapting the dialect and retrying as needed; raise `NotAsked` if stopped."""
        refused = 0
        dialect, is_own = self.dialect, True
        while True:
            payload = payload_of(request, self.settings, dialect)
            try:
                reply = await self._send(payload)
            except CallFailed as failure:
                refused += failure.attempts
                failure.attempts = refused
                if failure.kind != "rejected":
                    raise
                dialect = self._adapted(dialect, payload, failure, is_own=is_own) or self._give_up(request, failure)
                is_own = dialect is self.dialect
            else:
                # A guess that works becomes the judge's dialect only if no call was answered in the current one.
                if not is_own and not self._answered:
                    self.dialect = dialect
                self._answered = True
                return replace(reply, attempts=reply.attempts + refused) if refused else reply

    def _adapted(
        self, dialect: Dialect, payload: Mapping[str, Any], failure: CallFailed, *, is_own: bool
    ) -> Dialect | None:
        """Return the dialect to try next, None if nothing is left to drop; a guess is used for this call only."""
        if is_own and self.dialect is not dialect:  # another call has dropped something meanwhile
            return self.dialect
        softer = softened(dialect, payload, failure, self.settings)
        if softer and is_own:
            self.dialect = softer
        return softer or guessed(dialect, self.settings)

    def _give_up(self, request: Request, failure: CallFailed) -> NoReturn:
        """Raise the failure, or `JudgeUnusable` if the judge refused other dialogues too and never answered."""
        # One refusal without a reason may be about this dialogue; several before any answer are about the request.
        if not self._answered:
            self._rejected.add(request.prompt.case)
        if self._answered or len(self._rejected) < self._retry.rejected_most:
            raise failure
        raise JudgeUnusable(f"{self._transport.where} refuses the request: {failure.message}") from failure

    async def _send(self, payload: dict[str, Any]) -> Reply:
        attempts, before = 1, self._answers
        try:
            return await self._try(payload, attempts)
        except CallFailed as failure:
            first: CallFailed | None = failure

        async def again() -> Reply:
            # Tenacity costs as much processor time as the call, so it only handles calls whose first attempt failed.
            nonlocal attempts, first
            if first is not None:
                failed, first = first, None
                raise failed
            attempts += 1
            return await self._try(payload, attempts)

        try:
            return await self._retrying.copy()(again)  # a copy, since it holds the state of one call
        except CallFailed as failure:
            failure.attempts = attempts
            if failure.kind in UNREACHED and not self._answered:
                raise JudgeUnusable(f"{self._transport.where}: {failure.message}") from failure
            if self._answers == before:  # else other calls were answered meanwhile, so the judge is not to blame
                self._count_failure(failure)
            raise

    async def _try(self, payload: dict[str, Any], attempt: int) -> Reply:
        """Make one attempt when the limiter permits it, and report its outcome to the limiter."""
        worst = self._worst(payload)
        permit = await self._limiter.permit(worst)
        begun = self._limiter.clock()
        try:
            body, headers = await self._transport.send(payload)
            reply = read_reply(body, self._price, attempt, self._transport.redact)
        except CallFailed as failure:
            if failure.kind == "rate_limited":
                permit.refused(failure.retry_after_s)
                self._check_wait(failure)
            else:
                permit.failed(billed=failure.kind not in _UNBILLED, slow=failure.kind == "timeout")
                if failure.transient:
                    self._outage.failed(begun, self._limiter.clock(), failure)
            raise
        except BaseException:  # a cancelled call must give its permit back too
            permit.failed(billed=True)
            raise
        self._failed_in_a_row = 0
        self._answers += 1
        if self._outage.answered(self._limiter.clock()):
            self._limiter.wake()
        tokens = reply.tokens_in + reply.tokens_out
        # Without reported usage, the budget must assume the worst case.
        used = Usage(calls=1, tokens=tokens, usd=reply.cost_usd or 0.0) if tokens else worst
        permit.answered(used, allowances_of(headers))
        return reply

    def _check_wait(self, failure: CallFailed) -> None:
        """Raise `JudgeUnusable` if the endpoint asks for a wait beyond the patience, as with a daily limit."""
        wait_s = failure.retry_after_s or 0.0
        if wait_s > self.settings.patience_s:
            error = JudgeUnusable(
                f"{self._transport.where} asks to wait {wait_s:,.0f} s: {failure.message}; "
                "ratings so far are kept; run the same command again after that time, or with a larger --patience"
            )
            if not self._on_outage:
                self._limiter.end(error)
            raise error from failure

    def _worst(self, payload: dict[str, Any]) -> Usage:
        """Return the most that a call may use; a text never has more tokens than bytes."""
        if not self._estimates_usage:
            return _ONE_CALL
        tokens_in = len(orjson.dumps(payload)) + _FRAME_BYTES
        tokens_out = int(payload.get(self.dialect.token_field) or self.settings.max_tokens)
        usd = self._price.cost_usd(tokens_in, tokens_out) if self._price else 0.0
        return Usage(calls=1, tokens=tokens_in + tokens_out, usd=usd)

    def _count_failure(self, failure: CallFailed) -> None:
        """Raise `JudgeUnusable` once too many calls in a row have failed after all their attempts."""
        self._failed_in_a_row += self._retry.counts(failure)
        # Where fewer calls than `dead_after` may be in flight, one failure for each of them is enough.
        dead_after = min(self._retry.dead_after, self._limiter.pace.ceiling)
        if not self._on_outage and self._failed_in_a_row >= dead_after:
            error = JudgeUnusable(
                f"{self._transport.where} stopped answering: {failure.message}; "
                "ratings so far are kept; run the same command again to continue"
            )
            self._limiter.end(error)
            raise error from failure

    def _gives_up(self, state: RetryCallState) -> bool:
        if stop_before_delay(self.settings.patience_s)(state):
            return True
        failure = _failure(state)
        return state.attempt_number >= self._retry.attempts_at(
            failure, answered=self._answered, outlasting=self._outlasting
        )

    def _wait_s(self, state: RetryCallState) -> float:
        return self._retry.wait_s(_failure(state), state, outlasting=self._outlasting)

    @property
    def _outlasting(self) -> bool:
        """Return whether there is an outage that the judge is to wait out."""
        return self._on_outage is not None and self._outage.lasts


_ONE_CALL = Usage(calls=1)


def _failure(state: RetryCallState) -> CallFailed:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, CallFailed)  # noqa: S101 - nothing else is retried
    return error
