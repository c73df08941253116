"""Rate limits in the headers of a response: how long to wait, and how much is left."""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from time import time

from perm_cli.judges.pace import Allowance

_LONGEST_WAIT_S = 86_400.0
_EPOCH_FROM = 1e8  # a number this large is Unix time in seconds; a thousand times larger, in milliseconds
_REMAINING = {
    "requests": ("x-ratelimit-remaining-requests", "x-ratelimit-remaining"),
    "tokens": ("x-ratelimit-remaining-tokens",),
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait that `Retry-After` asks for, as a number or a date; None if it does not say."""
    text = headers.get("Retry-After") or headers.get("retry-after") or ""
    try:
        return _within_a_day(float(text))
    except ValueError:
        pass
    try:
        return _within_a_day(parsedate_to_datetime(text).timestamp() - time())
    except (ValueError, TypeError, OverflowError):
        return None


# Bounded, since a broken or hostile header may name centuries, which no clock or timer can hold.
def _within_a_day(seconds: float) -> float | None:
    return None if math.isnan(seconds) else min(max(seconds, 0.0), _LONGEST_WAIT_S)


def allowances_of(headers: Mapping[str, str]) -> dict[str, Allowance]:
    """Return how many `requests` and `tokens` are left, as far as the `x-ratelimit-*` headers say."""
    found = {}
    for unit, names in _REMAINING.items():
        name = next((each for each in names if each in headers), None)
        reset_s = reset_in_s(headers.get(name.replace("remaining", "reset"), "")) if name else None
        if name is None or reset_s is None:
            continue
        try:
            remaining = float(headers[name])
        except ValueError:
            continue
        if not math.isnan(remaining):
            found[unit] = Allowance(remaining=remaining, reset_s=reset_s)
    return found


def reset_in_s(text: str) -> float | None:
    """Return the seconds until a reset given as `6m0s`, `20ms`, seconds, ISO 8601 or Unix time; None if unreadable."""
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return _within_a_day(sum(float(number) * _SECONDS[unit] for number, unit in parts))
    try:
        number = float(text)
    except ValueError:
        return _until(text)
    if number > _EPOCH_FROM:
        number = number / (1000 if number > 1000 * _EPOCH_FROM else 1) - time()
    return _within_a_day(number)


def _until(text: str) -> float | None:
    try:
        return _within_a_day(datetime.fromisoformat(text).timestamp() - time())
    except (ValueError, OverflowError):
        return None
