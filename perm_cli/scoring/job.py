"""
The job: what is to be rated, determined and checked before a folder is created or a call is paid for.

A job and its dialogues are entered into the run folder before its first call.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path, PurePath

import orjson

from perm_cli import __version__
from perm_cli.dialogues.check import Census, check_dialogues, read_dialogues
from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.sources import Source, stem_of
from perm_cli.errors import InputChanged, RunError, SettingsError
from perm_cli.judges.routes import caveat_of, identity_of, route_of
from perm_cli.judges.settings import JudgeSettings
from perm_cli.prompts.book import AnswerForm, PromptBook, open_book
from perm_cli.ratings.ledger import LineRanges
from perm_cli.ratings.rating import Call, RatingRules, key_of
from perm_cli.ratings.run_folder import RunFolder
from perm_cli.ratings.run_record import AskedRecord, CommandRecord, InputRecord, JudgeRecord, SettingsRecord
from perm_cli.words import ScoreMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the user asked to be rated, not checked yet: dialogues, judge, rubrics, templates and samples."""

    sources: Sequence[Source]
    reading: Reading
    judge: JudgeSettings
    rubrics: Path
    prompts: Path | None = None
    score: ScoreMode = "mode"
    samples: int = 1
    reask: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An order that has passed every check, with what follows from it."""

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
        """Yield the dialogues from their files."""
        return read_dialogues(self.order.sources, self.order.reading)


def prepare(order: Order) -> Job:
    """Return the job of an order after checking all that needs no call; raise `PermError` if something is wrong."""
    if order.samples < 1:
        raise SettingsError(f"--samples: {order.samples} found, expected 1 or more")
    book = book_for(order.judge, order.rubrics, order.prompts)
    censuses = check_dialogues(order.sources, order.reading)
    identity = orjson.dumps(identity_of(order.judge), option=orjson.OPT_SORT_KEYS)
    return Job(order=order, censuses=censuses, book=book, identity=identity, settings=settings_id(identity, book))


def book_for(judge: JudgeSettings, rubrics: Path, prompts: Path | None) -> PromptBook:
    """Return the prompts for a judge, which ask for lines instead of JSON if its verdicts are plain text."""
    answer: AnswerForm = "lines" if judge.structured == "text" else "json"
    return open_book(rubrics, prompts, answer)


def settings_id(identity: bytes, book: PromptBook) -> str:
    """Return the id of the settings that ratings are made under: a hash over the judge's identity and the prompts."""
    return blake2b(identity + book.digest.encode(), digest_size=6).hexdigest()


def calls_of(job: Job, read: Callable[[], Iterable[Dialogue]] | None = None) -> Iterator[Call]:
    """
    Yield every call of the job, made before or not; `read` yields the dialogues, by default from their files.

    A judge that is faster when asked by dimension gets all questions of a dimension before those of the next.
    """
    passes: Sequence[str | None] = (None,)
    if route_of(job.order.judge).by_dimension:
        passes = tuple(job.book.pack.dimensions)
    for only in passes:
        for rank, dialogue in enumerate((read or job.read)()):
            for question in job.book.questions(dialogue, job.order.reading.turns, only):
                for sample in range(job.order.samples):
                    key = key_of(question, job.identity, sample)
                    yield Call(question=question, sample=sample, key=key, rank=rank)


def entered(job: Job, folder: RunFolder, command_line: str) -> CommandRecord:
    """
    Enter a job into the record of a run before anything is paid for, and return its entry.

    `command_line` is the command as typed. The dialogues are first copied into the folder and are rated from there, so
    that what was checked is what is rated, even if the files change. Raise `InputChanged` if they changed since they
    were checked, `SettingsError` if dialogues of another file would be replaced, and `RunError` if the folder cannot be
    written.
    """
    _check_names(job, folder)
    folder.record.enter(job.settings, settings_record(job.order.judge, job.book))
    try:
        command = CommandRecord(
            command=command_line,
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
        raise RunError(f"{place}: the run folder cannot be written: {error.strerror}") from error
    return command


def _check_names(job: Job, folder: RunFolder) -> None:
    """Raise `SettingsError` if the folder has dialogues of another file whose system has the same name."""
    held = [entry for command in folder.record.commands for entry in command.asked.inputs]
    for census in job.censuses:
        name, system = census.source.name, census.source.system
        alike = [entry for entry in held if stem_of(entry.name) == system]
        known = any(PurePath(entry.name) == PurePath(name) or entry.sha256 == census.digest for entry in alike)
        if alike and not known and any(each == system for _, each in folder.dialogue_names()):
            raise SettingsError(
                f"--out {folder.path}: has a system {system!r} from {alike[0].name}, and {name} gives the same name; "
                "choose another folder, or pass both files in one command"
            )


def _lines_before(job: Job, folder: RunFolder) -> LineRanges | None:
    """Return the lines of the job's dialogues in the folder if an earlier command asked for the same, else None."""
    before = (each.lines for each in folder.record.commands if each.asked == job.asked)
    return next(filter(None, before), None) if folder.has_dialogues else None


def _kept(job: Job, folder: RunFolder) -> LineRanges:
    lines = folder.keep_dialogues(job.read())
    for census in job.censuses:
        if census.source.digest() != census.digest:
            raise InputChanged(
                f"{census.source.name}: changed while it was read; no call was made; run the command again"
            )
    return lines


def now() -> str:
    """Return the current UTC time for the record."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def settings_record(judge: JudgeSettings, book: PromptBook) -> SettingsRecord:
    """Return the record of settings for `run.json`: all that is needed to repeat them on another machine."""
    return SettingsRecord(
        judge=JudgeRecord(**asdict(judge)),
        pack=book.pack.text,
        rubrics={name: dimension.text for name, dimension in book.pack.dimensions.items()},
        rubrics_digest=book.pack.digest,
        prompts=dict(book.templates),
        prompts_digest=book.digest,
        caveat=caveat_of(judge),
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
