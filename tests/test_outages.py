"""Outages: told once when an endpoint goes and once when it is back, and no time lost after that."""

import asyncio
from typing import Any

import pytest

from perm_cli.errors import CallFailed
from perm_cli.judges.chat import ChatJudge
from perm_cli.judges.judge import Request, Response
from perm_cli.judges.limiter import Limiter
from perm_cli.judges.outages import Outage
from perm_cli.judges.pace import Pace
from perm_cli.judges.redaction import Redaction
from perm_cli.judges.retrying import RetryPolicy
from perm_cli.judges.settings import JudgeSettings
from perm_cli.prompts.book import Prompt
from perm_cli.prompts.rubrics import Pack
from perm_cli.ratings.rating import schema_of
from tests.test_judges import Time

GONE = CallFailed("connection refused\x1b[31m", kind="connection", transient=True)
BUSY = CallFailed("status 503", kind="server", transient=True, status=503)
REPLY = {
    "model": "m",
    "choices": [{"message": {"content": '{"rationale": "", "score": 4}'}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1},
}


@pytest.fixture
def told() -> list[str]:
    """Return what is told, which fills as time passes."""
    return []


def test_an_outage_is_told_once_and_so_is_its_end(told: list[str]) -> None:
    """A trainer that stands still must not look as if it hung, nor fill its log."""
    outage = Outage("http://judge", 300, told.append)

    for now in (10.0, 11.0, 13.0, 14.0, 29.0):
        outage.failed(now, now, GONE)
    ends = [outage.answered(31.0), outage.answered(32.0)]

    assert told == [
        (
            r"http://judge does not answer: connection refused\u001b[31m; "
            "calls wait until it answers, each for at most 300 s"
        ),
        "http://judge answers again, after 21 s",
    ]
    assert ends == [True, False]


def test_a_call_that_fails_while_others_are_answered_is_no_outage(told: list[str]) -> None:
    """However often."""
    outage = Outage("http://judge", 300, told.append)

    for now in range(100):
        outage.failed(now, now, BUSY)
        outage.answered(now + 0.5)

    assert told == []


@pytest.mark.parametrize(
    ("answered_at", "lasts"),
    [pytest.param(None, True, id="nobody is answered"), pytest.param(60.0, False, id="others were answered meanwhile")],
)
def test_a_call_that_times_out_shows_an_outage_at_once_if_nobody_is_answered(
    answered_at: float | None,
    lasts: bool,
) -> None:
    """It has waited long enough to know."""
    outage = Outage("http://judge", 300)

    if answered_at is not None:
        outage.answered(answered_at)
    outage.failed(0.0, 120.0, GONE)

    assert outage.lasts is lasts


class Away:
    """An endpoint that is away between two times, and counts what it is asked."""

    where = "http://judge"
    dropped: frozenset[str] = frozenset()
    redact = Redaction(None)

    def __init__(self, time: Time, goes: float, returns: float, failure: CallFailed) -> None:
        self.asked_at: list[float] = []
        self._time, self._goes, self._returns, self._failure = time, goes, returns, failure

    async def send(self, payload: dict[str, Any]) -> Response:  # noqa: ARG002 - the interface
        """Return an answer, unless it is away."""
        self.asked_at.append(self._time.now)
        if self._goes <= self._time.now < self._returns:
            raise CallFailed(
                self._failure.message, kind=self._failure.kind, transient=True, status=self._failure.status
            )
        return REPLY, {}

    async def close(self) -> None:
        """Close nothing."""


@pytest.mark.parametrize("failure", [GONE, BUSY], ids=["connection", "503"])
@pytest.mark.parametrize("outage_s", [20.0, 200.0])
async def test_a_lasting_judge_is_asked_again_a_few_seconds_after_its_return_at_most(
    failure: CallFailed, outage_s: float, pack: Pack, told: list[str]
) -> None:
    """And until then often enough, however many tries that takes."""
    time = Time()
    endpoint = Away(time, 1.0, 1.0 + outage_s, failure)
    judge = ChatJudge(
        JudgeSettings(name="j", model="openai/m", patience_s=300),
        endpoint,
        Limiter(Pace(1), clock=lambda: time.now, sleep=time.sleep),
        on_outage=told.append,
    )
    request = Request(prompt=Prompt("How is it received?", "| hello"), schema=schema_of(pack.dimensions["reception"]))

    await judge.ask(request)
    time.now = 1.0
    reply = await judge.ask(request)

    assert reply.attempts == len(endpoint.asked_at) - 1 > RetryPolicy().attempts * (outage_s > 100)
    assert outage_s <= time.now - 1.0 <= outage_s + 5
    assert [each.split()[1:4] for each in told] == [["does", "not", "answer:"], ["answers", "again,", "after"]]


async def test_who_pauses_goes_on_when_an_outage_has_ended() -> None:
    """Of many calls that wait, one finds out and the others need not."""
    gate = Limiter(Pace(4), sleep=lambda _: asyncio.Event().wait())  # type: ignore[arg-type]  # which nobody sets
    pauses = [asyncio.create_task(gate.pause(30)) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    gate.wake()

    await asyncio.wait_for(asyncio.gather(*pauses), 5)
