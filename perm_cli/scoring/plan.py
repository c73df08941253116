"""
What a job would cost, worked out without a call and without a key.

Prompts are rendered and counted with the tokeniser LiteLLM ships. Other models cut text otherwise, so tokens are
given as a range: 10 % fewer to 30 % more. A verdict is at least a bare number and at most the token limit.
"""

from dataclasses import dataclass

from perm_cli.dialogues.tokens import SHIPPED, token_counter
from perm_cli.judges.routes import price_of
from perm_cli.judges.settings import Price
from perm_cli.scoring.job import Job, calls_of

_FEWER, _MORE = 0.9, 1.3
_CHAT_OVERHEAD = 12  # role and end marks of the two messages
_FRAME, _FIELD = 7.5, 7.5  # tokens of a bare verdict: its brackets, and each number with its name
# OpenAI and Anthropic keep prefixes of this many tokens or more (smaller models of theirs want even longer ones).
CACHED_FROM = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    What a job comes to; token counts and costs are pairs of low and high, `cost_usd` None without a price.

    `cacheable` is the share of the prompt tokens that repeat instructions, which a prefix cache serves;
    `shortest_prefix` is the least number of tokens that any dimension's calls share.
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
    """Render and count everything the job would send."""
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
