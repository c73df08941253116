"""
The reward for verl: `reward.custom_reward_function.path=pkg://perm_cli.integrations.verl`.

`reward.custom_reward_function.reward_kwargs` are settings, as in `perm.toml`. verl asks for one reply at a time, in
each of its reward workers, so `concurrency` is per worker. It needs numbers, always under the same names: where a
reward is missing, the mean of recent rewards stands in and `perm_judge_ok` is 0.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson

from perm_cli.integrations.rows import finite, item_of, log_of
from perm_cli.reward import Perm, reward_settings


async def compute_score(
    data_source: object,  # noqa: ARG001 - the same
    solution_str: str,
    ground_truth: object,  # noqa: ARG001 - the same
    extra_info: Mapping[str, Any] | None = None,
    reward_router_address: str | None = None,
    reward_model_tokenizer: object = None,  # noqa: ARG001 - the same
    **options: Any,
) -> dict[str, float]:
    """Return the reward of one reply and its parts; verl's own reward model is the judge where there is one."""
    if reward_router_address and "base_url" not in options:
        options["base_url"] = f"http://{reward_router_address}/v1"
    # Cached by the content of the settings: keyword arguments are a new mapping with every call.
    perm = _perm(orjson.dumps(options, default=str, option=orjson.OPT_SORT_KEYS))
    about = extra_info or {}
    item = item_of(about.get("prompt", ""), solution_str, about)
    (result,) = await perm.score([item])
    return {**finite({"score": result.reward}), **log_of(result, perm.signs)}


@cache
def _perm(options: bytes) -> Perm:
    return Perm(reward_settings(otherwise="mean", **orjson.loads(options)))
