"""Progress: what a log and a terminal are told while calls are made. The clock is the test's own."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from perm_cli.cli import progress
from perm_cli.cli.progress import ProgressLine, shown_progress
from tests.makers import rating

USED = {"tokens_in": 3000, "tokens_out": 1000, "attempts": 1}


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put the test's clock in the place of the machine's."""
    clock = Clock()
    monkeypatch.setattr(progress, "monotonic", clock)
    return clock


def after(line: ProgressLine, made: int, **changes: Any) -> ProgressLine:
    """Return the line with so many ratings more."""
    for _ in range(made):
        line.rated(rating(**USED | changes))
    return line


def test_a_line_says_how_far_how_fast_and_how_long(clock: Clock) -> None:
    """Worked out by hand: 10 in 20 s are 2 s each; 18 wanted, 2 kept and 10 made leave 6, which take 12 s."""
    line = ProgressLine(18, None)
    line.kept()
    line.kept()
    after(line, 10, cost_usd=0.01)
    clock.now += 20

    assert str(line) == "12/18 ratings · 2.0 s each · 40k tokens · 0.1000 USD · 12 s left"


@pytest.mark.parametrize(
    ("made", "seconds"), [pytest.param(9, 60, id="few-ratings"), pytest.param(500, 4, id="little-time")]
)
def test_how_long_it_takes_is_not_said_before_there_is_ground_for_it(clock: Clock, made: int, seconds: int) -> None:
    """The first calls are the slowest: from them alone an hour would be foretold."""
    line = after(ProgressLine(10_000, None), made)
    clock.now += seconds

    assert "left" not in str(line)


def test_what_went_wrong_is_counted_by_its_status(clock: Clock) -> None:
    """A run that goes wrong should be stopped early."""
    line = after(ProgressLine(4, None), 1)
    after(line, 2, status="refused", score=None)
    after(line, 1, status="failed", score=None)
    clock.now += 1

    assert str(line) == "4/4 ratings · 4.0/s · 16k tokens · 1 failed, 2 refused"


def test_before_the_first_rating_the_time_that_has_passed_is_said(clock: Clock) -> None:
    """Nothing is divided by nought, and a speed of nought tells nobody anything."""
    line = ProgressLine(10, None)
    assert str(line) == "0/10 ratings · 0 s"
    clock.now += 7

    assert str(line) == "0/10 ratings · 7 s"


@pytest.mark.usefixtures("clock")
def test_a_rating_made_at_once_divides_by_nothing_either() -> None:
    """Fake judges are that fast."""
    assert str(after(ProgressLine(2, None), 1)) == "1/2 ratings · 0 s · 4k tokens"


def test_a_cost_that_is_unknown_is_left_out(clock: Clock) -> None:
    """Nobody wants to read `None USD` for an hour."""
    line = after(ProgressLine(2, None), 2)
    clock.now += 1

    assert "USD" not in str(line)


@pytest.mark.parametrize(
    ("left", "words"),
    [
        pytest.param(59, "59 s left", id="seconds"),
        pytest.param(60, "1 min 0 s left", id="a-minute"),
        pytest.param(61, "1 min 1 s left", id="minutes"),
        pytest.param(3600, "1 h 0 min left", id="an-hour"),
        pytest.param(9000, "2 h 30 min left", id="hours"),
    ],
)
def test_the_time_left_is_in_words(left: int, words: str, clock: Clock) -> None:
    """One rating a second: as many seconds are left as ratings."""
    line = after(ProgressLine(left + 10, None), 10)
    clock.now += 10

    assert str(line).endswith(words)


def test_more_ratings_than_expected_leave_nothing(clock: Clock) -> None:
    """A folder may hold ratings of an order that was larger."""
    line = after(ProgressLine(1, None), 3)
    clock.now += 1

    assert str(line) == "3/1 ratings · 3.0/s · 12k tokens"


def test_a_log_gets_a_line_every_few_seconds_and_later_every_ten(clock: Clock) -> None:
    """A line per rating would bury everything else; at first somebody looks on and wants to see that it works."""
    written: list[str] = []
    line = ProgressLine(1000, written.append)

    for _ in range(85):
        clock.now += 1
        after(line, 1)

    assert [int(each.partition("/")[0]) for each in written] == [*range(3, 61, 3), 70, 80]


def test_nothing_is_written_where_a_terminal_shows_the_line(clock: Clock) -> None:
    """The live line is drawn by whoever shows it."""
    line = ProgressLine(10, None)
    clock.now += 60

    assert after(line, 1).__rich__().plain == str(line)


@pytest.fixture
def console_of() -> Callable[..., Console]:
    """Return a maker of consoles that write to a string."""
    return lambda **kind: Console(file=StringIO(), width=40, **kind)


def test_without_a_terminal_plain_lines_are_printed(clock: Clock, console_of: Callable[..., Console]) -> None:
    """No colours, no cursor, and no line broken in the middle."""
    console = console_of()

    with shown_progress(console, 10) as line:
        clock.now += 10
        after(line, 4)

    assert console.file.getvalue() == "1/10 ratings · 10.0 s each · 4k tokens\n"  # type: ignore[attr-defined]


def test_on_a_terminal_the_line_is_gone_at_the_end(console_of: Callable[..., Console]) -> None:
    """What stays on the screen is the result."""
    console = console_of(force_terminal=True)

    with shown_progress(console, 10) as line:
        after(line, 4)

    assert console.file.getvalue().endswith("\x1b[2K")  # type: ignore[attr-defined]
