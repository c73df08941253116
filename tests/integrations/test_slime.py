"""slime's side of its reward: it is on no package index, so what it hands over is made here as it makes it."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from perm_cli.integrations.slime import perm_reward
from tests.integrations.worth import PERSONA, QUERY, REPLY, Breaking, failing, garbled, item, worth
from tests.loopback import Answering, Loopback, loopback

ARGS = SimpleNamespace(custom_rm_path="perm_cli.integrations.slime.perm_reward", group_rm=False)


@dataclass
class Sample:
    """Hold the fields of slime's `Sample` that concern a reward."""

    prompt: str | list[dict[str, str]] = f"<|im_start|>user\n{QUERY}<|im_end|>\n<|im_start|>assistant\n"
    response: str = f"{REPLY}<|im_end|>\n"
    label: str | None = None
    metadata: dict[str, Any] = field(default_factory=lambda: {"query": QUERY, "persona": PERSONA})


async def test_the_reward_of_a_sample_is_ours(settings: Loopback) -> None:
    """The number is taken as it is."""
    reward = await perm_reward(ARGS, Sample(), evaluation=False)

    assert [reward] == worth(settings, item())


async def test_a_group_gets_a_list_in_its_order(settings: Loopback) -> None:
    """With `--group-rm` slime hands over all samples of a prompt and pairs them with the answer by place."""
    replies = [REPLY, "", "Study more."]

    rewards = await perm_reward(ARGS, [Sample(response=reply) for reply in replies])

    assert rewards == worth(settings, *map(item, replies))
    assert len(set(rewards)) > 1


async def test_the_row_may_stand_in_the_label(settings: Loopback) -> None:
    """`--label-key` is the column that most users of slime have."""
    label = orjson.dumps({"query": QUERY, "persona": PERSONA}).decode()

    assert [await perm_reward(ARGS, Sample(label=label, metadata={}))] == worth(settings, item())


async def test_a_chat_is_judged_by_what_its_user_said(settings: Loopback) -> None:
    """Without a chat template slime keeps the prompt as messages."""
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": QUERY}]

    assert [await perm_reward(ARGS, Sample(prompt=messages, metadata={}))] == worth(settings, item(persona=""))


@pytest.mark.parametrize("broken", [failing, garbled], ids=["failing", "garbled"])
async def test_an_outage_is_lived_through(broken: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of slime needs a number, and a judge that was restarted must be asked again."""
    answering = Breaking(broken)
    replies = [f"That hurts {place} times." for place in range(14)]
    with loopback(answering) as judge:
        for name, value in {"JUDGE": "openai/m", "BASE_URL": judge.url, "PATIENCE_S": "0.2"}.items():
            monkeypatch.setenv(f"PERM_{name}", value)
        before = await perm_reward(ARGS, Sample(response=replies[0]))
        answering.is_broken = True
        during = await perm_reward(ARGS, [Sample(response=reply) for reply in replies[1:13]])
        answering.is_broken = False
        after = await perm_reward(ARGS, Sample(response=replies[13]))

        assert [before, after] == worth(judge, item(replies[0]), item(replies[13]))
    assert during == [before] * 12  # the mean of all there was
