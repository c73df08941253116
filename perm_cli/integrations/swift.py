"""
The reward for ms-swift 4.

    # perm_plugin.py, for --external_plugins perm_plugin.py --reward_funcs perm
    from perm_cli.integrations.swift import PermORM

Settings are those of the environment and of `perm.toml`; persona, scenario and query are columns of the dataset. A
missing reward is None, which ms-swift masks.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from swift.rewards import AsyncORM, orms

from perm_cli.integrations.rows import item_of
from perm_cli.reward import Perm, reward_settings
from perm_cli.training.settings import template_thinking

if __name__ != "perm_cli.integrations.swift":
    # ms-swift puts the folder of a plugin first on the import path, and would then import our trl.py in place of TRL.
    raise ImportError(
        f"{__file__} cannot be the plugin itself; write one with the line: "
        "from perm_cli.integrations.swift import PermORM"
    )


class PermORM(AsyncORM):  # type: ignore[misc]  # ms-swift has no types
    """The reward function that ms-swift knows as `perm`; it scores all completions of a batch together."""

    def __init__(self, args: object = None, **options: Any) -> None:
        super().__init__(args) if args is not None else super().__init__()
        settings = reward_settings(**options)
        policy = getattr(args, "model_dir", None)
        if settings.thinking == "auto" and policy and template_thinking(Path(policy)) == "opened":
            settings = replace(settings, thinking="opened")
        self._perm = Perm(settings)

    async def __call__(self, completions: Sequence[str], **columns: Any) -> list[float | None]:
        """Return one reward per completion, None where it is missing."""
        rows = [
            {name: values[place] for name, values in columns.items() if _is_column(values, completions)}
            for place in range(len(completions))
        ]
        items = [
            item_of(row.get("messages", ())[:-1], completion, row, _length(row.get("response_token_ids")))
            for row, completion in zip(rows, completions, strict=True)
        ]
        step = getattr(columns.get("trainer_state"), "global_step", None)
        return [each.reward for each in await self._perm.score(items, step)]


def _length(ids: Sequence[Any] | None) -> int | None:
    """Return the number of tokens of a completion, which in some rollouts is one list per turn."""
    return sum(len(each) if isinstance(each, Sequence) else 1 for each in ids) if ids else None


def _is_column(values: object, completions: Sequence[str]) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str) and len(values) == len(completions)


orms["perm"] = PermORM
