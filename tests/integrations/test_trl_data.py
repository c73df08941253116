"""What `perm pairs` and `perm convert` write, read by `datasets` and trained on by TRL's own trainers."""

import math
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Perm, a_run, kept, runner
from tests.makers import row, written

pytest.importorskip("trl", reason="TRL is not installed: pip install trl")
pytest.importorskip("torch", reason="torch is not installed: pip install trl")

import torch
from datasets import Dataset, load_dataset
from transformers import LlamaForSequenceClassification
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer

from tests.integrations.recipe import tiny_policy

# TRL's own use of what transformers has renamed.
pytestmark = pytest.mark.filterwarnings(r"ignore:.\w*gradient_checkpointing\w*. is deprecated:FutureWarning")
STEP: dict[str, Any] = {
    "max_steps": 1,
    "per_device_train_batch_size": 4,
    "learning_rate": 0.01,
    "use_cpu": True,
    "bf16": False,
    "report_to": "none",
    "save_strategy": "no",
    "logging_steps": 1,
    "disable_tqdm": True,
    "seed": 0,
}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep what is cached in the test's own folder, and the hub out."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line."""
    return runner(monkeypatch, capsys)


def loaded(perm: Perm, form: str) -> Dataset:
    """Return the pairs of a run in a trainer's format, as `datasets` reads them."""
    scored = {(f"d{n}", s): [level, 5.0, 5.0, 100.0] for n in range(4) for s, level in (("good", 5.0), ("poor", 1.0))}
    run = a_run(Path("run"), scored)
    kept(run, (about(*place) for place in scored))
    result = perm("pairs", run, "--format", form, "--style", "plain", "--out", "pairs.jsonl")
    assert result.code == 0, result.err
    return load_dataset("json", data_files="pairs.jsonl", split="train")


def about(name: str, system: str) -> dict[str, Any]:
    """Return a dialogue as a run folder keeps it."""
    reply = "Oh no, your cat." if system == "good" else "So?"
    turns = [
        {"role": "seeker", "text": "I lost my cat.", "analysis": None},
        {"role": "supporter", "text": reply, "analysis": None},
    ]
    return {"id": name, "system": system, "scenario": f"Ticket {name}.", "turns": turns}


def last_log(trainer: Any) -> dict[str, float]:
    """Return what the trainer logged at its only step."""
    return next(each for each in trainer.state.log_history if "loss" in each)


def test_dpo_trains_on_pairs(perm: Perm) -> None:
    """With the prompt on its own, which is what TRL recommends; the reward's columns do not disturb it."""
    policy, tokenizer = tiny_policy()
    before = policy.lm_head.weight.detach().clone()
    data = loaded(perm, "trl")

    trainer = DPOTrainer(policy, tiny_policy()[0], DPOConfig("out", **STEP), None, data, processing_class=tokenizer)
    trainer.train()

    assert {"prompt", "chosen", "rejected", "margin", "score_chosen", "score_rejected"} <= set(data.column_names)
    assert last_log(trainer)["loss"] == pytest.approx(math.log(2), abs=1e-3)  # of a policy that is its own reference
    assert not torch.equal(before, trainer.model.lm_head.weight.detach())


def test_a_reward_model_trains_on_pairs_and_their_margins(perm: Perm) -> None:
    """A better reply has to be ahead by the margin: the loss is that of the formula."""
    policy, tokenizer = tiny_policy()
    data = loaded(perm, "trl-implicit")
    policy.config.num_labels = 1

    def loss(data: Dataset) -> float:
        torch.manual_seed(0)
        model = LlamaForSequenceClassification(policy.config)
        torch.nn.init.zeros_(model.score.weight)  # every reply is worth 0
        args = RewardConfig("out", max_length=1024, **STEP)
        trainer = RewardTrainer(model, args=args, train_dataset=data, processing_class=tokenizer)
        trainer.train()
        return last_log(trainer)["loss"]

    margin = 1 - 3 / 7
    assert data["margin"][:] == pytest.approx([margin] * 4)
    assert loss(data) == pytest.approx(math.log1p(math.exp(margin)), abs=1e-3)
    assert loss(data.remove_columns("margin")) == pytest.approx(math.log(2), abs=1e-3)


def test_kto_trains_on_single_replies(perm: Perm) -> None:
    """A reply a row with a label, and as many wanted as unwanted ones."""
    policy, tokenizer = tiny_policy()
    before = policy.lm_head.weight.detach().clone()
    data = loaded(perm, "kto")

    trainer = KTOTrainer(policy, tiny_policy()[0], KTOConfig("out", **STEP), None, data, processing_class=tokenizer)
    trainer.train()

    assert data["label"][:] == [True, False] * 4
    assert math.isfinite(last_log(trainer)["loss"])
    assert not torch.equal(before, trainer.model.lm_head.weight.detach())


@pytest.mark.parametrize(
    ("ending", "reader", "options"),
    [
        pytest.param("jsonl", "json", {}, id="json-lines"),
        pytest.param("jsonl", "json", {"chunksize": 1}, id="row-by-row"),  # as files over 10 MB are read part by part
        pytest.param("parquet", "parquet", {}, id="parquet"),
    ],
)
def test_a_prompt_set_loads(perm: Perm, ending: str, reader: str, options: dict[str, Any]) -> None:
    """One query and talks of several turns in one file; the tokenizer's template takes every prompt."""
    talk = [*row(1)["turns"], {"role": "seeker", "text": "It does."}]
    rows = [row(0, persona="A widow."), row(1, scenario="At home.", turns=talk)]
    written(Path("d.jsonl"), rows)
    perm("convert", "d.jsonl", "--to", "trl", "--out", f"out.{ending}")

    data = load_dataset(reader, data_files=f"out.{ending}", split="train", **options)

    assert data["query"][:] == ["I lost number 0 today.", ""]
    assert data["persona"][:] == ["A widow.", ""]
    assert data["turns"][1] == talk
    shown = tiny_policy()[1].apply_chat_template(data["prompt"][1], tokenize=False, add_generation_prompt=True)
    assert shown.endswith("<|user|>It does.<|end|><|assistant|>")
