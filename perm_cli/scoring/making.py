"""
Making the ratings of one run or of several at once: the event loop, the judges, budgets and interrupts.

However the work on a run ends, its record says so.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from perm_cli.errors import NotAsked, PermError
from perm_cli.judges.budget import Budget, Usage
from perm_cli.judges.routes import open_judge
from perm_cli.ratings.rating import Rating
from perm_cli.ratings.reserve import Reserve
from perm_cli.ratings.run_folder import RunFolder, open_run
from perm_cli.ratings.run_record import CommandRecord
from perm_cli.ratings.spending import Spending
from perm_cli.scoring.job import Job, entered, now
from perm_cli.scoring.live import RatingListener, Stop, interruptible, make_ratings
from perm_cli.scoring.pending import is_complete

INTERRUPTION = "the run was interrupted"
_TICK_S = 3.0
T = TypeVar("T")
Failures = dict[Path, PermError]
"""The errors that kept run folders from being rated."""
Announce = Callable[[bool], None]
"""Called on an interrupt, with true if it is a second one, which drops the calls in flight."""


class TickingListener(RatingListener, Protocol):
    """A listener that is also called at regular times, so that it can show that a long wait is not the end."""

    def tick(self) -> None:
        """Show the progress, if it is time to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a run uses besides the judge: a budget limit and its unit, ratings of other runs, a Ray address."""

    limit: tuple[float, str] | None = None
    reserve: Reserve | None = None
    ray: str | None = None


@dataclass(slots=True, kw_only=True)
class Ended:
    """How making ratings ended: completely, interrupted, or with its `budget_reached`; `made` sums up the ratings."""

    interrupted: bool = False
    budget_reached: str | None = None
    made: Spending = field(default_factory=Spending)

    @property
    def stopped(self) -> str | None:
        """Return why ratings are left unmade, None if none are."""
        return INTERRUPTION if self.interrupted else self.budget_reached


@dataclass(frozen=True, slots=True)
class _Counting:
    """A listener that sums up the ratings of one run and passes them on to another listener."""

    spending: Spending
    listener: RatingListener

    def rated(self, rating: Rating) -> None:
        self.spending.add(rating)
        self.listener.rated(rating)

    def kept(self, ratings: int = 1) -> None:
        self.listener.kept(ratings)


def make_run(
    job: Job,
    folder: RunFolder,
    command: CommandRecord,
    resources: Resources,
    listener: TickingListener,
    announce: Announce,
) -> Ended:
    """
    Make the ratings that a run lacks, close the record of the command, and return how it ended.

    An interrupt is not an error: ratings so far are kept.
    """
    budget = _budget(folder, resources.limit)
    stop, ended = Stop(), Ended()
    counting = _Counting(ended.made, listener)

    async def make() -> None:
        with interruptible(stop, announce):
            async with _ticking(listener):
                ended.budget_reached = await _make(job, folder, counting, stop, budget, resources.reserve)

    with _on_record(command, folder, ended, budget):
        try:
            if resources.ray:
                _make_on_ray(job, folder, counting, stop, resources, announce)
            else:
                run_loop(make())
            ended.interrupted = stop.requested
        except (KeyboardInterrupt, asyncio.CancelledError):
            ended.interrupted = True
    return ended


def _make_on_ray(
    job: Job, folder: RunFolder, listener: RatingListener, stop: Stop, resources: Resources, announce: Announce
) -> None:
    from perm_cli.scoring.on_ray import make_ratings_on_ray  # noqa: PLC0415 - only where it is asked for

    make_ratings_on_ray(job, folder, listener, stop, resources.ray or "local", announce, resources.reserve)


def make_runs(
    works: Sequence[tuple[Job, Path]], command_line: str, listener: TickingListener, announce: Announce
) -> Failures:
    """
    Make the ratings of several jobs concurrently, each in its own run folder with its own judge and pace.

    Return the errors by folder. Raise `KeyboardInterrupt` if the user stopped the run.
    """
    return run_loop(_make_all(works, command_line, listener, announce))


async def _make_all(
    works: Sequence[tuple[Job, Path]], command_line: str, listener: TickingListener, announce: Announce
) -> Failures:
    stop, failures = Stop(), Failures()
    stops = [Stop() for _ in works]

    def stop_all() -> None:
        for each in stops:
            each.request()

    async def one(job: Job, path: Path, own: Stop) -> None:
        try:
            with open_run(path) as folder:
                await _make_entered(job, folder, command_line, listener, own)
        except PermError as error:  # the other judges go on
            failures[path] = error

    stop.notify = stop_all
    with interruptible(stop, announce):
        async with _ticking(listener):
            await asyncio.gather(*(one(job, path, own) for (job, path), own in zip(works, stops, strict=True)))
    if stop.requested:
        raise KeyboardInterrupt
    return failures


async def _make_entered(job: Job, folder: RunFolder, command_line: str, listener: RatingListener, stop: Stop) -> None:
    ended = Ended()
    with _on_record(entered(job, folder, command_line), folder, ended):
        ended.budget_reached = await _make(job, folder, _Counting(ended.made, listener), stop)
        ended.interrupted = stop.requested


async def _make(
    job: Job,
    folder: RunFolder,
    listener: _Counting,
    stop: Stop,
    budget: Budget | None = None,
    reserve: Reserve | None = None,
) -> str | None:
    """Open the judge and make the ratings; return why a budget ended it early, else None."""
    if is_complete(job, folder):  # checked before a judge is opened, which takes an embedded one seconds
        listener.kept(job.ratings)
        return None
    async with open_judge(job.order.judge, budget) as judge:
        stop.notify = lambda: judge.stop(NotAsked("the run was stopped"))
        budget_reached = await make_ratings(job, judge, folder, listener, stop, reserve)
        if listener.spending.rated:  # an endpoint that was asked nothing has shown no dialect
            folder.record.settings[job.settings].effective = judge.effective()
        return budget_reached


def _budget(folder: RunFolder, limit: tuple[float, str] | None) -> Budget | None:
    """Return the budget of a run, with what its folder has cost so far counted as spent."""
    if not limit:
        return None
    calls, tokens, usd = folder.ledger.spent()
    unit = limit[1]

    def keep(amount: float) -> None:
        folder.record.charge(unit, amount)
        folder.write_record()

    budget = Budget(*limit, Usage(calls=calls, tokens=tokens, usd=usd), keep)
    # Calls without a rating or without reported usage appear only in the record.
    budget.spent = max(budget.spent, folder.record.spent.get(unit, 0.0))
    return budget


@contextmanager
def _on_record(command: CommandRecord, folder: RunFolder, ended: Ended, budget: Budget | None = None) -> Iterator[None]:
    """Close the record of a command when the `with` block ends, however it ends."""
    # What is recorded if the block is left by anything but a `PermError`, which is an interrupt or a bug.
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
    """Write what a command made into its record, and why it `stopped` before everything was rated."""
    command.ended, command.stopped = now(), stopped
    command.made, command.tokens, command.cost_usd = dict(made.statuses), dict(made.tokens), made.cost_usd
    folder.write_record()


@asynccontextmanager
async def _ticking(listener: TickingListener) -> AsyncIterator[None]:
    async def tick() -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            listener.tick()

    task = asyncio.create_task(tick())
    try:
        yield
    finally:
        task.cancel()


def run_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop, or on asyncio where that is not installed."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.run(coroutine)
    return uvloop.run(coroutine)
