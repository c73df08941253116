"""`perm plan`: what a run would cost, without a call."""

import sys
from collections.abc import Sequence
from dataclasses import asdict

import orjson

from perm_cli.cli.console import messages, output, say
from perm_cli.cli.from_options import opened_sources, order_of
from perm_cli.cli.options import DialogueOptions, JudgeOptions
from perm_cli.judges.prices import retirement_note
from perm_cli.scoring.job import prepare
from perm_cli.scoring.plan import CACHED_FROM, Plan, plan_of


def run(files: Sequence[str], dialogues: DialogueOptions, judge: JudgeOptions, *, as_json: bool) -> None:
    """Print what rating the dialogues would cost."""
    with opened_sources(files) as sources:
        order = order_of(sources, dialogues, judge)
        plan = plan_of(prepare(order))
    if as_json:
        sys.stdout.write(orjson.dumps(asdict(plan), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())
        return
    for line in _lines(plan):
        say(output(), line)
    if note := retirement_note(order.judge):
        say(messages(), note)


def _lines(plan: Plan) -> list[str]:
    low_in, high_in = plan.tokens_in
    low_out, high_out = plan.tokens_out
    cost = "no price is known for this judge; give one in perm.toml: price = { input = …, output = … }"
    if plan.cost_usd:
        cost = f"{plan.cost_usd[0]:.4f} to {plan.cost_usd[1]:.4f} USD, nothing cached"
    note = ""
    if plan.shortest_prefix < CACHED_FROM:
        note = f" (providers keep prefixes from {CACHED_FROM:,} tokens; the shortest here is {plan.shortest_prefix:,})"
    return [
        f"dialogues          {plan.dialogues:,}",
        f"supporter turns    {plan.turns:,}",
        f"calls              {plan.calls:,}",
        f"prompt tokens      {low_in:,} to {high_in:,}",
        f"completion tokens  {low_out:,} to {high_out:,}",
        f"prefix cache       can serve at least {plan.cacheable:.0%} of the prompt tokens{note}",
        f"cost               {cost}",
    ]
