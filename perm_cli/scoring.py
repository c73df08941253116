"""
From dialogues to ratings: what to ask is worked out, what is rated already is left out, the rest fans out.

Everything that can be checked is checked by `prepare`, before a folder is made or a call paid for. The first
call goes alone, so that a wrong key or an unknown model costs one call and not a thousand.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import orjson

from perm_cli import __version__
from perm_cli.dialogues import Dialogue
from perm_cli.errors import JudgeUnusable, NotAsked, PermError, RunError, SettingsError
from perm_cli.formats import Census, Reading, check_dialogues, read_dialogues
from perm_cli.formats.sources import Source
from perm_cli.judges import caveat_of, default_concurrency, identity_of
from perm_cli.judges.budget import BudgetReached
from perm_cli.judges.local import is_local
from perm_cli.judges.seam import Judge
from perm_cli.judges.settings import JudgeSettings
from perm_cli.prompts import Answer, PromptBook
from perm_cli.ratings import Call, Rating, RatingRules, key_of, rate
from perm_cli.reserve import Reserve
from perm_cli.rubrics import load_rubrics
from perm_cli.runs import RunFolder
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
    def asked(self) -> dict[str, Any]:
        """Return what, besides the settings, the ratings asked for depend on; as JSON would hold it."""
        inputs = [
            {
                "name": census.source.name,
                "format": census.format,
                "sha256": census.digest,
                "dialogues": census.dialogues,
                "supporter_turns": census.supporter_turns,
            }
            for census in self.censuses
        ]
        reading, roles = self.order.reading, self.order.reading.roles
        return {
            "inputs": inputs,
            "format": reading.format,
            "roles": dict(roles) if roles else None,
            "columns": str(reading.columns) if reading.columns else None,
            "turns": reading.turns,
            "samples": self.order.samples,
            "version": __version__,
        }

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


def calls_of(job: Job) -> Iterator[Call]:
    """
    Yield every call the job needs, whether made before or not.

    An embedded judge has one prompt cache, so it gets all questions of a dimension before the next dimension's.
    """
    passes: Sequence[DimensionName | None] = (None,)
    if is_local(job.order.judge.model):
        passes = tuple(job.book.pack.dimensions)
    for only in passes:
        for rank, dialogue in enumerate(job.read()):
            for question in job.book.questions(dialogue, job.order.reading.turns, only):
                for sample in range(job.order.samples):
                    key = key_of(question, job.identity, sample)
                    yield Call(question=question, sample=sample, key=key, rank=rank)


def settings_record(judge: JudgeSettings, book: PromptBook) -> dict[str, Any]:
    """Return what `run.json` keeps of the settings: all that another machine would need."""
    return {
        "judge": asdict(judge),
        "rubrics": {name: dimension.text for name, dimension in book.pack.dimensions.items()},
        "rubrics_digest": book.pack.digest,
        "prompts": dict(book.templates),
        "prompts_digest": book.digest,
        "caveat": caveat_of(judge),
    }


async def make_ratings(
    job: Job, judge: Judge, folder: RunFolder, watch: Watch, stop: Stop, reserve: Reserve | None = None
) -> str | None:
    """
    Make the ratings that the folder lacks, each on disk as it arrives; its ledger then wants all of the job's.

    What `reserve` has is taken from there. `stop` lets what is in flight finish. What a budget leaves undone is
    `skipped`, and the reason returned. Raise `JudgeUnusable` as soon as no call can succeed, and `RunError` if a
    rating cannot be written.
    """
    if is_made(job, folder):
        folder.ledger.keep_latest(folder.dialogue_names(), job.settings)
        watch.kept(job.ratings)
        return None
    crew = _Crew(job, judge, folder, watch, stop)
    pending = pending_calls(job, folder, watch, reserve)
    await crew.work(iter([call] if (call := next(pending, None)) else []))
    async with asyncio.TaskGroup() as group:
        for _ in range(default_concurrency(job.order.judge)):
            group.create_task(crew.work(pending))
    if crew.fatal:
        raise crew.fatal
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

    async def work(self, calls: Iterator[Call]) -> None:
        """Take call after call."""
        for call in calls:
            if self._stop.requested or self.fatal:
                return
            try:
                await self._rate(call)
            except (JudgeUnusable, RunError) as error:
                self.fatal = error
            except NotAsked:  # the user stopped the run
                return

    async def _rate(self, call: Call) -> None:
        if not self.full:
            try:
                rating = await rate(self._judge, call, self._job.book.prompt(call.question), self._rules)
            except BudgetReached as reached:
                self.full = str(reached)
            else:
                self._folder.append(rating, call.rank)
                self._watch.rated(rating)
                self._look_for_chances(rating)
                if rating.status == "skipped" and not self._stop.requested:
                    self.late = rating.note
                return
        self._folder.ledger.miss(call, self._rules)

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
    asked = [command for command in folder.record["commands"] if command.get("settings") == job.settings]
    same = all(command.get("asked") == job.asked for command in asked)
    return bool(asked) and same and folder.ledger.settled(job.settings) == job.ratings


def pending_calls(job: Job, folder: RunFolder, watch: Watch, reserve: Reserve | None) -> Iterator[Call]:
    """Yield the calls whose ratings are neither in the folder nor in reserve."""
    for call in calls_of(job):
        if folder.ledger.keep(call):
            watch.kept()
        elif reserve and (rating := reserve.get(call.key)):
            folder.append(rating, call.rank)
            watch.kept()
        else:
            yield call


SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def interruptible(stop: Stop, announce: Callable[[], None]) -> Iterator[None]:
    """Turn the first interrupt into a wish to stop, which `announce` confirms, and the second into an end."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def interrupt() -> None:
        if stop.requested and task:
            task.cancel()
        stop.request()
        announce()

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
