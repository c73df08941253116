"""From a job to ratings: what the run lacks fans out, and each rating is on disk as it arrives."""

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
from perm_cli.scoring.pending import is_made, pending_calls
from perm_cli.scoring.trials import Trial


class Watch(Protocol):
    """Is told of ratings as they come in."""

    def rated(self, rating: Rating) -> None:
        """Count a rating that was just made."""

    def kept(self, ratings: int = 1) -> None:
        """Count ratings that were made before and are not made again."""


@dataclass(slots=True)
class Stop:
    """A request to finish what is in flight and begin nothing more; `notify` is called once, when it is made."""

    requested: bool = False
    notify: Callable[[], None] = lambda: None

    def request(self) -> None:
        """Request a stop; later requests do nothing."""
        if not self.requested:
            self.requested = True
            self.notify()


async def make_ratings(
    job: Job, judge: Judge, folder: RunFolder, watch: Watch, stop: Stop, reserve: Reserve | None = None
) -> str | None:
    """
    Make the ratings that the folder lacks for the job that was entered last, each on disk as it arrives.

    What `reserve` has is taken from there. `stop` lets what is in flight finish. What a budget leaves undone is
    `skipped`, and the reason returned. Raise `JudgeUnusable` as soon as no call can succeed, and `RunError` if a
    rating cannot be written.
    """
    if is_made(job, folder):
        watch.kept(job.ratings)
        return None
    crew = _Crew(job, judge, folder, watch, stop)
    with closing(pending_calls(job, folder, reserve, watch.kept)) as pending:
        left = await crew.begin(pending)
        async with asyncio.TaskGroup() as group:
            for _ in range(default_concurrency(job.order.judge)):
                group.create_task(crew.work(left))
    if crew.fatal:
        raise crew.keep_the_last() or crew.fatal
    return crew.full or crew.late


class _Crew:
    """The workers of one run, as many as calls may be in flight; what one of them finds fatal ends the work of all."""

    def __init__(self, job: Job, judge: Judge, folder: RunFolder, watch: Watch, stop: Stop) -> None:
        self.fatal: PermError | None = None
        self.full: str | None = None
        self.late: str | None = None  # the same, found only when a reply was to be asked for again
        self._job, self._judge, self._folder, self._watch, self._stop = job, judge, folder, watch, stop
        self._rules = rules_of(job)
        self._unwritten: list[Rating] = []
        self._trial = Trial(self._rules, passed=folder.ledger.has_scored(self._rules.judge))

    async def begin(self, calls: Iterator[Call]) -> Iterator[Call]:
        """Make the calls that go alone; return those left."""
        for call in self._trial.alone(calls):
            await self.work(iter([call]))
            if self.fatal:
                break
        return self._trial.left(calls)

    async def work(self, calls: Iterator[Call]) -> None:
        """Take call after call; whatever ends the run for good is kept as `fatal`."""
        try:
            while not (self._stop.requested or self.fatal or self.full) and (call := next(calls, None)):
                await self._rate(call)
        except PermError as error:
            self.fatal = error
        except NotAsked:  # the user stopped the run
            return

    async def _rate(self, call: Call) -> None:
        try:
            rating = await rate(self._judge, call, self._job.book.prompt(call.question), self._rules)
        except BudgetReached as reached:
            self.full = str(reached)
            return
        self._write(rating)
        self._watch.rated(rating)
        self._trial.look(rating)
        if rating.status == "skipped" and not self._stop.requested:
            self.late = rating.note

    def _write(self, rating: Rating) -> None:
        try:
            self._folder.append(rating)
        except RunError:
            self._unwritten.append(rating)
            raise

    def keep_the_last(self) -> RunError | None:
        """Write once more what could not be written; return an error that says how many ratings are lost, if any."""
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
    """Turn the first interrupt into a request to stop, and the next into an end; tell `announce` if it is a next."""
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
    except NotImplementedError:  # Windows: an interrupt ends the program at once, and what is rated is on disk
        yield
        return
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])
