"""`perm batch`: rate through batch APIs, at half the price and within a day."""

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from perm_cli.cli.exits import COVERAGE_TOO_LOW, DONE
from perm_cli.cli.options import (
    AccessOptions,
    AsJson,
    DialogueOptions,
    Files,
    JudgeOptions,
    MinCoverage,
    RewardOptions,
    RunPath,
    Spelled,
    with_options,
)

app = typer.Typer(
    help="Rate at half the price within a day, through the batch APIs of OpenAI and Anthropic.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(cls=Spelled)
@with_options
def submit(
    files: Files,
    dialogues: DialogueOptions,
    judge: JudgeOptions,
    out: Annotated[Path, typer.Option(help="Run folder, new or to be resumed.", show_default=False)],
    export_only: Annotated[
        bool, typer.Option("--export-only", help="Only write the requests to files, which `vllm run-batch` reads.")
    ] = False,
) -> None:
    """
    Send what is left to rate as batches. One call is made at full price first, to find out what the judge accepts.

    Repeat the command after an interruption: nothing is sent twice.
    """
    from contextlib import ExitStack, closing

    from perm_cli.cli.announcing import announce
    from perm_cli.cli.batches import access_of, close_command, send_batch, send_left
    from perm_cli.cli.console import messages, say
    from perm_cli.cli.from_options import command_line, opened_sources, order_of
    from perm_cli.ratings.run_folder import open_run
    from perm_cli.scoring.batches import api_of, check_batchable, first_call, write_batches
    from perm_cli.scoring.job import entered, prepare
    from perm_cli.scoring.making import run_loop

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
                send_left(job, folder, api, access_of(AccessOptions(config=judge.config)), console)
            dialect = run_loop(first_call(job, folder)) if api else None
        # Opened again, the folder knows the rating that the first call has made.
        with open_run(out) as folder:
            written = 0
            for batch in write_batches(job, folder, dialect, api):
                written += 1
                if api:
                    send_batch(folder, batch, api, console)
                else:
                    path = folder.path / "batches" / f"{batch.number:04}.requests.jsonl"
                    say(console, f"batch {batch.number}: {batch.requests:,} requests in {path}")
            close_command(folder, "what was sent as batches is not collected" if written else None)
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


@app.command(cls=Spelled)
@with_options
def status(run: RunPath, access: AccessOptions) -> None:
    """
    Show the progress of a run's batches.

    Address and key come from these options, perm.toml or the provider, never from the run folder.
    """
    from perm_cli.cli.batches import access_of, batches_of, on_each, standing_line
    from perm_cli.cli.console import messages, output, say
    from perm_cli.ratings.run_folder import open_run

    reach = access_of(access)
    with open_run(run, create=False) as folder:
        trouble = on_each(
            batches_of(folder), lambda batch: say(output(), standing_line(folder, batch, reach)), messages()
        )
    if trouble:
        raise trouble


@app.command(cls=Spelled)
@with_options
def collect(
    run: RunPath,
    reward: RewardOptions,
    access: AccessOptions,
    answers: Annotated[
        list[Path] | None,
        typer.Option("--from", help="File of answers to exported requests; may be repeated.", show_default=False),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all batches have ended.")] = False,
    min_coverage: MinCoverage = 0.95,
    as_json: AsJson = False,
) -> None:
    """
    Turn the answers of finished batches into ratings and fuse them.

    What failed or expired has to be sent again, by `perm batch submit` or `perm score` with the same options.
    Address and key come from the options, perm.toml or the provider, never from the run folder.
    """
    from perm_cli.cli.announcing import announce_coverage
    from perm_cli.cli.batches import Collecting, access_of, close_command
    from perm_cli.cli.console import messages, say
    from perm_cli.cli.from_options import recipe_of
    from perm_cli.cli.summary import show_summary
    from perm_cli.ratings.run_folder import open_run
    from perm_cli.rewards.fusing import fuse

    console = messages()
    with open_run(run, create=False) as folder:
        collecting = Collecting(folder, console, access_of(access))
        collecting.files(answers) if answers else collecting.batches(time.sleep if wait else None)
        close_command(folder, collecting.stopped)
    with open_run(run, create=False) as folder:
        summary = fuse(folder, recipe_of(reward, folder.record.last_score))
    show_summary(summary, as_json=as_json)
    if collecting.left:
        say(console, f"{collecting.left} batches have not ended; collect again later, or wait for them with --wait")
    if collecting.trouble:
        raise collecting.trouble
    is_enough = announce_coverage(summary.coverage, min_coverage)
    is_done = is_enough and not (collecting.left or collecting.put_back)
    raise typer.Exit(DONE if is_done else COVERAGE_TOO_LOW)


@app.command(cls=Spelled)
@with_options
def cancel(run: RunPath, access: AccessOptions) -> None:
    """
    Cancel the unfinished batches of a run; the answers they already have can still be collected.

    Address and key come from these options, perm.toml or the provider, never from the run folder.
    """
    from perm_cli.cli.batches import access_of, batches_of, cancel_batch, on_each
    from perm_cli.cli.console import messages
    from perm_cli.ratings.run_folder import open_run

    console, reach = messages(), access_of(access)
    with open_run(run, create=False) as folder:
        trouble = on_each(batches_of(folder), lambda batch: cancel_batch(folder, batch, reach, console), console)
    if trouble:
        raise trouble
