"""The judge that verifiers finds under the id `perm_judge`; see `perm_cli.integrations.verifiers`."""

from typing import Any

import verifiers.v1 as vf

from perm_cli.integrations.verifiers import metrics_of, perm_of, scored

__all__ = ["PermJudge", "PermJudgeConfig"]

_SETTINGS = {"judge": "model", "base_url": "base_url", "api_key_env": "api_key_var"}


class PermJudgeConfig(vf.JudgeConfig):  # type: ignore[misc]  # verifiers is no part of our environment
    """Say who judges: `model` and `base_url` as of any judge, and `settings` of the reward as in `perm.toml`."""

    id: vf.ID = "perm_judge"
    settings: dict[str, Any] = {}  # noqa: RUF012 - a field of pydantic's


class PermJudge(vf.Judge[Any, PermJudgeConfig]):  # type: ignore[misc]  # the same
    """Score the last reply of a trace with PERM."""

    async def score(self, task: Any, trace: Any) -> float:
        """Return the reward; raise `RewardMissing` if there is none."""
        config, said = self.config, self.config.model_fields_set
        own = {ours: getattr(config, name) for ours, name in _SETTINGS.items() if name in said}
        result = await scored(perm_of(**own, **config.settings), task, trace)
        trace.record_metrics(metrics_of(result))
        assert result.reward is not None  # noqa: S101 - it would have raised
        return result.reward
