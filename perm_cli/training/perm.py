"""The reward as trainers call it: items in, results out, from asynchronous code or not."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from perm_cli.rewards.formula import Formula
from perm_cli.text import closes_unopened_thinking
from perm_cli.training.engine import Engine, check_settings, close_engine, engine_of
from perm_cli.training.items import Item, Result
from perm_cli.training.settings import RewardSettings, reward_settings
from perm_cli.training.signs import Signs
from perm_cli.training.stand_ins import filled

_log = logging.getLogger("perm_cli.reward")


class Perm:
    """
    Score replies.

    Settings are taken from arguments, from environment variables and from `perm.toml`, in this order; `settings.NAMES`
    are their names. Raise `SettingsError`, `AssetError` or `RunError` for what cannot be used: before
    a policy is loaded.
    """

    def __init__(self, settings: RewardSettings | None = None, **options: Any) -> None:
        self.settings = settings or reward_settings(**options)
        check_settings(self.settings)

    async def score(
        self,
        items: Sequence[Item],
        step: int | None = None,
        *,
        watched: bool = True,
        within_s: float | None = None,
    ) -> list[Result]:
        """
        Return what each reply is worth, in the order of the items.

        `step` is the trainer's; what the replies of a step show is gathered, and warned of, unless they are not to be
        `watched`. What the judge has not said `within_s` seconds is missing. Raise `JudgeUnusable` if no call can
        succeed, and `RewardMissing` if `on_missing` says so.
        """
        engine, items = engine_of(self.settings), self._marked(items)
        results = await asyncio.wrap_future(engine.submit(items, step, within_s, watched=watched))
        return self._filled(engine, items, results)

    def score_now(
        self,
        items: Sequence[Item],
        step: int | None = None,
        *,
        watched: bool = True,
        within_s: float | None = None,
    ) -> list[Result]:
        """Do as `score`, from code that is not asynchronous."""
        engine, items = engine_of(self.settings), self._marked(items)
        return self._filled(engine, items, engine.submit(items, step, within_s, watched=watched).result())

    def stand_ins(self, items: Sequence[Item], why: str) -> list[Result]:
        """Return what `on_missing` puts in place of the rewards of items that could not be asked about at all."""
        engine = engine_of(self.settings)
        parts = engine.unrated()
        parts = replace(parts, missing=dict.fromkeys(parts.missing, why))
        return self._filled(engine, items, [Result(reward=None, parts=parts, rationales={}) for _ in items])

    @property
    def formula(self) -> Formula:
        """Return how scores become a reward."""
        return engine_of(self.settings).formula

    @property
    def signs(self) -> Signs | None:
        """Return what the replies of the last whole step showed, or the last 256; None before that."""
        return engine_of(self.settings).watch.latest

    @property
    def caveat(self) -> str | None:
        """Return what this judge's verdicts are known not to be worth."""
        return engine_of(self.settings).caveat

    def close(self) -> None:
        """End the judge's thread in this process; the next call starts another one."""
        close_engine(self.settings)

    def _marked(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return the items with what the settings say of the policy's thinking."""
        if self.settings.thinking == "auto":
            if any(closes_unopened_thinking(item.reply) and not item.opened for item in items):
                _warn_of_thinking()
            return items
        return [replace(item, opened=self.settings.thinking == "opened") for item in items]

    def _filled(self, engine: Engine, items: Sequence[Item], results: Sequence[Result]) -> list[Result]:
        return filled(results, [item.group for item in items], self.settings.on_missing, engine.memory)


@cache
def _warn_of_thinking() -> None:
    _log.warning(
        "a reply ends thinking that it has not begun: if the chat template begins it, set thinking to opened or to the "
        "tokenizer's folder, or a reply that never ends its thinking is judged as if it were said"
    )
