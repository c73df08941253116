"""From options to what the layers below take."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from perm_cli.cli.console import messages, say
from perm_cli.cli.names import files_of
from perm_cli.cli.options import DialogueOptions, JudgeOptions, ReadingOptions, RewardOptions
from perm_cli.dialogues.files.columns import read_columns
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import read_roles
from perm_cli.dialogues.files.sources import Source, forget, source_of, told_apart
from perm_cli.errors import SettingsError
from perm_cli.judges.configuration import Configuration, load_configuration
from perm_cli.judges.routes import detour_of, named_judge
from perm_cli.judges.settings import JudgeSettings
from perm_cli.prompts.book import AnswerForm, PromptBook, open_book
from perm_cli.prompts.rubrics import DEFAULT_PACK, pack_folder
from perm_cli.prompts.shipped import shipped
from perm_cli.ratings.run_folder import is_run
from perm_cli.rewards.formula import Calibrator, Recipe, read_coefficients, read_weights
from perm_cli.scoring.job import Order
from perm_cli.words import ScoreMode


def command_line() -> str:
    """Return the command as it was typed."""
    return shlex.join(["perm", *sys.argv[1:]])


@contextmanager
def opened_sources(files: Sequence[str]) -> Iterator[list[Source]]:
    """Open the inputs, with folders and patterns spelled out, for the time of the `with` block."""
    names = files_of(files)
    if run := next((name for name in names if is_run(Path(name))), None):
        raise SettingsError(f"{run}: a run folder found, expected dialogues; those of the run: {run}/dialogues.jsonl")
    sources = told_apart([source_of(name) for name in names])
    try:
        yield sources
    finally:
        for source in sources:
            forget(source)


def reading_of(options: ReadingOptions) -> Reading:
    """Return how dialogues are read."""
    roles = read_roles(options.roles) if options.roles else None
    columns = read_columns(options.columns) if options.columns else None
    turns = options.turns if isinstance(options, DialogueOptions) else "all"
    return Reading(format=options.format, roles=roles, turns=turns, columns=columns, strict=options.strict)


def order_of(sources: Sequence[Source], dialogues: DialogueOptions, judge: JudgeOptions) -> Order:
    """Return what is to be rated."""
    if judge.score == "mean" and judge.samples == 1:
        raise SettingsError("--score mean: one sample found, expected --samples 2 or more")
    return Order(
        sources=sources,
        reading=reading_of(dialogues),
        judge=settings_of(judge),
        rubrics=rubrics_folder(dialogues.rubrics),
        prompts=dialogues.prompts,
        score=judge.score,
        samples=judge.samples,
        reask=judge.reask,
    )


def settings_of(options: JudgeOptions) -> JudgeSettings:
    """Return the judge with everything said about it, on the command line before what perm.toml says."""
    configuration = load_configuration(options.config)
    judge = named_judge(
        options.judge,
        configuration,
        **options.asked,
        logprobs=options.score == "expected" or None,
    )
    announce_detour(judge, configuration)
    return judge


def announce_detour(judge: JudgeSettings, configuration: Configuration) -> None:
    """Name the address, before the first call, where a settings file redirects a provider's own model name."""
    if detour := detour_of(judge, configuration):
        say(messages(), detour)


def book_of(options: DialogueOptions, answer: AnswerForm) -> PromptBook:
    """Return the prompts."""
    return open_book(rubrics_folder(options.rubrics), options.prompts, answer)


def recipe_of(options: RewardOptions, score: ScoreMode = "mode") -> Recipe:
    """Return how scores become a reward."""
    return Recipe(
        calibration=_calibration(options.calibration) if options.calibration else None,
        fusion=options.fusion,
        coefficients=read_coefficients(options.coef) if options.coef else {},
        length_penalty=options.length_penalty,
        length_limit=options.length_limit,
        tokenizer=options.tokenizer,
        score=score,
        weights=read_weights(options.weights) if options.weights else {},
    )


def _calibration(path: Path) -> Calibrator:
    from perm_cli.rewards.calibration import read_calibration  # noqa: PLC0415 - arrays, for those who want it

    return read_calibration(path)


def rubrics_folder(chosen: str | None) -> Path:
    """Return the folder of the pack that is named, or of the default one."""
    return pack_folder(chosen) if chosen else shipped("rubrics") / DEFAULT_PACK
