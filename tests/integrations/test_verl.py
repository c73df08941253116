"""verl's own reward loop without Ray: what reads its configuration, calls the reward and makes tensors of it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.worth import PERSONA, QUERY, REPLY, Breaking, failing, garbled, item, worth
from tests.loopback import Answering, Loopback, loopback

verl = pytest.importorskip("verl", reason="verl is not installed")  # with its warnings, which are not ours
torch = pytest.importorskip("torch", reason="verl is installed without torch")
loading = pytest.importorskip("verl.trainer.ppo.reward")
reward_loop = pytest.importorskip("verl.experimental.reward_loop")

import numpy as np  # noqa: E402 - where verl is, and not before
from omegaconf import DictConfig, OmegaConf  # noqa: E402 - the same
from tensordict import TensorDict  # noqa: E402 - the same
from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: E402 - the same
from transformers import PreTrainedTokenizerFast  # noqa: E402 - the same

WIDTH = 160
KEYS = {
    "score", "perm_resonation", "perm_expression", "perm_reception", "perm_bystander", "perm_judge_ok", "perm_empty",
    "perm_latency_s", "perm_rho_length", "perm_rho_questions", "perm_rho_sympathy", "perm_rho_overlap",
    "perm_tied", "perm_saturated", "perm_failures",
}  # fmt: skip
BROKEN = pytest.mark.parametrize("broken", [failing, garbled], ids=["failing", "garbled"])


@pytest.fixture
def tokenizer(tmp_path: Path) -> Any:
    """Return a tokeniser whose tokens are bytes, on disk too, where verl's workers look for it."""
    letters = ["<pad>", "<eos>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokens = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(letters)}, merges=[]))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="<pad>", eos_token="<eos>")  # noqa: S106 - no password
    made.save_pretrained(tmp_path / "policy")
    return made


def configuration(policy: Path, manager: str = "naive", **wishes: Any) -> DictConfig:
    """Return what a user writes, over the file that verl ships."""
    shipped = OmegaConf.load(Path(verl.__file__).parent / "trainer/config/reward/reward.yaml")
    function = {"path": "pkg://perm_cli.integrations.verl", "name": "compute_score", "reward_kwargs": wishes}
    reward = {"custom_reward_function": function, "reward_manager": {"name": manager}}
    model = {"model": {"path": str(policy), "tokenizer_path": None}}
    rest = {"reward": shipped, "actor_rollout_ref": model, "trainer": {"experiment_name": "perm"}}
    return OmegaConf.merge(rest, {"reward": reward})


def batch(tokenizer: Any, replies: Sequence[str], about: Mapping[str, Any] | None = None) -> Any:
    """Return replies as a rollout leaves them: the prompt padded on the left, the response on the right."""
    ids = torch.zeros(len(replies), 2 * WIDTH, dtype=torch.long)
    mask = torch.zeros(len(replies), 2 * WIDTH, dtype=torch.long)
    prompt = tokenizer(QUERY, add_special_tokens=False)["input_ids"]
    for row, reply in enumerate(replies):
        response = [*tokenizer(reply, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        start, end = WIDTH - len(prompt), WIDTH + len(response)
        ids[row, start:end] = torch.tensor(prompt + response)
        mask[row, start:end] = 1
    tensors = {"prompts": ids[:, :WIDTH], "responses": ids[:, WIDTH:], "attention_mask": mask}
    extra = {"query": QUERY, "persona": PERSONA} if about is None else about
    columns = {
        "data_source": ["perm"] * len(replies),
        "reward_model": [{"style": "model", "ground_truth": ""}] * len(replies),
        "raw_prompt": [[{"role": "user", "content": QUERY}]] * len(replies),
        "extra_info": [dict(extra) for _ in replies],
    }
    objects = {name: np.array([*values, None], dtype=object)[:-1] for name, values in columns.items()}
    turns = np.array([2] * len(replies))
    return verl.DataProto(
        batch=TensorDict(tensors, batch_size=len(replies)), non_tensor_batch=objects | {"__num_turns__": turns}
    )


async def rewarded(settings: DictConfig, data: Any) -> list[dict[str, Any]]:
    """Return what a worker of verl's reward loop makes of a batch."""
    return list(await reward_loop.RewardLoopWorker(settings).compute_score_batch(data))


async def test_the_reward_in_verls_tensor_is_ours(judge: Loopback, tokenizer: Any, tmp_path: Path) -> None:
    """What the policy is trained with must be what `perm score` says, at verl's own precision."""
    replies = [REPLY, "Oh no. Do you want to talk about it?", "Study more."]
    settings = configuration(tmp_path / "policy", judge="openai/m", base_url=judge.url)
    data = batch(tokenizer, replies)

    outputs = await rewarded(settings, data)

    expected = worth(judge, *map(item, replies))
    scores = [each["reward_score"] for each in outputs]
    assert scores == expected
    assert len(set(expected)) > 1
    tensor = loading.resolve_reward_manager_cls(settings).assemble_rm_scores(data, scores)
    assert tensor.dtype == torch.float32
    assert tensor.sum(-1).tolist() == torch.tensor(expected, dtype=torch.float32).tolist()
    assert [tensor[row].nonzero().item() for row in range(3)] == [len(reply) for reply in replies]  # on the last token


@pytest.mark.parametrize("manager", ["naive", "dapo", "rate_limited"])
async def test_every_reward_manager_of_verl_takes_it(
    manager: str, judge: Loopback, tokenizer: Any, tmp_path: Path
) -> None:
    """DAPO and limited rates have managers of their own, which call and read in ways of their own."""
    settings = configuration(tmp_path / "policy", manager, judge="openai/m", base_url=judge.url)

    (output,) = await rewarded(settings, batch(tokenizer, [REPLY]))

    assert [output["reward_score"]] == worth(judge, item())
    assert output["reward_extra_info"].keys() >= KEYS


async def test_settings_come_from_reward_kwargs_before_the_environment(
    judge: Loopback, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a user writes into verl's configuration must not be lost to a variable of the cluster."""
    monkeypatch.setenv("PERM_JUDGE", "openai/other")
    monkeypatch.setenv("PERM_FUSION", "mean")
    wishes = {"judge": "openai/m", "base_url": judge.url, "fusion": "geometric", "bystander_coef": 0.1}

    (output,) = await rewarded(configuration(tmp_path / "policy", **wishes), batch(tokenizer, [REPLY]))

    assert [output["reward_score"]] == worth(judge, item(), fusion="geometric", bystander_coef=0.1)
    assert {request["model"] for request in judge.requests} == {"m"}


async def test_settings_come_from_the_file_where_nothing_else_is_said(
    judge: Loopback, tokenizer: Any, tmp_path: Path
) -> None:
    """A `perm.toml` in the folder of a training is read there as it is by `perm score`."""
    said = f'[reward]\njudge = "openai/m"\nbase_url = "{judge.url}"\nfusion = "mean"\n'
    (tmp_path / "perm.toml").write_text(said, encoding="utf-8")

    (output,) = await rewarded(configuration(tmp_path / "policy"), batch(tokenizer, [REPLY]))

    assert [output["reward_score"]] == worth(judge, item(), fusion="mean")


async def test_verls_own_reward_model_is_the_judge(judge: Loopback, tokenizer: Any, tmp_path: Path) -> None:
    """The router of the reward model that verl serves itself, and its tokeniser, come in arguments of their own."""
    settings = configuration(tmp_path / "policy", judge="openai/m")
    router = judge.url.removeprefix("http://").removesuffix("/v1")
    manager = loading.load_reward_manager(
        settings, tokenizer, reward_router_address=router, reward_model_tokenizer=None
    )

    output = await manager.run_single(batch(tokenizer, [REPLY]))

    assert [output["reward_score"]] == worth(judge, item())


async def test_a_row_without_our_columns_is_judged_by_verls_prompt(
    judge: Loopback, tokenizer: Any, tmp_path: Path
) -> None:
    """Most data for verl keeps the prompt as messages, in `extra_info` at best."""
    settings = configuration(tmp_path / "policy", judge="openai/m", base_url=judge.url)
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": QUERY}]

    (output,) = await rewarded(settings, batch(tokenizer, [REPLY], {"index": 0, "prompt": messages}))

    assert [output["reward_score"]] == worth(judge, item(persona=""))


@BROKEN
async def test_a_judge_that_fails_from_the_start_costs_no_step(
    broken: Answering, tokenizer: Any, tmp_path: Path
) -> None:
    """An exception ends a step of verl, and another set of names breaks its batch."""
    replies = [f"That hurts {place} times." for place in range(12)]
    with loopback(broken) as judge:
        settings = configuration(tmp_path / "policy", judge="openai/m", base_url=judge.url, patience_s=0.2)
        outputs = await rewarded(settings, batch(tokenizer, replies))

    assert {each["reward_extra_info"]["perm_judge_ok"] for each in outputs} == {0.0}
    assert {each["reward_extra_info"].keys() == KEYS for each in outputs} == {True}
    assert all(math.isfinite(value) for each in outputs for value in each["reward_extra_info"].values())


@BROKEN
async def test_an_outage_is_lived_through(broken: Answering, tokenizer: Any, tmp_path: Path) -> None:
    """A judge that is restarted in the middle of days of training must not end it, and must be asked again."""
    answering = Breaking(broken)
    replies = [f"That hurts {place} times." for place in range(14)]
    with loopback(answering) as judge:
        settings = configuration(tmp_path / "policy", judge="openai/m", base_url=judge.url, patience_s=0.2)
        (before,) = await rewarded(settings, batch(tokenizer, replies[:1]))
        answering.is_broken = True
        during = await rewarded(settings, batch(tokenizer, replies[1:13]))
        answering.is_broken = False
        (after,) = await rewarded(settings, batch(tokenizer, replies[13:]))

        assert [before["reward_score"], after["reward_score"]] == worth(judge, item(replies[0]), item(replies[13]))
    assert {each["reward_score"] for each in during} == {before["reward_score"]}  # the mean of all there was
    assert [each["reward_extra_info"]["perm_judge_ok"] for each in (before, *during, after)] == [1.0, *[0.0] * 12, 1.0]
    assert {each["reward_extra_info"].keys() == KEYS for each in (before, *during, after)} == {True}


async def test_a_reply_that_says_nothing_gets_the_lowest_reward(
    judge: Loopback, tokenizer: Any, tmp_path: Path
) -> None:
    """An empty response is a judgement, and no trouble of the judge."""
    settings = configuration(tmp_path / "policy", judge="openai/m", base_url=judge.url)

    (output,) = await rewarded(settings, batch(tokenizer, [""]))

    assert [output["reward_score"]] == worth(judge, item(""))
    assert (output["reward_extra_info"]["perm_empty"], output["reward_extra_info"]["perm_judge_ok"]) == (1.0, 1.0)
    assert judge.requests == []
