"""Making the ratings that a run lacks, concurrently in this process; each is on disk as it arrives."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from perm_cli.errors import NotAsked, PermError, RunError
from perm_cli.judges.budget import BudgetReached
from perm_cli.judges.judge import Judge
from perm_cli.judges.routes import default_concurrency
from perm_cli.ratings.rating import Call, Rating, rate
from perm_cli.ratings.reserve import Reserve
from perm_cli.ratings.run_folder import RunFolder
from perm_cli.scoring.job import Job, rules_of
from perm_cli.scoring.pending import is_complete, pending_calls
from perm_cli.scoring.trials import Trial


class RatingListener(Protocol):
    """A listener that is told of ratings as they arrive, such as a progress display."""

    def rated(self, rating: Rating) -> None:
        """Count a new rating."""

    def kept(self, ratings: int = 1) -> None:
        """Count ratings that exist and are not made again."""


@dataclass(slots=True)
class Stop:
    """A flag that asks a run to finish the calls in flight and begin no more; setting it calls `notify` once."""

    requested: bool = False
    notify: Callable[[], None] = lambda: None

    def request(self) -> None:
        """Request a stop; later requests do nothing."""
        if not self.requested:
            self.requested = True
            self.notify()


async def make_ratings(
    job: Job, judge: Judge, folder: RunFolder, listener: RatingListener, stop: Stop, reserve: Reserve | None = None
) -> str | None:
    """
    Make the ratings that the folder lacks for the job entered last; return why a budget ended it early, else None.

    Each rating is on disk as it arrives. Ratings in `reserve` are reused. After a `stop`, calls in flight finish. What
    a budget leaves unmade counts as `skipped`. Raise `JudgeUnusable` as soon as no call can succeed, and `RunError` if
    a rating cannot be written.
    """
    if is_complete(job, folder):
        listener.kept(job.ratings)
        return None
    workers = _Workers(job, judge, folder, listener, stop)
    with closing(pending_calls(job, folder, reserve, listener.kept)) as pending:
        left = await workers.begin(pending)
        async with asyncio.TaskGroup() as group:
            for _ in range(default_concurrency(job.order.judge)):
                group.create_task(workers.work(left))
    if workers.fatal:
        raise workers.write_again() or workers.fatal
    return workers.budget_reached or workers.reask_skipped


class _Workers:
    """The concurrent workers of one run; a fatal error in one of them ends the work of all."""

    def __init__(self, job: Job, judge: Judge, folder: RunFolder, listener: RatingListener, stop: Stop) -> None:
        self.fatal: PermError | None = None
        self.budget_reached: str | None = None
        self.reask_skipped: str | None = None  # the budget did not allow asking for an unreadable reply again
        self._job, self._judge, self._folder, self._watch, self._stop = job, judge, folder, listener, stop
        self._rules = rules_of(job)
        self._unwritten: list[Rating] = []
        self._trial = Trial(self._rules, passed=folder.ledger.has_scored(self._rules.judge))

    async def begin(self, calls: Iterator[Call]) -> Iterator[Call]:
        """Make the calls of the trial one by one; return the remaining calls."""
        for call in self._trial.one_by_one(calls):
            await self.work(iter([call]))
            if self.fatal:
                break
        return self._trial.remaining(calls)

    async def work(self, calls: Iterator[Call]) -> None:
        """Make call after call; an error that ends the run is kept as `fatal`."""
        try:
            while not (self._stop.requested or self.fatal or self.budget_reached) and (call := next(calls, None)):
                await self._rate(call)
        except PermError as error:
            self.fatal = error
        except NotAsked:  # the user stopped the run
            return

    async def _rate(self, call: Call) -> None:
        try:
            rating = await rate(self._judge, call, self._job.book.prompt(call.question), self._rules)
        except BudgetReached as reached:
            self.budget_reached = str(reached)
            return
        self._write(rating)
        self._watch.rated(rating)
        self._trial.observe(rating)
        if rating.status == "skipped" and not self._stop.requested:
            self.reask_skipped = rating.note

    def _write(self, rating: Rating) -> None:
        try:
            self._folder.append(rating)
        except RunError:
            self._unwritten.append(rating)
            raise

    def write_again(self) -> RunError | None:
        """Write once more what could not be written; return an error with the number of ratings lost, None if none."""
        again, self._unwritten = self._unwritten, []
        for rating in again:
            with suppress(RunError):
                self._write(rating)
        lost = len(self._unwritten)
        ratings = "1 rating that was just made is" if lost == 1 else f"{lost} ratings that were just made are"
        return RunError(f"{self.fatal}; {ratings} lost") if lost else None


SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def interruptible(stop: Stop, announce: Callable[[bool], None]) -> Iterator[None]:
    """Turn the first interrupt into a request to stop and a second one into an abort; tell `announce` which it is."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def interrupt() -> None:
        again = stop.requested
        if again and task:
            task.cancel()
        stop.request()
        announce(again)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number in SIGNALS:
            loop.add_signal_handler(number, interrupt)
    except NotImplementedError:  # Windows: an interrupt ends the program at once, with all ratings so far on disk
        yield
        return
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])
