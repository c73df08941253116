"""
The rating: one judge's score on one dimension of one supporter turn, or the reason why there is none.

`rate` asks the judge, reads the reply and asks again if it is unreadable; no failure becomes a score.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from operator import itemgetter
from time import perf_counter
from typing import Any, get_args

import orjson

from perm_cli.errors import CallFailed, NotAsked
from perm_cli.judges.judge import Judge, Reply, Request
from perm_cli.prompts.book import Prompt, Question
from perm_cli.prompts.rubrics import Dimension
from perm_cli.prompts.scales import Number
from perm_cli.ratings.columns import columns_of, defaults_of
from perm_cli.ratings.verdicts import Verdict, is_single, read_verdict
from perm_cli.text import one_line
from perm_cli.words import Status

GROWTH = 4  # factor of the token limit when a truncated reply is asked for again
_LEAST_MASS = 0.01  # of probability on the levels; below it, the token is not a verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """
    One line of `ratings.jsonl`; its fields are the columns of that file, of the shards and of the ledger.

    A field without a default must be in every line ever written, so a new field needs one.

    Only a `scored` rating has a score, on the scale of its dimension. `settings` is the id of the settings in
    `run.json` that it was made under. `distribution` has the judge's probability of each level, and under `missing` the
    probability of everything else. `error` describes a failed call: its `kind`, its `message` and whether it is
    `transient`, so may succeed another time. Tokens, cost and latency include every attempt. `reused` names the run
    that it was taken from, if it was not made in this one.
    """

    key: str
    settings: str
    dialogue_id: str
    system: str
    turn: int
    dimension: str
    judge: str
    sample: int
    status: Status
    score: float | None = None
    items: Mapping[str, int] | None = None
    distribution: Mapping[str, float] | None = None
    rationale: str = ""
    note: str = ""
    raw: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None
    latency_s: float = 0.0
    model_served: str = ""
    attempts: int = 0
    error: Mapping[str, Any] | None = None
    at: str = ""
    reused: str = ""


COLUMNS = columns_of(Rating)


def is_settled(status: str, error: Mapping[str, Any] | None) -> bool:
    """Return whether a rating is final: neither skipped nor a failure that may pass; it is never paid for again."""
    if status == "failed":
        return not (error or {}).get("transient", True)
    return status != "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingRules:
    """How ratings are made: settings, judge, token limit, re-asks, and whether scores are expectations."""

    settings: str
    judge: str
    max_tokens: int
    expected: bool = False
    reask: int = 1
    seeded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """
    A question with the number of its sample and the key of its rating.

    `sample` and `rank`, the position of the dialogue in the input, count from 0.
    """

    question: Question
    sample: int
    key: str
    rank: int = 0


def key_of(question: Question, identity: bytes, sample: int) -> str:
    """
    Return the key of a rating: a hash over its prompt, dialogue and system, its judge's identity and the sample.

    Two systems that reply in the same words get separate ratings: a shared verdict would hide the judge's noise
    from every comparison between them.
    """
    whose = orjson.dumps([question.dialogue_id, question.system])
    return blake2b(b"\x00".join((question.digest, whose, identity, sample.to_bytes(4))), digest_size=16).hexdigest()


def schema_of(dimension: Dimension) -> dict[str, Any]:
    """Return the JSON schema of a verdict, with the rationale before the numbers."""
    return _schema(tuple(dimension.scale.fields))


@cache
def _schema(numbers: tuple[Number, ...]) -> dict[str, Any]:
    properties: dict[str, Any] = {"rationale": {"type": "string"}} | {each.name: each.schema for each in numbers}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


async def rate(judge: Judge, call: Call, prompt: Prompt, rules: RatingRules) -> Rating:
    """Return the rating of a call; raise `NotAsked` if no request was made, `JudgeUnusable` if none can succeed."""
    started = perf_counter()
    spent = _Spent()
    request = Request(
        prompt=prompt,
        schema=schema_of(call.question.dimension),
        seed=call.sample if rules.seeded else None,
    )
    try:
        reply, verdict = await _verdict(judge, call, request, rules, spent)
    except CallFailed as failure:
        outcome = _failed(failure, spent)
    except NotAsked as reason:
        if not spent.attempts:
            raise
        outcome = {"status": "skipped", "note": f"not asked again: {reason}"}
    else:
        outcome = _read(reply, verdict, call.question.dimension, rules)
    return Rating(**_origin(call, rules), **_facts(spent, outcome, perf_counter() - started))


def unmade(call: Call, rules: RatingRules) -> Rating:
    """Return the `skipped` rating of a call that was not made."""
    return Rating(**_origin(call, rules), status="skipped")


def _origin(call: Call, rules: RatingRules) -> dict[str, Any]:
    return {
        "key": call.key,
        "settings": rules.settings,
        "dialogue_id": call.question.dialogue_id,
        "system": call.question.system,
        "turn": call.question.turn,
        "dimension": call.question.dimension.name,
        "judge": rules.judge,
        "sample": call.sample,
    }


@dataclass(slots=True)
class _Spent:
    """The usage of all attempts at a rating, which is billed whatever their outcome."""

    tokens_in: int = 0
    tokens_out: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None
    attempts: int = 0

    def add(self, reply: Reply) -> None:
        self.tokens_in += reply.tokens_in
        self.tokens_out += reply.tokens_out
        self.cached_tokens += reply.cached_tokens
        self.attempts += reply.attempts
        if reply.cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + reply.cost_usd


async def _verdict(
    judge: Judge, call: Call, request: Request, rules: RatingRules, spent: _Spent
) -> tuple[Reply, Verdict]:
    """Ask until the reply is readable: once more with a larger limit if truncated, `reask` times if unparseable."""
    asked_again = 0
    while True:
        reply = await judge.ask(request)
        spent.add(reply)
        verdict = read_verdict(reply.text, call.question.dimension, reply.finish_reason)
        if verdict.status == "truncated" and request.max_tokens is None:
            request = replace(request, max_tokens=rules.max_tokens * GROWTH)
        elif verdict.status == "unparseable" and asked_again < rules.reask:
            asked_again += 1
        else:
            return reply, verdict


def rated_from(unmade: Rating, reply: Reply, dimension: Dimension, rules: RatingRules) -> Rating:
    """Return the rating made from one reply, such as one from a batch."""
    spent = _Spent()
    spent.add(reply)
    verdict = read_verdict(reply.text, dimension, reply.finish_reason)
    return replace(unmade, **_facts(spent, _read(reply, verdict, dimension, rules)))


def failed_from(unmade: Rating, failure: CallFailed) -> Rating:
    """Return the rating made from a failed call."""
    spent = _Spent()
    outcome = _failed(failure, spent)
    return replace(unmade, **_facts(spent, outcome))


def timestamp() -> str:
    """Return the current UTC time for `at`; as strings, these sort by time."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _facts(spent: _Spent, outcome: Mapping[str, Any], latency_s: float = 0.0) -> dict[str, Any]:
    return {
        "latency_s": round(latency_s, 4),
        "at": timestamp(),
        "tokens_in": spent.tokens_in,
        "tokens_out": spent.tokens_out,
        "cached_tokens": spent.cached_tokens,
        "cost_usd": spent.cost_usd,
        "attempts": spent.attempts,
        **outcome,
    }


def _failed(failure: CallFailed, spent: _Spent) -> dict[str, Any]:
    spent.attempts += failure.attempts
    if failure.kind == "refused":
        return {"status": "refused", "note": failure.message}
    error = {"kind": failure.kind, "message": failure.message, "transient": failure.transient}
    return {"status": "failed", "error": error}


def _read(reply: Reply, verdict: Verdict, dimension: Dimension, rules: RatingRules) -> dict[str, Any]:
    chances = level_chances(reply, verdict, dimension) if rules.expected else None
    score: float | None = verdict.score
    if chances and verdict.status == "scored":
        score = sum(int(level) * share for level, share in chances.items() if level != "missing")
    note = verdict.note
    if rules.expected and score is not None and not chances and is_single(dimension):
        note = "no log-probabilities at the verdict: the stated score stands"
    return {
        "status": verdict.status,
        "score": score,
        "items": verdict.items,
        "distribution": chances,
        "rationale": verdict.rationale,
        "note": one_line(note),
        "raw": reply.text,
        "model_served": reply.model_served,
    }


def level_chances(reply: Reply, verdict: Verdict, dimension: Dimension) -> dict[str, float] | None:
    """
    Return the judge's probability of each level at the verdict's position, summing to 1, and the `missing` mass.

    None without log-probabilities there, and for several items, which have no single position. None also if one level
    begins with the digits of another, such as 10 with 1, unless the longer one is seen to be a single token: otherwise
    the probability of 1 would include that of 10.
    """
    token = _token_at(reply, verdict.position)
    if token is None or not is_single(dimension):
        return None
    shares: dict[str, float] = {}
    for text, logprob in token.alternatives:
        level = _level_in(text)
        if level is not None and dimension.low <= level <= dimension.high:
            shares[str(level)] = shares.get(str(level), 0.0) + math.exp(min(logprob, 0.0))
    mass = sum(shares.values())
    if mass < _LEAST_MASS or not _longer_levels(dimension) <= shares.keys():
        return None
    chances = {level: share / mass for level, share in sorted(shares.items())}
    return chances | {"missing": max(1.0 - mass, 0.0)}


def _level_in(token: str) -> int | None:
    found = _LEVEL.fullmatch(token)
    return int(found[1].replace("−", "-")) if found else None


_LEVEL = re.compile(r"[\s\"'*:]*([-−+]?[0-9]{1,4})[\s\"'*:]*")


def _longer_levels(dimension: Dimension) -> set[str]:
    """Return the levels whose digits begin with those of another level."""
    levels = [str(level) for level in range(dimension.low, dimension.high + 1)]
    return {level for level in levels if any(level != other and level.startswith(other) for other in levels)}


def _token_at(reply: Reply, position: int | None) -> Any:
    if position is None or not reply.tokens:
        return None
    wanted = len(reply.text[:position].encode(errors="replace"))
    written = b"".join(token.text for token in reply.tokens)
    # The tokens may begin with thinking that is not in the text, so the text is searched for from the end.
    start = written.rfind(reply.text.encode(errors="replace"))
    if start < 0:
        return None
    place = 0
    for token in reply.tokens:
        place += len(token.text)
        if place > start + wanted:
            return token
    return None


def rating_line(rating: Rating) -> bytes:
    """Return the rating as one line of JSON; characters that UTF-8 cannot encode are replaced."""
    try:
        return orjson.dumps(rating, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:
        mended = {name: getattr(rating, name).encode(errors="replace").decode() for name in _TEXTS}
        return orjson.dumps(replace(rating, **mended), option=orjson.OPT_APPEND_NEWLINE)


def read_row(line: bytes) -> dict[str, Any] | None:
    """Return the fields of the rating on a line, None if the line is damaged."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return row if is_rating(row) else None


def read_rating(line: bytes) -> Rating | None:
    """Return the rating on a line, None if the line is damaged."""
    row = read_row(line)
    return None if row is None else Rating(**row)


def is_rating(row: object) -> bool:
    """
    Return whether a row from a file has the fields of a rating, each of the right type and within its bounds.

    The row is completed: a column that another release did not write gets its default, so that paid ratings stay
    readable. A column that only another release writes is removed from the row, since this release must copy or show
    only what it has checked. It is not lost, because `ratings.jsonl` is never rewritten.
    """
    if not isinstance(row, dict):
        return False
    if row.keys() != _TYPES.keys():
        for name in row.keys() - _TYPES.keys():
            del row[name]
        row |= {name: value for name, value in _DEFAULTS.items() if name not in row}
    if row.keys() != _TYPES.keys() or not _fits(tuple(map(type, _fields_of(row)))):
        return False
    score, counts = row["score"], _counts_of(row)
    return (
        row["status"] in _STATUSES
        and (row["status"] == "scored") == (score is not None)
        and (score is None or math.isfinite(score))
        and min(counts) >= 0
        and max(counts) < _BEYOND
        and all(type(item) is int for item in (row["items"] or {}).values())
        and all(type(share) in {int, float} for share in (row["distribution"] or {}).values())
    )


@cache
def _fits(types: tuple[type, ...]) -> bool:
    """Return whether fields may have these types; cached, since even a million rows have few combinations."""
    return all(each in allowed for each, allowed in zip(types, _TYPES.values(), strict=True))


_STATUSES = frozenset(get_args(Status))
_BEYOND = 2**63  # too large for Parquet and SQLite
_TYPES = {each.name: each.types for each in COLUMNS}
_DEFAULTS = defaults_of(COLUMNS)
_TEXTS = [each.name for each in COLUMNS if each.kind is str]
_fields_of = itemgetter(*_TYPES)
_counts_of = itemgetter(*(each.name for each in COLUMNS if each.is_count))
