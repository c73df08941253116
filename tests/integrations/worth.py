"""What a reply is worth without a trainer, and judges that give nothing."""

from collections.abc import Mapping
from typing import Any

from perm_cli.reward import Item, Perm
from tests.loopback import Answer, Answering, Loopback, refusal, verdict

QUERY = "I failed the exam."
PERSONA = "A tired student."
REPLY = "That hurts, after all that work."


def item(reply: str = REPLY, query: str = QUERY, persona: str = PERSONA) -> Item:
    """Return what all trainers are given."""
    return Item(reply=reply, query=query, persona=persona)


def worth(judge: Loopback, *items: Item, **wishes: Any) -> list[float | None]:
    """Return rewards from a judge's thread of their own, which knows nothing of what a trainer has asked."""
    perm = Perm(judge="openai/m", base_url=judge.url, concurrency=7, **wishes)
    try:
        return [each.reward for each in perm.score_now(items)]
    finally:
        perm.close()


def garbled(_: Mapping[str, Any]) -> Answer:
    """Answer with no verdict in it."""
    return Answer(text="I would rather not say.")


def failing(_: Mapping[str, Any]) -> Answer:
    """Fail as a server that is overloaded for good."""
    return refusal(500, "down")


class Breaking:
    """Answer until it is broken, then as `broken` does."""

    def __init__(self, broken: Answering) -> None:
        self._broken = broken
        self.is_broken = False

    def __call__(self, body: dict[str, Any]) -> Answer:
        """Answer a request."""
        return self._broken(body) if self.is_broken else verdict(body)
