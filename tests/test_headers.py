"""What headers say about limits, in all the ways in which endpoints say it."""

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from time import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perm_cli.judges.headers import allowances_of, reset_in_s, retry_after_s
from perm_cli.judges.pace import Allowance

DAY_S = 86_400.0
JUST_NOW_S = 5.0  # that a test may take from writing a date to reading it


def in_a_minute() -> datetime:
    """Return the time in 60 s."""
    return datetime.now(UTC) + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("1s", 1.0, id="seconds"),
        pytest.param("6m0s", 360.0, id="minutes"),
        pytest.param("20ms", 0.02, id="milliseconds"),
        pytest.param("1m12.5s", 72.5, id="fractions"),
        pytest.param("1h2m3s", 3723.0, id="hours"),
        pytest.param("1d", DAY_S, id="days"),
        pytest.param("0s", 0.0, id="nothing"),
        pytest.param("17", 17.0, id="bare"),
        pytest.param("0.25", 0.25, id="bare-fraction"),
        pytest.param("-3", 0.0, id="past"),
        pytest.param("1e300", DAY_S, id="beyond-all-dates"),
        pytest.param("inf", DAY_S, id="infinite"),
        pytest.param("-inf", 0.0, id="infinitely-past"),
        pytest.param("nan", None, id="not-a-number"),
        pytest.param("2015-10-21T07:28:00Z", 0.0, id="past-date"),
        pytest.param("1445412480", 0.0, id="past-epoch"),
        pytest.param("9999-12-31T23:59:59Z", DAY_S, id="date-far-away"),
        pytest.param(f"{'9' * 400}s", DAY_S, id="duration-far-away"),
        pytest.param("", None, id="empty"),
        pytest.param("soon", None, id="word"),
        pytest.param("5 s", None, id="space-within"),
        pytest.param("5s!", None, id="more-after-it"),
        pytest.param("6m0", None, id="unit-missing"),
        pytest.param("2026-13-45", None, id="no-such-date"),
        pytest.param("0001-01-01T00:00:00", None, id="first-year"),
    ],
)
def test_a_reset_is_read_in_every_form(text: str, seconds: float | None) -> None:
    """OpenAI sends durations, others seconds; what nobody can read says nothing, and nobody waits beyond a day."""
    found = reset_in_s(text)

    assert found == (None if seconds is None else pytest.approx(seconds))


def test_a_reset_may_be_a_date() -> None:
    """Anthropic sends ISO 8601, OpenRouter milliseconds of Unix time, others seconds of it."""
    texts = [in_a_minute().isoformat(), str(int(time() + 60)), str(int((time() + 60) * 1000)), f"{time() + 60:.3f}"]

    for text in texts:
        assert reset_in_s(text) == pytest.approx(60.0, abs=JUST_NOW_S)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("0.5", 0.5, id="fraction"),
        pytest.param(" 7 ", 7.0, id="spaces"),
        pytest.param("1e9", DAY_S, id="large"),
        pytest.param("nan", None, id="not-a-number"),
        pytest.param("Wed, 21 Oct 9999 07:28:00 GMT", DAY_S, id="date-far-away"),
        pytest.param("Wed, 99 Oct 2026 07:28:00 GMT", None, id="no-such-date"),
        pytest.param("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None, id="year-of-twenty-digits"),
        pytest.param("Mon, 01 Jan 0001 00:00:00 -0000", 0.0, id="first-year"),
        pytest.param("Wed, 21 Oct 2015 07:28:00 +9999999999", None, id="zone-beyond-all"),
        pytest.param("9" * 5000, DAY_S, id="more-digits-than-a-number-has"),
    ],
)
def test_retry_after_is_a_number_of_seconds_within_a_day(text: str, seconds: float | None) -> None:
    """What is waited for must be a time."""
    assert retry_after_s({"retry-after": text}) == seconds


def test_retry_after_may_be_a_date_to_come() -> None:
    """It is what HTTP calls an HTTP-date."""
    header = format_datetime(in_a_minute(), usegmt=True)

    assert retry_after_s({"Retry-After": header}) == pytest.approx(60.0, abs=JUST_NOW_S)


@pytest.mark.parametrize(
    ("headers", "allowances"),
    [
        pytest.param({}, {}, id="none"),
        pytest.param(
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "149984",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            {"requests": Allowance(remaining=59, reset_s=1), "tokens": Allowance(remaining=149_984, reset_s=360)},
            id="openai",
        ),
        pytest.param(
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"},
            {"requests": Allowance(remaining=0, reset_s=30)},
            id="one-kind-only",
        ),
        pytest.param(
            {
                "x-ratelimit-remaining-requests": "3",
                "x-ratelimit-reset-requests": "20ms",
                "x-ratelimit-remaining": "9",
                "x-ratelimit-reset": "9",
            },
            {"requests": Allowance(remaining=3, reset_s=0.02)},
            id="the-more-particular-counts",
        ),
        pytest.param({"x-ratelimit-remaining-requests": "0"}, {}, id="no-reset"),
        pytest.param({"x-ratelimit-reset-requests": "1s"}, {}, id="no-count"),
        pytest.param({"x-ratelimit-remaining-requests": "few", "x-ratelimit-reset-requests": "1s"}, {}, id="no-number"),
        pytest.param(
            {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "later"}, {}, id="unreadable-reset"
        ),
        pytest.param(
            {
                "x-ratelimit-remaining-requests": "?",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "7",
                "x-ratelimit-reset-tokens": "1s",
            },
            {"tokens": Allowance(remaining=7, reset_s=1)},
            id="one-of-two-readable",
        ),
        pytest.param(
            {"x-ratelimit-remaining-requests": "nan", "x-ratelimit-reset-requests": "1s"},
            {},
            id="not-a-number",
        ),
    ],
)
def test_what_is_left_is_read_where_it_is_said_when_it_will_be_more(
    headers: dict[str, str], allowances: dict[str, Allowance]
) -> None:
    """Without the time of the reset nobody knows how long nothing is left."""
    assert allowances_of(headers) == allowances


@given(st.text() | st.text(alphabet="0123456789.:-+ eTZdhms,GMT") | st.floats(allow_nan=False).map(str))
def test_whatever_a_header_says_is_a_time_or_nothing(text: str) -> None:
    """An endpoint must not be able to stop a run with a header."""
    headers = {"x-ratelimit-remaining": text, "x-ratelimit-reset": text, "Retry-After": text}

    for found in (
        reset_in_s(text),
        retry_after_s(headers),
        *(each.reset_s for each in allowances_of(headers).values()),
    ):
        assert found is None or (found >= 0 and not math.isnan(found))
