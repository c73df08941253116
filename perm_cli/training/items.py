"""What is judged in training, and what comes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

import orjson

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.files.sections import read_answer
from perm_cli.rewards.reward import Reward


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """
    Hold one reply to judge: what the policy wrote, thinking and headings included, and what it answers.

    `turns` is the talk before the reply; `query` is short for one turn of the seeker. Items of one `group` answer the
    same prompt. `tokens` is the length of what was written, where the policy's own tokeniser has counted it. Thinking
    is `opened` where the prompt ends by beginning it, so that the reply starts inside.
    """

    reply: str
    query: str = ""
    turns: Sequence[Turn] = ()
    scenario: str = ""
    persona: str = ""
    group: str = ""
    tokens: int | None = None
    opened: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """
    Hold what one reply is worth.

    `reward` is None where a score it needs is missing and nothing was to stand in for it; `filled` says that something
    does. A reply that says nothing to the seeker is `empty`: it is not judged and has the lowest reward there is.
    `parts` has the scores, the terms of the reward and, for each missing score, why; `causes` has the judge's words on
    it. `latency_s` is how long its slowest rating took, waiting for its turn included, and `waited_s` how long the
    trainer waited for all that it asked for at once; `retries` are the calls that had to be made again.
    """

    reward: float | None
    parts: Reward
    rationales: Mapping[str, str]
    empty: bool = False
    filled: bool = False
    causes: Mapping[str, str] = field(default_factory=dict)
    latency_s: float = 0.0
    waited_s: float = 0.0
    retries: int = 0

    @property
    def scores(self) -> dict[str, float | None]:
        """Return the judge's score on each dimension, None where it is missing."""
        return dict(self.parts.scores)


def dialogue_of(item: Item) -> Dialogue | None:
    """
    Return an item as the dialogue that `perm score` would read, None if its reply says nothing to the seeker.

    It says nothing if it has an analysis and no response, or thinks to its end. A reply without headings is all
    response. The dialogue is named after its content. Characters that no encoding holds become question marks.
    """
    answer = read_answer(item.reply, opened=item.opened)
    if not answer.response:
        return None
    before = tuple(item.turns) or ((Turn(role="seeker", text=item.query),) if item.query.strip() else ())
    turns = (*before, Turn(role="supporter", text=answer.response, analysis=answer.analysis))
    try:
        content = orjson.dumps([turns, item.scenario, item.persona])
    except orjson.JSONEncodeError:
        return dialogue_of(_encodable(item))
    name = blake2b(content, digest_size=8).hexdigest()
    return Dialogue(id=name, turns=turns, scenario=item.scenario, persona=item.persona)


def _encodable(item: Item) -> Item:
    def mended(text: str) -> str:
        return text.encode(errors="replace").decode()

    turns = [replace(turn, text=mended(turn.text), analysis=mended(turn.analysis or "") or None) for turn in item.turns]
    return replace(
        item,
        turns=turns,
        reply=mended(item.reply),
        query=mended(item.query),
        scenario=mended(item.scenario),
        persona=mended(item.persona),
    )
