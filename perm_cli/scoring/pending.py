"""What a job lacks: its calls but those that the run, or another one, has paid for."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace

from perm_cli.ratings.rating import Call, Rating, at_now, unmade
from perm_cli.ratings.reserve import Reserve
from perm_cli.ratings.run_folder import RunFolder
from perm_cli.scoring.job import Job, calls_of, rules_of


def is_made(job: Job, folder: RunFolder) -> bool:
    """
    Return whether the folder has all the ratings, without working out what to ask.

    That is so if the same was asked of it whenever these settings were used, and as many ratings have come of it.
    """
    asked = [command for command in folder.record.commands if command.settings == job.settings]
    same = all(command.asked == job.asked for command in asked)
    return bool(asked) and same and folder.ledger.settled(job.settings) == job.ratings


def pending_calls(
    job: Job, folder: RunFolder, reserve: Reserve | None = None, kept: Callable[[], None] = lambda: None
) -> Generator[Call, None, None]:
    """
    Yield the calls of the job entered last whose ratings are neither in the folder nor in reserve.

    What the run has paid for under other settings, or for a text that was edited and edited back, is entered again.
    `kept` is told of every rating that is there.
    """
    lines = folder.record.commands[-1].lines or ()
    with closing(_Paid(job, folder, reserve)) as paid:
        for call in calls_of(job, lambda: folder.edited(lines)):  # first, since the run may end before it comes to them
            paid.has(call)
        for call in calls_of(job, lambda: folder.dialogues(lines)):
            if not paid.has(call):
                yield call
            else:
                kept()


class _Paid:
    """What need not be paid for again: ratings of the run itself, under whatever settings, and those in reserve."""

    def __init__(self, job: Job, folder: RunFolder, reserve: Reserve | None) -> None:
        self._job, self._folder, self._reserve = job, folder, reserve
        self._rules = rules_of(job)
        self._own: Reserve | None = None

    def has(self, call: Call) -> bool:
        """Return whether there is a rating for the call; the folder then has it for this job."""
        ledger, settings = self._folder.ledger, self._job.settings
        last = ledger.last_key(call, settings)
        if last == call.key and ledger.holds(call.key, settings):
            return True
        rating = self._kept(call.key)
        if rating:
            name = self._job.order.judge.name
            self._folder.append(replace(rating, settings=settings, judge=name, at=at_now()))
        elif last not in {None, call.key}:  # the text was edited: its old rating must not pass for the new one
            self._folder.append(replace(unmade(call, self._rules), at=at_now()))
        return rating is not None

    def _kept(self, key: str) -> Rating | None:
        rating = self._reserve.get(key) if self._reserve else None
        if rating is None and self._folder.ledger.holds(key):
            self._own = self._own or Reserve([self._folder.path])
            rating = self._own.get(key)
        return rating

    def close(self) -> None:
        """Close what was read of the run."""
        if self._own:
            self._own.close()
