"""
Settings of a trainer's reward, from arguments, environment variables and the `[reward]` table of `perm.toml`.

Arguments take precedence over variables, and variables over the file. The variable of a setting is `PERM_` and its name
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
"""The value of `tokenizer` for trainers that count the policy's own tokens."""

_Weight = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1, le=LARGEST_INTEGER)]
_Whole = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]

# All settings of a reward with their types: the options of its judge, and these.
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
    The settings of a reward.

    With a `run`, all ratings are kept in one run folder per process below it, which all commands of perm can read, next
    to the signs that `perm watch` shows. `budget` is the most that one process may spend, as in `perm score`.
    `thinking` is whether the policy's chat template opens its thinking; `auto` decides by each prompt.
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
        """Return a hash of the settings that an engine depends on: all but `on_missing`, which is applied after it."""
        content = asdict(replace(self, on_missing="none"))
        return blake2b(orjson.dumps(content, default=str, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


@contextmanager
def _saying_settings() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise SettingsError(in_settings(str(error))) from error


def in_settings(message: str) -> str:
    """Return a message with the names of settings in place of the options of the command line."""

    def setting(option: re.Match[str]) -> str:
        name = option[1].replace("-", "_")
        return next((each for each in (name, f"{name}_s") if each in NAMES), option[0])

    return _OPTION.sub(setting, message)


@_saying_settings()
def reward_settings(
    config: Path | str | None = None, *, otherwise: OnMissing = "none", **options: Any
) -> RewardSettings:
    """
    Return the settings given by arguments, environment and `perm.toml`.

    The file is `config`, or the one that `PERM_CONFIG` names, or the nearest `perm.toml`. `otherwise` is the default of
    `on_missing`, which depends on the trainer. Raise `SettingsError` with the place of a wrong setting.
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
        run=found["run"].absolute() if "run" in found else None,  # the trainer may change the working directory
    )


def _found(configuration: Configuration, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are given anywhere, by precedence: arguments, variables, the file."""
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
    """Raise `SettingsError` if this judge cannot provide what the settings ask for."""
    check_judge(judge)
    score = found.get("score", "mode")
    if score == "expected" and not gives_logprobs(judge):
        raise SettingsError(
            f"score: {judge.name} gives no log-probabilities for expected; use mode, or mean with samples"
        )
    if score == "mean" and found.get("samples", 1) == 1:
        raise SettingsError("score: mean needs several samples; set samples to 2 or more")
    if "budget" in found and read_budget(found["budget"])[1] == "usd" and price_of(judge) is None:
        raise SettingsError(
            f"budget: {found['budget']} found, but no price is known for {judge.name}; set one in perm.toml, "
            "or a budget of tokens or calls"
        )


def _thinking(said: str, tokenizer: str) -> Thinking:
    """Return the setting of thinking, taken from a chat template if it names a place or is `auto`."""
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
    """Return whether a chat template opens thinking: `opened`, or `auto` for each prompt; None without a template."""
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
        from perm_cli.rewards.calibration import read_calibration  # noqa: PLC0415 - loads NumPy, only for calibrations

        given["calibration"] = read_calibration(found["calibration"])
    return Recipe(**given)


def _check_variables() -> None:
    """Raise `SettingsError` for a variable that is a misspelt setting; other `PERM_` variables may belong to others."""
    for name in os.environ:
        said = name.removeprefix("PERM_").lower()
        if name.startswith("PERM_") and os.environ[name].strip() and (meant := misspelt(said, (*NAMES, "config"))):
            raise SettingsError(f"{one_line(name, 60)}: no such variable, expected PERM_{meant.upper()}")


def _checked(values: Mapping[str, Any], place: str, *, upper: bool = False) -> dict[str, Any]:
    """Return the valid settings of one place without those that are None; raise `SettingsError` for wrong ones."""
    found: dict[str, Any] = {}
    coefficients: list[str] = []
    for name, value in values.items():
        where = f"{place}{name.upper() if upper else one_line(name, 60)}"
        short = _COEFFICIENT.fullmatch(name)
        if name not in _KINDS and not short:
            raise SettingsError(f"{where}: no such setting, expected {expected_name(name, NAMES)}")
        if isinstance(value, bool):  # pydantic would read it as 1 or 0
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
