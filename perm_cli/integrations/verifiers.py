"""
The reward for verifiers 0.4, as a plugged reward or as a judge.

    [env.taskset.task.rewards]
    perm = { fn = "perm_cli.integrations.verifiers:perm_reward" }

or `[[env.taskset.task.judges]] id = "perm_judge"`, with `model` and `base_url` for the judge's and any setting in
`settings`. Persona, scenario and query are fields of the task's data. As verifiers expects, a missing
reward raises, and the sample is tried again; the scores go to the trace's metrics.
"""

from functools import cache
from typing import Any

import orjson

from perm_cli.integrations.rows import item_of, reply_in
from perm_cli.reward import Perm, Result, reward_settings

_ABOUT = ("persona", "scenario", "query", "turns", "dialogue")


async def perm_reward(task: Any, trace: Any) -> float:
    """Return the reward of a trace's last reply; raise `RewardMissing` if there is none."""
    result = await scored(perm_of(), task, trace)
    trace.record_metrics(metrics_of(result))
    assert result.reward is not None  # noqa: S101 - it would have raised
    return result.reward


async def scored(perm: Perm, task: Any, trace: Any) -> Result:
    """Return the result for a trace's last reply, judged in the conversation that led to it."""
    about = {name: value for name in _ABOUT if (value := getattr(task, name, None)) is not None}
    prompt = getattr(task, "prompt", None) or ""
    (result,) = await perm.score([item_of(prompt, _completion(trace), about)])
    return result


def _completion(trace: Any) -> object:
    """Return the messages from the first sampled one on, or the last reply if they do not lead to it."""
    # A trace is a tree. Only where it is a single line do its messages in order make up one conversation.
    nodes = getattr(trace, "nodes", ())
    start = next((place for place, node in enumerate(nodes) if node.sampled), len(nodes))
    in_line = all(node.parent == place for place, node in enumerate(nodes[1:]))
    messages = [node.message for node in nodes[start:]] if in_line else []
    return messages if reply_in(messages) == trace.last_reply else trace.last_reply


def metrics_of(result: Result) -> dict[str, float]:
    """Return the scores of a result as metrics."""
    known = {f"perm_{name}": score for name, score in result.scores.items() if score is not None}
    return {**known, "perm_empty": float(result.empty)}


def perm_of(**options: Any) -> Perm:
    """Return the reward with these settings, cached; by default a missing reward raises."""
    return _perm(orjson.dumps(options, option=orjson.OPT_SORT_KEYS))


@cache
def _perm(options: bytes) -> Perm:
    return Perm(reward_settings(otherwise="raise", **orjson.loads(options)))
