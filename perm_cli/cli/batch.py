"""`perm batch`: rate at half the price, within a day."""

import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from rich.console import Console

from perm_cli.cli.announcing import announce
from perm_cli.cli.console import messages, output, say
from perm_cli.cli.exits import COVERAGE_TOO_LOW, DONE
from perm_cli.cli.from_options import announce_detour, command_line, opened_sources, order_of, recipe_of
from perm_cli.cli.options import AccessOptions, DialogueOptions, JudgeOptions, RewardOptions
from perm_cli.cli.summary import enough_of, show
from perm_cli.errors import PermError, RunError, SettingsError
from perm_cli.judges.batch_api import BatchApi
from perm_cli.judges.configuration import load_configuration
from perm_cli.judges.settings import JudgeSettings
from perm_cli.ratings.run_folder import RunFolder, open_run
from perm_cli.ratings.run_record import BatchRecord
from perm_cli.rewards.fusing import fuse
from perm_cli.scoring.batches import (
    Collected,
    Collection,
    api_of,
    check_batchable,
    first_call,
    judge_of,
    reached_by_user,
    rows_of,
    send,
    standing_of,
    write_batches,
)
from perm_cli.scoring.batches import cancel as cancel_batch
from perm_cli.scoring.job import Job, entered, now, prepare
from perm_cli.scoring.making import run_loop

_POLL_S = 60.0


def submit(
    files: Sequence[str], dialogues: DialogueOptions, judge: JudgeOptions, out: Path, *, export_only: bool
) -> None:
    """Send what is left to rate as batches, or write it to files for a tool of the user's own."""
    console = messages()
    with opened_sources(files) as sources, ExitStack() as stack:
        order = order_of(sources, dialogues, judge)
        api = None if export_only else stack.enter_context(closing(api_of(order.judge)))
        check_batchable(order.judge, api)
        job = prepare(order)
        announce(job.censuses, console)
        with open_run(out) as folder:
            entered(job, folder, command_line())
            if api:
                _send_left(job, folder, api, _access(AccessOptions(config=judge.config)), console)
            dialect = run_loop(first_call(job, folder)) if api else None
        # Opened again, the folder knows the rating that the first call has made.
        with open_run(out) as folder:
            written = 0
            for batch in write_batches(job, folder, dialect, api):
                written += 1
                if api:
                    _send(folder, batch, api, console)
                else:
                    path = folder.path / "batches" / f"{batch.number:04}.requests.jsonl"
                    say(console, f"batch {batch.number}: {batch.requests:,} requests in {path}")
            _close(folder, "what was sent as batches is not collected" if written else None)
    if not written:
        say(console, "nothing is left to send")
    elif api:
        say(console, f"when they are done: {_collect_command(out, judge)}")
    else:
        say(console, f"when they are answered: perm batch collect {out} --from ANSWERS.jsonl")


def _collect_command(out: Path, judge: JudgeOptions) -> str:
    """Return the command that collects, with the options that the record of a run is not asked for."""
    asked = judge.asked
    given = {"--base-url": asked["base_url"], "--api-key-env": asked["api_key_env"], "--config": judge.config}
    options = [each for name, value in given.items() if value is not None for each in (name, str(value))]
    return shlex.join(["perm", "batch", "collect", str(out), *options])


def status(path: Path, options: AccessOptions) -> None:
    """Print a line per batch: how many requests it holds and how far the provider is."""
    access = _access(options)
    with open_run(path, create=False) as folder:
        trouble = _each(_batches(folder), lambda batch: say(output(), _line(folder, batch, access)), messages())
    if trouble:
        raise trouble


def collect(
    path: Path,
    reward: RewardOptions,
    options: AccessOptions,
    answers: Sequence[Path],
    min_coverage: float,
    *,
    wait: bool,
    as_json: bool,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Turn what has been answered into ratings, fuse them and print the summary; return the exit code."""
    console = messages()
    with open_run(path, create=False) as folder:
        collecting = _Collecting(folder, console, _access(options))
        collecting.files(answers) if answers else collecting.batches(pause if wait else None)
        _close(folder, collecting.stopped)
    with open_run(path, create=False) as folder:
        recipe = recipe_of(reward, folder.record.last_score)
        summary = fuse(folder, recipe)
    show(summary, as_json=as_json)
    if collecting.left:
        say(console, f"{collecting.left} batches are not over; collect again later, or now with --wait")
    if collecting.trouble:
        raise collecting.trouble
    is_enough = enough_of(summary, min_coverage)
    return DONE if is_enough and not (collecting.left or collecting.put_back) else COVERAGE_TOO_LOW


def cancel(path: Path, options: AccessOptions) -> None:
    """Cancel the batches that are not over and print how each then stands."""
    console, access = messages(), _access(options)

    def cancelled(batch: BatchRecord) -> None:
        if batch.state not in {"open", "exported", "sending"}:
            return
        with ExitStack() as stack:
            is_known = batch.id or batch.is_unsure
            cancel_batch(folder, batch, stack.enter_context(_api(folder, batch, access)) if is_known else None)
        say(console, f"batch {batch.number}: {batch.standing or batch.state}")

    with open_run(path, create=False) as folder:
        trouble = _each(_batches(folder), cancelled, console)
    if trouble:
        raise trouble


def _close(folder: RunFolder, stopped: str | None) -> None:
    """Enter into the record of the last command that it has ended, and why before all was rated."""
    commands = folder.record.commands
    if commands:
        commands[-1].ended, commands[-1].stopped = now(), stopped
        folder.write_record()


def _batches(folder: RunFolder) -> list[BatchRecord]:
    batches = folder.record.batches
    if not batches:
        raise RunError(f"{folder.path}: no batches found, expected a folder that perm batch submit has written")
    return batches


def _each(batches: Iterable[BatchRecord], act: Callable[[BatchRecord], None], console: Console) -> PermError | None:
    """Act on every batch, whatever goes wrong with one of them; return the last error, print the others."""
    trouble: PermError | None = None
    for batch in batches:
        try:
            act(batch)
        except PermError as error:
            if trouble:
                say(console, str(trouble))
            trouble = RunError(f"batch {batch.number}: {error}")
    return trouble


_Access = Callable[[JudgeSettings], JudgeSettings]


def _access(options: AccessOptions) -> _Access:
    """Return how the user reaches a judge that a run's record names."""
    configuration = load_configuration(options.config)

    def access(recorded: JudgeSettings) -> JudgeSettings:
        judge = reached_by_user(recorded, configuration, options.base_url, options.api_key_env)
        announce_detour(judge, configuration)
        return judge

    return access


@contextmanager
def _api(folder: RunFolder, batch: BatchRecord, access: _Access) -> Iterator[BatchApi]:
    with closing(api_of(access(judge_of(folder, batch)))) as api:
        yield api


def _send_left(job: Job, folder: RunFolder, api: BatchApi, access: _Access, console: Console) -> None:
    """Send what is on record and was not sent, or perhaps not; `api` is that of the job."""
    for batch in folder.record.batches:
        if batch.state == "sending" and batch.settings == job.settings:
            _send(folder, batch, api, console)
        elif batch.state == "sending":
            with _api(folder, batch, access) as its_own:
                _send(folder, batch, its_own, console)


def _send(folder: RunFolder, batch: BatchRecord, api: BatchApi, console: Console) -> None:
    send(folder, batch, api)
    say(console, f"batch {batch.number}: {batch.requests:,} requests sent as {batch.id}")


def _line(folder: RunFolder, batch: BatchRecord, access: _Access) -> str:
    head = f"batch {batch.number}: {batch.requests:,} requests, {batch.state}"
    if batch.state != "open":
        return head
    with _api(folder, batch, access) as api:
        found = standing_of(folder, batch, api)
    counts = f"{found.done:,} done, {found.failed:,} failed of {found.total:,}"
    return f"{head} as {batch.id}, {found.status}: {counts}" + (f"; {found.problem}" if found.problem else "")


class _Collecting:
    """A collection of the batches of a run, with the number of those `left` and of calls `put_back` to do again."""

    def __init__(self, folder: RunFolder, console: Console, access: _Access) -> None:
        self.left = 0
        self.put_back = 0
        self.trouble: PermError | None = None
        self._folder, self._console, self._access = folder, console, access
        self._collection = Collection(folder, lambda text: say(console, text))

    @property
    def stopped(self) -> str | None:
        """Return why ratings are missing, None if none is by way of the batches."""
        if self.left:
            return f"{self.left} batches are not over"
        return f"{self.put_back:,} requests of batches are to do again: perm batch submit" if self.put_back else None

    def files(self, answers: Sequence[Path]) -> None:
        """Collect the answers to exported batches, also to those that were given up meanwhile."""
        exported = [
            each for each in self._folder.record.batches if each.state not in {"sending", "open"} and not each.id
        ]
        if not exported:
            raise SettingsError(
                f"--from: no exported batch found in {self._folder.path}, expected one of --export-only"
            )
        for batch in exported:
            found = self._collection.take(batch, (row for path in answers for row in rows_of(path)))
            if found:
                self._tell(batch, found)

    def batches(self, pause: Callable[[float], None] | None) -> None:
        """Collect the batches that are over, or with a `pause` all, looking again after each."""
        for batch in _batches(self._folder):
            if batch.state == "sending":
                say(
                    self._console,
                    f"batch {batch.number}: not sent yet; perm batch submit with the same options sends it",
                )
        left = [batch for batch in _batches(self._folder) if batch.state == "open"]
        while left := self._looked_at(left):
            if pause is None:
                break
            say(self._console, f"{len(left)} batches are not over; looking again in {_POLL_S:.0f} s")
            pause(_POLL_S)
        self.left = len(left)

    def _looked_at(self, batches: Sequence[BatchRecord]) -> list[BatchRecord]:
        """Collect which of the batches are over, and return which are not; where something is wrong, give up."""
        left: list[BatchRecord] = []

        def look(batch: BatchRecord) -> None:
            with _api(self._folder, batch, self._access) as api:
                if not self._is_collected(batch, api):
                    left.append(batch)

        trouble = _each(batches, look, self._console)
        if trouble and self.trouble:
            say(self._console, str(self.trouble))
        self.trouble = trouble or self.trouble
        return left

    def _is_collected(self, batch: BatchRecord, api: BatchApi) -> bool:
        standing = standing_of(self._folder, batch, api)
        if not standing.is_over:
            return False
        if standing.problem:
            say(self._console, f"batch {batch.number}: {standing.status}: {standing.problem}")
        found = self._collection.take(batch, api.rows(batch.id or ""), may_be_empty=not standing.done)
        if not found:
            raise RunError(f"{standing.done:,} answers were announced and none came; collect again")
        self._tell(batch, found)
        return True

    def _tell(self, batch: BatchRecord, found: Collected) -> None:
        self.put_back += found.put_back
        counts = ", ".join(f"{count:,} {status}" for status, count in sorted(found.ratings.items())) or "nothing new"
        again = f"; {found.put_back:,} to do again" if found.put_back else ""
        say(self._console, f"batch {batch.number}: {counts}{again}")
