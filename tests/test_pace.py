"""The pace of a judge: in a simulation against servers with limits, and step by step."""

import math
from collections.abc import Callable
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perm_cli.judges.pace import OPENING, Allowance, Pace
from tests.simulation import (
    MINUTE_S,
    Refusal,
    Server,
    Use,
    between,
    fixed_minute,
    fullest_minute,
    simulate,
    sliding,
    token_bucket,
    unlimited,
)

CEILING = 32  # calls in flight unless the user says otherwise


def answers(pace: Pace, now: float, took_s: float, calls: int) -> None:
    """Have this many calls begin together and be answered together."""
    for _ in range(calls):
        pace.begin(now, 0)
    for _ in range(calls):
        pace.answered(now + took_s, now)


def refused(pace: Pace, retry_after_s: float | None = None, calls: int = 1) -> float:
    """Have calls begin at 0 and be refused at 1, which is returned."""
    for _ in range(calls):
        pace.begin(0.0, 0)
    for _ in range(calls):
        pace.refused(1.0, 0.0, retry_after_s)
    return 1.0


# --- limits that the endpoint has, and that nobody told us ---

# The two seconds' worth of calls that the bucket holds come on top of the rate.
SERVERS: dict[str, tuple[Callable[[int], Server], float]] = {
    "sliding-minute": (sliding, 0.0),
    "sliding-minute-that-says-nothing": (lambda limit: sliding(limit, None), 0.0),
    "token-bucket": (lambda limit: token_bucket(limit, limit / 30), 2.0),
    "fixed-minute": (fixed_minute, 0.0),
}


@pytest.mark.parametrize("minutes", [2, 10])
@pytest.mark.parametrize("limit", [60, 600, 3000])
@pytest.mark.parametrize("kind", SERVERS)
def test_an_endpoint_s_limit_is_found_and_used(kind: str, limit: int, minutes: int) -> None:
    """Whoever says nothing about limits gets what the endpoint allows, and hardly annoys it."""
    server, burst_s = SERVERS[kind]
    pace = Pace(CEILING)

    course = simulate(pace, server(limit), minutes * MINUTE_S)

    assert len(course.accepted) >= 0.9 * limit * (minutes + burst_s / MINUTE_S)
    if limit >= 600:
        assert course.share_refused <= 0.05
    assert course.peak <= CEILING


@pytest.mark.parametrize("ceiling", [1, 3, 32, 256])
@pytest.mark.parametrize("server", [unlimited, sliding(600), token_bucket(60, 1)])
def test_the_ceiling_is_used_and_never_passed(server: Server, ceiling: int) -> None:
    """It is the user's, who may know what a small machine bears."""
    course = simulate(Pace(ceiling), server, 70 if ceiling < OPENING else 10)

    assert 0.7 * min(ceiling, OPENING) <= course.peak <= ceiling


def test_without_a_limit_nothing_is_lost() -> None:
    """Steering must cost nothing where there is nothing to steer: 256 calls of 0.2 s are 1,280 a second."""
    course = simulate(Pace(256), unlimited, 10)

    assert len(course.accepted) >= 0.95 * 12_800


def test_a_limit_that_was_lowered_is_found_again() -> None:
    """Others may use the same key from a quarter past on."""
    course = simulate(Pace(CEILING), between(300, 900, sliding(300), sliding(1200)), 900)

    assert len([at for at in course.accepted if at >= 360]) >= 0.9 * 300 * 9
    assert len([at for at in course.refused if at >= 300]) <= 0.05 * 300 * 10


@pytest.mark.parametrize("retry_after_s", [None, 1.0, 59.0])
def test_a_limit_used_up_before_the_run_does_not_slow_it_for_good(retry_after_s: float | None) -> None:
    """The same key was busy until a minute ago; 1,000 calls then take seconds, not hours."""
    server = between(0, 60, lambda _: Refusal(retry_after_s=retry_after_s))

    course = simulate(Pace(CEILING), server, 300)

    assert len(course.accepted) >= 1000


def test_a_limit_after_a_long_calm_is_found() -> None:
    """The rate found must be that of the endpoint, not what has grown out of an old one in half an hour."""
    pace = Pace(4)

    simulate(pace, between(60, 1560, unlimited, sliding(600)), 1680)

    assert pace.rate
    assert 5 <= pace.rate <= 20


# --- limits that the user gives ---


@pytest.mark.parametrize("minutes", [2, 10])
@pytest.mark.parametrize("limit", [6, 60, 600, 3000])
@pytest.mark.parametrize("server", [sliding, fixed_minute])
def test_a_limit_of_requests_is_kept_and_used(server: Callable[[int], Server], limit: int, minutes: int) -> None:
    """Whoever knows the limit is never refused."""
    course = simulate(Pace(CEILING, rpm=limit), server(limit), minutes * MINUTE_S)

    assert course.refused == []
    assert fullest_minute(course.begun) <= limit
    assert len(course.begun) >= 0.9 * limit * minutes


@pytest.mark.parametrize("minutes", [2, 10])
@pytest.mark.parametrize(
    ("limit", "planned", "used"),
    [
        pytest.param(60_000, 1000, 1000, id="as-planned"),
        pytest.param(200_000, 3000, 1500, id="half-of-it"),
        pytest.param(1_000_000, 7300, 1400, id="a-fifth-of-it"),
    ],
)
def test_a_limit_of_tokens_is_kept_and_used(limit: int, planned: int, used: int, minutes: int) -> None:
    """What was planned and not used is free for the next call."""
    server = sliding(limit, amount=used)

    course = simulate(Pace(CEILING, tpm=limit), server, minutes * MINUTE_S, tokens=Use(planned=planned, used=used))

    assert course.refused == []
    assert fullest_minute(course.begun) * used <= limit
    assert len(course.begun) * used >= 0.9 * limit * minutes


def test_a_limit_of_tokens_holds_for_large_calls() -> None:
    """Where a few calls are the whole minute, one more is a refusal."""
    course = simulate(Pace(CEILING, tpm=30_000), unlimited, 300, tokens=Use(planned=7000, used=7000))

    assert fullest_minute(course.begun) * 7000 <= 30_000


def test_a_call_larger_than_the_minute_goes_alone() -> None:
    """It can never fit, and must not wait for ever."""
    pace = Pace(CEILING, tpm=1000)

    assert pace.wait_s(0.0, 5000) == 0
    pace.begin(0.0, 5000)
    assert 60 < pace.wait_s(0.0, 1) < math.inf


# --- the window ---


def test_the_window_doubles_with_every_round_up_to_the_ceiling() -> None:
    """A large window is open after a few round trips."""
    pace, windows = Pace(300), []

    for second in range(4):
        windows.append(pace.window)
        answers(pace, float(second), 0.2, int(pace.window))

    assert windows == [64, 128, 256, 300]


def test_no_more_calls_begin_than_the_window_holds() -> None:
    """The next one waits until another ends."""
    pace = Pace(2)
    pace.begin(0.0, 0)

    assert pace.wait_s(0.0, 0) == 0
    pace.begin(0.0, 0)
    assert pace.wait_s(0.0, 0) == math.inf
    pace.answered(0.1, 0.0)
    assert pace.wait_s(0.1, 0) == 0


def test_refusals_of_one_moment_close_the_window_once() -> None:
    """Thirty calls that hit one limit together are one piece of news."""
    pace = Pace(CEILING)

    refused(pace, calls=30)

    assert pace.window == CEILING / 2


def test_the_window_closes_when_whole_rounds_take_five_times_as_long() -> None:
    """A server that is swamped gets slow before it refuses."""
    pace = Pace(CEILING)
    answers(pace, 0.0, 0.2, CEILING)

    answers(pace, 1.0, 1.0, CEILING)

    assert pace.window == pytest.approx(CEILING * 0.7)


def test_the_window_closes_when_calls_time_out() -> None:
    """What never comes back is the slowest of all."""
    pace = Pace(CEILING)
    answers(pace, 0.0, 0.2, CEILING)
    for _ in range(CEILING):
        pace.begin(1.0, 0)

    for _ in range(CEILING):
        pace.failed(121.0, 1.0, slow=True)

    assert pace.window == pytest.approx(CEILING * 0.7)


def test_a_few_slow_calls_among_many_close_nothing() -> None:
    """Some prompts are long, and some judges think."""
    pace = Pace(CEILING)

    for second in range(20):
        answers(pace, second * 10.0, 0.2, CEILING - 8)
        answers(pace, second * 10.0 + 1, 8.0, 8)

    assert pace.window == CEILING


def test_errors_of_the_server_close_nothing() -> None:
    """A 5xx says nothing about how many calls are too many; each is tried again later by itself."""
    pace = Pace(CEILING)
    answers(pace, 0.0, 0.2, CEILING)

    for second in range(1, 20):
        for _ in range(CEILING):
            pace.begin(float(second), 0)
        for _ in range(CEILING):
            pace.failed(second + 0.1, float(second))

    assert (pace.window, pace.in_flight, pace.wait_s(20.0, 0)) == (CEILING, 0, 0)


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(between(30, 31, lambda _: Refusal(retry_after_s=1.0)), id="refused-for-a-second"),
        pytest.param(between(30, 60, sliding(120)), id="limited-for-a-while"),
    ],
)
def test_the_window_opens_again(server: Server) -> None:
    """One bad minute must not slow down a night."""
    course = simulate(Pace(CEILING), server, 300)

    assert min(window for _, window in course.windows) < CEILING
    assert course.windows[-1][1] == CEILING
    assert len([at for at in course.accepted if at >= 240]) >= 0.9 * MINUTE_S * CEILING / 0.2


@pytest.mark.parametrize("ceiling", [CEILING, 256])
def test_a_judge_that_stays_slow_is_asked_as_much_as_before(ceiling: int) -> None:
    """Fewer calls would not make it any faster."""
    course = simulate(Pace(ceiling), unlimited, 90, lambda now, _: 0.2 if now < 10 else 1.0)

    # It looks for a few rounds whether fewer calls are answered sooner, and then asks as many as before.
    assert min(window for _, window in course.windows) >= 0.3 * min(ceiling, OPENING)
    assert course.windows[-1][1] >= 0.9 * min(ceiling, OPENING)
    assert course.windows[-1][1] == ceiling


@pytest.mark.parametrize("slots", [1, 4, 16])
@pytest.mark.parametrize("ceiling", [CEILING, 256])
def test_a_judge_with_a_queue_is_kept_busy(slots: int, ceiling: int) -> None:
    """Servers of one's own take so many calls at once and let the others wait: none of its slots is to be idle."""
    course = simulate(Pace(ceiling), unlimited, 100, lambda _, in_flight: 0.2 * max(1.0, in_flight / slots))

    assert min(window for _, window in course.windows) >= slots
    assert len(course.accepted) >= 0.95 * 100 * slots / 0.2


def test_the_window_settles_near_what_a_judge_can_bear() -> None:
    """Beyond 100 calls this one gets so slow that less comes of more: 500 a second at best, 84 with 256 calls."""

    def thrashing(_: float, in_flight: int) -> float:
        return 0.2 if in_flight <= 100 else 0.6 + 1.6 * (in_flight - 100) / 100

    course = simulate(Pace(256), unlimited, 100, thrashing)

    assert 50 <= fmean(course.windows_from(50)) <= 200


# --- after a refusal ---


def test_one_call_goes_alone_after_a_refusal() -> None:
    """If that one is refused, only one was in vain."""
    pace = Pace(CEILING)
    now = refused(pace, 2.0, calls=5)

    assert pace.wait_s(now, 0) == pytest.approx(2.0)
    pace.begin(now + 2, 0)
    assert pace.wait_s(now + 2, 0) == math.inf
    pace.answered(now + 2.2, now + 2)
    assert pace.wait_s(now + 2.2, 0) < math.inf


def test_a_probe_that_fails_lets_another_go() -> None:
    """A connection lost just then must not hold up everything."""
    pace = Pace(CEILING)
    now = refused(pace, 2.0)
    pace.begin(now + 2, 0)

    pace.failed(now + 3, now + 2)

    assert pace.wait_s(now + 3, 0) == 0


@pytest.mark.parametrize("end", ["answered", "refused", "failed"])
def test_a_probe_ends_however_coarse_the_clock_is(end: str) -> None:
    """`Retry-After: 0` lets it go at once, and Windows tells the time 64 times a second."""
    pace, now = Pace(CEILING), 0.0
    while not pace._strikes:  # which a few such refusals are not believed to be worth
        pace.begin(now, 0)
        now += 0.1
        pace.refused(now, now - 0.1, 0.0)
    now += pace.wait_s(now, 0)
    pace.begin(now, 0)

    if end == "refused":
        pace.refused(now + 1, now, 0.0)
    else:
        getattr(pace, end)(now + 1, now)

    assert pace.wait_s(now + 100, 0) == 0


@pytest.mark.parametrize("retry_after_s", [0.3, 7.0, 90.0, 3600.0])
def test_retry_after_is_obeyed(retry_after_s: float) -> None:
    """The endpoint knows best when it will listen again."""
    course = simulate(Pace(8), between(10, 10.2, lambda _: Refusal(retry_after_s=retry_after_s)), retry_after_s + 20)

    first = course.refused[0]
    assert not [at for at in course.begun if first < at < first + retry_after_s]
    assert [at for at in course.begun if at >= first + retry_after_s]


def test_the_longest_of_several_waits_counts() -> None:
    """Calls refused together may each be told something else."""
    pace = Pace(CEILING)
    for _ in range(3):
        pace.begin(0.0, 0)

    for wait_s in (1.0, 30.0, 2.0):
        pace.refused(1.0, 0.0, wait_s)

    assert pace.wait_s(1.0, 0) == pytest.approx(30.0)


def test_a_wait_is_counted_from_its_own_refusal() -> None:
    """A slow call may be refused seconds after the first."""
    pace = Pace(CEILING)
    for _ in range(2):
        pace.begin(0.0, 0)
    pace.refused(1.0, 0.0, 1.0)

    pace.refused(5.0, 0.0, 10.0)

    assert pace.wait_s(5.0, 0) == pytest.approx(10.0)


def test_an_endpoint_that_refuses_for_a_minute_is_asked_a_few_times_in_it() -> None:
    """Probes that are refused come further and further apart, but one comes soon after the minute."""
    course = simulate(Pace(CEILING), between(10, 70, lambda _: Refusal()), 200)

    probes = [at for at in course.begun if 11 < at < 69]
    assert 2 <= len(probes) <= 10
    assert min(at for at in course.accepted if at > 70) <= 100


# --- what headers say is left ---


def test_nothing_left_waits_for_the_reset() -> None:
    """The next call would be refused."""
    pace = Pace(CEILING)
    answers(pace, 0.0, 1.0, 1)

    pace.limits_reported(1.0, {"requests": Allowance(remaining=0, reset_s=20)})

    assert pace.wait_s(1.0, 0) == pytest.approx(20.0)
    assert pace.wait_s(21.0, 0) == 0


def test_the_last_ones_left_may_go() -> None:
    """What is left is there to be used, and not more than that."""
    pace = Pace(CEILING)
    pace.limits_reported(
        0.0, {"requests": Allowance(remaining=2, reset_s=20), "tokens": Allowance(remaining=5000, reset_s=9)}
    )

    for _ in range(2):
        assert pace.wait_s(0.0, 0) == 0
        pace.begin(0.0, 0)

    assert pace.wait_s(0.0, 0) == math.inf


def test_a_reset_far_away_is_waited_for_a_minute() -> None:
    """Some say when the day is over though the minute is what is used up; asking once a minute does no harm."""
    pace = Pace(CEILING)

    pace.limits_reported(0.0, {"requests": Allowance(remaining=0, reset_s=86_400)})

    assert pace.wait_s(0.0, 0) == pytest.approx(60.0)


# --- whatever happens ---

TIMES = st.floats(1e-6, 400.0)
COUNTS = st.sampled_from([0.0, 1.0, 5.0, -3.0, 1e9, math.inf, math.nan])
EVENTS = st.one_of(
    st.just(("begin",)),
    st.tuples(st.just("answered"), st.floats(-1e4, 1e4)),
    st.tuples(st.just("refused"), st.none() | st.floats(0.0, 86_400.0)),
    st.tuples(st.just("failed"), st.booleans()),
    st.tuples(st.just("told"), st.builds(Allowance, remaining=COUNTS, reset_s=COUNTS)),
)


def happen(pace: Pace, now: float, event: tuple[object, ...], place: int, flying: list[float]) -> None:
    """Have one thing happen, to the call at this place among those in flight."""
    match event:
        case ("begin",):
            if pace.wait_s(now, 500.0) <= 0:
                pace.begin(now, 500.0)
                flying.append(now)
        case ("told", Allowance() as allowance):
            pace.limits_reported(now, {"requests": allowance})
        case ("answered", float(tokens)) if flying:
            pace.answered(now, flying.pop(place % len(flying)), tokens)
        case ("refused", None | float() as wait_s) if flying:
            pace.refused(now, flying.pop(place % len(flying)), wait_s)
        case ("failed", bool(slow)) if flying:
            pace.failed(now, flying.pop(place % len(flying)), slow=slow)


@settings(deadline=None, max_examples=300)
@given(
    ceiling=st.integers(1, 100),
    rpm=st.none() | st.floats(0.001, 1e6),
    tpm=st.none() | st.floats(1.0, 1e9),
    steps=st.lists(st.tuples(TIMES, EVENTS, st.integers(0, 99)), max_size=60),
)
def test_whatever_happens_somebody_may_go_sometime(
    ceiling: int, rpm: float | None, tpm: float | None, steps: list[tuple[float, tuple[object, ...], int]]
) -> None:
    """A run that waits for nothing never ends."""
    pace, now, flying = Pace(ceiling, rpm, tpm), 0.0, list[float]()

    for after_s, event, place in steps:
        now += after_s
        happen(pace, now, event, place, flying)
        wait_s = pace.wait_s(now, 500.0)
        assert pace.in_flight == len(flying) <= ceiling
        assert not math.isnan(wait_s)
        assert 1 <= pace.window <= ceiling
        assert flying or wait_s < math.inf


def test_an_endpoint_may_refuse_for_days() -> None:
    """A training run asks on, however long its judge has been away."""
    pace = Pace(4)
    for hour in range(2000):
        pace.begin(now := hour * 3600.0, 0)
        pace.refused(now + 1, now, None)

    assert pace.wait_s(2000 * 3600.0, 0) <= 30
