"""The batches of a run, as `perm batch` sends, watches and collects them: one message per batch, whatever happens."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from rich.console import Console

from perm_cli.cli.console import say
from perm_cli.cli.from_options import announce_detour
from perm_cli.cli.options import AccessOptions
from perm_cli.errors import PermError, RunError, SettingsError
from perm_cli.judges.batch_api import BatchApi
from perm_cli.judges.configuration import load_configuration
from perm_cli.judges.settings import JudgeSettings
from perm_cli.ratings.run_folder import RunFolder
from perm_cli.ratings.run_record import BatchRecord
from perm_cli.scoring.batches import (
    Collected,
    Collection,
    api_of,
    cancel,
    judge_of,
    reached_by_user,
    rows_of,
    send,
    standing_of,
)
from perm_cli.scoring.job import Job, now

_POLL_S = 60.0


def close_command(folder: RunFolder, stopped: str | None) -> None:
    """Record that the last command has ended, and why it ended before everything was rated, if it did."""
    commands = folder.record.commands
    if commands:
        commands[-1].ended, commands[-1].stopped = now(), stopped
        folder.write_record()


def batches_of(folder: RunFolder) -> list[BatchRecord]:
    """Return the batches of a run; raise `RunError` if it has none."""
    batches = folder.record.batches
    if not batches:
        raise RunError(f"{folder.path}: no batches found, expected a folder that perm batch submit has written")
    return batches


def on_each(batches: Iterable[BatchRecord], act: Callable[[BatchRecord], None], console: Console) -> PermError | None:
    """Act on every batch, even if some fail; return the last error and print the others."""
    trouble: PermError | None = None
    for batch in batches:
        try:
            act(batch)
        except PermError as error:
            if trouble:
                say(console, str(trouble))
            trouble = RunError(f"batch {batch.number}: {error}")
    return trouble


Access = Callable[[JudgeSettings], JudgeSettings]


def access_of(options: AccessOptions) -> Access:
    """Return a function that gives a recorded judge the address and key that the user names."""
    configuration = load_configuration(options.config)

    def access(recorded: JudgeSettings) -> JudgeSettings:
        judge = reached_by_user(recorded, configuration, options.base_url, options.api_key_env)
        announce_detour(judge, configuration)
        return judge

    return access


@contextmanager
def api_for(folder: RunFolder, batch: BatchRecord, access: Access) -> Iterator[BatchApi]:
    """Open the batch API of a batch's judge for the time of the `with` block."""
    with closing(api_of(access(judge_of(folder, batch)))) as api:
        yield api


def send_left(job: Job, folder: RunFolder, api: BatchApi, access: Access, console: Console) -> None:
    """Send the batches on record that were not sent, or may not have been; `api` is that of the job."""
    for batch in folder.record.batches:
        if batch.state == "sending" and batch.settings == job.settings:
            send_batch(folder, batch, api, console)
        elif batch.state == "sending":
            with api_for(folder, batch, access) as its_own:
                send_batch(folder, batch, its_own, console)


def send_batch(folder: RunFolder, batch: BatchRecord, api: BatchApi, console: Console) -> None:
    """Send a batch that was written, and print its id."""
    send(folder, batch, api)
    say(console, f"batch {batch.number}: {batch.requests:,} requests sent as {batch.id}")


def standing_line(folder: RunFolder, batch: BatchRecord, access: Access) -> str:
    """Return how many requests a batch holds and how far the provider is."""
    head = f"batch {batch.number}: {batch.requests:,} requests, {batch.state}"
    if batch.state != "open":
        return head
    with api_for(folder, batch, access) as api:
        found = standing_of(folder, batch, api)
    counts = f"{found.done:,} done, {found.failed:,} failed of {found.total:,}"
    return f"{head} as {batch.id}, {found.status}: {counts}" + (f"; {found.problem}" if found.problem else "")


def cancel_batch(folder: RunFolder, batch: BatchRecord, access: Access, console: Console) -> None:
    """Cancel a batch that is not over, and print how it then stands."""
    if batch.state not in {"open", "exported", "sending"}:
        return
    with ExitStack() as stack:
        is_known = batch.id or batch.is_unsure
        cancel(folder, batch, stack.enter_context(api_for(folder, batch, access)) if is_known else None)
    say(console, f"batch {batch.number}: {batch.standing or batch.state}")


class Collecting:
    """A collection of the batches of a run, with the number of those `left` and of calls `put_back` to do again."""

    def __init__(self, folder: RunFolder, console: Console, access: Access) -> None:
        self.left = 0
        self.put_back = 0
        self.trouble: PermError | None = None
        self._folder, self._console, self._access = folder, console, access
        self._collection = Collection(folder, lambda text: say(console, text))

    @property
    def stopped(self) -> str | None:
        """Return why ratings of the batches are missing, None if none is."""
        if self.left:
            return f"{self.left} batches have not ended"
        return f"{self.put_back:,} requests of batches are to do again: perm batch submit" if self.put_back else None

    def files(self, answers: Sequence[Path]) -> None:
        """Collect the answers to exported batches, cancelled ones included."""
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
        """Collect the batches that have ended or, given a `pause`, all of them, polling between pauses."""
        for batch in batches_of(self._folder):
            if batch.state == "sending":
                say(
                    self._console,
                    f"batch {batch.number}: not sent yet; perm batch submit with the same options sends it",
                )
        left = [batch for batch in batches_of(self._folder) if batch.state == "open"]
        while left := self._looked_at(left):
            if pause is None:
                break
            say(self._console, f"{len(left)} batches have not ended; looking again in {_POLL_S:.0f} s")
            pause(_POLL_S)
        self.left = len(left)

    def _looked_at(self, batches: Sequence[BatchRecord]) -> list[BatchRecord]:
        """Collect the batches that have ended and return the others; one that fails is given up."""
        left: list[BatchRecord] = []

        def look(batch: BatchRecord) -> None:
            with api_for(self._folder, batch, self._access) as api:
                if not self._is_collected(batch, api):
                    left.append(batch)

        trouble = on_each(batches, look, self._console)
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
            raise RunError(f"{standing.done:,} answers were announced and none arrived; collect again")
        self._tell(batch, found)
        return True

    def _tell(self, batch: BatchRecord, found: Collected) -> None:
        self.put_back += found.put_back
        counts = ", ".join(f"{count:,} {status}" for status, count in sorted(found.ratings.items())) or "nothing new"
        again = f"; {found.put_back:,} to do again" if found.put_back else ""
        say(self._console, f"batch {batch.number}: {counts}{again}")
