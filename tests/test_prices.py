"""Prices: the settings' own, else the list that LiteLLM ships, and no import of LiteLLM for it."""

import subprocess
import sys
from datetime import date, timedelta
from typing import Any

import pytest

from perm_cli.judges.prices import retirement_note
from perm_cli.judges.routes import price_of
from perm_cli.judges.settings import JudgeSettings, Price
from perm_cli.litellm_files import price_list

OWN = Price(input=1.0, output=2.0)


def settings(model: str, **changes: Any) -> JudgeSettings:
    """Return a judge's settings."""
    return JudgeSettings(name="j", model=model, **changes)


@pytest.mark.parametrize("base_url", [None, "http://127.0.0.1:8000/v1"])
def test_a_price_from_the_settings_wins(base_url: str | None) -> None:
    """Contracts differ from lists."""
    assert price_of(settings("openai/gpt-4o-mini", base_url=base_url, price=OWN)) == OWN


@pytest.mark.parametrize(
    "judge",
    [
        pytest.param(settings("openai/gpt-4o-mini", base_url="http://127.0.0.1:8000/v1"), id="own-address"),
        pytest.param(settings("nobody/knows-this"), id="unknown-model"),
        pytest.param(settings("nobody-knows-this"), id="unknown-model-without-a-provider"),
        pytest.param(settings("hosted_vllm/gpt-4o-mini"), id="own-server-with-a-listed-name"),
        pytest.param(settings("lm_studio/deepseek-chat"), id="own-machine-with-a-listed-name"),
    ],
)
def test_where_nobody_knows_the_price_there_is_none(judge: JudgeSettings) -> None:
    """A made-up cost is worse than none."""
    assert price_of(judge) is None


def test_openai_s_price_is_not_that_of_a_proxy_at_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind such an address there may be any model, at any price."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1")

    assert price_of(settings("openai/gpt-4o-mini")) is None


def test_a_well_known_model_has_the_listed_price() -> None:
    """Cached input is the cheapest, output the dearest, as at every provider."""
    price = price_of(settings("openai/gpt-4o-mini"))

    assert price is not None
    assert price.cached is not None
    assert 0 < price.cached < price.input < price.output < 100


@pytest.mark.parametrize(
    ("price", "tokens", "cost"),
    [
        # Dollars a million tokens: 600 at 0.15, 400 at 0.075, 100 at 0.6 are 90 + 30 + 60 = 180.
        pytest.param(Price(input=0.15, output=0.6, cached=0.075), (1000, 100, 400), 180e-6, id="cached"),
        # All 1,000 at 0.15: 150 + 60 = 210.
        pytest.param(Price(input=0.15, output=0.6), (1000, 100, 400), 210e-6, id="cached-costs-as-much"),
        pytest.param(Price(input=0.15, output=0.6, cached=0.0), (1000, 100, 1000), 60e-6, id="cached-for-nothing"),
        pytest.param(Price(input=0.15, output=0.6, cached=0.075), (0, 0, 0), 0.0, id="nothing"),
        # A provider that counts more cached tokens than prompt tokens pays nobody back: 500 at 0.075 are 37.5.
        pytest.param(Price(input=0.15, output=0.6, cached=0.075), (400, 0, 500), 37.5e-6, id="more-cached-than-sent"),
    ],
)
def test_a_call_costs_its_tokens(price: Price, tokens: tuple[int, int, int], cost: float) -> None:
    """What the summary says was paid is the sum of these."""
    assert price.cost_usd(*tokens) == pytest.approx(cost, abs=1e-15)


def test_a_price_is_found_without_importing_litellm() -> None:
    """The import takes seconds and asks the network for the same list."""
    program = (
        "import sys; from perm_cli.judges.routes import price_of; from perm_cli.judges.settings import JudgeSettings;"
        "price = price_of(JudgeSettings(name='j', model='openai/gpt-4o-mini'));"
        "sys.exit(price is None or 'litellm' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.fixture
def retired() -> date:
    """Return the day on which the list has a model taken away."""
    return date.fromisoformat(price_list()["gpt-4o-mini"]["deprecation_date"])


@pytest.mark.parametrize(("days", "words"), [(-1, "is retired on"), (0, "was retired on"), (1, "was retired on")])
def test_a_judge_that_is_taken_away_is_named(retired: date, days: int, words: str) -> None:
    """Numbers of a judge that is gone cannot be made again."""
    note = retirement_note(settings("openai/gpt-4o-mini"), retired + timedelta(days=days))

    assert (note or "").startswith(f"openai/gpt-4o-mini {words} {retired.day} ")


@pytest.mark.parametrize(
    "judge",
    [
        pytest.param(settings("openai/gpt-4o-mini", base_url="http://127.0.0.1:8000/v1"), id="own-address"),
        pytest.param(settings("baseline"), id="of-ours"),
        pytest.param(settings("nobody/knows"), id="unknown"),
    ],
)
def test_nothing_is_said_where_no_day_is_known(retired: date, judge: JudgeSettings) -> None:
    """A server of one's own keeps its model as long as one likes."""
    assert retirement_note(judge, retired) is None
