"""TRL itself: a policy is trained on PERM's reward, from the recipe in `examples/grpo`."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="TRL is not installed here: make test-integrations")

import torch
from datasets import Dataset
from trl import RLOOConfig, RLOOTrainer

from perm_cli.integrations.trl import make_reward
from perm_cli.prompts.fences import unfenced
from perm_cli.training.signs import Signs
from tests.integrations.recipe import recipe_module, tiny_policy
from tests.loopback import Answer, loopback, refusal
from tests.makers import row, written

pytestmark = pytest.mark.filterwarnings("ignore")  # what TRL and transformers warn each other of
STEPS = 25


@pytest.fixture
def recipe() -> Any:
    """Return the recipe's module."""
    return recipe_module("train")


def reply_in(body: Mapping[str, Any]) -> str:
    """Return the reply that a judge is asked about."""
    said = "\n".join(message["content"] for message in body["messages"])
    return [text for label, text, _ in unfenced(said) if label.endswith(", supporter")][-1]


def likes_letters(body: dict[str, Any]) -> Answer:
    """Score a reply by its letters; of every dozen replies or so, one breaks the judge."""
    reply = reply_in(body)
    if sum(map(ord, reply)) % 11 == 0:
        return refusal(400, "this one I cannot read")
    letters = sum(sign.isascii() and sign.isalpha() for sign in reply)
    share = min(letters / 10, 1.0)
    properties = body["response_format"]["json_schema"]["schema"]["properties"]
    levels = {name: rule["enum"] for name, rule in properties.items() if "enum" in rule}
    scores = {name: round(min(enum) + (max(enum) - min(enum)) * share) for name, enum in levels.items()}
    return Answer(text=json.dumps({"rationale": f"{letters} letters"} | scores))


def configuration(url: str) -> dict[str, Any]:
    """Return the toy recipe, made to learn."""
    dialogues = [row(n, turns=[{"role": "seeker", "text": f"Hm {n}."}]) for n in range(2)]
    return {
        "policy": {"model": "tiny"},
        "data": {"dialogues": str(written(Path("d.jsonl"), dialogues)), "style": "plain"},
        "reward": {"judge": "openai/m", "base_url": url, "run": "run", "concurrency": 64},
        "grpo": {
            "output_dir": "run/policy",
            "max_steps": STEPS,
            "learning_rate": 3e-2,
            "lr_scheduler_type": "constant",
            "beta": 0.01,
            "num_generations": 16,
            "per_device_train_batch_size": 32,
            "max_completion_length": 12,
            "use_cpu": True,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "log_completions": False,
        },
    }


def test_a_policy_learns_what_the_judge_likes(recipe: Any) -> None:
    """Rewards reach the optimiser: the weights move, the mean reward rises, and what the judge broke on is left out."""
    with loopback(likes_letters) as server:
        trainer = recipe.trainer_of(configuration(server.url))
        before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
        trainer.train()

    log = [entry for entry in trainer.state.log_history if "rewards/perm_reward/mean" in entry]
    rewards = [entry["rewards/perm_reward/mean"] for entry in log]
    assert len(rewards) == STEPS
    assert any(not torch.equal(before[name], weight) for name, weight in trainer.model.named_parameters())
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.1
    assert all(math.isfinite(entry["loss"]) for entry in log)
    # Failures came, and were counted and masked instead of scored.
    assert any(entry["perm/failures"] > 0 for entry in log)
    assert {f"perm/{name}" for name in ("resonation", "expression", "reception", "bystander")} <= log[-1].keys()
    signs = [json.loads(line) for line in Path("run/signs.jsonl").read_text().splitlines()]
    assert [line["step"] for line in signs] == list(range(STEPS - 1))  # the last one when training ends
    assert signs[0].keys() >= set(Signs.__dataclass_fields__)


def test_rloo_takes_the_same_function(tmp_path: Path) -> None:
    """It is asked as GRPO asks."""
    policy, tokenizer = tiny_policy()
    rows = [{"prompt": [{"role": "user", "content": f"Hm {n}."}], "scenario": "A kitchen."} for n in range(2)]
    short = {"max_steps": 1, "num_generations": 2, "max_completion_length": 4, "per_device_train_batch_size": 4}
    plain = {"use_cpu": True, "report_to": "none", "save_strategy": "no", "beta": 0.0, "logging_steps": 1}
    with loopback(likes_letters) as server:
        reward = make_reward(judge="openai/m", base_url=server.url)
        arguments = RLOOConfig(str(tmp_path / "out"), **short, **plain)
        trainer = RLOOTrainer(policy, reward, arguments, Dataset.from_list(rows), processing_class=tokenizer)
        trainer.train()

        assert "A kitchen." in str(server.requests)
    assert any("rewards/perm_reward/mean" in entry for entry in trainer.state.log_history)


def test_the_command_line_of_trl_takes_it_by_its_name(tmp_path: Path) -> None:
    """Its settings then come from the environment."""
    policy, tokenizer = tiny_policy()
    for part in (policy, tokenizer):
        part.save_pretrained(tmp_path / "tiny")
    (tmp_path / "data").mkdir()
    written(tmp_path / "data" / "train.jsonl", [{"prompt": f"Hm {n}."} for n in range(4)])
    options = {
        "model_name_or_path": tmp_path / "tiny",
        "dataset_name": tmp_path / "data",
        "reward_funcs": "perm_cli.integrations.trl.perm_reward",
        "output_dir": tmp_path / "out",
        "max_steps": 1,
        "num_generations": 2,
        "per_device_train_batch_size": 2,
        "max_completion_length": 4,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
    }
    with loopback(likes_letters) as server:
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        done = subprocess.run(
            [str(Path(sys.executable).with_name("trl")), "grpo", "--use_cpu", *arguments],
            env=os.environ | {"PERM_JUDGE": "openai/m", "PERM_BASE_URL": server.url},
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stderr[-2000:]
    assert "'rewards/perm_reward/mean'" in done.stdout + done.stderr
