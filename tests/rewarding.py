"""Rewards for tests: a `Perm` that asks a loopback judge and is closed in the end, and items to score."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from perm_cli.reward import Item, Perm, reward_settings
from tests.loopback import Answer, Loopback, verdict

JUDGE = "openai/judge"
DIMENSIONS = 4  # calls a reply


@contextmanager
def asking(server: Loopback, **wishes: Any) -> Iterator[Perm]:
    """Yield what scores with this server as its judge, for the time of the `with` block."""
    perm = Perm(reward_settings(**{"judge": JUDGE, "base_url": server.url, "patience_s": 5} | wishes))
    try:
        yield perm
    finally:
        perm.close()


def items(count: int, start: int = 0) -> list[Item]:
    """Return items that differ."""
    return [
        Item(query=f"I lost number {place} today.", reply=f"Losing number {place} hurts.")
        for place in range(start, start + count)
    ]


def garbled(body: Mapping[str, Any]) -> Answer:
    """Answer in a way that cannot be read where the prompt is about resonation."""
    return Answer(text="no idea") if "Resonation: " in json.dumps(body["messages"]) else verdict(body)
