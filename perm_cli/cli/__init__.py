"""
The command line: options in, one call a layer, results out.

A command's body lives in the module of its name and is imported when the command runs, so that `perm --help`
loads neither an HTTP client nor a data frame.

Exit codes: 0 done · 1 something for the user to mend · 2 wrong usage · 3 done, but a budget was reached or coverage is
below --min-coverage · 130 interrupted.
"""

import errno
import os
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command

from perm_cli import __version__
from perm_cli.cli.options import (
    AccessOptions,
    AsJson,
    Config,
    DialogueOptions,
    Files,
    Inputs,
    JudgeName,
    JudgeOptions,
    Judges,
    LabelOptions,
    MinCoverage,
    PanelOption,
    People,
    ReadingOptions,
    RewardOptions,
    Rubrics,
    RunPath,
    Runs,
    RunsFolder,
    Spelled,
    SpendingOptions,
    Style,
    Tex,
    judge_names,
    with_options,
)
from perm_cli.errors import PermError
from perm_cli.text import harmless
from perm_cli.words import INTERRUPTED, OnMissing, PairFormat, PairStrategy, TrainerName

app = typer.Typer(
    name="perm",
    help="Score how empathetic a reply is, from every side of the conversation, with any language model as the judge.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
rubrics_app = typer.Typer(help="Look at the rubrics.", no_args_is_help=True, rich_markup_mode=None)
judges_app = typer.Typer(help="Look at the configured judges.", rich_markup_mode=None)
batch_app = typer.Typer(
    help="Rate at half the price, within a day: OpenAI's and Anthropic's batches.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(batch_app, name="batch")
app.add_typer(rubrics_app, name="rubrics")
app.add_typer(judges_app, name="judges")


class _Interrupted(BaseException):
    """Come through Typer, which would end a KeyboardInterrupt without a word."""


def main() -> None:
    """Run the command line; a mistake of the user's is said in a line and never shown as a traceback."""
    _replace_closed_streams()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _interrupt)
    try:
        _run()
    except PermError as error:
        _tell(str(error))
        sys.exit(1)
    except (_Interrupted, KeyboardInterrupt):
        with suppress(OSError):  # the terminal may be gone
            _tell("interrupted; what is rated so far is kept, the same command goes on")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _drop_output()  # whoever read our output has seen enough
        sys.exit(0)
    except sqlite3.OperationalError as error:
        _tell(f"{tempfile.gettempdir()}: {error}; free room there, or set TMPDIR to a folder with more")
        sys.exit(1)
    except OSError as error:  # the results themselves could not be written
        reason = "closed" if error.errno == errno.EBADF else error.strerror or error
        _tell(f"{error.filename or 'standard output'}: {reason}")
        _drop_output()
        sys.exit(1)


@cache
def _command() -> Callable[[], object]:
    """Return all commands with their options, which takes a while and is done once in a process."""
    return get_command(app)


def _run() -> None:
    try:
        _command()()
    except SystemExit:
        sys.stdout.flush()  # on the way out, nobody could say that it failed
        raise


def _tell(text: str) -> None:
    print(f"perm: {harmless(text)}", file=sys.stderr)


def _replace_closed_streams() -> None:
    """
    Put something in the place of standard streams that are closed, or the next files opened would be taken for them.

    Nothing comes from there, and each write to standard output fails, as it should where results go nowhere.
    """
    for name, mode, flags in (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))


def _interrupt(*_: object) -> None:
    raise _Interrupted


def _drop_output() -> None:
    """Send what is left in the buffer of standard output nowhere, so that it does not complain on the way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"perm {__version__}")
        raise typer.Exit


@app.callback()
def perm(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Score how empathetic a reply is, from every side of the conversation, with any language model as the judge."""


@app.command(cls=Spelled)
@with_options
def score(
    files: Files,
    dialogues: DialogueOptions,
    judge: JudgeOptions,
    spending: SpendingOptions,
    reward: RewardOptions,
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder.  [default: runs/ with a name of file, judge and time]", show_default=False),
    ] = None,
    min_coverage: MinCoverage = 0.95,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS]",
            help="Rate on Ray: local, auto, or HOST:PORT of a cluster.  [without ADDRESS: local]",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Rate every supporter turn and fuse the ratings into rewards.

    The same command on the same folder goes on where it stopped and pays for nothing twice.
    """
    from perm_cli.cli.score import Output, run  # noqa: PLC0415 - see above

    output = Output(out=out, min_coverage=min_coverage, as_json=as_json, ray=ray)
    raise typer.Exit(run(files, dialogues, judge, spending, reward, output))


@app.command(cls=Spelled)
@with_options
def plan(files: Files, dialogues: DialogueOptions, judge: JudgeOptions, as_json: AsJson = False) -> None:
    """Say what `perm score` would call, send and cost. Makes no call and needs no key."""
    from perm_cli.cli.plan import run as body  # noqa: PLC0415 - see above

    body(files, dialogues, judge, as_json=as_json)


@app.command(cls=Spelled)
@with_options
def reward(
    run: RunPath,
    reward: RewardOptions,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for rewards and summary.  [default: the run's own]", show_default=False),
    ] = None,
    min_coverage: MinCoverage = 0.95,
    as_json: AsJson = False,
) -> None:
    """Fuse the ratings of a run again, another way. Makes no call."""
    from perm_cli.cli.reward import run as body  # noqa: PLC0415 - see above

    raise typer.Exit(body(run, reward, out, min_coverage, as_json=as_json))


@app.command(cls=Spelled)
@with_options
def compare(
    inputs: Inputs,
    dialogues: DialogueOptions,
    asking: JudgeOptions,
    reward: RewardOptions,
    judge: Judges = None,
    people: People = None,
    panel: PanelOption = None,
    tex: Tex = None,
    out: RunsFolder = Path("runs/compare"),
    min_coverage: MinCoverage = 0.95,
    as_json: AsJson = False,
) -> None:
    """
    Set judges side by side on the same dialogues: use of the scale, agreement, level, ranking of systems, biases.

    Ratings that are missing are made first; then nothing is asked twice.
    """
    from perm_cli.cli.compare import Wishes, run  # noqa: PLC0415 - see above

    wishes = Wishes(
        judges=judge or (),
        people=people or (),
        panel=panel,
        out=out,
        min_coverage=min_coverage,
        as_json=as_json,
        tex=tex,
    )
    raise typer.Exit(run(inputs, dialogues, asking, reward, wishes))


@app.command(cls=Spelled)
@with_options
def grade(
    inputs: Inputs,
    dialogues: DialogueOptions,
    asking: JudgeOptions,
    reward: RewardOptions,
    judge: Judges = None,
    panel: PanelOption = None,
    baseline: Annotated[
        str | None, typer.Option(help="System that the others are measured against.", show_default=False)
    ] = None,
    fail_under: Annotated[
        float | None, typer.Option(help="Exit with 3 if a mean reward is decisively lower.", show_default=False)
    ] = None,
    fail_if_worse_than: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Exit with 3 if a system is decisively worse than in that run.", show_default=False
        ),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the checks as JUnit XML.", show_default=False)
    ] = None,
    tex: Tex = None,
    measures: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…", help="Columns of --tex, dimensions or reward.  [default: all]", show_default=False
        ),
    ] = None,
    out: RunsFolder = Path("runs/grade"),
    min_coverage: MinCoverage = 0.95,
    as_json: AsJson = False,
) -> None:
    """
    Rank systems by how empathetic they are, and say whether the differences are real.

    A system is what the dialogues name so, else a file. Ratings that are missing are made first.
    """
    from perm_cli.cli.compare import Wishes  # noqa: PLC0415 - see above
    from perm_cli.cli.grade import Bars, run  # noqa: PLC0415 - see above

    wishes = Wishes(
        judges=judge or (), people=(), panel=panel, out=out, min_coverage=min_coverage, as_json=as_json, tex=tex
    )
    chosen = [name.strip() for name in measures.split(",")] if measures is not None else None
    bars = Bars(
        baseline=baseline,
        fail_under=fail_under,
        fail_if_worse_than=fail_if_worse_than,
        junit=junit,
        measures=chosen,
    )
    raise typer.Exit(run(inputs, dialogues, asking, reward, wishes, bars))


@app.command(cls=Spelled)
@with_options
def convert(
    files: Files,
    reading: ReadingOptions,
    out: Annotated[
        str,
        typer.Option(
            help="OUT.jsonl, .csv, .parquet or .md, for runs also .tex, .xml (JUnit) and .inspect.jsonl; "
            "`-` is JSON Lines on standard output."
        ),
    ],
    to: Annotated[
        TrainerName | None,
        typer.Option(help="Write prompts for a trainer, as JSON Lines or Parquet.", show_default=False),
    ] = None,
    style: Style = "analysis",
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """
    Write dialogues of any format in perm's own: JSON Lines, a table of turns, Parquet, or text to read.

    Of run folders it writes the results, for other programs and for papers. With --to, it writes what a trainer draws
    its prompts from: what was said before the supporter's last turn, which may be missing.
    """
    from perm_cli.cli.convert import convert_prompts  # noqa: PLC0415 - see above
    from perm_cli.cli.convert import run as body  # noqa: PLC0415 - the same

    if to:
        convert_prompts(files, reading, out, to, style, force=force)
    else:
        body(files, reading, out, force=force)


@app.command(cls=Spelled)
@with_options
def pairs(
    runs: Runs,
    reward: RewardOptions,
    format: Annotated[PairFormat, typer.Option(help="Whose rows to write.")] = "trl",  # noqa: A002 - the option's name
    style: Style = "analysis",
    strategy: Annotated[PairStrategy, typer.Option(help="One pair a prompt, or every one.")] = "best-worst",
    min_gap: Annotated[float, typer.Option(min=0, max=10, help="Least difference of the rewards.")] = 0.0,
    out: Annotated[str, typer.Option(help="File of JSON Lines; `-` is standard output.")] = "-",
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """
    Write pairs of replies, the better and the worse, for training on preferences. Makes no call.

    Replies to the same prompt are compared by their reward. Ties, and replies without one, are left out and counted.
    """
    from perm_cli.cli.pairs import pairs as body  # noqa: PLC0415 - see above

    body(runs, reward, format, style, strategy, min_gap, out, force=force)


@app.command("best-of-n", cls=Spelled)
@with_options
def best_of_n(
    runs: Runs,
    reward: RewardOptions,
    style: Style = "analysis",
    out: Annotated[str, typer.Option(help="File of JSON Lines; `-` is standard output.")] = "-",
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write every prompt with its replies, their rewards and which is the best. Makes no call."""
    from perm_cli.cli.pairs import best_of_n as body  # noqa: PLC0415 - see above

    body(runs, reward, style, out, force=force)


@app.command(cls=Spelled)
@with_options
def serve(
    judge: JudgeName = None,
    base_url: Annotated[
        str | None, typer.Option(help="Address of an OpenAI-compatible server, up to /v1.", show_default=False)
    ] = None,
    config: Config = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on.")] = 5000,
    token_env: Annotated[
        str | None, typer.Option(help="Environment variable with the token that clients must send.", show_default=False)
    ] = None,
    deadline: Annotated[
        float, typer.Option(min=0.001, max=86_400, help="Seconds after which a trainer gets a stand-in.")
    ] = 150.0,
    most_waiting: Annotated[int, typer.Option(min=1, help="Replies that may wait at /score.")] = 10_000,
    most_megabytes: Annotated[float, typer.Option(min=0.001, max=10_000, help="Largest request.")] = 16.0,
    on_missing: Annotated[
        OnMissing | None, typer.Option(help="What /score says for a missing reward.  [default: none]")
    ] = None,
    kept: Annotated[
        Path | None, typer.Option("--run", help="Folder to keep the ratings in.", show_default=False)
    ] = None,
) -> None:
    """
    Serve rewards over HTTP, to trainers and everybody else: /get_reward, /remote_rm, /score, /healthz, /metrics, /docs.

    How the reward is made stands in the [reward] table of perm.toml or in PERM_ variables.
    """
    from perm_cli.cli.serve import Place, run  # noqa: PLC0415 - see above

    limits = {"deadline_s": deadline, "most_waiting": most_waiting, "most_bytes": int(most_megabytes * 1e6)}
    wishes = {"judge": judge, "base_url": base_url, "on_missing": on_missing, "run": kept}
    run(Place(host=host, port=port, token_env=token_env), limits, config, wishes)


@app.command(cls=Spelled)
def watch(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The `run` of a reward, a folder in it, or its signs.jsonl.")
    ],
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until Ctrl-C; wait for a run that has not begun.")
    ] = False,
) -> None:
    """Show what the rewards of a training run go with, step by step, and warn of a reward that is being hacked."""
    from perm_cli.cli.watch import run as body  # noqa: PLC0415 - see above

    body(run, follow=follow)


@app.command("validate", cls=Spelled)
@with_options
def validate_judges(
    inputs: Inputs,
    dialogues: DialogueOptions,
    asking: JudgeOptions,
    reward: RewardOptions,
    against: LabelOptions,
    judge: Judges = None,
    people: People = None,
    panel: PanelOption = None,
    epsilon: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="What a judge may lose against a person: 0.2 experts, 0.15 skilled, 0.1 a crowd."
        ),
    ] = 0.2,
    tex: Tex = None,
    out: RunsFolder = Path("runs/validate"),
    min_coverage: MinCoverage = 0.95,
    as_json: AsJson = False,
) -> None:
    """
    Hold judges against people: how far people agree, how near each judge comes, and whether it beats word counting.

    Labels are those that dialogues carry, or a CSV file of ratings.
    """
    from perm_cli.cli.compare import Wishes  # noqa: PLC0415 - see above
    from perm_cli.cli.validate import Against, run  # noqa: PLC0415 - see above

    wishes = Wishes(
        judges=judge or (),
        people=people or (),
        panel=panel,
        out=out,
        min_coverage=min_coverage,
        as_json=as_json,
        tex=tex,
    )
    held = Against(labels=against.labels, mapped=against.map, epsilon=epsilon)
    raise typer.Exit(run(inputs, dialogues, asking, reward, wishes, held))


@app.command(cls=Spelled)
@with_options
def calibrate(
    inputs: Inputs,
    dialogues: DialogueOptions,
    asking: JudgeOptions,
    reward: RewardOptions,
    against: LabelOptions,
    to: Annotated[Path, typer.Option(help="File for the calibration, JSON.", show_default=False)],
    judge: Judges = None,
    people: People = None,
    out: RunsFolder = Path("runs/calibrate"),
    min_coverage: MinCoverage = 0.95,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """
    Learn from labels how each judge's levels relate to people's, and keep that in a file for --calibration.

    A map never turns an order round. With too few labels none is learned.
    """
    from perm_cli.cli.calibrate import run  # noqa: PLC0415 - see above
    from perm_cli.cli.compare import Wishes  # noqa: PLC0415 - see above
    from perm_cli.cli.validate import Against  # noqa: PLC0415 - see above

    wishes = Wishes(
        judges=judge or (), people=people or (), panel=None, out=out, min_coverage=min_coverage, as_json=False
    )
    held = Against(labels=against.labels, mapped=against.map, epsilon=0.0)
    raise typer.Exit(run(inputs, dialogues, asking, reward, wishes, held, to, force=force))


@app.command(cls=Spelled)
@with_options
def report(
    runs: Runs,
    reward: RewardOptions,
    against: LabelOptions,
    people: People = None,
    title: Annotated[str | None, typer.Option(help="Title of the report.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("report.html"),
    min_coverage: MinCoverage = 0.95,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is no earlier report.html.")] = False,
) -> None:
    """
    Write one HTML file with the answer, the pictures and every dialogue with its ratings.

    It needs no network and opens in any browser.
    """
    from perm_cli.cli.compare import Wishes  # noqa: PLC0415 - see above
    from perm_cli.cli.report import run  # noqa: PLC0415 - see above

    wishes = Wishes(judges=(), people=people or (), panel=None, out=out, min_coverage=min_coverage, as_json=False)
    raise typer.Exit(run(runs, reward, against, wishes, title, force=force))


@app.command(cls=Spelled)
@with_options
def prompts(
    files: Files,
    dialogues: DialogueOptions,
    dimension: Annotated[str | None, typer.Option(help="Show this dimension only.", show_default=False)] = None,
    dialogue_id: Annotated[
        str | None, typer.Option("--id", help="Show this dialogue only.", show_default=False)
    ] = None,
    lines: Annotated[bool, typer.Option("--lines", help="As sent with --structured text.")] = False,
) -> None:
    """Print exactly what the judge would be sent."""
    from perm_cli.cli.prompts import run as body  # noqa: PLC0415 - see above

    body(files, dialogues, dimension, dialogue_id, lines=lines)


@rubrics_app.command("list")
def list_rubrics(
    rubrics: Rubrics = None,
) -> None:
    """List the dimensions: who is asked what."""
    from perm_cli.cli.rubrics import list_dimensions  # noqa: PLC0415 - see above

    list_dimensions(rubrics)


@rubrics_app.command("show")
def show_rubric(
    dimension: Annotated[str, typer.Argument(help="The dimension to show.")],
    rubrics: Rubrics = None,
) -> None:
    """Print a dimension's rubric."""
    from perm_cli.cli.rubrics import show_dimension  # noqa: PLC0415 - see above

    show_dimension(dimension, rubrics)


@judges_app.callback(invoke_without_command=True)
def judges(context: typer.Context, config: Config = None) -> None:
    """List the configured judges, where each is asked and what it still lacks."""
    if context.invoked_subcommand is None:
        from perm_cli.cli.judges import list_judges  # noqa: PLC0415 - see above

        list_judges(config)


@judges_app.command("check")
@with_options
def check_judge(
    name: Annotated[
        str, typer.Argument(help="A configured judge, or a model as for --judge.", autocompletion=judge_names)
    ],
    base_url: Annotated[
        str | None, typer.Option(help="Address of an OpenAI-compatible server.", show_default=False)
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds the API key.", show_default=False)
    ] = None,
    config: Config = None,
) -> None:
    """Make one call and say what the endpoint can do."""
    from perm_cli.cli.judges import check_judge as body  # noqa: PLC0415 - see above

    body(name, base_url, api_key_env, config)


@batch_app.command("submit", cls=Spelled)
@with_options
def submit_batches(
    files: Files,
    dialogues: DialogueOptions,
    judge: JudgeOptions,
    out: Annotated[Path, typer.Option(help="Run folder, new or to be gone on with.", show_default=False)],
    export_only: Annotated[
        bool, typer.Option("--export-only", help="Only write the requests, as `vllm run-batch` reads them.")
    ] = False,
) -> None:
    """
    Send what is left to rate as batches. One call is made at full price first, to find out what the judge takes.

    Say it again after an interruption: nothing is sent twice.
    """
    from perm_cli.cli.batch import submit  # noqa: PLC0415 - see above

    submit(files, dialogues, judge, out, export_only=export_only)


@batch_app.command("status", cls=Spelled)
@with_options
def show_batches(run: RunPath, access: AccessOptions) -> None:
    """
    Ask how far the batches of a run are.

    Address and key come from these options, perm.toml or the provider, never from the run folder.
    """
    from perm_cli.cli.batch import status  # noqa: PLC0415 - see above

    status(run, access)


@batch_app.command("collect", cls=Spelled)
@with_options
def collect_batches(
    run: RunPath,
    reward: RewardOptions,
    access: AccessOptions,
    answers: Annotated[
        list[Path] | None,
        typer.Option("--from", help="File of answers to exported requests; may be repeated.", show_default=False),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all batches are over.")] = False,
    min_coverage: MinCoverage = 0.95,
    as_json: AsJson = False,
) -> None:
    """
    Turn the answers of batches that are over into ratings and fuse them.

    What failed or expired is to do again: `perm batch submit` or `perm score` with the same options does that.
    Address and key come from the options, perm.toml or the provider, never from the run folder.
    """
    from perm_cli.cli.batch import collect  # noqa: PLC0415 - see above

    raise typer.Exit(collect(run, reward, access, answers or [], min_coverage, wait=wait, as_json=as_json))


@batch_app.command("cancel", cls=Spelled)
@with_options
def cancel_batches(run: RunPath, access: AccessOptions) -> None:
    """
    Cancel the batches of a run that are not over; what is done of them can still be collected.

    Address and key come from these options, perm.toml or the provider, never from the run folder.
    """
    from perm_cli.cli.batch import cancel  # noqa: PLC0415 - see above

    cancel(run, access)
