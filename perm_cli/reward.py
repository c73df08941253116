"""
The reward inside a trainer, made with the prompts, judge, verdict reader and fusion of `perm score`.

    from perm_cli.reward import Item, Perm

    perm = Perm(judge="openai/gpt-5.4-mini")
    results = await perm.score([Item(query="I failed the exam.", reply="That hurts, after all that work.")])
    results = perm.score_now([…])    # the same from synchronous code

A `Perm` can be pickled, and used from any event loop, from many threads and after a fork: its judge runs in a thread of
its own, one per process and set of settings, which the first call starts (`training.engine`). Adapters to trainers,
which do not change a reward, are in `perm_cli.integrations`.
"""

from perm_cli.errors import RewardMissing
from perm_cli.training.items import Item, Result
from perm_cli.training.perm import Perm
from perm_cli.training.settings import RewardSettings, reward_settings
from perm_cli.words import OnMissing

__all__ = ["Item", "OnMissing", "Perm", "Result", "RewardMissing", "RewardSettings", "reward_settings"]
