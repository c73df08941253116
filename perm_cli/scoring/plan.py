"""
An estimate of what a job would cost, made without a call and without a key.

Prompts are rendered and counted with the tokeniser that LiteLLM ships. Other models tokenise differently, so tokens are
given as a range from 10 % fewer to 30 % more. A verdict is at least a bare number and at most the token limit.
"""

from dataclasses import dataclass

from perm_cli.dialogues.tokens import SHIPPED, token_counter
from perm_cli.judges.routes import price_of
from perm_cli.judges.settings import Price
from perm_cli.scoring.job import Job, calls_of

_FEWER, _MORE = 0.9, 1.3
_CHAT_OVERHEAD = 12  # role and end marks of the two messages
_FRAME, _FIELD = 7.5, 7.5  # tokens of a bare verdict: its brackets, and each number with its name
# OpenAI and Anthropic cache prefixes of this many tokens or more; some of their smaller models need longer ones.
CACHED_FROM = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    The estimate for a job; token counts and costs are pairs of low and high, `cost_usd` is None without a price.

    `cacheable` is the share of the prompt tokens that repeat instructions, which a prefix cache can serve;
    `shortest_prefix` is the smallest number of tokens that all calls of a dimension share.
    """

    dialogues: int
    turns: int
    calls: int
    tokens_in: tuple[int, int]
    tokens_out: tuple[int, int]
    cacheable: float
    shortest_prefix: int
    price: Price | None
    cost_usd: tuple[float, float] | None


def plan_of(job: Job) -> Plan:
    """Return the estimate for a job, made by rendering and counting everything that it would send."""
    count = token_counter(SHIPPED)
    static = {name: count(text) + _CHAT_OVERHEAD for name, text in job.book.instructions.items()}
    calls, tokens, shortest = 0, 0, 0.0
    for call in calls_of(job):
        name = call.question.dimension.name
        calls += 1
        tokens += static[name] + count(job.book.prompt(call.question).case)
        shortest += _FRAME + _FIELD * len(call.question.dimension.scale.fields)
    repeated = sum(static[name] for name in static) * (calls // len(static) - 1)
    tokens_in = (round(tokens * _FEWER), round(tokens * _MORE))
    tokens_out = (round(shortest), calls * job.order.judge.max_tokens)
    price = price_of(job.order.judge)
    return Plan(
        dialogues=job.dialogues,
        turns=job.turns,
        calls=calls,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cacheable=repeated / tokens,
        shortest_prefix=min(static.values()),
        price=price,
        cost_usd=(
            (price.cost_usd(tokens_in[0], tokens_out[0]), price.cost_usd(tokens_in[1], tokens_out[1]))
            if price
            else None
        ),
    )
