"""A plan as lines of text and as JSON: what a run would call, send and cost."""

from dataclasses import asdict

import orjson

from perm_cli.scoring.plan import CACHED_FROM, Plan


def plan_lines(plan: Plan) -> list[str]:
    """Return one line per figure."""
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


def plan_json(plan: Plan) -> str:
    """Return all figures."""
    return orjson.dumps(asdict(plan), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
