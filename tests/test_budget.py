"""Budgets: how they are written, what they add up, and what a judge counts."""

import asyncio
import json
from typing import Any

import pytest

from perm_cli.errors import CallFailed, JudgeUnusable, SettingsError
from perm_cli.judges.budget import Budget, Usage, read_budget
from perm_cli.judges.chat import ChatJudge
from perm_cli.judges.judge import Request
from perm_cli.judges.limiter import Limiter
from perm_cli.judges.pace import Pace
from perm_cli.judges.route_compatible import HttpTransport
from perm_cli.judges.settings import JudgeSettings, Price
from perm_cli.prompts.book import Prompt
from tests.loopback import Answer, Answering, loopback, refusal, verdict
from tests.test_judges import Time

REQUEST = Request(prompt=Prompt("How is it received?", "| hello"), schema={"type": "object", "properties": {}})


@pytest.mark.parametrize(
    ("text", "limit", "unit"),
    [
        ("5usd", 5.0, "usd"),
        ("$5", 5.0, "usd"),
        ("$0.25", 0.25, "usd"),
        ("$5usd", 5.0, "usd"),
        ("5 USD", 5.0, "usd"),
        ("1dollar", 1.0, "usd"),
        ("2.5kdollars", 2500.0, "usd"),
        ("2M-tokens", 2e6, "tokens"),
        ("2mtokens", 2e6, "tokens"),
        ("500k tokens", 5e5, "tokens"),
        ("1token", 1.0, "tokens"),
        ("1000calls", 1000.0, "calls"),
        ("1-call", 1.0, "calls"),
        (" 20calls ", 20.0, "calls"),
        ("0calls", 0.0, "calls"),
    ],
)
def test_a_budget_is_an_amount_with_its_unit(text: str, limit: float, unit: str) -> None:
    """People write amounts in many ways."""
    assert read_budget(text) == (limit, unit)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("5", id="no-unit"),
        pytest.param("5k", id="no-unit-but-a-scale"),
        pytest.param("usd", id="no-amount"),
        pytest.param("-5usd", id="negative"),
        pytest.param("nanusd", id="not-a-number"),
        pytest.param("infusd", id="infinite"),
        pytest.param("1e3calls", id="exponent"),
        pytest.param("1,000calls", id="comma"),
        pytest.param(".5usd", id="no-leading-digit"),
        pytest.param("5€", id="other-currency"),
        pytest.param("5usd!", id="more-after-it"),
        pytest.param("5usd 5calls", id="two"),
        pytest.param("$5tokens", id="dollars-of-tokens"),
        pytest.param("9" * 400 + "usd", id="too-large"),
    ],
)
def test_what_is_no_budget_is_named_with_examples(text: str) -> None:
    """A budget misread is money gone."""
    with pytest.raises(SettingsError, match="expected an amount such as 5usd, 2M-tokens or 1000calls") as raised:
        read_budget(text)

    assert repr(text)[:30] in str(raised.value)


@pytest.mark.parametrize(
    ("unit", "shown"),
    [("calls", "1,234 calls"), ("tokens", "1,234 tokens"), ("usd", "1,234 USD")],
)
def test_a_budget_is_shown_with_its_unit(unit: str, shown: str) -> None:
    """The line that says it is reached names it."""
    assert str(Budget(1234.0, unit)) == shown


def test_only_the_unit_of_the_budget_counts() -> None:
    """A budget of tokens does not care for calls."""
    budget = Budget(100, "tokens", Usage(calls=50, tokens=30, usd=9.0))

    assert budget.fits(Usage(calls=50, tokens=70, usd=9.0))
    assert not budget.fits(Usage(tokens=71))


def test_what_calls_in_flight_may_come_to_is_set_aside() -> None:
    """30 spent and 40 in flight leave 30 of 100."""
    budget = Budget(100, "tokens", Usage(tokens=30))

    budget.reserve(Usage(tokens=40))

    assert budget.fits(Usage(tokens=30))
    assert not budget.fits(Usage(tokens=31))


def test_what_a_call_came_to_takes_the_place_of_the_worst() -> None:
    """10 spent instead of 90 feared leave 90 of 100."""
    budget = Budget(100, "tokens")
    budget.reserve(Usage(tokens=90))

    budget.settle(Usage(tokens=90), Usage(tokens=10))

    assert (budget.spent, budget.reserved) == (10, 0)
    assert budget.fits(Usage(tokens=90))


def test_a_budget_of_nothing_lets_only_what_is_free_through() -> None:
    """A local judge costs no dollars."""
    assert Budget(0, "usd").fits(Usage(calls=1, tokens=1000))
    assert not Budget(0, "calls").fits(Usage(calls=1))


def billed(answering: Answering, unit: str, **settings: Any) -> tuple[Budget, float]:
    """Ask a judge at a server that answers so once; return the budget, and what was set aside meanwhile."""
    budget, time, aside = Budget(1e9, unit), Time(), [0.0]

    def watching(body: dict[str, Any]) -> Answer:
        aside[0] = budget.reserved
        return answering(body)

    async def run(url: str) -> None:
        judge_settings = JudgeSettings(name="j", model="m", base_url=url, max_tokens=50, **settings)
        transport = HttpTransport(url, "m", None, 5)
        limiter = Limiter(Pace(1), budget, clock=lambda: time.now, sleep=time.sleep)
        try:
            await ChatJudge(judge_settings, transport, limiter, Price(input=1, output=2, cached=0.5)).ask(REQUEST)
        except (CallFailed, JudgeUnusable):
            pass
        finally:
            await transport.close()

    with loopback(watching) as server:
        asyncio.run(run(server.url))
    return budget, aside[0]


@pytest.mark.parametrize(
    ("unit", "spent"),
    [
        pytest.param("calls", 1, id="calls"),
        pytest.param("tokens", 110, id="tokens"),
        # 40 fresh tokens at 1, 60 cached at 0.5 and 10 out at 2 dollars a million
        pytest.param("usd", 90e-6, id="usd"),
    ],
)
def test_a_reply_counts_with_what_it_cost(unit: str, spent: float) -> None:
    """The bill that came is what is spent, not the one that was feared."""
    budget, aside = billed(verdict, unit)

    assert budget.spent == pytest.approx(spent)
    assert aside >= budget.spent
    assert budget.reserved == 0


@pytest.mark.parametrize(
    ("answer", "free"),
    [
        pytest.param(refusal(400, "maximum context length is 8192"), True, id="too-long"),
        pytest.param(refusal(400, "content management policy"), False, id="moderated"),
        pytest.param(Answer(body=b'{"choices": []}'), False, id="malformed"),
    ],
)
def test_a_failure_counts_with_the_worst_unless_the_endpoint_did_nothing(answer: Answer, free: bool) -> None:
    """A bill that nobody saw may be any, up to what was set aside."""
    budget, aside = billed(lambda _: answer, "tokens", patience_s=1e-6)

    assert budget.spent == (0 if free else aside)
    assert budget.reserved == 0


def test_a_reply_that_names_no_usage_counts_with_the_worst() -> None:
    """Some servers leave it out; the budget would never be reached."""
    body = json.dumps({"choices": [{"message": {"content": "{}"}}]}).encode()

    budget, aside = billed(lambda _: Answer(body=body), "tokens")

    assert budget.spent == aside > 0
