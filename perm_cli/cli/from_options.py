"""The options of a command, turned into the values that the layers below take."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from perm_cli.cli.console import messages, say
from perm_cli.cli.inputs import files_of
from perm_cli.cli.options import DialogueOptions, JudgeOptions, ReadingOptions, RewardOptions, SpendingOptions
from perm_cli.dialogues.files.columns import read_columns
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import read_roles
from perm_cli.dialogues.files.sources import Source, forget, source_of, with_unique_systems
from perm_cli.errors import SettingsError
from perm_cli.findings import expected_name
from perm_cli.judges.budget import read_budget
from perm_cli.judges.configuration import Configuration, load_configuration
from perm_cli.judges.routes import check_judge, detour_of, named_judge, price_of
from perm_cli.judges.settings import JudgeSettings
from perm_cli.prompts.book import AnswerForm, PromptBook, open_book
from perm_cli.prompts.rubrics import DEFAULT_PACK, Dimension, Pack, pack_folder
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
    """Open the inputs, folders and patterns resolved, for the time of the `with` block."""
    names = files_of(files)
    if run := next((name for name in names if is_run(Path(name))), None):
        raise SettingsError(f"{run}: a run folder found, expected dialogues; those of the run: {run}/dialogues.jsonl")
    sources = with_unique_systems([source_of(name) for name in names])
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
        raise SettingsError("--score mean needs --samples 2 or more")
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
    """Return the settings of the judge; the command line takes precedence over perm.toml."""
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
    """Return the prompts that the judge is asked with."""
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
    from perm_cli.rewards.calibration import read_calibration

    return read_calibration(path)


def rubrics_folder(chosen: str | None) -> Path:
    """Return the folder of the pack that is named, or of the default one."""
    return pack_folder(chosen) if chosen else shipped("rubrics") / DEFAULT_PACK


def checked_dimension(pack: Pack, name: str, option: str) -> Dimension:
    """Return a dimension of a pack; raise `SettingsError` if it has none of that name."""
    if name not in pack.dimensions:
        raise SettingsError(f"{option}: {name!r} found, expected {expected_name(name, pack.dimensions)}")
    return pack.dimensions[name]


def limit_of(options: SpendingOptions, judge: JudgeSettings, ray: str | None) -> tuple[float, str] | None:
    """Return the budget; raise `SettingsError` if it could not be kept, or if the judge cannot be called."""
    limit = read_budget(options.budget) if options.budget is not None else None
    check_judge(judge)
    if limit and limit[1] == "usd" and price_of(judge) is None:
        raise SettingsError(
            f"--budget {options.budget}: no price is known for {judge.name}, expected one in perm.toml: "
            f"[judges.{judge.name!r}] price = {{ input = …, output = … }}, US dollars per million tokens"
        )
    if limit and ray is not None:
        raise SettingsError("--budget cannot be used with --ray, whose workers share no account")
    return limit
