"""The reward as trainers call it, from asynchronous or synchronous code: items in, results out."""

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
    The reward of replies under given settings.

    Settings come from arguments, environment variables and `perm.toml`, in this order of precedence; `settings.NAMES`
    has their names. Creating one raises `SettingsError`, `AssetError` or `RunError` for settings that cannot be used,
    so that a training run fails before it loads a policy.
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
        Return one result per item, in the order of the items.

        `step` is the trainer's step: the signs of reward hacking are computed over its replies if they are `watched`.
        A rating that takes longer than `within_s` seconds is missing. Raise `JudgeUnusable` if no call can succeed, and
        `RewardMissing` if a reward is missing and `on_missing` is `raise`.
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
        """Return what `score` does, from synchronous code."""
        engine, items = engine_of(self.settings), self._marked(items)
        return self._filled(engine, items, engine.submit(items, step, within_s, watched=watched).result())

    def stand_ins(self, items: Sequence[Item], why: str) -> list[Result]:
        """Return the results that `on_missing` gives to items that could not be judged at all, because of `why`."""
        engine = engine_of(self.settings)
        parts = engine.unrated()
        parts = replace(parts, missing=dict.fromkeys(parts.missing, why))
        return self._filled(engine, items, [Result(reward=None, parts=parts, rationales={}) for _ in items])

    @property
    def formula(self) -> Formula:
        """Return the formula from scores to a reward."""
        return engine_of(self.settings).formula

    @property
    def signs(self) -> Signs | None:
        """Return the signs of the last complete step, or of the last 256 replies without steps; None before that."""
        return engine_of(self.settings).watch.latest

    @property
    def caveat(self) -> str | None:
        """Return the known limitation of this judge, None if there is none."""
        return engine_of(self.settings).caveat

    def close(self) -> None:
        """Close the judge and its thread in this process; the next call starts new ones."""
        close_engine(self.settings)

    def _marked(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return the items, marked with whether the chat template begins the policy's thinking."""
        if self.settings.thinking == "auto":
            if any(closes_unopened_thinking(item.reply) and not item.opened for item in items):
                _warn_of_thinking()
            return items
        return [replace(item, opened=self.settings.thinking == "opened") for item in items]

    def _filled(self, engine: Engine, items: Sequence[Item], results: Sequence[Result]) -> list[Result]:
        return filled(results, [item.group for item in items], self.settings.on_missing, engine.recent)


@cache
def _warn_of_thinking() -> None:
    _log.warning(
        "a reply closes thinking that it did not open; if the chat template opens it, set thinking to opened or to the "
        "tokenizer's folder, otherwise a reply that never closes its thinking is judged as if it were spoken"
    )
