"""The gate before a judge: who goes next, how waits end, and that a budget is never passed."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.sources import source_of
from perm_cli.errors import CallFailed, JudgeUnusable, NotAsked
from perm_cli.judges.budget import Budget, BudgetReached, Usage
from perm_cli.judges.chat import ChatJudge
from perm_cli.judges.judge import Response
from perm_cli.judges.limiter import Limiter, Permit
from perm_cli.judges.pace import Pace
from perm_cli.judges.settings import JudgeSettings
from perm_cli.prompts.shipped import shipped
from perm_cli.ratings.run_folder import open_run
from perm_cli.scoring.job import Order, entered, prepare
from perm_cli.scoring.live import Stop, make_ratings
from tests.makers import row, written
from tests.simulation import fullest_minute
from tests.test_judges import Time
from tests.test_scoring import GOOD, Looking

ONE = Usage(calls=1)
STUCK_S = 5.0  # after which a test has failed


@dataclass
class Clock:
    """Stand still until a test lets time pass, and keep who sleeps until when."""

    now: float = 0.0
    sleeping: dict["asyncio.Future[None]", float] = field(default_factory=dict)

    async def sleep(self, seconds: float) -> None:
        """Sleep until it is time."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleeping[future] = self.now + seconds
        try:
            await future
        finally:
            del self.sleeping[future]

    async def pass_to(self, now: float) -> None:
        """Wake those whose time has come."""
        self.now = now
        for future in [each for each, until in self.sleeping.items() if until <= now]:
            future.set_result(None)
        await rest()


async def rest() -> None:
    """Let every task do what it can without time passing."""
    for _ in range(10):
        await asyncio.sleep(0)


def limiter(clock: Clock | Time, ceiling: int = 1, budget: Budget | None = None, **limits: float) -> Limiter:
    """Return a limiter by this clock."""
    return Limiter(Pace(ceiling, **limits), budget, clock=lambda: clock.now, sleep=clock.sleep)


async def queued(gate: Limiter, *worst: Usage) -> "list[asyncio.Task[Permit]]":
    """Return tasks that wait for their permits, in this order."""
    tasks = [asyncio.create_task(gate.permit(each)) for each in worst]
    await rest()
    return tasks


async def test_a_wait_that_ends_while_it_is_looked_at_is_no_budget() -> None:
    """The clock moves between two readings of it; without a budget none can be reached."""
    times = iter([0.0, 0.0, 0.5, 1.0, 1.5, 2.0])

    async def no_time(_: float) -> None:
        """Ring at once, as timers do that ring early."""

    gate = Limiter(Pace(1, rpm=60), None, clock=lambda: next(times), sleep=no_time)
    (await gate.permit(ONE)).failed(billed=False)

    assert await asyncio.wait_for(gate.permit(ONE), STUCK_S)


async def test_calls_go_in_the_order_in_which_they_came() -> None:
    """Nobody starves, and the first dialogues are finished first."""
    gate = limiter(Clock())
    first, *others = await queued(gate, *[ONE] * 5)
    went = []

    permit = await first
    for task in others:
        permit.answered(ONE, {})
        await rest()
        went.append([each.done() for each in others])
        permit = await task

    assert went == [[True] * n + [False] * (4 - n) for n in range(1, 5)]


async def test_a_cheap_call_does_not_overtake_a_dear_one() -> None:
    """Else one that is refused for its price would wait for ever."""
    gate = limiter(Clock(), 3, Budget(100, "tokens"))
    first, dear, cheap = await queued(gate, Usage(tokens=60), Usage(tokens=60), Usage(tokens=1))

    waiting = (dear.done(), cheap.done())
    (await first).answered(Usage(tokens=10), {})
    await rest()

    assert waiting == (False, False)
    assert dear.done()
    assert cheap.done()


async def test_ending_wakes_all_who_wait_with_the_reason() -> None:
    """Ctrl-C need not wait for a queue of minutes."""
    clock = Clock()
    gate = limiter(clock)
    first, *others = await queued(gate, *[ONE] * 4)
    paused = asyncio.create_task(gate.pause(30.0))
    await rest()

    gate.end(NotAsked("the run was stopped"))
    await rest()

    for task in (*others, paused):
        with pytest.raises(NotAsked, match="the run was stopped"):
            task.result()
    with pytest.raises(NotAsked, match="the run was stopped"):
        await gate.permit(ONE)
    assert clock.sleeping == {}
    (await first).answered(ONE, {})
    assert gate.pace.in_flight == 0


async def test_a_pause_after_the_end_does_not_begin() -> None:
    """A call in flight at Ctrl-C that then fails must not be waited for to be tried again."""
    clock = Clock()
    gate = limiter(clock)
    gate.end(NotAsked("the run was stopped"))

    paused = asyncio.create_task(gate.pause(30.0))
    await rest()
    waiting = not paused.done()
    await clock.pass_to(30.0)

    with pytest.raises(NotAsked):
        await paused
    assert not waiting


async def test_a_waiter_that_is_cancelled_leaves_the_others_their_places() -> None:
    """One rating given up must not hold up the rest."""
    gate = limiter(Clock())
    first, second, third, fourth = await queued(gate, *[ONE] * 4)

    second.cancel()
    await rest()
    (await first).answered(ONE, {})
    await rest()

    assert (second.cancelled(), third.done(), fourth.done()) == (True, True, False)
    assert gate.pace.in_flight == 1


async def test_a_waiter_that_is_cancelled_when_its_turn_has_come_gives_it_back() -> None:
    """A slot lost for ever is one call less in flight, or none at all."""
    gate = limiter(Clock(), budget=Budget(100, "tokens"))
    first, second = await queued(gate, ONE, Usage(calls=1, tokens=50))

    (await first).answered(ONE, {})
    second.cancel()
    await rest()

    assert second.cancelled()
    assert gate.pace.in_flight == 0
    assert gate.budget
    assert gate.budget.reserved == 0


async def test_a_wait_ends_by_itself_when_its_time_has_come() -> None:
    """Nothing else happens while one waits for what `Retry-After` says."""
    clock = Clock()
    gate = limiter(clock)
    first, second = await queued(gate, ONE, ONE)
    clock.now = 1.0
    (await first).refused(7.0)
    await rest()

    await clock.pass_to(7.9)
    before = second.done()
    await clock.pass_to(8.0)

    assert (before, second.done()) == (False, True)


async def test_one_alarm_is_enough_for_all_who_wait() -> None:
    """A thousand waiters look at one clock."""
    clock = Clock()
    gate = limiter(clock, 32, rpm=60)

    tasks = await queued(gate, *[ONE] * 100)
    await clock.pass_to(0.5)

    assert len(clock.sleeping) == 1
    assert sum(task.done() for task in tasks) == 1
    gate.end(NotAsked("over"))
    await asyncio.wait(tasks)
    assert all(task.exception() for task in tasks[1:])


async def test_an_alarm_is_set_anew_when_something_changes() -> None:
    """A longer wait that is asked for meanwhile takes the place of the shorter one."""
    clock = Clock()
    gate = limiter(clock, 2)
    first, second, third = await queued(gate, *[ONE] * 3)
    clock.now = 1.0
    (await first).refused(2.0)
    await rest()

    (await second).refused(9.0)
    await rest()
    until = list(clock.sleeping.values())
    await clock.pass_to(9.0)
    before = third.done()
    await clock.pass_to(10.0)

    assert until == [pytest.approx(10.0)]
    assert (before, third.done()) == (False, True)


async def test_a_limit_of_tokens_is_used_though_each_call_uses_less_than_was_feared() -> None:
    """A judge takes its five seconds, and the worst case is five times what a call uses."""
    clock, begun = Clock(), list[float]()
    gate = limiter(clock, 32, tpm=100_000)

    async def work() -> None:
        while True:
            permit = await gate.permit(Usage(calls=1, tokens=7300))
            begun.append(clock.now)
            await clock.sleep(5.0)
            permit.answered(Usage(calls=1, tokens=1400), {})

    workers = [asyncio.create_task(work()) for _ in range(32)]
    await rest()
    while clock.now < 300:
        await clock.pass_to(min(clock.sleeping.values()) + 1e-6)  # a real clock never stands still
    for worker in workers:
        worker.cancel()
    await asyncio.wait(workers)

    assert len(begun) * 1400 >= 0.9 * 100_000 * 5
    assert fullest_minute(begun) * 1400 <= 1.1 * 100_000


# --- budgets ---


async def test_a_budget_is_reached_only_when_nothing_is_in_flight() -> None:
    """What is in flight may turn out cheaper than feared: 10 spent instead of 80 leave room for 80 more."""
    gate = limiter(Clock(), 4, Budget(100, "tokens"))
    first, second, third = await queued(gate, *[Usage(tokens=80)] * 3)

    waiting = (second.done(), third.done())
    (await first).answered(Usage(tokens=10), {})
    await rest()
    went = (second.done(), third.done())
    (await second).answered(Usage(tokens=80), {})
    await rest()

    assert (waiting, went) == ((False, False), (True, False))
    with pytest.raises(BudgetReached, match="the budget of 100 tokens is reached"):
        await third


async def test_a_smaller_call_may_still_go_when_a_larger_one_may_not() -> None:
    """Each is weighed by itself."""
    gate = limiter(Clock(), 1, Budget(100, "tokens"))

    with pytest.raises(BudgetReached):
        await gate.permit(Usage(tokens=101))

    assert isinstance(await gate.permit(Usage(tokens=100)), Permit)


@pytest.mark.parametrize("unit", ["calls", "tokens"])
@pytest.mark.parametrize(
    ("outcome", "tokens"),
    [
        pytest.param({"refused": 0.0}, 0, id="refused"),
        pytest.param({"billed": False}, 0, id="failed-at-no-cost"),
        pytest.param({"billed": True}, 80, id="failed-unseen"),
    ],
)
async def test_a_call_that_came_to_nothing_counts(unit: str, outcome: Mapping[str, Any], tokens: int) -> None:
    """It was a call, and a bill that nobody saw is taken for the largest."""
    budget = Budget(100, unit)
    permit = await limiter(Clock(), 1, budget).permit(Usage(calls=1, tokens=80))

    if "refused" in outcome:
        permit.refused(outcome["refused"])
    else:
        permit.failed(billed=outcome["billed"])

    assert (budget.spent, budget.reserved) == (1 if unit == "calls" else tokens, 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """Say what a call may use at worst, what becomes of it, which share of the worst it uses, and how long it takes."""

    worst: float
    outcome: str
    share: float
    steps: int

    def end(self, permit: Permit) -> None:
        """End the call."""
        match self.outcome:
            case "answered":
                permit.answered(Usage(calls=1, tokens=self.worst * self.share), {})
            case "refused":
                permit.refused(0.1 + self.share)
            case _:
                permit.failed(billed=self.outcome == "billed")


PLANS = st.builds(
    Plan,
    worst=st.integers(0, 60).map(float),
    outcome=st.sampled_from(["answered", "answered", "refused", "billed", "free"]),
    share=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    steps=st.integers(0, 5),
)


class Watched(Budget):
    """Make sure at every step that what is spent and what may be spent stay within the limit."""

    def reserve(self, worst: Usage) -> None:
        """Set aside, and look."""
        super().reserve(worst)
        assert self.spent + self.reserved <= self.limit

    def settle(self, worst: Usage, actual: Usage) -> None:
        """Settle, and look."""
        super().settle(worst, actual)
        assert 0 <= self.spent + self.reserved <= self.limit


@settings(deadline=None, max_examples=150)
@given(limit=st.integers(0, 200), ceiling=st.integers(1, 5), plans=st.lists(PLANS, max_size=20))
def test_no_budget_is_ever_passed(limit: int, ceiling: int, plans: list[Plan]) -> None:
    """However calls interleave and end, each goes or is told that it may pass what is left; none waits for ever."""
    budget, time, turned_away = Watched(limit, "tokens"), Time(), list[float]()
    gate = limiter(time, ceiling, budget)

    async def call(plan: Plan) -> None:
        try:
            permit = await gate.permit(Usage(calls=1, tokens=plan.worst))
        except BudgetReached:
            turned_away.append(plan.worst)
            return
        for _ in range(plan.steps):
            await asyncio.sleep(0)
        time.now += 0.01 * (plan.steps + 1)
        plan.end(permit)

    async def run() -> None:
        _, stuck = await asyncio.wait([asyncio.create_task(call(plan)) for plan in plans], timeout=STUCK_S)
        assert not stuck

    if plans:
        asyncio.run(run())

    assert (gate.pace.in_flight, budget.reserved) == (0, 0)
    assert all(budget.spent + worst > limit for worst in turned_away)


# --- several judges at once ---


@dataclass
class Endpoint:
    """Answer at once, or never before `opened`, or not at all."""

    opened: asyncio.Event | None = None
    error: Exception | None = None
    calls: int = 0
    where: str = "http://judge"
    dropped: frozenset[str] = frozenset()
    redact: Callable[[str], str] = str

    async def send(self, _: dict[str, Any]) -> Response:
        """Return a good verdict."""
        self.calls += 1
        if self.opened:
            await self.opened.wait()
        if self.error:
            raise self.error
        return {"choices": [{"message": {"content": GOOD}}]}, {}


async def rated(folder: Path, name: str, endpoint: Endpoint, clock: Clock | Time) -> int:
    """Rate three dialogues with one judge in a folder of its own; return the number of ratings."""
    order = Order(
        sources=[source_of(str(written(folder / f"{name}.jsonl", [row(place) for place in range(3)])))],
        reading=Reading(),
        judge=JudgeSettings(name=name, model=name, base_url="http://judge"),
        rubrics=shipped("rubrics") / "perm",
        prompts=shipped("prompts") / "en",
    )
    judge, watch = ChatJudge(order.judge, endpoint, limiter(clock, 4)), Looking()
    with open_run(folder / name) as run:
        entered(job := prepare(order), run, "perm score")
        await make_ratings(job, judge, run, watch, Stop())
    return len(watch.ratings)


async def test_a_slow_judge_does_not_hold_up_another(tmp_path: Path) -> None:
    """Two judges in one loop have nothing in common but the loop."""
    slow = Endpoint(opened=asyncio.Event())
    waiting = asyncio.create_task(rated(tmp_path, "slow", slow, Clock()))
    await rest()

    assert await rated(tmp_path, "fast", Endpoint(), Clock()) == 12

    assert (slow.calls, waiting.done()) == (1, False)
    assert slow.opened
    slow.opened.set()
    assert await waiting == 12


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(CallFailed("slow down", kind="rate_limited", transient=True, retry_after_s=60), id="refusing"),
        pytest.param(CallFailed("fell over", kind="server", transient=True), id="failing"),
    ],
)
async def test_a_judge_that_waits_to_try_again_does_not_hold_up_another(tmp_path: Path, error: CallFailed) -> None:
    """The waits of one are its own."""
    clock = Clock()
    waiting = asyncio.create_task(rated(tmp_path, "sick", Endpoint(error=error), clock))
    await rest()

    assert await rated(tmp_path, "fast", Endpoint(), clock) == 12

    assert not waiting.done()
    assert clock.sleeping
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_dead_judge_does_not_end_another(tmp_path: Path) -> None:
    """It is given up alone, after a few attempts."""
    dead = Endpoint(error=CallFailed("no connection", kind="connection", transient=True))

    ended, ratings = await asyncio.gather(
        rated(tmp_path, "dead", dead, Time()), rated(tmp_path, "fast", Endpoint(), Time()), return_exceptions=True
    )

    assert isinstance(ended, JudgeUnusable)
    assert (dead.calls, ratings) == (3, 12)
