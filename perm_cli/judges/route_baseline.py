"""
The word counter as a judge: instant, offline, and a control for all others.

It finds reply and seeker in the prompt by their fences, counts what `features` counts, and answers with a verdict.
A judge that does no better against people's ratings has not shown that it reads more than words.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson

from perm_cli.dialogues.features import DESCRIPTIONS, Features, content_words, features_after
from perm_cli.judges.dialects import opening_dialect
from perm_cli.judges.judge import Reply, Request
from perm_cli.judges.route import Route, Terms
from perm_cli.judges.settings import JudgeSettings
from perm_cli.prompts.book import Prompt
from perm_cli.prompts.fences import unfenced

_NAME = "baseline"
_VERSION = "1"  # part of its identity: to be raised when it comes to count another way
CAVEAT = "baseline counts words: it is a control for other judges, and no measure of empathy"
_LONG = 4.4  # the logarithm of some eighty words


class BaselineJudge:
    """A judge that answers by counting."""

    def __init__(self, settings: JudgeSettings) -> None:
        self.dialect = opening_dialect(settings)
        self._readings: dict[str, _Reading] = {}

    async def ask(self, request: Request) -> Reply:
        """Return a verdict on the last supporter turn in the prompt."""
        await asyncio.sleep(0)  # nothing else is waited for here, and an interrupt is seen only in between
        reading = self._reading_of(request.prompt)
        features = features_after(reading.reply, reading.said)
        return Reply(text=_verdict(features, request), cost_usd=0.0, model_served=_NAME, attempts=0)

    def _reading_of(self, prompt: Prompt) -> "_Reading":
        known = self._readings.get(prompt.instructions)
        if not known or not prompt.case.startswith(known.seen):
            known = self._readings[prompt.instructions] = _Reading()
        known.go_on(prompt.case)
        return known

    def effective(self) -> dict[str, Any]:
        """Return how it was asked: there is one way only."""
        return {}

    def stop(self, reason: Exception) -> None:
        """Stop: no answer takes long enough to be cut short."""


class _Reading:
    """What the talk in a prompt comes to; the next turn's prompt begins with the same, which is read only once."""

    def __init__(self) -> None:
        self.seen = ""
        self.reply = ""
        self.said: set[str] = set()

    def go_on(self, case: str) -> None:
        """Read what `case` has beyond what was seen."""
        end = len(self.seen)
        for block in unfenced(case, end):
            if block.label.endswith(", supporter"):
                self.reply = block.body
            elif block.label.endswith(", seeker"):
                self.said |= content_words(block.body)
            else:
                continue
            end = block.end
        self.seen = case[:end]


def _verdict(features: Features, request: Request) -> str:
    fields = {name: rule["enum"] for name, rule in request.schema["properties"].items() if name != "rationale"}
    share = _share(features)
    counts = ", ".join(f"{says} {getattr(features, name):.2f}" for name, says in DESCRIPTIONS.items())
    stated = {name: _at(values, share) for name, values in fields.items()}
    return orjson.dumps({"rationale": f"counted: {counts}"} | stated).decode()


def _at(values: Sequence[Any], share: float) -> Any:
    """Return the value at a share of the way from the first to the last, whatever the values are."""
    first = values[0] if isinstance(values[0], int) else 0  # halves are rounded to an even number, not place
    return values[round(first + (len(values) - 1) * share) - first]


def _share(features: Features) -> float:
    """Return where on the scale the counts put a reply, from 0 to 1; the same for every dimension."""
    counts = (features.length / _LONG, features.questions / 2, features.sympathy / 12, 2 * features.overlap)
    return sum(min(count, 1.0) for count in counts) / len(counts)


@asynccontextmanager
async def _opened(judge: JudgeSettings, _: Terms) -> AsyncIterator[BaselineJudge]:
    yield BaselineJudge(judge)


ROUTE = Route(
    takes=lambda judge: judge.model == _NAME,
    opened=_opened,
    identity=lambda _: {"model": f"{_NAME}:{_VERSION}"},
    caveat=lambda _: CAVEAT,
    is_control=True,
)
