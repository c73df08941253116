"""
The reward for OpenRLHF as a Python function.

    # reward_func.py, for --reward.remote_url reward_func.py
    from perm_cli.integrations.openrlhf import reward_func

Settings are those of the environment and of `perm.toml`; `labels` are JSON or objects with `persona`, `scenario` and
`query`. `perm serve` answers the same at `/get_reward`. OpenRLHF needs numbers: where a reward is missing, the mean of
recent rewards stands in and `perm_judge_ok` is 0.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import orjson

from perm_cli.errors import SettingsError
from perm_cli.integrations.rows import item_of, log_of
from perm_cli.reward import Item, Perm, Result, reward_settings
from perm_cli.training.signs import Signs

_log = logging.getLogger("perm_cli.reward")
_SPECIAL = re.compile(
    r"(?:<[|\uff5c][^|\uff5c<>\n]{1,40}[|\uff5c]>|</?s>|<(?:eos|pad|end_of_turn|turn\|)>|\[(?:EOS|PAD|/INST)\])\Z"
)
_LONGEST_SPECIAL = 44  # characters


def reward_func(
    queries: Sequence[str],
    prompts: Sequence[str],
    labels: Sequence[object] | None = None,
    **_: object,
) -> dict[str, Any]:
    """Return rewards, rewards scaled to 0 to 1 for OpenRLHF's filter, and log values, one entry per query each."""
    perm = _default()
    items = items_of(queries, prompts, labels)
    return answer_of(perm.score_now(items), perm.formula.ends, perm.signs)


def items_of(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[object] | None) -> list[Item]:
    """Return the items of full texts: the reply is what follows the prompt, without special tokens at its end."""
    about = [about_of(label) for label in labels or [None] * len(queries)]
    return [
        item_of(prompt, without_specials(_after(prompt, query)), row)
        for query, prompt, row in zip(queries, prompts, about, strict=True)
    ]


def answer_of(results: Sequence[Result], ends: tuple[float, float], signs: Signs | None = None) -> dict[str, Any]:
    """Return results as OpenRLHF reads them: numbers only, always under the same names; rewards lie between `ends`."""
    # The lowest possible reward, should `on_missing` leave one missing: OpenRLHF needs numbers.
    rewards = [ends[0] if each.reward is None else each.reward for each in results]
    logs = [log_of(each, signs) for each in results]
    return {
        "rewards": rewards,
        "scores": [_share(reward, *ends) for reward in rewards],
        "extra_logs": {name: [each[name] for each in logs] for name in (logs[0] if logs else ())},
    }


def _share(reward: float, low: float, high: float) -> float:
    share = (reward - low) / (high - low)
    return min(max(share, 0.0), 1.0)


def _after(prompt: str, query: str) -> str:
    """Return what follows the prompt in a full text; decoding may have put a token or a space before the prompt."""
    before, found, reply = query.partition(prompt) if prompt else ("", "", query)
    if prompt and (not found or len(before) > _LONGEST_SPECIAL):
        raise SettingsError("query: the text does not contain its prompt; pass both as the tokenizer decodes them")
    return reply


def without_specials(text: str) -> str:
    """Return a reply without the special tokens at its end."""
    # From the end, one by one: a search from the start is quadratic in the spaces of a policy that has degenerated.
    end = len(text.rstrip())
    while found := _SPECIAL.search(text, max(end - _LONGEST_SPECIAL, 0), end):
        end = found.start()
        while end and text[end - 1].isspace():
            end -= 1
    return text[:end]


def about_of(label: object) -> Mapping[str, Any]:
    """
    Return the row in a label, which is an object or JSON; any other label is ignored with a warning.

    Raise `SettingsError` if a label begins like an object and is not valid JSON.
    """
    row = label
    if isinstance(label, str) and label.strip():
        try:
            row = orjson.loads(label)
        except orjson.JSONDecodeError as error:
            if label.lstrip().startswith("{"):
                said = "expected an object with query or turns, persona and scenario"
                raise SettingsError(f"label: invalid JSON found ({error}), {said}") from error
    if isinstance(row, Mapping):
        return row
    if label is not None and label != "":
        _warn_of_label()
    return {}


@cache
def _warn_of_label() -> None:
    _log.warning(
        "a label that is not an object found and ignored, expected JSON with query or turns, persona and scenario"
    )


@cache
def _default() -> Perm:
    return Perm(reward_settings(otherwise="mean"))
