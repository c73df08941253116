"""The judge that verifiers loads by the id `perm_judge`; see `perm_cli.integrations.verifiers`."""

from typing import Any

import verifiers.v1 as vf

from perm_cli.integrations.verifiers import metrics_of, perm_of, scored

__all__ = ["PermJudge", "PermJudgeConfig"]

_SETTINGS = {"judge": "model", "base_url": "base_url", "api_key_env": "api_key_var"}
_SAMPLING = ("temperature", "max_tokens")


class PermJudgeConfig(vf.JudgeConfig):  # type: ignore[misc]  # verifiers is no part of our environment
    """
    The configuration: `model` and `base_url` as for any judge, and `settings` of the reward as in `perm.toml`.

    Fields that are not set come from `perm.toml` and the environment, not from verifiers' default model and endpoint.
    """

    id: vf.ID = "perm_judge"
    model: str = ""
    base_url: str = ""
    api_key_var: str = ""
    settings: dict[str, Any] = {}  # noqa: RUF012 - a field of pydantic's


class PermJudge(vf.Judge[Any, PermJudgeConfig]):  # type: ignore[misc]  # the same
    """The judge that scores the last reply of a trace with PERM."""

    async def score(self, task: Any, trace: Any) -> float:
        """Return the reward; raise `RewardMissing` if there is none."""
        config = self.config
        # verifiers reads a configuration twice, so that every field counts as set by then.
        own = {ours: value for ours, name in _SETTINGS.items() if (value := getattr(config, name))}
        asked = {name: value for name in _SAMPLING if (value := getattr(config.sampling, name)) is not None}
        result = await scored(perm_of(**own | asked | config.settings), task, trace)
        trace.record_metrics(metrics_of(result))
        assert result.reward is not None  # noqa: S101 - it would have raised
        return result.reward
