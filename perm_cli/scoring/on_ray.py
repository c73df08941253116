"""
Rating on Ray: the same calls as in `live`, made by many processes on one machine or on a cluster.

The driver writes the pending calls as shards into `todo/` of the run folder. Ray Data gives each shard to a worker,
which rates it with the same code and writes its ratings to `ratings/` as one Parquet file, completely or not at all. A
shard whose file exists is never rated again, so Ray may run a shard twice. Errors in a worker are returned as rows,
since an exception would end the work of all.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from asyncio import Lock, Semaphore
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.formats.native import ROLES, to_dialogue
from perm_cli.errors import JudgeUnusable, RunError, SettingsError
from perm_cli.judges.judge import Judge
from perm_cli.judges.routes import default_concurrency, open_judge, price_of, route_of
from perm_cli.judges.settings import JudgeSettings
from perm_cli.prompts.book import AnswerForm, PromptBook
from perm_cli.prompts.rubrics import load_rubrics
from perm_cli.ratings.rating import Call, Rating, RatingRules, key_of, rate
from perm_cli.ratings.reserve import Reserve
from perm_cli.ratings.run_folder import RunFolder, remove_work
from perm_cli.ratings.shards import read_shard, write_shard
from perm_cli.scoring.job import Job, rules_of
from perm_cli.scoring.live import SIGNALS, RatingListener, Stop
from perm_cli.scoring.pending import is_complete, pending_calls
from perm_cli.scoring.trials import FirstAlone, Trial
from perm_cli.words import Turns

_OVERLAP = 4  # shards that a worker rates at once, so that one slow call does not leave it idle
_TRIES = 3  # how often a shard may crash its worker
_LEAST_CALLS = 32  # per shard
_REACH_S = 5.0  # to connect to a cluster
# Read by Ray when it is imported; without these it sends usage statistics and prints messages of its own.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """
    Everything that a worker needs. It is passed as an argument, which Ray does not log, so it may contain keys.

    `files` are the rubrics and templates by path, `secrets` the environment variables by name; `passed` is whether the
    judge has given a verdict before.
    """

    files: Mapping[str, bytes]
    answer: AnswerForm
    turns: Turns
    samples: int
    judge: JudgeSettings
    rules: RatingRules
    identity: bytes
    ratings: Path
    passed: bool
    secrets: Mapping[str, str] = field(repr=False)


class RayWorker:
    """A worker that rates one shard per call; several calls run in one event loop and share one judge."""

    def __init__(self, brief: Brief) -> None:
        self._brief = brief
        self._stack = AsyncExitStack()
        self._judge: Judge | None = None
        self._book: PromptBook
        self._unusable: JudgeUnusable | None = None
        self._opening, self._first = Lock(), FirstAlone()
        self._trial = Trial(brief.rules, passed=brief.passed)
        self._room = Semaphore(default_concurrency(brief.judge))

    async def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return the file of ratings and the problem, if any; a `fatal` one ends the work of all workers."""
        shard = Path(str(batch["shard"][0]))
        target = self._brief.ratings / f"{shard.parent.name}-{shard.stem}.parquet"
        problem, fatal = "", False
        try:
            if _is_gone(shard):
                problem, fatal = (
                    f"{shard}: not found on {socket.gethostname()}; put --out on a disk that all machines share",
                    True,
                )
            elif not target.exists():
                problem = await self._rated(shard, target)
        except JudgeUnusable as error:
            problem, fatal = str(error), True
        except Exception as error:  # noqa: BLE001 - an exception would end the work of all workers
            problem = f"{type(error).__name__}: {error}"
        if fatal:
            with contextlib.suppress(OSError):
                _stop_file(shard.parent).touch()
        return {"file": [str(target) if target.exists() else ""], "problem": [problem], "fatal": [fatal]}

    async def _rated(self, shard: Path, target: Path) -> str:
        if _is_over(shard.parent):
            return ""
        with shard.with_suffix(".tries").open(
            "ab"
        ) as tries:  # one byte per attempt, which a crash of the worker does not undo
            if tries.tell() >= _TRIES:
                return f"shard {shard.stem} has crashed its worker {_TRIES} times; its ratings are missing"
            tries.write(b"x")
        judge = await self._opened()
        ratings: list[Rating] = []
        ones = [partial(self._one, call, judge, ratings, shard) for call in self._calls(shard)]
        done = await asyncio.gather(*map(self._first.made, ones), return_exceptions=True)
        if ratings:
            draft = shard.with_suffix(f".{socket.gethostname()}.{os.getpid()}.part")
            with contextlib.suppress(
                FileNotFoundError
            ):  # the work was removed, and another command makes these ratings again
                write_shard(ratings, target, draft)
        if self._unusable:
            raise self._unusable
        return next((f"{type(error).__name__}: {error}" for error in done if isinstance(error, BaseException)), "")

    async def _one(self, call: Call, judge: Judge, ratings: list[Rating], shard: Path) -> None:
        async with self._room:
            if self._unusable or _is_over(shard.parent):
                return
            try:
                rating = await rate(judge, call, self._book.prompt(call.question), self._brief.rules)
                ratings.append(rating)
                self._trial.observe(rating)
            except JudgeUnusable as error:
                self._unusable = error

    async def _opened(self) -> Judge:
        async with self._opening:
            if self._judge is None:
                os.environ.update(self._brief.secrets)
                with TemporaryDirectory(prefix="perm-") as folder:
                    for name, content in self._brief.files.items():
                        path = Path(folder, name)
                        path.parent.mkdir(exist_ok=True)
                        path.write_bytes(content)  # noqa: ASYNC240 - a few small files, once
                    self._book = PromptBook(
                        load_rubrics(Path(folder, "rubrics")), Path(folder, "prompts"), self._brief.answer
                    )
                self._judge = await self._stack.enter_async_context(open_judge(self._brief.judge))
            return self._judge

    def _calls(self, shard: Path) -> Iterator[Call]:
        for line in shard.read_bytes().splitlines():
            row = orjson.loads(line)
            keys = set(row["keys"])
            for question in self._book.questions(to_dialogue(row["dialogue"], ROLES, ""), self._brief.turns):
                for sample in range(self._brief.samples):
                    key = key_of(question, self._brief.identity, sample)
                    if key in keys:
                        keys.remove(key)
                        yield Call(question=question, sample=sample, key=key)
            if keys:
                raise RunError(
                    "this worker renders other prompts than the driver; use the same version of perm everywhere"
                )


def make_ratings_on_ray(
    job: Job,
    folder: RunFolder,
    listener: RatingListener,
    stop: Stop,
    address: str,
    announce: Callable[[bool], None],
    reserve: Reserve | None = None,
) -> None:
    """
    Make the ratings that the folder lacks on Ray.

    The first interrupt lets calls in flight finish, as `announce` confirms. `address` is `local` for this machine,
    `auto` for the cluster that this machine belongs to, or HOST:PORT. Raise `SettingsError` or `RunError` if Ray is not
    available, and `JudgeUnusable` if no call can succeed. The folder's open ledger does not see the ratings; opening
    the folder again reads them.
    """
    judge = job.order.judge
    if not route_of(judge).spreads:
        raise SettingsError(
            f"--ray cannot be used with --judge {judge.name}, which keeps one machine busy by itself; drop --ray"
        )
    todo = folder.path.absolute() / "todo" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    if is_complete(job, folder):
        listener.kept(job.ratings)
        return
    (folder.path / "ratings").mkdir(exist_ok=True)
    # Ray prints to standard output, which is reserved for results.
    with (folder.path / "ray.log").open("a") as log, contextlib.redirect_stdout(log), _ray(address) as ray:
        workers = max(int(ray.cluster_resources().get("CPU", 1)), 1)
        judge = _for_worker(job.order.judge, workers)
        shards = list(_shards(_rows(job, folder, listener, reserve), todo, judge))
        try:
            if shards:
                with _interruptible(stop, announce):
                    _grade(ray, shards, min(workers, len(shards)), _brief(job, folder, judge), listener, stop)
        finally:
            remove_work(todo.parent)


def _grade(ray: Any, shards: list[Path], workers: int, brief: Brief, listener: RatingListener, stop: Stop) -> None:
    problem, halt = "", _stop_file(shards[0].parent)
    pool = ray.data.ActorPoolStrategy(size=workers, max_concurrent_calls_per_actor=_OVERLAP)
    # One block per shard: otherwise Ray merges them and rates for hours before anything is on disk.
    blocks = ray.data.from_items([{"shard": str(shard)} for shard in shards], override_num_blocks=len(shards))
    done = blocks.map_batches(RayWorker, fn_constructor_kwargs={"brief": brief}, batch_size=1, compute=pool, num_cpus=1)
    stop.notify = halt.touch
    for batch in done.iter_batches(batch_size=None, prefetch_batches=0, batch_format="numpy"):
        for file, said, fatal in zip(batch["file"], batch["problem"], batch["fatal"], strict=True):
            for row in read_shard(Path(str(file))) if file else ():
                if row:
                    listener.rated(Rating(**row))
            if fatal:
                halt.touch()
            problem = str(said) if said and (fatal or not problem) else problem
    if problem:
        raise JudgeUnusable(problem)


def _rows(
    job: Job, folder: RunFolder, listener: RatingListener, reserve: Reserve | None
) -> Iterator[tuple[Dialogue, list[str]]]:
    """Yield the dialogues with pending calls, each with the keys of these."""
    dialogues = enumerate(folder.dialogues(folder.record.commands[-1].lines))
    for rank, calls in groupby(pending_calls(job, folder, reserve, listener.kept), lambda call: call.rank):
        dialogue = next(dialogue for place, dialogue in dialogues if place == rank)
        yield dialogue, [call.key for call in calls]


def _shards(rows: Iterator[tuple[Dialogue, list[str]]], todo: Path, judge: JudgeSettings) -> Iterator[Path]:
    """Write the shards, each of about twice as many calls as a worker has in flight, and yield their paths."""
    most = max(2 * default_concurrency(judge), _LEAST_CALLS)
    todo.mkdir(parents=True, exist_ok=True)
    lines: list[bytes] = []
    calls = place = 0
    for dialogue, keys in rows:
        lines.append(orjson.dumps({"dialogue": dialogue, "keys": keys}, option=orjson.OPT_APPEND_NEWLINE))
        calls += len(keys)
        if calls >= most:
            yield _shard(todo, place, lines)
            place, calls, lines = place + 1, 0, []
    if lines:
        yield _shard(todo, place, lines)


def _shard(todo: Path, place: int, lines: list[bytes]) -> Path:
    path = todo / f"{place:06}.jsonl"
    path.write_bytes(b"".join(lines))
    return path


def _for_worker(judge: JudgeSettings, workers: int) -> JudgeSettings:
    """
    Return the judge's settings for each of the workers.

    The limits are divided among the workers; without a limit on concurrency, each has the default. Address, key and
    price are those found on this machine, whatever the environment of another one says.
    """
    return replace(
        route_of(judge).pinned(judge),
        price=price_of(judge),
        concurrency=ceil(judge.concurrency / workers) if judge.concurrency else None,
        rpm=judge.rpm / workers if judge.rpm else None,
        tpm=judge.tpm / workers if judge.tpm else None,
    )


def _brief(job: Job, folder: RunFolder, judge: JudgeSettings) -> Brief:
    files = {
        f"{kind}/{path.name}": path.read_bytes()
        for kind, place, ending in (("rubrics", job.order.rubrics, "*.yaml"), ("prompts", job.book.folder, "*.jinja"))
        for path in place.glob(ending)
    }
    return Brief(
        files=files,
        answer=job.book.answer,
        turns=job.order.reading.turns,
        samples=job.order.samples,
        judge=judge,
        rules=rules_of(job),
        identity=job.identity,
        ratings=(folder.path / "ratings").absolute(),
        passed=folder.ledger.has_scored(job.order.judge.name),
        secrets=_secrets(judge),
    )


def _secrets(judge: JudgeSettings) -> dict[str, str]:
    """Return the environment variables that this judge's route reads, and no others."""
    names = {judge.api_key_env, *route_of(judge).variables(judge)}
    return {name: os.environ[name] for name in names if name and name in os.environ}


@contextmanager
def _ray(address: str) -> Iterator[Any]:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray  # noqa: PLC0415 - an extra that takes a second to import
        import ray.data  # noqa: PLC0415 - the same
    except ImportError as error:
        raise SettingsError("--ray: Ray is not installed: pip install 'perm-cli[ray]'") from error
    here: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        if address not in {"local", "auto"}:
            host, _, port = address.rpartition(":")
            socket.create_connection(
                (host, int(port)), timeout=_REACH_S
            ).close()  # fails at once, where Ray would wait for minutes
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **here)
    except (OSError, ValueError, RuntimeError) as error:
        hint = "expected local, auto or HOST:PORT of a running cluster (with a token: RAY_AUTH_MODE=token)"
        raise SettingsError(f"--ray {address}: {error}; {hint}") from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    try:
        yield ray
    except ray.exceptions.RayError as error:
        said = str(error).strip().splitlines()[-1]
        raise RunError(f"--ray {address}: {said}; ratings so far are kept") from error
    finally:
        ray.shutdown()


@contextmanager
def _interruptible(stop: Stop, announce: Callable[[bool], None]) -> Iterator[None]:
    """Turn interrupts into requests like `live.interruptible`, without an event loop; Ray's own handlers abort."""

    def interrupt(*_: object) -> None:
        again = stop.requested
        announce(again)
        if again:
            raise KeyboardInterrupt
        stop.request()

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_gone(shard: Path) -> bool:
    """Return whether the shard does not exist here: no shared disk, or its driver was killed and replaced."""
    return not shard.exists()


def _is_over(todo: Path) -> bool:
    """Return whether the driver has stopped the work, or was killed and its work removed."""
    return _stop_file(todo).exists() or not todo.exists()


def _stop_file(todo: Path) -> Path:
    return todo / "stop"
