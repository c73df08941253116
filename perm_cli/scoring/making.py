"""
Ratings of one run or of several at once, from the first call to the last: the loop, the judges, budgets, interrupts.

However the making of a run's ratings ends, that is put on record.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from perm_cli.errors import NotAsked, PermError
from perm_cli.judges.budget import Budget, Use
from perm_cli.judges.routes import open_judge
from perm_cli.ratings.rating import Rating
from perm_cli.ratings.reserve import Reserve
from perm_cli.ratings.run_folder import RunFolder, open_run
from perm_cli.ratings.run_record import CommandRecord
from perm_cli.ratings.spending import Spending
from perm_cli.scoring.job import Job, entered, now
from perm_cli.scoring.live import Stop, Watch, interruptible, make_ratings
from perm_cli.scoring.pending import is_made

INTERRUPTION = "the run was interrupted"
_TICK_S = 3.0
T = TypeVar("T")
Failures = dict[Path, PermError]
"""What has kept run folders from being rated."""
Announce = Callable[[bool], None]
"""Confirms an interrupt; true if it is a second one, which drops the calls in flight."""


class TickingWatch(Watch, Protocol):
    """A watch that is told of the time too, so that nobody takes a long wait for an end."""

    def tick(self) -> None:
        """Show how far the run is, if it is time for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What ratings are made with besides the judge: a budget and its unit, ratings of other runs, a Ray address."""

    limit: tuple[float, str] | None = None
    reserve: Reserve | None = None
    ray: str | None = None


@dataclass(slots=True, kw_only=True)
class Ended:
    """How the making of ratings ended: by itself, by an interrupt, or with the budget `full`; `made` adds them up."""

    interrupted: bool = False
    full: str | None = None
    made: Spending = field(default_factory=Spending)

    @property
    def stopped(self) -> str | None:
        """Return why not all was rated."""
        return INTERRUPTION if self.interrupted else self.full


@dataclass(frozen=True, slots=True)
class _Counting:
    """A watch that adds up what one run makes before it passes it on."""

    spending: Spending
    watch: Watch

    def rated(self, rating: Rating) -> None:
        self.spending.add(rating)
        self.watch.rated(rating)

    def kept(self, ratings: int = 1) -> None:
        self.watch.kept(ratings)


def make_run(
    job: Job, folder: RunFolder, command: CommandRecord, means: Means, watch: TickingWatch, announce: Announce
) -> Ended:
    """
    Make the ratings that a run lacks, and close the record of the command.

    An interrupt is no error: what is rated is kept.
    """
    budget = _budget(folder, means.limit)
    stop, ended = Stop(), Ended()
    counting = _Counting(ended.made, watch)

    async def make() -> None:
        with interruptible(stop, announce):
            async with _ticking(watch):
                ended.full = await _make(job, folder, counting, stop, budget, means.reserve)

    with _on_record(command, folder, ended, budget):
        try:
            if means.ray:
                _make_on_ray(job, folder, counting, stop, means, announce)
            else:
                run_loop(make())
            ended.interrupted = stop.requested
        except (KeyboardInterrupt, asyncio.CancelledError):
            ended.interrupted = True
    return ended


def _make_on_ray(job: Job, folder: RunFolder, watch: Watch, stop: Stop, means: Means, announce: Announce) -> None:
    from perm_cli.scoring.on_ray import make_ratings_on_ray  # noqa: PLC0415 - only where it is asked for

    make_ratings_on_ray(job, folder, watch, stop, means.ray or "local", announce, means.reserve)


def make_runs(works: Sequence[tuple[Job, Path]], said: str, watch: TickingWatch, announce: Announce) -> Failures:
    """
    Make the ratings of several jobs at once, each in its own run folder, with its own judge and at its own pace.

    Return what has kept a folder from being rated. Raise `KeyboardInterrupt` when the user has stopped the run.
    """
    return run_loop(_make_all(works, said, watch, announce))


async def _make_all(works: Sequence[tuple[Job, Path]], said: str, watch: TickingWatch, announce: Announce) -> Failures:
    stop, failures = Stop(), Failures()
    stops = [Stop() for _ in works]

    def stop_all() -> None:
        for each in stops:
            each.request()

    async def one(job: Job, path: Path, own: Stop) -> None:
        try:
            with open_run(path) as folder:
                await _make_entered(job, folder, said, watch, own)
        except PermError as error:  # another judge may do
            failures[path] = error

    stop.notify = stop_all
    with interruptible(stop, announce):
        async with _ticking(watch):
            await asyncio.gather(*(one(job, path, own) for (job, path), own in zip(works, stops, strict=True)))
    if stop.requested:
        raise KeyboardInterrupt
    return failures


async def _make_entered(job: Job, folder: RunFolder, said: str, watch: Watch, stop: Stop) -> None:
    ended = Ended()
    with _on_record(entered(job, folder, said), folder, ended):
        ended.full = await _make(job, folder, _Counting(ended.made, watch), stop)
        ended.interrupted = stop.requested


async def _make(
    job: Job,
    folder: RunFolder,
    watch: _Counting,
    stop: Stop,
    budget: Budget | None = None,
    reserve: Reserve | None = None,
) -> str | None:
    """Make ratings with a judge that is opened for it; return which budget was reached."""
    if is_made(job, folder):  # told before a judge is opened, which takes an embedded one seconds
        watch.kept(job.ratings)
        return None
    async with open_judge(job.order.judge, budget) as judge:
        stop.notify = lambda: judge.stop(NotAsked("the run was stopped"))
        full = await make_ratings(job, judge, folder, watch, stop, reserve)
        if watch.spending.rated:  # what an endpoint takes is known only if it was asked something
            folder.record.settings[job.settings].effective = judge.effective()
        return full


def _budget(folder: RunFolder, limit: tuple[float, str] | None) -> Budget | None:
    """Return the budget, less what this folder has cost so far."""
    if not limit:
        return None
    calls, tokens, usd = folder.ledger.spent()
    unit = limit[1]

    def keep(amount: float) -> None:
        folder.record.charge(unit, amount)
        folder.write_record()

    budget = Budget(*limit, Use(calls=calls, tokens=tokens, usd=usd), keep)
    # Calls that came to no rating, or to one without usage, are on record here only.
    budget.spent = max(budget.spent, folder.record.spent.get(unit, 0.0))
    return budget


@contextmanager
def _on_record(command: CommandRecord, folder: RunFolder, ended: Ended, budget: Budget | None = None) -> Iterator[None]:
    """Close the record of a command when the `with` block ends, however it does."""
    stopped: str | None = INTERRUPTION
    try:
        yield
        stopped = ended.stopped
    except PermError as error:
        stopped = str(error)
        raise
    finally:
        if budget:
            folder.record.charge(budget.unit, budget.spent)
        close_record(command, folder, ended.made, stopped)


def close_record(command: CommandRecord, folder: RunFolder, made: Spending, stopped: str | None = None) -> None:
    """Enter what a command has made into its record, and why it `stopped` before all was rated."""
    command.ended, command.stopped = now(), stopped
    command.made, command.tokens, command.cost_usd = dict(made.statuses), dict(made.tokens), made.cost_usd
    folder.write_record()


@asynccontextmanager
async def _ticking(watch: TickingWatch) -> AsyncIterator[None]:
    async def tick() -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            watch.tick()

    task = asyncio.create_task(tick())
    try:
        yield
    finally:
        task.cancel()


def run_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run on the fastest event loop there is."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.run(coroutine)
    return uvloop.run(coroutine)
