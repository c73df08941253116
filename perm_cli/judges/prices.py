"""What judges cost: their own price from the settings, else LiteLLM's price list, read without importing LiteLLM."""

import importlib.util
import os
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from perm_cli.judges.route_baseline import BASELINE
from perm_cli.judges.route_embedded import is_local
from perm_cli.judges.settings import JudgeSettings, Price

_LIST = "model_prices_and_context_window_backup.json"
_PER_MILLION = 1e6


def price_of(settings: JudgeSettings) -> Price | None:
    """
    Return the judge's price, None if nobody knows it.

    A judge at an address of one's own has the price the settings give it and no other, whatever its model is called.
    """
    if settings.price or settings.base_url:
        return settings.price
    if is_local(settings.model) or settings.model == BASELINE:
        return Price(input=0.0, output=0.0)
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


@cache
def price_list() -> dict[str, Any]:
    """Return LiteLLM's price list by the names of models."""
    found = importlib.util.find_spec("litellm")
    if found is None or not found.origin:
        return {}
    path = Path(found.origin).parent / _LIST
    return dict(orjson.loads(path.read_bytes())) if path.is_file() else {}
