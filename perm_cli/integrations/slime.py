"""
The reward for slime: `--custom-rm-path perm_cli.integrations.slime.perm_reward`, also with `--group-rm`.

Settings are those of the environment and of `perm.toml`; persona, scenario and query are in the sample's label or
metadata. slime needs numbers: where a reward is missing, the mean of its group or of recent rewards stands in.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from perm_cli.integrations.openrlhf import about_of, without_specials
from perm_cli.integrations.rows import item_of
from perm_cli.reward import Item, Perm, reward_settings


async def perm_reward(args: object, sample: Any, **_: object) -> Any:  # noqa: ARG001 - slime's signature
    """Return the reward of a sample, or a list of rewards for a group of samples."""
    group = isinstance(sample, Sequence)
    results = await _default().score([_item(each) for each in (sample if group else [sample])])
    rewards = [each.reward for each in results]
    return rewards if group else rewards[0]


def _item(sample: Any) -> Item:
    metadata = getattr(sample, "metadata", None)
    about = dict(metadata if isinstance(metadata, Mapping) else {}) | dict(about_of(getattr(sample, "label", None)))
    return item_of(sample.prompt, without_specials(sample.response or ""), about)


@cache
def _default() -> Perm:
    return Perm(reward_settings(otherwise="mean"))
