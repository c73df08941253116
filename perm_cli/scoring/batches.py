"""
Batches of a run: what is to be rated leaves in files, and comes back as ratings, however long that takes.

`run.json` lists the batches and how far each is; `batches/` holds of each the lines that were sent and, as ratings
that are not made yet, what they were sent for. Every step is on record before the next is taken, so that a process
that dies anywhere leaves nothing to be paid for twice.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from time import time
from typing import Any
from uuid import uuid4

import orjson
from pydantic import TypeAdapter, ValidationError

from perm_cli.errors import CallFailed, JudgeUnusable, NotAsked, RunError, SettingsError
from perm_cli.judges.batch_api import BatchApi, BatchGone, BatchStanding, Row, failure_of
from perm_cli.judges.batches_openai import OpenAIBatches, openai_request, read_row
from perm_cli.judges.configuration import Configuration
from perm_cli.judges.dialects import Dialect, opening_dialect, payload_of
from perm_cli.judges.judge import Judge, Request
from perm_cli.judges.replies import read_reply
from perm_cli.judges.routes import missing, named_judge, open_judge, price_of, route_of
from perm_cli.judges.settings import JudgeSettings, Price
from perm_cli.prompts.rubrics import Dimension, Pack, load_rubrics
from perm_cli.ratings.rating import (
    Call,
    Rating,
    RatingRules,
    failed_from,
    is_settled,
    rate,
    rated_from,
    rating_line,
    read_rating,
    schema_of,
    unmade,
)
from perm_cli.ratings.run_folder import RunFolder
from perm_cli.ratings.run_record import BatchRecord
from perm_cli.scoring.job import Job, rules_of
from perm_cli.scoring.pending import pending_calls
from perm_cli.scoring.trials import Trial
from perm_cli.text import one_line

_ON_THE_WAY = frozenset({"sending", "open", "exported"})
_GONE = "gone"


@dataclass(frozen=True, slots=True)
class Collected:
    """What came of collecting: the number of ratings by status, and calls that are to do again."""

    ratings: Counter[str]
    put_back: int


def check_batchable(settings: JudgeSettings, api: BatchApi | None) -> None:
    """Raise `SettingsError` if a batch, or without an `api` an export, could not ask what the first call asks."""
    if api is None and not route_of(settings).exports:
        raise SettingsError(f"--export-only: --judge {settings.name} found, which perm score runs, expected another")
    unknown = sorted(settings.params.keys() - api.params) if api and api.params is not None else []
    if api and api.params is not None and unknown:
        raise SettingsError(
            f"--judge {settings.name}: params: {', '.join(unknown)} found, expected for {settings.provider}'s batches "
            f"only {', '.join(sorted(api.params))}"
        )


def api_of(settings: JudgeSettings) -> BatchApi:
    """Return the batch API of a judge; raise `SettingsError` where none is known or the key is missing."""
    route, lacking = route_of(settings), missing(settings)
    if lacking or not route.exports:
        raise SettingsError(f"--judge {settings.name}: missing {'; '.join(lacking) or 'a batch API'}")
    api = route.batch_api(settings)
    if api is None:
        raise SettingsError(
            f"--judge {settings.name}: no batch API of {settings.provider} is known, expected an OpenAI-compatible or "
            "an anthropic judge; --export-only writes the requests for a tool of your own"
        )
    return api


def reached_by_user(
    recorded: JudgeSettings, configuration: Configuration, base_url: str | None = None, api_key_env: str | None = None
) -> JudgeSettings:
    """
    Return the judge of a batch with the address and the key that the user's own settings give it.

    A run folder may come from anybody, so of its record only the judge's name and model count. Raise
    `SettingsError` if the batch went to another address than these settings lead to and the user names none.
    """
    name = recorded.name if recorded.name in configuration.judges else recorded.model
    judge = named_judge(name, configuration, base_url=base_url, api_key_env=api_key_env)
    sent_to, found = (route_of(each).batch_url(each) for each in (recorded, judge))
    if not base_url and sent_to != found:
        raise SettingsError(
            f"run.json says that it was sent to {one_line(str(sent_to))}, and your settings lead to {found}; if the "
            f"first is right: --base-url {one_line(str(sent_to))}, and --api-key-env for the variable with its key"
        )
    return judge


async def first_call(job: Job, folder: RunFolder) -> Dialect | None:
    """
    Make one call at full price and return what the endpoint turned out to take; None if nothing is left to rate.

    More are made only if the first comes to no verdict. A wrong key, model or parameter is found out now and not by
    every request of a batch tomorrow. Raise `PermError` if it is, or if the judge does not answer.
    """
    pending = _pending(job, folder)
    first = next(pending, None)
    if first is None:
        return None
    rules = rules_of(job)
    trial = Trial(rules, passed=folder.ledger.has_scored(rules.judge))
    async with open_judge(job.order.judge) as judge:
        for call in trial.alone(chain([first], pending)):
            await _tried(job, folder, judge, call, trial)
            if not trial.goes_on:
                return judge.dialect
        raise RunError(f"{rules.judge} gave no verdict on any dialogue; nothing was sent")


async def _tried(job: Job, folder: RunFolder, judge: Judge, call: Call, trial: Trial) -> None:
    """Make one rating that counts for the trial of the judge; raise `PermError` if there is no point in others."""
    rules = rules_of(job)
    try:
        rating = await rate(judge, call, job.book.prompt(call.question), rules)
    except NotAsked as error:
        raise RunError(str(error)) from error
    folder.append(rating)
    if not is_settled(rating.status, rating.error):
        said = (rating.error or {}).get("message") or rating.note
        raise RunError(f"{rating.judge} does not answer: {said}; nothing was sent")
    trial.look(rating)


def write_batches(job: Job, folder: RunFolder, dialect: Dialect | None, api: BatchApi | None) -> Iterator[BatchRecord]:
    """
    Write what is left to rate as files of batches, each on record before it is yielded.

    Without an `api`, the lines are OpenAI's, as `vllm run-batch` reads them too.
    """
    dialect = dialect or opening_dialect(job.order.judge)
    model = route_of(job.order.judge).served_as(job.order.judge)
    rules = rules_of(job)
    most = (api.requests_most, api.bytes_most) if api else (OpenAIBatches.requests_most, OpenAIBatches.bytes_most)
    lines: list[bytes] = []
    ratings: list[Rating] = []
    size = 0

    def entered() -> BatchRecord:
        batch = _write(job, folder, lines, ratings, exported=api is None)
        lines.clear()
        ratings.clear()
        return batch

    for call in _pending(job, folder):
        request = Request(
            prompt=job.book.prompt(call.question),
            schema=schema_of(call.question.dimension),
            seed=call.sample if rules.seeded else None,
        )
        payload = payload_of(request, job.order.judge, dialect)
        line = orjson.dumps(
            api.request(call.key, payload) if api else openai_request(call.key, model, payload),
            option=orjson.OPT_APPEND_NEWLINE,
        )
        if lines and (len(lines) >= most[0] or size + len(line) > most[1]):
            yield entered()
            size = 0
        lines.append(line)
        ratings.append(unmade(call, rules))
        size += len(line)
    if lines:
        yield entered()


def send(folder: RunFolder, batch: BatchRecord, api: BatchApi) -> None:
    """Submit a batch that is on record, unless it got through before and only the answer was lost."""
    if not adopt(folder, batch, api):
        lines = _file(folder, batch, "requests").read_bytes()
        _enter(folder, batch, standing="unsure", sent=time(), after=api.newest())
        _enter(folder, batch, id=api.submit(lines, batch.marker), state="open", standing="submitted")


def adopt(folder: RunFolder, batch: BatchRecord, api: BatchApi) -> bool:
    """Return whether a batch got through although the answer was lost; it is open then."""
    known = {each.id for each in folder.record.batches if each.id}
    found = api.find(batch.marker, batch.requests, batch.after, known) if batch.is_unsure else None
    if found:
        _enter(folder, batch, id=found, state="open", standing="submitted")
    return bool(found)


def standing_of(folder: RunFolder, batch: BatchRecord, api: BatchApi) -> BatchStanding:
    """Ask how far a batch is, and keep the answer."""
    assert batch.id is not None  # noqa: S101 - it is open
    with _marked_if_gone(folder, batch):
        found = api.standing(batch.id)
    _enter(folder, batch, standing=found.status)
    return found


class Collection:
    """
    Answers turned into ratings: none is made twice, and nothing told twice, however many batches they are of.

    Safe to repeat: what has its rating already keeps it.
    """

    def __init__(self, folder: RunFolder, tell: Callable[[str], None]) -> None:
        self._folder, self._tell = folder, tell
        self._made: set[str] = set()
        self._told: set[str] = set()

    def take(self, batch: BatchRecord, rows: Iterable[Row], *, may_be_empty: bool = False) -> Collected | None:
        """
        Collect a batch; rows that failed for now, and calls without a row, are to do again.

        Return None, and leave the batch as it is, if no row belongs to it, unless it `may_be_empty`.
        """
        settings = judge_of(self._folder, batch)
        pack, rules, price = _pack(self._folder, batch), _rules(settings, batch), price_of(settings)
        if price and batch.id:
            price = price.halved()
        calls = {rating.key: rating for rating in _unmade(self._folder, batch)}
        counts: Counter[str] = Counter()
        with _marked_if_gone(self._folder, batch):
            for row in rows:
                if row.key not in calls:
                    continue
                may_be_empty = True
                has = self._has(row.key, batch.settings)
                made = None if has else self._rated(row, calls[row.key], pack, rules, price)
                if made:
                    self._folder.append(made)
                    self._made.add(made.key)
                    counts[made.status] += 1
        if not may_be_empty:
            return None
        _enter(self._folder, batch, state="collected")
        return Collected(counts, sum(not self._has(key, batch.settings) for key in calls))

    def _has(self, key: str, settings: str) -> bool:
        return key in self._made or self._folder.ledger.holds(key, settings)

    def _rated(self, row: Row, rating: Rating, pack: Pack, rules: RatingRules, price: Price | None) -> Rating | None:
        """Return the rating that a row makes, None if it is to do again."""
        try:
            if row.body is None:
                failure_of(row, "the batch", rules.judge)
            return rated_from(rating, read_reply(row.body, price, 1, row.redact), _dimension(pack, rating), rules)
        except CallFailed as failure:
            return None if failure.transient else failed_from(rating, failure)
        except JudgeUnusable as error:
            self._tell_once(str(error))
            return None

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._tell(text)


def cancel(folder: RunFolder, batch: BatchRecord, api: BatchApi | None) -> None:
    """
    Cancel a batch; what a provider has done of it can still be collected.

    What the provider no longer knows is given up. An `api` is needed for what was sent, or may have been.
    """
    if api and batch.is_unsure:
        adopt(folder, batch, api)
    if not api or not batch.id:
        _enter(folder, batch, state="cancelled", standing="")
        return
    was_gone = batch.standing == _GONE
    try:
        if not standing_of(folder, batch, api).is_over:
            api.cancel(batch.id)
            _enter(folder, batch, standing="cancelling")
        elif was_gone:
            _enter(folder, batch, state="cancelled", standing=_GONE)
    except BatchGone:
        _enter(folder, batch, state="cancelled", standing=_GONE)


def rows_of(path: Path) -> Iterator[Row]:
    """Yield the answers in a file of OpenAI's form; raise `RunError` if there are none."""
    try:
        with path.open("rb") as stream:
            rows = filter(None, map(read_row, stream))
            first = next(rows, None)
            if first is None:
                raise RunError(f"{path}: no answer found, expected lines with custom_id and response")
            yield first
            yield from rows
    except OSError as error:
        raise RunError(f"--from: {path}: {error.strerror} found, expected a file of answers") from error


def judge_of(folder: RunFolder, batch: BatchRecord) -> JudgeSettings:
    """Return the judge that a batch is for, as the run's record has it."""
    try:
        judge = folder.record.settings[batch.settings].judge
        return TypeAdapter(JudgeSettings).validate_python(judge.as_written())
    except (KeyError, TypeError, ValidationError) as error:
        said = one_line(str(error))
        raise RunError(f"{folder.path}/run.json: settings: {said}, expected those of the batch") from error


def _pending(job: Job, folder: RunFolder) -> Iterator[Call]:
    on_the_way = {
        rating.key for batch in folder.record.batches if batch.state in _ON_THE_WAY for rating in _unmade(folder, batch)
    }
    return (call for call in pending_calls(job, folder) if call.key not in on_the_way)


def _write(job: Job, folder: RunFolder, lines: list[bytes], ratings: list[Rating], *, exported: bool) -> BatchRecord:
    batch = BatchRecord(
        number=len(folder.record.batches) + 1,
        settings=job.settings,
        rubrics=str(job.order.rubrics.absolute()),
        requests=len(lines),
        state="exported" if exported else "sending",
        marker=uuid4().hex,
        sent=time(),
        id=None,  # not known yet, and to stand in the record all the same
        standing="",
        after=None,
    )
    (folder.path / "batches").mkdir(exist_ok=True)
    folder.write(f"batches/{batch.number:04}.requests.jsonl", b"".join(lines))
    folder.write(f"batches/{batch.number:04}.calls.jsonl", b"".join(map(rating_line, ratings)))
    folder.record.batches = [*folder.record.batches, batch]
    folder.write_record()
    return batch


@contextmanager
def _marked_if_gone(folder: RunFolder, batch: BatchRecord) -> Iterator[None]:
    try:
        yield
    except BatchGone as error:
        _enter(folder, batch, standing=_GONE)
        raise BatchGone(f"{error}; if it is gone for good, perm batch cancel {folder.path} gives it up") from error


def _enter(folder: RunFolder, batch: BatchRecord, **changes: Any) -> None:
    for name, value in changes.items():
        setattr(batch, name, value)
    folder.write_record()


def _file(folder: RunFolder, batch: BatchRecord, what: str) -> Path:
    return folder.path / "batches" / f"{batch.number:04}.{what}.jsonl"


def _unmade(folder: RunFolder, batch: BatchRecord) -> Iterator[Rating]:
    path = _file(folder, batch, "calls")
    try:
        with path.open("rb") as stream:
            yield from filter(None, map(read_rating, stream))
    except OSError as error:
        raise RunError(f"{path}: {error.strerror} found, expected what the batch was sent for") from error


def _pack(folder: RunFolder, batch: BatchRecord) -> Pack:
    pack = load_rubrics(Path(batch.rubrics))
    if pack.digest != folder.record.under(batch.settings).rubrics_digest:
        raise RunError(f"{batch.rubrics}: other rubrics found than the batch was made with, expected the same")
    return pack


def _dimension(pack: Pack, rating: Rating) -> Dimension:
    return next(each for each in pack.dimensions.values() if each.name == rating.dimension)


def _rules(settings: JudgeSettings, batch: BatchRecord) -> RatingRules:
    return RatingRules(
        settings=batch.settings, judge=settings.name, max_tokens=settings.max_tokens, expected=settings.logprobs
    )
