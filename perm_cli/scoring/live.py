"""
From dialogues to ratings: what to ask is worked out, what is rated already is left out, the rest fans out.

Everything that can be checked is checked by `prepare`, before a folder is made or a call paid for. The first
call goes alone, so that a wrong key or an unknown model costs one call and not a thousand, and so do those after it
as long as the judge has not shown that it can judge.
"""

import asyncio
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import chain
from pathlib import Path, PurePath
from typing import Protocol

import orjson

from perm_cli import __version__
from perm_cli.dialogues.check import Census, check_dialogues, read_dialogues
from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.sources import Source, stem_of
from perm_cli.errors import InputChanged, JudgeUnusable, NotAsked, PermError, RunError, SettingsError
from perm_cli.judges.budget import BudgetReached
from perm_cli.judges.judge import Judge
from perm_cli.judges.route_embedded import is_local
from perm_cli.judges.routes import caveat_of, default_concurrency, identity_of
from perm_cli.judges.settings import JudgeSettings
from perm_cli.prompts.book import Answer, PromptBook
from perm_cli.prompts.rubrics import load_rubrics
from perm_cli.ratings.ledger import LineRanges
from perm_cli.ratings.rating import Call, Rating, RatingRules, at_now, key_of, rate, unmade
from perm_cli.ratings.reserve import Reserve
from perm_cli.ratings.run_folder import RunFolder
from perm_cli.ratings.run_record import AskedRecord, CommandRecord, InputRecord, JudgeRecord, SettingsRecord
from perm_cli.scoring.trials import Trial
from perm_cli.words import DimensionName, ScoreMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Say what is to be rated: which dialogues, by which judge, with which rubrics and templates, how often."""

    sources: Sequence[Source]
    reading: Reading
    judge: JudgeSettings
    rubrics: Path
    prompts: Path
    score: ScoreMode = "mode"
    samples: int = 1
    reask: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Hold an order that has passed every check, and what it comes to."""

    order: Order
    censuses: Sequence[Census]
    book: PromptBook
    identity: bytes
    settings: str

    @property
    def dialogues(self) -> int:
        """Return the number of dialogues."""
        return sum(census.dialogues for census in self.censuses)

    @property
    def turns(self) -> int:
        """Return the number of supporter turns to rate."""
        return sum(census.supporter_turns for census in self.censuses)

    @property
    def ratings(self) -> int:
        """Return the number of ratings asked for."""
        return self.turns * len(self.book.pack.dimensions) * self.order.samples

    @property
    def asked(self) -> AskedRecord:
        """Return what, besides the settings, the ratings asked for depend on."""
        inputs = [
            InputRecord(
                name=census.source.name,
                format=census.format,
                sha256=census.digest,
                dialogues=census.dialogues,
                supporter_turns=census.supporter_turns,
            )
            for census in self.censuses
        ]
        reading, roles = self.order.reading, self.order.reading.roles
        return AskedRecord(
            inputs=inputs,
            format=reading.format,
            roles=dict(roles) if roles else None,
            columns=str(reading.columns) if reading.columns else None,
            turns=reading.turns,
            samples=self.order.samples,
            version=__version__,
        )

    def read(self) -> Iterator[Dialogue]:
        """Yield the dialogues, from the files."""
        return read_dialogues(self.order.sources, self.order.reading)


class Watch(Protocol):
    """Look on while ratings come in."""

    def rated(self, rating: Rating) -> None:
        """Take note of a rating."""

    def kept(self, ratings: int = 1) -> None:
        """Take note of ratings that were made before and are not made again."""


@dataclass(slots=True)
class Stop:
    """Ask the runner to finish what is in flight and begin nothing more; `notify` is told once, when it is asked."""

    requested: bool = False
    notify: Callable[[], None] = lambda: None

    def request(self) -> None:
        """Wish to stop."""
        if not self.requested:
            self.requested = True
            self.notify()


def prepare(order: Order) -> Job:
    """Check everything that can be checked without a call; raise `PermError` with what is wrong."""
    if order.samples < 1:
        raise SettingsError(f"--samples: {order.samples} found, expected 1 or more")
    answer: Answer = "lines" if order.judge.structured == "text" else "json"
    book = PromptBook(load_rubrics(order.rubrics), order.prompts, answer)
    censuses = check_dialogues(order.sources, order.reading)
    identity = orjson.dumps(identity_of(order.judge), option=orjson.OPT_SORT_KEYS)
    return Job(order=order, censuses=censuses, book=book, identity=identity, settings=settings_id(identity, book))


def settings_id(identity: bytes, book: PromptBook) -> str:
    """Return the name of the settings that ratings are made under: by whom, and with what prompts."""
    return blake2b(identity + book.digest.encode(), digest_size=6).hexdigest()


def calls_of(job: Job, read: Callable[[], Iterable[Dialogue]] | None = None) -> Iterator[Call]:
    """
    Yield every call the job needs, whether made before or not; `read` gives the dialogues, else they come of the files.

    An embedded judge has one prompt cache, so it gets all questions of a dimension before the next dimension's.
    """
    passes: Sequence[DimensionName | None] = (None,)
    if is_local(job.order.judge.model):
        passes = tuple(job.book.pack.dimensions)
    for only in passes:
        for rank, dialogue in enumerate((read or job.read)()):
            for question in job.book.questions(dialogue, job.order.reading.turns, only):
                for sample in range(job.order.samples):
                    key = key_of(question, job.identity, sample)
                    yield Call(question=question, sample=sample, key=key, rank=rank)


def entered(job: Job, folder: RunFolder, said: str) -> CommandRecord:
    """
    Enter a job into the record of a run before anything is paid for, and return its entry.

    `said` is the command as it was typed. The dialogues are kept in the folder first and are rated from there, so
    that what was checked is what is rated, whatever becomes of the files; raise `InputChanged` if they are not what
    was checked, `SettingsError` if dialogues of another file would be replaced, and `RunError` if the folder cannot
    be written.
    """
    _check_names(job, folder)
    folder.record.enter(job.settings, settings_record(job.order.judge, job.book))
    try:
        command = CommandRecord(
            command=said,
            settings=job.settings,
            asked=job.asked,
            lines=list(_lines_before(job, folder) or _kept(job, folder)),
            ratings=job.ratings,
            score=job.order.score,
            started=now(),
        )
        folder.record.commands.append(command)
        folder.write_record()
        folder.open_ratings()
    except OSError as error:
        place = error.filename or folder.path
        raise RunError(f"{place}: {error.strerror} found, expected a folder that can be written") from error
    return command


def _check_names(job: Job, folder: RunFolder) -> None:
    """Raise `SettingsError` if the folder holds dialogues of another file that gives its system the same name."""
    held = [entry for command in folder.record.commands for entry in command.asked.inputs]
    for census in job.censuses:
        name, system = census.source.name, census.source.system
        alike = [entry for entry in held if stem_of(entry.name) == system]
        known = any(PurePath(entry.name) == PurePath(name) or entry.sha256 == census.digest for entry in alike)
        if alike and not known and any(each == system for _, each in folder.dialogue_names()):
            raise SettingsError(
                f"--out {folder.path}: system {system!r} of {alike[0].name} found, and {name} has the same name; "
                "expected another folder, or both files in one command"
            )


def _lines_before(job: Job, folder: RunFolder) -> LineRanges | None:
    """Return where the dialogues of the job stand, if the same was asked before and they are there."""
    before = (each.lines for each in folder.record.commands if each.asked == job.asked)
    return next(filter(None, before), None) if folder.has_dialogues else None


def _kept(job: Job, folder: RunFolder) -> LineRanges:
    lines = folder.keep_dialogues(job.read())
    for census in job.censuses:
        if census.source.digest() != census.digest:
            raise InputChanged(f"{census.source.name}: changed while it was read; no call was made: run it again")
    return lines


def now() -> str:
    """Return the time as it is put on record."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def settings_record(judge: JudgeSettings, book: PromptBook) -> SettingsRecord:
    """Return what `run.json` keeps of the settings: all that another machine would need."""
    return SettingsRecord(
        judge=JudgeRecord(**asdict(judge)),
        rubrics={name: dimension.text for name, dimension in book.pack.dimensions.items()},
        rubrics_digest=book.pack.digest,
        prompts=dict(book.templates),
        prompts_digest=book.digest,
        caveat=caveat_of(judge),
    )


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
    with closing(pending_calls(job, folder, watch, reserve)) as pending:
        left = await crew.begin(pending)
        async with asyncio.TaskGroup() as group:
            for _ in range(default_concurrency(job.order.judge)):
                group.create_task(crew.work(left))
    if crew.fatal:
        raise crew.keep_the_last() or crew.fatal
    return crew.full or crew.late


class _Crew:
    """Do the work of one run, in as many workers as calls may be in flight, until one of them finds out why not."""

    def __init__(self, job: Job, judge: Judge, folder: RunFolder, watch: Watch, stop: Stop) -> None:
        self.fatal: PermError | None = None
        self.full: str | None = None
        self.late: str | None = None  # the same, found only when a reply was to be asked for again
        self._job, self._judge, self._folder, self._watch, self._stop = job, judge, folder, watch, stop
        self._rules = rules_of(job)
        self._chances_seen = False
        self._unwritten: list[Rating] = []
        self._trial = Trial(self._rules, passed=folder.ledger.has_scored(self._rules.judge))

    async def begin(self, calls: Iterator[Call]) -> Iterator[Call]:
        """Take a call alone, and one of each dialogue after it while the trial goes on; return those left."""
        tried: int | None = None
        held: list[Call] = []
        for call in calls:
            if call.rank == tried:
                held.append(call)
                continue
            tried = call.rank
            self._trial.goes_on = False
            await self.work(iter([call]))
            if not self._trial.goes_on or self.fatal:
                break
        return chain(held, calls)

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
        self._look_for_chances(rating)
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

    def _look_for_chances(self, rating: Rating) -> None:
        self._chances_seen = self._chances_seen or rating.distribution is not None
        if not self._chances_seen and lacks_chances(rating, self._rules):
            self.fatal = no_chances(rating)


def lacks_chances(rating: Rating, rules: RatingRules) -> bool:
    """Tell whether expectations were asked for of a judge that gives no probabilities, with one sample to go by."""
    return (
        rules.expected and not rules.seeded and rating.status == "scored" and not (rating.items or rating.distribution)
    )


def no_chances(rating: Rating) -> JudgeUnusable:
    """Return what stops a run whose judge gives no probabilities, before it costs more."""
    return JudgeUnusable(
        f"{rating.judge} gives no log-probabilities, so --score expected has nothing to go by; "
        "use --score mean --samples 5"
    )


def rules_of(job: Job) -> RatingRules:
    """Return how the job's ratings are made."""
    return RatingRules(
        settings=job.settings,
        judge=job.order.judge.name,
        max_tokens=job.order.judge.max_tokens,
        expected=job.order.judge.logprobs,
        reask=job.order.reask,
        seeded=job.order.samples > 1,
    )


def is_made(job: Job, folder: RunFolder) -> bool:
    """
    Tell at once whether the folder has all the ratings, without working out what to ask.

    That is so if the same was asked of it whenever these settings were used, and as many ratings have come of it.
    """
    asked = [command for command in folder.record.commands if command.settings == job.settings]
    same = all(command.asked == job.asked for command in asked)
    return bool(asked) and same and folder.ledger.settled(job.settings) == job.ratings


def pending_calls(
    job: Job, folder: RunFolder, watch: Watch | None = None, reserve: Reserve | None = None
) -> Generator[Call, None, None]:
    """
    Yield the calls of the job entered last whose ratings are neither in the folder nor in reserve.

    What the run has paid for under other settings, or for a text that was edited and edited back, is entered again.
    """
    lines = folder.record.commands[-1].lines or ()
    with closing(_Paid(job, folder, reserve)) as paid:
        for call in calls_of(job, lambda: folder.edited(lines)):  # first, since the run may end before it comes to them
            paid.has(call)
        for call in calls_of(job, lambda: folder.dialogues(lines)):
            if not paid.has(call):
                yield call
            elif watch:
                watch.kept()


class _Paid:
    """What need not be paid for again: ratings of the run itself, under whatever settings, and those in reserve."""

    def __init__(self, job: Job, folder: RunFolder, reserve: Reserve | None) -> None:
        self._job, self._folder, self._reserve = job, folder, reserve
        self._rules = rules_of(job)
        self._own: Reserve | None = None

    def has(self, call: Call) -> bool:
        """Tell whether there is a rating for the call; the folder then has it for this job."""
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
        """Forget what was read of the run."""
        if self._own:
            self._own.close()


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
