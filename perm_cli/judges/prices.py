"""What LiteLLM's price list says of judges: their prices, and the day on which they are taken away."""

import os
from datetime import date, datetime
from typing import Any

from perm_cli.judges.settings import JudgeSettings, Price
from perm_cli.litellm_files import price_list

_PER_MILLION = 1e6


def listed_price(settings: JudgeSettings) -> Price | None:
    """Return the price that is listed for a judge, None if there is none."""
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
    """Return the day on which the judge's provider takes it away, None if none is known."""
    try:
        return date.fromisoformat(_listed(settings).get("deprecation_date", ""))
    except (TypeError, ValueError):
        return None


def retirement_note(settings: JudgeSettings, today: date | None = None) -> str | None:
    """Return a warning of a judge that is taken away, None if no day for that is known."""
    day = retirement_of(settings)
    if day is None:
        return None
    when = "was retired" if day <= (today or datetime.now().astimezone().date()) else "is retired"
    return f"{settings.model} {when} on {day.day} {day:%B %Y}: numbers that are to be compared later need another judge"


def _listed(settings: JudgeSettings) -> dict[str, Any]:
    """Return what LiteLLM's list has on a judge, nothing about one at an address of one's own."""
    if settings.base_url or (settings.provider == "openai" and os.environ.get("OPENAI_BASE_URL")):
        return {}
    prices = price_list()
    bare = prices.get(settings.model.partition("/")[2], {})  # many are listed without the provider's name
    return prices.get(settings.model) or (bare if bare.get("litellm_provider") == settings.provider else {})
