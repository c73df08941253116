"""
Rewards for TRL's GRPOTrainer and RLOOTrainer, 1.9 or newer.

    from perm_cli.integrations.trl import make_reward

    trainer = GRPOTrainer(model, reward_funcs=make_reward(judge="openai/gpt-5.4-mini"), …)

or, settings in the environment or in `perm.toml`: `trl grpo --reward_funcs perm_cli.integrations.trl.perm_reward …`.
A missing reward is None, which TRL masks out of its group.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from perm_cli.errors import SettingsError
from perm_cli.integrations.rows import item_of, rationale_of
from perm_cli.reward import Item, Perm, Result, reward_settings
from perm_cli.rewards.formula import Formula
from perm_cli.training.signs import signs_of
from perm_cli.training.watching import observation_of

_PENALTY, _LENGTH = "_penalty", "length_penalty"
_NOT_COLUMNS = frozenset({"trainer_state", "log_metric", "log_extra", "completion_ids", "environments"})


async def perm_reward(
    prompts: Sequence[object],
    completions: Sequence[object],
    *,
    perm: Perm | None = None,
    **columns: Any,
) -> list[float | None]:
    """Return one reward per completion, None where it is missing; log the signs of the batch where TRL allows."""
    perm = perm or _default()
    items, results = await _scored(perm, prompts, completions, columns)
    _log(items, results, columns, perm.formula)
    return [each.reward for each in results]


async def part_reward(
    prompts: Sequence[object],
    completions: Sequence[object],
    *,
    part: str,
    perm: Perm | None = None,
    shown: bool | None = None,
    **columns: Any,
) -> list[float | None]:
    """
    Return one part of the reward per completion; all parts share one judgement.

    One part, for which `shown` is true, watches and logs the signs of the batch; by default it is the first part.
    """
    perm = perm or _default()
    _check_parts([part], perm.formula)
    # Each part is called with the same batch: watched by all of them, every reply would count several times.
    shown = part == parts_of(perm.formula)[0] if shown is None else shown
    items, results = await _scored(perm, prompts, completions, columns, watched=shown)
    if shown:
        _log(items, results, columns, perm.formula)
    return [part_of(each, part, perm.formula) for each in results]


def make_reward(**options: Any) -> "partial[Any]":
    """Return `perm_reward` with these settings, as a function that TRL can name and pickle."""
    perm = Perm(reward_settings(**options))
    return _named(partial(perm_reward, perm=perm), "perm_reward")


def parts_of(formula: Formula) -> list[str]:
    """Return the names of a reward's parts: the fused dimensions, and a penalty per term and for the length."""
    return [*formula.fused, *(name + _PENALTY for name in formula.terms), _LENGTH]


def make_parts(parts: Sequence[str] | None = None, **options: Any) -> "list[partial[Any]]":
    """
    Return one reward function per part, for `multi_objective_aggregation="normalize_then_sum"`.

    `parts` chooses among `parts_of`. Dimensions are scaled to at most 1; penalties are the terms of the whole reward.
    """
    perm = Perm(reward_settings(**options))
    chosen = parts_of(perm.formula) if parts is None else parts
    _check_parts(chosen, perm.formula)
    if perm.settings.on_missing not in {"none", "raise"}:
        raise SettingsError(
            f"on_missing: {perm.settings.on_missing} found, expected none or raise: parts have no stand-ins"
        )
    return [
        _named(partial(part_reward, part=part, perm=perm, shown=part == chosen[0]), f"perm_{part}") for part in chosen
    ]


def _check_parts(parts: Sequence[str], formula: Formula) -> None:
    known = parts_of(formula)
    unknown = [part for part in parts if part not in known]
    if unknown or not parts:
        raise SettingsError(f"parts: {', '.join(unknown) or 'none'} found, expected one or more of {', '.join(known)}")


def part_of(result: Result, part: str, formula: Formula) -> float | None:
    """Return one part of a reward, None if it is missing; an empty reply has the lowest value of the part."""
    if part == _LENGTH:
        return result.parts.length_term
    name = part.removesuffix(_PENALTY)
    if name in formula.terms:
        if not formula.terms[name]:
            return 0.0
        return formula.term(name, formula.dimensions[name].bounds[0]) if result.empty else result.parts.terms[name]
    dimension = formula.dimensions[part]
    score = dimension.bounds[0] if result.empty else result.scores[part]
    return None if score is None else dimension.share_of(score)


@cache
def _default() -> Perm:
    return Perm(reward_settings())


async def _scored(
    perm: Perm,
    prompts: Sequence[object],
    completions: Sequence[object],
    columns: Mapping[str, Any],
    *,
    watched: bool = True,
) -> tuple[list[Item], list[Result]]:
    ids = columns.get("completion_ids") or [None] * len(completions)
    about = {name: values for name, values in columns.items() if name not in _NOT_COLUMNS}
    items = [
        item_of(prompt, completion, {name: values[place] for name, values in about.items()}, _length(ids[place]))
        for place, (prompt, completion) in enumerate(zip(prompts, completions, strict=True))
    ]
    step = getattr(columns.get("trainer_state"), "global_step", None)
    return items, await perm.score(items, step, watched=watched)


def _length(ids: Sequence[int] | None) -> int | None:
    return None if ids is None else len(ids)


def _log(items: Sequence[Item], results: Sequence[Result], columns: Mapping[str, Any], formula: Formula) -> None:
    log_metric: Callable[[str, float], None] | None = columns.get("log_metric")
    log_extra: Callable[[str, list[str]], None] | None = columns.get("log_extra")
    if log_metric:
        observations = [observation_of(item, result, formula) for item, result in zip(items, results, strict=True)]
        for name, value in signs_of(observations).metrics().items():
            log_metric(name, value)
    if log_extra:
        log_extra("perm", [rationale_of(each) for each in results])


def _named(function: "partial[Any]", name: str) -> "partial[Any]":
    function.__name__ = name  # type: ignore[attr-defined]  # TRL names its metrics after it
    return function


def __getattr__(name: str) -> "partial[Any]":
    """Return the reward function of a part for `trl grpo --reward_funcs`: `DIMENSION_reward` or `…_penalty`."""
    part = name.removesuffix("_reward")
    if name.startswith("_") or (part == name and not name.endswith(_PENALTY)):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _named(partial(part_reward, part=part), f"perm_{part}")
