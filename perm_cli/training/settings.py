"""
How a trainer's reward is made: from arguments, environment variables and the `[reward]` table of `perm.toml`.

An argument counts before a variable, and a variable before the file. The variable of a setting is `PERM_` and its name
in capitals: `PERM_JUDGE`, `PERM_ON_MISSING`; `PERM_CONFIG` names the file.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from perm_cli.errors import SettingsError
from perm_cli.findings import expected_name, finding_of, misspelt
from perm_cli.judges.budget import read_budget
from perm_cli.judges.configuration import Configuration, load_configuration
from perm_cli.judges.routes import check_judge, detour_of, gives_logprobs, named_judge, price_of
from perm_cli.judges.settings import OPTIONS, JudgeSettings
from perm_cli.prompts.rubrics import DEFAULT_PACK, pack_folder
from perm_cli.prompts.shipped import shipped
from perm_cli.rewards.formula import Recipe, read_coefficients, read_weights
from perm_cli.text import begins_thinking, one_line
from perm_cli.training.policy import generation_prompt
from perm_cli.words import LARGEST_INTEGER, FusionName, OnMissing, ScoreMode, Thinking

POLICY_TOKENS = "policy"
"""As a tokeniser: the trainer has counted what the policy wrote."""

_Weight = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1, le=LARGEST_INTEGER)]
_Whole = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]

# Everything that may be said about a reward, with its type: the options of its judge, and these.
_KINDS: dict[str, Any] = {
    "judge": str,
    **{name: kind for name, (kind, _) in OPTIONS.items()},
    "samples": _Count,
    "reask": _Whole,
    "score": ScoreMode,
    "fusion": FusionName,
    "weights": str,
    "coef": str,
    "length_penalty": _Weight,
    "length_limit": _Whole,
    "tokenizer": str,
    "thinking": str,
    "calibration": Path,
    "rubrics": str,
    "prompts": Path,
    "on_missing": OnMissing,
    "budget": str,
    "run": Path,
}
NAMES = tuple(_KINDS)
_RECIPES = ("fusion", "length_penalty", "length_limit", "tokenizer", "score")
_COEFFICIENT = re.compile(r"([a-z][a-z0-9_]*)_coef")
_OPTION = re.compile(r"--([a-z][a-z-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSettings:
    """
    How a reward is made.

    With a `run`, every rating is kept in a folder below it, one for each process, that all commands of perm read, and
    the signs that `perm watch` shows beside them. `budget` is the most that one process may spend, as in `perm score`.
    `thinking` says whether the policy's chat template begins its thinking; `auto` goes by each prompt.
    """

    judge: JudgeSettings
    recipe: Recipe
    rubrics: Path
    prompts: Path | None = None
    samples: int = 1
    reask: int = 1
    thinking: Thinking = "auto"
    on_missing: OnMissing = "none"
    budget: str | None = None
    run: Path | None = None

    def digest(self) -> bytes:
        """Return a hash over what a judge's thread depends on; of what is filled in it knows nothing."""
        content = asdict(replace(self, on_missing="none"))
        return blake2b(orjson.dumps(content, default=str, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


@contextmanager
def _saying_settings() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise SettingsError(in_settings(str(error))) from error


def in_settings(message: str) -> str:
    """Return a message with settings as they are called here, where it speaks of the command line's options."""

    def setting(option: re.Match[str]) -> str:
        name = option[1].replace("-", "_")
        return next((each for each in (name, f"{name}_s") if each in NAMES), option[0])

    return _OPTION.sub(setting, message)


@_saying_settings()
def reward_settings(
    config: Path | str | None = None, *, otherwise: OnMissing = "none", **options: Any
) -> RewardSettings:
    """
    Return the settings that arguments, environment and `perm.toml` come to.

    `config` names the file, else `PERM_CONFIG`, else it is the nearest. `on_missing` is `otherwise`, where none of them
    says another: what a trainer needs. Raise `SettingsError` with the place of what is wrong.
    """
    chosen = config or os.environ.get("PERM_CONFIG")
    configuration = load_configuration(Path(chosen) if chosen else None)
    found = _found(configuration, options)
    judge = named_judge(
        found.get("judge"),
        configuration,
        **{name: found.get(name) for name in OPTIONS},
        logprobs=found.get("score") == "expected" or None,
    )
    _check_means(found, judge)
    if detour := detour_of(judge, configuration):
        logging.getLogger(__name__).warning(detour)
    return RewardSettings(
        judge=judge,
        recipe=_recipe(found),
        rubrics=pack_folder(str(found["rubrics"])) if "rubrics" in found else shipped("rubrics") / DEFAULT_PACK,
        prompts=found.get("prompts"),
        samples=found.get("samples", 1),
        reask=found.get("reask", 1),
        thinking=_thinking(found.get("thinking", "auto"), found.get("tokenizer", "")),
        on_missing=found.get("on_missing", otherwise),
        budget=found.get("budget"),
        run=found["run"].absolute() if "run" in found else None,  # whoever trains may change the folder
    )


def _found(configuration: Configuration, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was set: an argument counts before a variable, and a variable before the file."""
    _check_variables()
    set_here = {name.removeprefix("PERM_").lower(): os.environ[name].strip() for name in os.environ if _is_ours(name)}
    return {
        **_checked(configuration.reward, f"{configuration.path}: reward."),
        **_checked({name: value for name, value in set_here.items() if value}, "PERM_", upper=True),
        **_checked(options, ""),
    }


def _is_ours(variable: str) -> bool:
    name = variable.removeprefix("PERM_").lower()
    return variable.startswith("PERM_") and (name in _KINDS or bool(_COEFFICIENT.fullmatch(name)))


def _check_means(found: Mapping[str, Any], judge: JudgeSettings) -> None:
    """Raise `SettingsError` where this judge cannot give what was asked for."""
    check_judge(judge)
    score = found.get("score", "mode")
    if score == "expected" and not gives_logprobs(judge):
        raise SettingsError(
            f"score: expected found, and {judge.name} gives no log-probabilities; use mode, or mean with samples"
        )
    if score == "mean" and found.get("samples", 1) == 1:
        raise SettingsError("score: mean of one sample found, expected samples of 2 or more")
    if "budget" in found and read_budget(found["budget"])[1] == "usd" and price_of(judge) is None:
        raise SettingsError(
            f"budget: {found['budget']} found, and no price is known for {judge.name}, expected one in perm.toml "
            "or a budget of tokens or calls"
        )


def _thinking(said: str, tokenizer: str) -> Thinking:
    """Return what is said of the policy's thinking, or what the chat template there or beside the tokenizer does."""
    if said == "auto" and tokenizer.endswith(".json"):
        return template_thinking(Path(tokenizer).parent) or "auto"
    if said in get_args(Thinking):
        return cast("Thinking", said)
    found = template_thinking(Path(said))
    if found is None:
        raise SettingsError(
            f"thinking: {said!r} found, expected {', '.join(get_args(Thinking))}, or a tokenizer's folder or a chat "
            "template that can be rendered"
        )
    return found


def template_thinking(place: Path) -> Thinking | None:
    """Return whether a chat template begins thinking by itself, None without one; `auto` leaves it to each prompt."""
    prompt = generation_prompt(place)
    if prompt is None:
        return None
    return "opened" if begins_thinking(prompt) else "auto"


def _recipe(found: Mapping[str, Any]) -> Recipe:
    given = {name: found[name] for name in _RECIPES if name in found}
    if "weights" in found:
        given["weights"] = read_weights(found["weights"])
    if "coef" in found:
        given["coefficients"] = read_coefficients(found["coef"])
    if "calibration" in found:
        from perm_cli.rewards.calibration import read_calibration  # noqa: PLC0415 - arrays, for those who want it

        given["calibration"] = read_calibration(found["calibration"])
    return Recipe(**given)


def _check_variables() -> None:
    """Raise `SettingsError` for a variable that is surely meant for a setting and misspelt; others may be anybody's."""
    for name in os.environ:
        said = name.removeprefix("PERM_").lower()
        if name.startswith("PERM_") and os.environ[name].strip() and (meant := misspelt(said, (*NAMES, "config"))):
            raise SettingsError(f"{one_line(name, 60)}: no such variable, expected PERM_{meant.upper()}")


def _checked(values: Mapping[str, Any], place: str, *, upper: bool = False) -> dict[str, Any]:
    """Return what was set at a place; None says nothing."""
    found: dict[str, Any] = {}
    coefficients: list[str] = []
    for name, value in values.items():
        where = f"{place}{name.upper() if upper else one_line(name, 60)}"
        short = _COEFFICIENT.fullmatch(name)
        if name not in _KINDS and not short:
            raise SettingsError(f"{where}: no such setting, expected {expected_name(name, NAMES)}")
        if isinstance(value, bool):  # which would be read as 1 or 0
            raise SettingsError(f"{where}: {str(value).lower()} found, expected a number or text")
        if value is not None and short:
            coefficients.append(f"{short[1]}={_valid(_Weight, value, where)}")
        elif value is not None:
            found[name] = _valid(_KINDS[name], str(value) if name == "rubrics" else value, where)
    return found | ({"coef": ",".join(coefficients)} if coefficients else {})


def _valid(kind: Any, value: object, where: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        _, said = finding_of(error.errors(include_url=False)[0])
        raise SettingsError(f"{where}: {said}") from error
