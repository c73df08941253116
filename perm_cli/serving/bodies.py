"""What the reward server is asked, and what it says; FastAPI makes its OpenAPI description of them."""

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
# Lists in lists end at their first wrong element: a body may hold millions, and everybody waits while they are listed.
_Text = Annotated[str, Field(max_length=_LONGEST)]
_Texts = Annotated[list[_Text], Field(max_length=MOST_ITEMS)]


def _shallow(value: Any) -> Any:
    """Refuse what nests deeper than JSON is written again, which is what names a prompt."""
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise ValueError("nested too deeply") from error
    return value


def _number(value: Any) -> Any:
    """Refuse what would be read as a number and is none; 1.0 is one, also where JSON speaks of whole ones."""
    if isinstance(value, bool | str):
        raise ValueError("expected a number")  # noqa: TRY004 - what pydantic takes
    return value


_Anything = Annotated[Any, AfterValidator(_shallow)]
_Messages = Annotated[list[dict[str, Any]], Field(fail_fast=True, max_length=1000), AfterValidator(_shallow)]


class Asked(BaseModel):
    """Refuse fields that are not known, since a misspelt one would change a reward in silence."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _few_unknown(cls, found: Any) -> Any:
        """Leave out all unknown fields but the first, which are enough to refuse it."""
        if not isinstance(found, Mapping) or len(found) <= SHOWN_PROBLEMS:
            return found
        unknown = (name for name in found if name not in cls.model_fields)
        names = [*(name for name in cls.model_fields if name in found), *islice(unknown, SHOWN_PROBLEMS)]
        return {name: found[name] for name in names}


class TurnIn(Asked):
    """Hold what one side said before the reply."""

    role: Role
    text: _Text
    analysis: _Text | None = None


class ItemIn(Asked):
    """Hold one reply to judge: `query` or `turns` is what it answers, and items of one `group` answer the same."""

    reply: _Text
    query: _Text = ""
    turns: Annotated[list[TurnIn], Field(fail_fast=True, max_length=1000)] = []
    scenario: _Text = ""
    persona: _Text = ""
    group: Annotated[str, Field(max_length=200)] = ""

    @model_validator(mode="after")
    def _one_talk(self) -> Self:
        if self.query and self.turns:
            raise ValueError("query and turns found, expected one of them")
        if not self.query.strip() and not self.turns:
            raise ValueError("neither query nor turns found, expected what the reply answers")
        return self


class ScoreRequest(Asked):
    """Ask for the rewards of some replies; `step` is a training step, for `perm watch`."""

    items: Annotated[list[ItemIn], Field(max_length=MOST_ITEMS)]
    step: Annotated[int, Field(ge=0, lt=2**53), BeforeValidator(_number)] | None = None


class Scored(BaseModel):
    """Hold what one reply is worth, by its place among the items."""

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
    """Hold what the replies are worth, in the order they were asked in."""

    results: list[Scored]


class OpenRLHFRequest(BaseModel):
    """Hold what OpenRLHF posts: full texts, their prompts and the labels of their rows."""

    query: _Texts
    prompts: _Texts
    labels: Annotated[list[_Anything], Field(fail_fast=True, max_length=MOST_ITEMS)] | None = None

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        lengths = {len(each) for each in (self.query, self.prompts, self.labels) if each is not None}
        if len(lengths) > 1:
            raise ValueError("query, prompts and labels of different lengths found, expected one of each a reply")
        return self


class OpenRLHFResponse(BaseModel):
    """Hold what OpenRLHF reads: numbers only."""

    rewards: list[float]
    scores: list[float]
    extra_logs: dict[str, list[float]]


class SlimeRequest(BaseModel):
    """Hold what slime posts."""

    prompt: _Text | _Messages
    response: _Text
    label: _Anything = None


class Health(BaseModel):
    """Say whether rewards can be had."""

    status: str
    judge: str
    caveat: str | None


def scored(index: int, result: Result) -> Scored:
    """Return a result as it is said."""
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
    """Return an item as it is judged."""
    return Item(
        reply=item.reply,
        query=item.query,
        turns=[Turn(role=turn.role, text=turn.text, analysis=turn.analysis) for turn in item.turns],
        scenario=item.scenario,
        persona=item.persona,
        group=item.group,
    )
