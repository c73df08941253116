"""The items that training has judged, and their results."""

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
    One reply to judge, as the policy wrote it (thinking and headings included), and what it answers.

    `turns` is the conversation before the reply; `query` is shorthand for a single turn of the seeker. Items of one
    `group` answer the same prompt. `tokens` is the length of the completion if the policy's tokeniser has counted it.
    `opened` is true if the prompt opens the thinking, so that the reply starts inside it.
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
    The result of judging one reply.

    `reward` is None if a score it needs is missing and nothing stands in; `filled` is true if something does. A reply
    that says nothing to the seeker is `empty`: it is not judged and has the lowest possible reward. `parts` has the
    scores, the terms of the reward and the status of each missing score; `causes` has the error messages of these.
    `latency_s` is the duration of the slowest rating, queueing included, `waited_s` how long the trainer waited for all
    items submitted together, and `retries` the number of calls that had to be made again.
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

    A reply says nothing if it has an analysis without a response, or if its thinking never ends. A reply without
    headings is all response. The dialogue's id is a hash of its content. Unpaired surrogates become question marks.
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
