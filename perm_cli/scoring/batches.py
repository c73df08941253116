"""
Batches of a run: requests are written to files and submitted, and their answers are turned into ratings later.

`run.json` lists the batches and their progress. `batches/` has two files per batch: the requests, and the ratings that
they are for, not made yet. Every step is recorded before the next is taken, so that nothing is paid for twice
wherever a process is killed.
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
    """The result of collecting a batch: the number of ratings by status, and of calls to make again."""

    ratings: Counter[str]
    put_back: int


def check_batchable(settings: JudgeSettings, api: BatchApi | None) -> None:
    """Raise `SettingsError` if a batch (or an export, without `api`) cannot send the same requests as a live call."""
    if api is None and not route_of(settings).exports:
        raise SettingsError(
            f"--export-only cannot be used with --judge {settings.name}, which runs on this machine; use perm score"
        )
    unknown = sorted(settings.params.keys() - api.params) if api and api.params is not None else []
    if api and api.params is not None and unknown:
        raise SettingsError(
            f"--judge {settings.name}: params: {', '.join(unknown)} found, expected only "
            f"{', '.join(sorted(api.params))} in batches of {settings.provider}"
        )


def api_of(settings: JudgeSettings) -> BatchApi:
    """Return the batch API of a judge; raise `SettingsError` if none is known or the key is missing."""
    route, lacking = route_of(settings), missing(settings)
    if lacking or not route.exports:
        raise SettingsError(f"--judge {settings.name}: missing {'; '.join(lacking) or 'a batch API'}")
    api = route.batch_api(settings)
    if api is None:
        raise SettingsError(
            f"--judge {settings.name}: no batch API of {settings.provider} is known, expected an OpenAI-compatible or "
            "an anthropic judge; --export-only writes the requests to files for another tool"
        )
    return api


def reached_by_user(
    recorded: JudgeSettings, configuration: Configuration, base_url: str | None = None, api_key_env: str | None = None
) -> JudgeSettings:
    """
    Return the judge of a batch with the address and key from the user's own settings.

    A run folder may come from anybody, so only the judge's name and model are taken from its record: its address could
    lead the user's key to another host. Raise `SettingsError` if the batch was sent to another address than these
    settings give, unless the user names one.
    """
    name = recorded.name if recorded.name in configuration.judges else recorded.model
    judge = named_judge(name, configuration, base_url=base_url, api_key_env=api_key_env)
    sent_to, found = (route_of(each).batch_url(each) for each in (recorded, judge))
    if not base_url and sent_to != found:
        raise SettingsError(
            f"run.json says that the batch was sent to {one_line(str(sent_to))}, but your settings lead to {found}; if "
            f"run.json is right, pass --base-url {one_line(str(sent_to))}, and --api-key-env with the key's variable"
        )
    return judge


async def first_call(job: Job, folder: RunFolder) -> Dialect | None:
    """
    Make one call at full price and return the dialect that the endpoint accepts; None if nothing is left to rate.

    More calls are made only if the first gives no verdict. So a wrong key, model or parameter is found now, and not
    tomorrow in every request of a batch. Raise `PermError` if there is one or the judge does not answer.
    """
    pending = _pending(job, folder)
    first = next(pending, None)
    if first is None:
        return None
    rules = rules_of(job)
    trial = Trial(rules, passed=folder.ledger.has_scored(rules.judge))
    async with open_judge(job.order.judge) as judge:
        for call in trial.one_by_one(chain([first], pending)):
            await _tried(job, folder, judge, call, trial)
            if not trial.goes_on:
                return judge.dialect
        raise RunError(f"{rules.judge} gave no verdict on any dialogue; nothing was sent")


async def _tried(job: Job, folder: RunFolder, judge: Judge, call: Call, trial: Trial) -> None:
    """Make one rating and add it to the judge's trial; raise `PermError` if more ratings would be pointless."""
    rules = rules_of(job)
    try:
        rating = await rate(judge, call, job.book.prompt(call.question), rules)
    except NotAsked as error:
        raise RunError(str(error)) from error
    folder.append(rating)
    if not is_settled(rating.status, rating.error):
        said = (rating.error or {}).get("message") or rating.note
        raise RunError(f"{rating.judge} does not answer: {said}; nothing was sent")
    trial.observe(rating)


def write_batches(job: Job, folder: RunFolder, dialect: Dialect | None, api: BatchApi | None) -> Iterator[BatchRecord]:
    """
    Write what is left to rate as batches of request files, and yield each once it is recorded.

    Without an `api`, the requests are in OpenAI's format, which `vllm run-batch` reads too.
    """
    dialect = dialect or opening_dialect(job.order.judge)
    model = route_of(job.order.judge).served_as(job.order.judge)
    rules = rules_of(job)
    most = (api.requests_most, api.bytes_most) if api else (OpenAIBatches.requests_most, OpenAIBatches.bytes_most)
    lines: list[bytes] = []
    ratings: list[Rating] = []
    size = 0

    def written() -> BatchRecord:
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
            yield written()
            size = 0
        lines.append(line)
        ratings.append(unmade(call, rules))
        size += len(line)
    if lines:
        yield written()


def send(folder: RunFolder, batch: BatchRecord, api: BatchApi) -> None:
    """Submit a recorded batch, unless an earlier submission succeeded and only its answer was lost."""
    if not adopt(folder, batch, api):
        lines = _file(folder, batch, "requests").read_bytes()
        # Recorded before it is sent: a process killed in between must not send, and pay for, the batch again.
        _enter(folder, batch, standing="unsure", sent=time(), after=api.newest())
        _enter(folder, batch, id=api.submit(lines, batch.marker), state="open", standing="submitted")


def adopt(folder: RunFolder, batch: BatchRecord, api: BatchApi) -> bool:
    """Return whether an interrupted submission succeeded after all; the batch is then recorded as open."""
    known = {each.id for each in folder.record.batches if each.id}
    found = api.find(batch.marker, batch.requests, batch.after, known) if batch.is_unsure else None
    if found:
        _enter(folder, batch, id=found, state="open", standing="submitted")
    return bool(found)


def standing_of(folder: RunFolder, batch: BatchRecord, api: BatchApi) -> BatchStanding:
    """Return the progress of a batch, as asked of the provider, and record it."""
    assert batch.id is not None  # noqa: S101 - an open batch has an id
    with _marked_if_gone(folder, batch):
        found = api.standing(batch.id)
    _enter(folder, batch, standing=found.status)
    return found


class Collection:
    """
    A collector that turns the answers of batches into ratings, and reports each problem once.

    Collecting is safe to repeat: a call that has a rating keeps it.
    """

    def __init__(self, folder: RunFolder, tell: Callable[[str], None]) -> None:
        self._folder, self._tell = folder, tell
        self._made: set[str] = set()
        self._told: set[str] = set()

    def take(self, batch: BatchRecord, rows: Iterable[Row], *, may_be_empty: bool = False) -> Collected | None:
        """
        Make the ratings of a batch from its rows; transient failures and calls without a row are to be made again.

        Return None and leave the batch unchanged if no row belongs to it, unless it `may_be_empty`.
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
        """Return the rating made from a row, None if its call is to be made again."""
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
    Cancel a batch; answers that the provider has already made can still be collected.

    A batch that the provider no longer knows is given up. An `api` is needed if the batch was, or may have been, sent.
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
    """Yield the answers in a file in OpenAI's format; raise `RunError` if there are none."""
    try:
        with path.open("rb") as stream:
            rows = filter(None, map(read_row, stream))
            first = next(rows, None)
            if first is None:
                raise RunError(f"{path}: no answer found, expected lines with custom_id and response")
            yield first
            yield from rows
    except OSError as error:
        raise RunError(f"--from: {path}: the answers cannot be read: {error.strerror}") from error


def judge_of(folder: RunFolder, batch: BatchRecord) -> JudgeSettings:
    """Return the judge of a batch, from the record of the run."""
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
        id=None,  # not known yet, but written to the record all the same
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
        raise BatchGone(f"{error}; if it is gone for good, run perm batch cancel {folder.path}") from error


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
        raise RunError(f"{path}: the calls of the batch cannot be read: {error.strerror}") from error


def _pack(folder: RunFolder, batch: BatchRecord) -> Pack:
    pack = load_rubrics(Path(batch.rubrics))
    if pack.digest != folder.record.under(batch.settings).rubrics_digest:
        raise RunError(
            f"{batch.rubrics}: the rubrics have changed since the batch was made; restore them to collect it"
        )
    return pack


def _dimension(pack: Pack, rating: Rating) -> Dimension:
    return next(each for each in pack.dimensions.values() if each.name == rating.dimension)


def _rules(settings: JudgeSettings, batch: BatchRecord) -> RatingRules:
    return RatingRules(
        settings=batch.settings, judge=settings.name, max_tokens=settings.max_tokens, expected=settings.logprobs
    )
