"""Prices and retirement dates of judges, from LiteLLM's price list."""

import os
from datetime import date, datetime
from typing import Any

from perm_cli.judges.settings import JudgeSettings, Price
from perm_cli.litellm_files import price_list

_PER_MILLION = 1e6


def listed_price(settings: JudgeSettings) -> Price | None:
    """Return the listed price of a judge, None if there is none."""
    entry = _listed(settings)
    listed, output = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    if listed is None or output is None:
        return None
    cached = entry.get("cache_read_input_token_cost")
    return Price(
        input=listed * _PER_MILLION,
        output=output * _PER_MILLION,
        cached=None if cached is None else cached * _PER_MILLION,
    )


def retirement_of(settings: JudgeSettings) -> date | None:
    """Return the day on which the provider retires the judge, None if it is unknown."""
    try:
        return date.fromisoformat(_listed(settings).get("deprecation_date", ""))
    except (TypeError, ValueError):
        return None


def retirement_note(settings: JudgeSettings, today: date | None = None) -> str | None:
    """Return a warning about a judge's retirement, None if no date is known."""
    day = retirement_of(settings)
    if day is None:
        return None
    when = "was retired" if day <= (today or datetime.now().astimezone().date()) else "is retired"
    return f"{settings.model} {when} on {day.day} {day:%B %Y}: take another judge for numbers to compare later"


def _listed(settings: JudgeSettings) -> dict[str, Any]:
    """Return the judge's entry in LiteLLM's list, empty for a judge at the user's own address."""
    if settings.base_url or (settings.provider == "openai" and os.environ.get("OPENAI_BASE_URL")):
        return {}
    prices = price_list()
    bare = prices.get(settings.model.partition("/")[2], {})  # many are listed without the provider's name
    return prices.get(settings.model) or (bare if bare.get("litellm_provider") == settings.provider else {})
