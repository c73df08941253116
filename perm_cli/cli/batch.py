"""`perm batch`: rate at half the price, within a day."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from perm_cli.batches import (
    Batch,
    api_of,
    batches_of,
    first_call,
    judge_of,
    rows_of,
    send,
    standing_of,
    write_batches,
)
from perm_cli.batches import (
    cancel as cancel_batch,
)
from perm_cli.batches import (
    collect as collect_rows,
)
from perm_cli.cli.console import messages, output, say
from perm_cli.cli.fusing import fuse, show
from perm_cli.cli.options import DialogueOptions, JudgeOptions, RewardOptions
from perm_cli.cli.orders import opened_sources, order_of, recipe_of
from perm_cli.cli.score import announce_inputs, open_record, run_loop
from perm_cli.errors import RunError, SettingsError
from perm_cli.judges.batch_apis import Row
from perm_cli.judges.settings import JudgeSettings
from perm_cli.runs import RunFolder, open_run
from perm_cli.scoring import prepare
from perm_cli.words import COVERAGE_TOO_LOW, DONE

_POLL_S = 60.0


def submit(
    files: Sequence[str], dialogues: DialogueOptions, judge: JudgeOptions, out: Path, *, export_only: bool
) -> None:
    """Do what the command says."""
    console = messages()
    with opened_sources(files) as sources:
        order = order_of(sources, dialogues, judge)
        api = None if export_only else api_of(order.judge)
        job = prepare(order)
        announce_inputs(job, console)
        with open_run(out) as folder:
            open_record(job, folder)
            for batch in batches_of(folder):
                if batch.state == "sending":
                    _send(
                        folder,
                        batch,
                        (batch.settings == job.settings and order.judge) or judge_of(folder, batch),
                        console,
                    )
            dialect = None
            if api:
                dialect = run_loop(first_call(job, folder))
        # Opened again, the folder knows the rating that the first call has made.
        with open_run(out) as folder:
            written = 0
            for batch in write_batches(job, folder, dialect, api):
                written += 1
                if api:
                    _send(folder, batch, order.judge, console)
                else:
                    path = folder.path / "batches" / f"{batch.number:04}.requests.jsonl"
                    say(console, f"batch {batch.number}: {batch.requests:,} requests in {path}")
    if not written:
        say(console, "nothing is left to send")
    elif api:
        say(console, f"when they are done: perm batch collect {out}")
    else:
        say(console, f"when they are answered: perm batch collect {out} --from ANSWERS.jsonl")


def status(path: Path) -> None:
    """Do what the command says."""
    with open_run(path, create=False) as folder:
        for batch in _batches(folder):
            say(output(), _line(folder, batch))


def collect(path: Path, reward: RewardOptions, answers: Sequence[Path], *, wait: bool, as_json: bool) -> int:
    """Do what the command says; return its exit code."""
    console = messages()
    with open_run(path, create=False) as folder:
        left = _collect_files(folder, answers, console) if answers else _collect_batches(folder, console, wait=wait)
    with open_run(path, create=False) as folder:
        commands = folder.record["commands"]
        recipe = recipe_of(reward, commands[-1]["score"] if commands else "mode")
        folder.ledger.keep_latest(folder.dialogues())
        summary = fuse(folder, recipe, folder.expected_ratings())
    show(summary, as_json=as_json)
    if left:
        say(console, f"{left} batches are not over; collect again later, or now with --wait")
        return COVERAGE_TOO_LOW
    return DONE


def cancel(path: Path) -> None:
    """Do what the command says."""
    with open_run(path, create=False) as folder:
        for batch in _batches(folder):
            if batch.state in {"open", "exported", "sending"}:
                api = api_of(judge_of(folder, batch)) if batch.id else None
                cancel_batch(folder, batch, api)
                say(messages(), f"batch {batch.number}: {batch.standing or batch.state}")


def _batches(folder: RunFolder) -> list[Batch]:
    batches = batches_of(folder)
    if not batches:
        raise RunError(f"{folder.path}: no batches found, expected a folder that perm batch submit has written")
    return batches


def _send(folder: RunFolder, batch: Batch, judge: JudgeSettings, console: Console) -> None:
    send(folder, batch, api_of(judge))
    say(console, f"batch {batch.number}: {batch.requests:,} requests sent as {batch.id}")


def _line(folder: RunFolder, batch: Batch) -> str:
    head = f"batch {batch.number}: {batch.requests:,} requests, {batch.state}"
    if batch.state != "open":
        return head
    found = standing_of(folder, batch, api_of(judge_of(folder, batch)))
    counts = f"{found.done:,} done, {found.failed:,} failed of {found.total:,}"
    return f"{head} as {batch.id}, {found.status}: {counts}" + (f"; {found.problem}" if found.problem else "")


def _collect_files(folder: RunFolder, answers: Sequence[Path], console: Console) -> int:
    exported = [batch for batch in batches_of(folder) if batch.state in {"exported", "collected"} and not batch.id]
    if not exported:
        raise SettingsError(f"--from: no exported batch found in {folder.path}, expected one of --export-only")
    for batch in exported:
        _collect(folder, batch, (row for path in answers for row in rows_of(path)), console)
    return 0


def _collect_batches(folder: RunFolder, console: Console, *, wait: bool) -> int:
    left = [batch for batch in _batches(folder) if batch.state == "open"]
    for batch in _batches(folder):
        if batch.state == "sending":
            say(console, f"batch {batch.number}: not sent yet; perm batch submit with the same options sends it")
    while left:
        for batch in list(left):
            api = api_of(judge_of(folder, batch))
            found = standing_of(folder, batch, api)
            if found.is_over:
                left.remove(batch)
                if found.problem:
                    say(console, f"batch {batch.number}: {found.status}: {found.problem}")
                _collect(folder, batch, api.rows(batch.id or ""), console)
        if not left or not wait:
            break
        say(console, f"{len(left)} batches are not over; looking again in {_POLL_S:.0f} s")
        time.sleep(_POLL_S)
    return len(left)


def _collect(folder: RunFolder, batch: Batch, rows: Iterable[Row], console: Console) -> None:
    found = collect_rows(folder, batch, rows, lambda text: say(console, text))
    counts = ", ".join(f"{count:,} {status}" for status, count in sorted(found.ratings.items())) or "nothing new"
    again = f"; {found.put_back:,} to do again" if found.put_back else ""
    say(console, f"batch {batch.number}: {counts}{again}")
