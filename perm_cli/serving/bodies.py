"""Request and response bodies of the reward server, from which FastAPI makes its OpenAPI description."""

from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any, Self

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from perm_cli.dialogues.dialogue import Turn
from perm_cli.errors import SHOWN_PROBLEMS
from perm_cli.training.items import Item, Result
from perm_cli.words import Role

MOST_ITEMS = 4096
_LONGEST = 200_000  # characters
# Lists fail at their first wrong element (`fail_fast`): a body may hold millions of them, and the event loop would
# stand still while they are all reported.
_Text = Annotated[str, Field(max_length=_LONGEST)]
_Texts = Annotated[list[_Text], Field(max_length=MOST_ITEMS)]


def _shallow(value: Any) -> Any:
    """Raise `ValueError` for values nested too deeply to be written as JSON again, as naming a prompt requires."""
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise ValueError("nested too deeply") from error
    return value


def _number(value: Any) -> Any:
    """Raise `ValueError` for booleans and text, which pydantic would read as numbers; 1.0 counts as a whole one."""
    if isinstance(value, bool | str):
        raise ValueError("expected a number")  # noqa: TRY004 - what pydantic takes
    return value


_Anything = Annotated[Any, AfterValidator(_shallow)]
_Messages = Annotated[list[dict[str, Any]], Field(fail_fast=True, max_length=1000), AfterValidator(_shallow)]


class Asked(BaseModel):
    """A request body that refuses unknown fields, since a misspelt one would silently change a reward."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _few_unknown(cls, found: Any) -> Any:
        """Return the body with only the first unknown fields, enough to refuse it: it may hold millions."""
        if not isinstance(found, Mapping) or len(found) <= SHOWN_PROBLEMS:
            return found
        unknown = (name for name in found if name not in cls.model_fields)
        names = [*(name for name in cls.model_fields if name in found), *islice(unknown, SHOWN_PROBLEMS)]
        return {name: found[name] for name in names}


class TurnIn(Asked):
    """A turn before the reply."""

    role: Role
    text: _Text
    analysis: _Text | None = None


class ItemIn(Asked):
    """A reply to judge; it answers `query` or `turns`, and items of one `group` answer the same prompt."""

    reply: _Text
    query: _Text = ""
    turns: Annotated[list[TurnIn], Field(fail_fast=True, max_length=1000)] = []
    scenario: _Text = ""
    persona: _Text = ""
    group: Annotated[str, Field(max_length=200)] = ""

    @model_validator(mode="after")
    def _one_talk(self) -> Self:
        if self.query and self.turns:
            raise ValueError("query and turns cannot be used together; send one of them")
        if not self.query.strip() and not self.turns:
            raise ValueError("query and turns are missing; send one of them, for what the reply answers")
        return self


class ScoreRequest(Asked):
    """A request for the rewards of some replies; `step` is the training step, for `perm watch`."""

    items: Annotated[list[ItemIn], Field(max_length=MOST_ITEMS)]
    step: Annotated[int, Field(ge=0, lt=2**53), BeforeValidator(_number)] | None = None


class Scored(BaseModel):
    """The result of one reply; `index` is its place among the items, from 0."""

    index: int
    reward: float | None
    scores: dict[str, float | None]
    reward_low: float
    reward_high: float
    missing: dict[str, str]
    rationales: dict[str, str]
    empty: bool
    filled: bool
    latency_s: float
    caveat: str | None


class ScoreResponse(BaseModel):
    """The results of the replies, in the order of the items."""

    results: list[Scored]


class OpenRLHFRequest(BaseModel):
    """The request of OpenRLHF: full texts (`query`), their prompts, and the labels of their rows."""

    query: _Texts
    prompts: _Texts
    labels: Annotated[list[_Anything], Field(fail_fast=True, max_length=MOST_ITEMS)] | None = None

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        lengths = {len(each) for each in (self.query, self.prompts, self.labels) if each is not None}
        if len(lengths) > 1:
            raise ValueError("query, prompts and labels differ in length, expected one of each per reply")
        return self


class OpenRLHFResponse(BaseModel):
    """The response to OpenRLHF, of numbers only."""

    rewards: list[float]
    scores: list[float]
    extra_logs: dict[str, list[float]]


class SlimeRequest(BaseModel):
    """The request of slime."""

    prompt: _Text | _Messages
    response: _Text
    label: _Anything = None


class Health(BaseModel):
    """The state of the server: `status` is `ok`, or what is wrong with the judge."""

    status: str
    judge: str
    caveat: str | None


def scored(index: int, result: Result) -> Scored:
    """Return a result as a response body."""
    parts = result.parts
    return Scored(
        index=index,
        reward=result.reward,
        scores=result.scores,
        reward_low=parts.reward_low,
        reward_high=parts.reward_high,
        missing=dict(parts.missing),
        rationales=dict(result.rationales),
        empty=result.empty,
        filled=result.filled,
        latency_s=result.latency_s,
        caveat=parts.caveat,
    )


def item_in(item: ItemIn) -> Item:
    """Return an item of a request as an item to judge."""
    return Item(
        reply=item.reply,
        query=item.query,
        turns=[Turn(role=turn.role, text=turn.text, analysis=turn.analysis) for turn in item.turns],
        scenario=item.scenario,
        persona=item.persona,
        group=item.group,
    )
