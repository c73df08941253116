"""What TRL gets: functions it can name, pickle and await, one judgement for all parts, and logs where it takes them."""

import asyncio
import inspect
import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from perm_cli.errors import SettingsError
from perm_cli.integrations import trl
from perm_cli.integrations.trl import make_parts, make_reward, part_of, parts_of
from perm_cli.reward import Item, Perm
from tests.loopback import Loopback, loopback
from tests.makers import FORMULA
from tests.rewarding import DIMENSIONS, asking, garbled

PROMPTS = ["I failed.", "I failed.", "I lost my dog."]
COMPLETIONS = ["That hurts.", "So?", "# Analysis\nGrief."]  # the last says nothing


class Trainer:
    """Stand where TRL's trainer would: its columns, its step, and what was logged."""

    def __init__(self, step: int = 1) -> None:
        self.metrics: dict[str, float] = {}
        self.extras: dict[str, list[str]] = {}
        self.columns: dict[str, Any] = {
            "completion_ids": [[1, 2, 3], [1], list(range(50))],
            "trainer_state": SimpleNamespace(global_step=step),
            "log_metric": self.metrics.__setitem__,
            "log_extra": self.extras.__setitem__,
            "environments": None,
            "persona": ["Proud.", "Proud.", None],
            "answer": [1, 2, 3],
        }


def wishes(server: Loopback) -> dict[str, Any]:
    """Return the settings that name a judge."""
    return {"judge": "openai/judge", "base_url": server.url}


async def test_a_reward_for_each_completion_and_logs_of_the_batch() -> None:
    """Metrics of the signs, and what the judge said beside each completion."""
    trainer = Trainer()
    with loopback() as server, asking(server) as perm:
        rewards = await make_reward(**wishes(server), patience_s=5)(PROMPTS, COMPLETIONS, **trainer.columns)
        items = [
            Item(query=prompt, reply=reply, persona="Proud.")
            for prompt, reply in zip(PROMPTS[:2], COMPLETIONS[:2], strict=True)
        ]
        assert rewards[:2] == [each.reward for each in await perm.score(items)]

    assert rewards[2] == pytest.approx(-0.3)
    assert trainer.metrics["perm/empty"] == pytest.approx(1 / 3)
    assert trainer.metrics["perm/reward"] == pytest.approx((rewards[0] + rewards[1]) / 2)
    assert all(type(value) is float for value in trainer.metrics.values())
    assert list(trainer.extras) == ["perm"]
    assert [said.count("Names what it means.") for said in trainer.extras["perm"]] == [4, 4, 0]
    assert trainer.extras["perm"][2] == "nothing is said to the seeker"


async def test_where_trl_lets_nothing_be_logged_nothing_is() -> None:
    """Other releases hand over no logger, or None."""
    trainer = Trainer()
    without = {name: value for name, value in trainer.columns.items() if not name.startswith(("log_", "trainer"))}
    none = without | {"log_metric": None, "log_extra": None, "trainer_state": None}
    with loopback() as server, asking(server) as perm:
        bare = await trl.perm_reward(PROMPTS, COMPLETIONS, perm=perm)
        found = [await trl.perm_reward(PROMPTS, COMPLETIONS, perm=perm, **each) for each in (without, none)]

    assert found[0] == found[1]
    assert len(bare) == 3
    assert (trainer.metrics, trainer.extras) == ({}, {})


async def test_parts_share_one_judgement_and_are_logged_and_watched_once() -> None:
    """Five functions, four calls a reply; the step's signs are not five times as many replies."""
    trainer = Trainer()
    with loopback() as server, asking(server) as perm:
        parts = make_parts(**wishes(server), patience_s=5)
        found = await asyncio.gather(*(part(PROMPTS, COMPLETIONS, **trainer.columns) for part in parts))
        calls = len(server.requests)
        await parts[0](PROMPTS, COMPLETIONS, **Trainer(step=2).columns)

        assert calls == len(server.requests) == 2 * DIMENSIONS
        assert perm.signs is not None
        assert perm.signs.replies == 3
    assert [part.__name__ for part in parts] == [f"perm_{name}" for name in parts_of(FORMULA)]
    assert [len(each) for each in found] == [3] * 5
    assert list(trainer.extras) == ["perm"]


async def test_any_parts_are_logged_and_watched() -> None:
    """Who takes two of them wants to see a hacked reward as well."""
    trainer = Trainer()
    with loopback() as server, asking(server):
        parts = make_parts(("reception", "expression"), **wishes(server), patience_s=5)
        for part in parts:
            await part(PROMPTS, COMPLETIONS, **trainer.columns)

    assert trainer.metrics["perm/empty"] == pytest.approx(1 / 3)
    assert list(trainer.extras) == ["perm"]


async def test_parts_sum_to_the_reward_with_its_mean_of_three() -> None:
    """Shares of 5 and penalties: with the fusion `mean`, a third of the shares and all of the penalties."""
    settings = {"fusion": "mean", "length_penalty": 0.01, "length_limit": 2, "tokenizer": "policy"}
    trainer = Trainer()
    with loopback() as server, asking(server, **settings) as perm:
        whole = await trl.perm_reward(PROMPTS, COMPLETIONS, perm=perm, **trainer.columns)
        columns = [
            await trl.part_reward(PROMPTS, COMPLETIONS, part=part, perm=perm, **trainer.columns)
            for part in parts_of(FORMULA)
        ]

    for reward, *parts in zip(whole, *columns, strict=True):
        *shares, bystander, length = parts
        assert reward == pytest.approx(sum(shares) / 3 + bystander + length)
    assert columns[-1] == [pytest.approx(-0.01), 0.0, pytest.approx(-0.48)]  # 3, 1 and 50 tokens, 2 are free


async def test_a_reply_that_says_nothing_has_the_lowest_of_every_part() -> None:
    """So that their sum is the least that any reply can have: 3 times 0.2, and all of the bystander's half."""
    with loopback() as server, asking(server) as perm:
        found = [(await trl.part_reward(["q"], [""], part=part, perm=perm))[0] for part in parts_of(FORMULA)]

    assert found == [0.2, 0.2, 0.2, -0.5, 0.0]
    assert sum(each or 0.0 for each in found) == pytest.approx(0.1)
    assert server.requests == []


async def test_a_missing_score_is_a_missing_part_and_no_other() -> None:
    """TRL leaves None out of its group; the parts that are known still teach."""
    with loopback(garbled) as server, asking(server, reask=0) as perm:
        whole = await trl.perm_reward(["q"], ["r"], perm=perm)
        parts = {part: (await trl.part_reward(["q"], ["r"], part=part, perm=perm))[0] for part in parts_of(FORMULA)}

    assert whole == [None]
    assert [name for name, value in parts.items() if value is None] == ["resonation"]


def test_a_bystander_that_does_not_count_takes_nothing() -> None:
    """Not even from a reply that says nothing."""
    with loopback() as server, asking(server, bystander_coef=0.0) as perm:
        (result,) = perm.score_now([Item(reply="")])

        assert part_of(result, "bystander_penalty", perm.formula) == 0.0


FUNCTIONS = ["perm_reward", "resonation_reward", "expression_reward", "reception_reward", "bystander_penalty"]


@pytest.mark.parametrize("name", [*FUNCTIONS, "length_penalty"])
def test_what_the_command_line_of_trl_names_is_a_named_coroutine_function(name: str) -> None:
    """TRL logs under `__name__`, awaits what is a coroutine function, and sends it to workers."""
    looks_right(getattr(trl, name))


def test_what_is_made_is_a_named_coroutine_function_with_its_settings() -> None:
    """The same with settings of one's own."""
    for function in (make_reward(judge="baseline"), *make_parts(judge="baseline", samples=2)):
        looks_right(function)
    copy = pickle.loads(pickle.dumps(make_reward(judge="baseline", samples=2)))  # noqa: S301 - our own
    assert copy.keywords["perm"].settings.samples == 2


def looks_right(function: Any) -> None:
    """Check what TRL looks at."""
    assert inspect.iscoroutinefunction(function)
    assert asyncio.iscoroutinefunction(function)
    copy = pickle.loads(pickle.dumps(function))  # noqa: S301 - our own
    assert copy.__name__ == function.__name__
    assert asyncio.iscoroutinefunction(copy)


async def test_the_word_counter_needs_nothing() -> None:
    """The first try of a set-up, before a judge is paid for."""
    reward = make_reward(judge="baseline")
    found = await reward([[{"role": "user", "content": "I lost my dog."}]], [[{"role": "assistant", "content": "Oh."}]])
    perm: Perm = reward.keywords["perm"]
    perm.close()

    assert isinstance(found[0], float)


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        pytest.param({"parts": ("resonance",)}, "parts: resonance found", id="no such part"),
        pytest.param({"parts": ()}, "parts: none found", id="no part"),
        pytest.param({"on_missing": "floor"}, "on_missing: floor found", id="a part that is filled in"),
    ],
)
def test_parts_that_cannot_be_are_refused_at_once(wishes: dict[str, Any], said: str) -> None:
    """Not in the first step of a training run."""
    with pytest.raises(SettingsError, match=said):
        make_parts(judge="baseline", **wishes)
