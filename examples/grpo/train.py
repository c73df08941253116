"""
Train a policy with GRPO on PERM's reward: `python examples/grpo/train.py examples/grpo/paper.toml`.

A configuration has four tables: `policy` (a model of the Hub, a folder, or `tiny`, which is made on the spot),
`data` (dialogues of any format that perm reads), `reward` (settings of `perm_cli.reward`) and `grpo` (fields of TRL's
`GRPOConfig`). Needs `pip install 'trl>=1.9'` beside perm.
"""

import sys
import tomllib
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import Dataset
from tiny import tiny_policy  # the file beside this one
from trl import GRPOConfig, GRPOTrainer

from perm_cli.dialogues.check import check_dialogues, read_dialogues
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.sources import source_of
from perm_cli.integrations.trl import make_reward
from perm_cli.training.prompt_sets import prompt_rows


def main(path: Path) -> None:
    """Train a policy as a TOML file configures it, and save it."""
    trainer = trainer_of(tomllib.loads(path.read_text()))
    trainer.train()
    trainer.save_model()


def trainer_of(configuration: dict[str, Any]) -> GRPOTrainer:
    """Return the trainer; its dataset passes persona, scenario and query to the reward."""
    policy, output = configuration["policy"]["model"], Path(configuration["grpo"]["output_dir"])
    return GRPOTrainer(
        model=_tiny(output.with_name("tiny")) if policy == "tiny" else policy,
        reward_funcs=make_reward(**configuration["reward"]),
        args=GRPOConfig(**configuration["grpo"]),
        train_dataset=dataset_of(**configuration["data"]),
    )


def dataset_of(dialogues: str, style: str = "analysis", samples: int = 3000) -> Dataset:
    """Return the distinct prompts of dialogues, at most `samples`, without the answers in the file."""
    reading = replace(Reading(), unanswered=True)
    sources = [source_of(dialogues)]
    check_dialogues(sources, reading)
    rows = list(islice(prompt_rows(read_dialogues(sources, reading), "trl", style), samples))
    names = {name for row in rows for name in row}
    return Dataset.from_list([{name: row.get(name) for name in names} for row in rows])


def _tiny(folder: Path) -> str:
    for part in tiny_policy():
        part.save_pretrained(folder)
    return str(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
