"""The pending calls of a job: those that neither this run nor another one has paid for."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace

from perm_cli.ratings.rating import Call, Rating, timestamp, unmade
from perm_cli.ratings.reserve import Reserve
from perm_cli.ratings.run_folder import RunFolder
from perm_cli.scoring.job import Job, calls_of, rules_of


def is_complete(job: Job, folder: RunFolder) -> bool:
    """
    Return whether the folder has all ratings of the job, without reading its dialogues.

    That is certain only if every command with these settings asked for the same and their number is as expected;
    otherwise return False, and `pending_calls` finds out.
    """
    asked = [command for command in folder.record.commands if command.settings == job.settings]
    same = all(command.asked == job.asked for command in asked)
    return bool(asked) and same and folder.ledger.settled(job.settings) == job.ratings


def pending_calls(
    job: Job, folder: RunFolder, reserve: Reserve | None = None, kept: Callable[[], None] = lambda: None
) -> Generator[Call, None, None]:
    """
    Yield the calls of the job entered last whose ratings are neither in the folder nor in `reserve`.

    Ratings that the run has under other settings, or for an earlier text that is back, are appended under this job's
    settings. `kept` is called for every rating that exists.
    """
    lines = folder.record.commands[-1].lines or ()
    with closing(_Paid(job, folder, reserve)) as paid:
        for call in calls_of(
            job, lambda: folder.edited(lines)
        ):  # first, since a run that stops early might not reach them
            paid.has(call)
        for call in calls_of(job, lambda: folder.dialogues(lines)):
            if not paid.has(call):
                yield call
            else:
                kept()


class _Paid:
    """The ratings that need not be paid for again: those of the run under any settings, and those in reserve."""

    def __init__(self, job: Job, folder: RunFolder, reserve: Reserve | None) -> None:
        self._job, self._folder, self._reserve = job, folder, reserve
        self._rules = rules_of(job)
        self._own: Reserve | None = None

    def has(self, call: Call) -> bool:
        """Return whether there is a rating for the call; if so, the folder then has it under this job's settings."""
        ledger, settings = self._folder.ledger, self._job.settings
        last = ledger.last_key(call, settings)
        if last == call.key and ledger.holds(call.key, settings):
            return True
        rating = self._kept(call.key)
        if rating:
            name = self._job.order.judge.name
            self._folder.append(replace(rating, settings=settings, judge=name, at=timestamp()))
        elif last not in {None, call.key}:  # the text was edited: the old text's rating must not count for the new one
            self._folder.append(replace(unmade(call, self._rules), at=timestamp()))
        return rating is not None

    def _kept(self, key: str) -> Rating | None:
        rating = self._reserve.get(key) if self._reserve else None
        if rating is None and self._folder.ledger.holds(key):
            self._own = self._own or Reserve([self._folder.path])
            rating = self._own.get(key)
        return rating

    def close(self) -> None:
        """Close the database of the run's own ratings."""
        if self._own:
            self._own.close()
