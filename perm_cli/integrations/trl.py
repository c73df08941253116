"""
Rewards for TRL's GRPOTrainer and RLOOTrainer, 1.9 or newer.

    from perm_cli.integrations.trl import make_reward

    trainer = GRPOTrainer(model, reward_funcs=make_reward(judge="openai/gpt-5.4-mini"), …)

or, settings in the environment or in `perm.toml`: `trl grpo --reward_funcs perm_cli.integrations.trl.perm_reward …`.
A reply whose reward is missing is None, which TRL leaves out of its group.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from perm_cli.errors import SettingsError
from perm_cli.integrations.rows import item_of, rationale_of
from perm_cli.reward import Item, Perm, Result, reward_settings
from perm_cli.rewards.formula import Formula
from perm_cli.training.signs import signs_of
from perm_cli.training.watching import seen

_PENALTY, _LENGTH = "_penalty", "length_penalty"
_OURS = frozenset({"trainer_state", "log_metric", "log_extra", "completion_ids", "environments"})


async def perm_reward(
    prompts: Sequence[object],
    completions: Sequence[object],
    *,
    perm: Perm | None = None,
    **columns: Any,
) -> list[float | None]:
    """Return a reward for each completion, and log what the batch shows where TRL lets it."""
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
    Return one part of the reward for each completion; all parts share one judgement.

    What the batch shows is watched and logged by the one that is `shown`: unless it is said, the first of `parts_of`.
    """
    perm = perm or _default()
    _check_parts([part], perm.formula)
    shown = part == parts_of(perm.formula)[0] if shown is None else shown
    items, results = await _scored(perm, prompts, completions, columns, watched=shown)
    if shown:
        _log(items, results, columns, perm.formula)
    return [part_of(each, part, perm.formula) for each in results]


def make_reward(**wishes: Any) -> "partial[Any]":
    """Return `perm_reward` with these settings, as something that TRL can name and pickle."""
    perm = Perm(reward_settings(**wishes))
    return _named(partial(perm_reward, perm=perm), "perm_reward")


def parts_of(formula: Formula) -> list[str]:
    """Return the parts of a reward: the dimensions that are fused, and a penalty for each term and for the length."""
    return [*formula.fused, *(name + _PENALTY for name in formula.terms), _LENGTH]


def make_parts(parts: Sequence[str] | None = None, **wishes: Any) -> "list[partial[Any]]":
    """
    Return a reward function for each part, or for some, for `multi_objective_aggregation="normalize_then_sum"`.

    The scores are shares of 1, and the penalties the terms that the whole reward subtracts.
    """
    perm = Perm(reward_settings(**wishes))
    chosen = parts_of(perm.formula) if parts is None else parts
    _check_parts(chosen, perm.formula)
    if perm.settings.on_missing not in {"none", "raise"}:
        raise SettingsError(
            f"on_missing: {perm.settings.on_missing} found, expected none or raise: a part is not filled"
        )
    return [
        _named(partial(part_reward, part=part, perm=perm, shown=part == chosen[0]), f"perm_{part}") for part in chosen
    ]


def _check_parts(parts: Sequence[str], formula: Formula) -> None:
    known = parts_of(formula)
    unknown = [part for part in parts if part not in known]
    if unknown or not parts:
        raise SettingsError(f"parts: {', '.join(unknown) or 'none'} found, expected some of {', '.join(known)}")


def part_of(result: Result, part: str, formula: Formula) -> float | None:
    """Return one part of a reward, None if it is missing; of a reply that says nothing it is the lowest."""
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
    about = {name: values for name, values in columns.items() if name not in _OURS}
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
        looked_at = [seen(item, result, formula) for item, result in zip(items, results, strict=True)]
        for name, value in signs_of(looked_at).metrics().items():
            log_metric(name, value)
    if log_extra:
        log_extra("perm", [rationale_of(each) for each in results])


def _named(function: "partial[Any]", name: str) -> "partial[Any]":
    function.__name__ = name  # type: ignore[attr-defined]  # TRL names its metrics after it
    return function


def __getattr__(name: str) -> "partial[Any]":
    """Return what `trl grpo --reward_funcs` names: `DIMENSION_reward` or `…_penalty`, of the environment's settings."""
    part = name.removesuffix("_reward")
    if name.startswith("_") or (part == name and not name.endswith(_PENALTY)):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _named(partial(part_reward, part=part), f"perm_{part}")
