"""
The word counter as a judge: instant, offline, and a control for all others.

It finds the reply and the seeker's words in the prompt by their fences, computes `features`, and returns a verdict.
A judge that agrees with people no better than this one has not shown that it does more than count words.
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
_VERSION = "1"  # part of its identity; raise it whenever the counting changes
CAVEAT = "baseline counts words: it is a control for other judges, and no measure of empathy"
_LONG = 4.4  # the logarithm of some eighty words


class BaselineJudge:
    """A judge that counts words."""

    def __init__(self, settings: JudgeSettings) -> None:
        self.dialect = opening_dialect(settings)
        self._readings: dict[str, _Reading] = {}

    async def ask(self, request: Request) -> Reply:
        """Return a verdict on the last supporter turn in the prompt."""
        await asyncio.sleep(0)  # nothing else here yields to the event loop, which must get to see an interrupt
        reading = self._reading_of(request.prompt)
        features = features_after(reading.reply, reading.seeker_words)
        return Reply(text=_verdict(features, request), cost_usd=0.0, model_served=_NAME, attempts=0)

    def _reading_of(self, prompt: Prompt) -> "_Reading":
        known = self._readings.get(prompt.instructions)
        if not known or not prompt.case.startswith(known.seen):
            known = self._readings[prompt.instructions] = _Reading()
        known.read_on(prompt.case)
        return known

    def effective(self) -> dict[str, Any]:
        """Return nothing, since there is only one way to ask it."""
        return {}

    def stop(self, reason: Exception) -> None:
        """Do nothing: no answer takes long enough to be interrupted."""


class _Reading:
    """What has been read of a dialogue; the next turn's prompt begins with the same text, which is not read again."""

    def __init__(self) -> None:
        self.seen = ""
        self.reply = ""
        self.seeker_words: set[str] = set()

    def read_on(self, case: str) -> None:
        """Read the part of `case` that has not been read before."""
        end = len(self.seen)
        for block in unfenced(case, end):
            if block.label.endswith(", supporter"):
                self.reply = block.body
            elif block.label.endswith(", seeker"):
                self.seeker_words |= content_words(block.body)
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
    """Return the value at `share` of the way from the first value to the last; they may be of any type."""
    # Halves are rounded to an even value, not to an even position.
    first = values[0] if isinstance(values[0], int) else 0
    return values[round(first + (len(values) - 1) * share) - first]


def _share(features: Features) -> float:
    """Return the position of a reply on the scale, from 0 to 1; it is the same for every dimension."""
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
