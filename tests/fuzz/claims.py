"""What holds of the readers of hostile input, whatever comes in; files are written where the process stands."""

import math
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import orjson
from pydantic import TypeAdapter

from perm_cli.dialogues.check import check_dialogues, read_dialogues
from perm_cli.dialogues.dialogue import Dialogue, judged_turns
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.sources import Source, source_of
from perm_cli.errors import CallFailed, InputError, RunError
from perm_cli.judges.replies import read_reply
from perm_cli.judges.settings import Price
from perm_cli.prompts.rubrics import Dimension, default_pack
from perm_cli.ratings.rating import Rating, level_chances, rating_line, read_rating
from perm_cli.ratings.run_folder import open_run
from perm_cli.ratings.verdicts import Verdict, VerdictStatus, read_verdict

_RATING = TypeAdapter(Rating)
_TOO_LARGE = 2**63  # for JSON as orjson writes it, and for SQLite
_ROUNDING = 1e-9  # of an expected score
_PRICE = Price(input=1.0, output=2.0, cached=0.5)
_WHOLE = re.compile(r"\d{1,40}")
_DECIMAL = re.compile(r"\d{1,40}(?:\.\d{1,40})?[eE][+-]?\d{1,4}")


def dialogues_are_read_or_refused(content: bytes, name: str, reading: Reading, shown: str = "") -> None:
    """
    Claim that a file is refused with problems anybody can print, or read as often as it is counted.

    `shown` is how problems name a file whose `name` cannot be printed.
    """
    source, place = _saved(content, name), shown or name
    refusal = None
    try:
        (census,) = check_dialogues([source], reading)
    except InputError as error:
        refusal = error
    if refusal:  # outside of `except`: a report that quotes a lone surrogate ends pytest-xdist
        assert 1 <= len(refusal.problems) <= refusal.count
        for problem in refusal.problems:
            _is_plain_line(str(problem), place)
        return
    dialogues = list(read_dialogues([source], reading))
    assert len(dialogues) == census.dialogues >= 1
    assert sum(len(list(judged_turns(each, reading.turns))) for each in dialogues) == census.supporter_turns
    for remark in census.remarks:
        _is_plain_line(str(remark), place)
    assert _copied(dialogues) == dialogues


def verdict_is_sound(reply: str, dimension: Dimension, finish_reason: str = "stop") -> Verdict:
    """Claim that only a scored verdict has a score, one that was stated and lies on the scale; return the verdict."""
    verdict = read_verdict(reply, dimension, finish_reason)
    assert verdict.status in get_args(VerdictStatus)
    assert (verdict.score is not None) == (verdict.status == "scored")
    assert (verdict.items is not None) == (verdict.status == "scored" and bool(dimension.items))
    assert verdict.position is None or 0 <= verdict.position < len(reply)
    if verdict.score is not None:
        parts = [verdict.score] if verdict.items is None else list(verdict.items.values())
        assert verdict.items is None or list(verdict.items) == [item.name for item in dimension.items]
        assert sum(parts) == verdict.score
        assert all(type(part) is int and dimension.low <= part <= dimension.high for part in parts)
        # A clamped or a rounded number stands nowhere; JSON can hide a digit behind an escape.
        assert "\\u" in reply or set(parts) <= _stated(reply)
    return verdict


def reply_is_read_or_failed(body: Mapping[str, Any], dimension: Dimension) -> None:
    """Claim that a completion becomes a reply with usable log-probabilities, or a failed call."""
    try:
        reply = read_reply(body, _PRICE, 1)
    except CallFailed:
        return
    assert all(isinstance(text, str) for text in (reply.text, reply.finish_reason, reply.model_served))
    for count in (reply.tokens_in, reply.tokens_out, reply.cached_tokens):
        assert isinstance(count, int)
        assert 0 <= count < _TOO_LARGE
    assert reply.cost_usd is not None
    assert math.isfinite(reply.cost_usd)
    chances = level_chances(reply, verdict_is_sound(reply.text, dimension, reply.finish_reason), dimension)
    if chances is not None:
        assert 0 <= chances["missing"] <= 1
        assert math.isclose(sum(share for level, share in chances.items() if level != "missing"), 1)


def rating_is_typed_or_none(line: bytes) -> None:
    """Claim that a line holds a rating whose fields are what they say, or none."""
    rating = read_rating(line)
    if rating is not None:
        assert _is_typed(rating)
        assert read_rating(rating_line(rating)) == rating


def run_opens_or_is_refused(path: Path, files: Mapping[str, bytes]) -> None:
    """Claim that a run folder is refused in one line, or opens twice to the same ratings, those of its whole lines."""
    path.mkdir(exist_ok=True)
    for name, content in files.items():
        (path / name).write_bytes(content)
    whole = [read_rating(line) for line in files.get("ratings.jsonl", b"").split(b"\n")[:-1]]
    try:
        with open_run(path) as folder:
            ratings = list(folder.ratings())
            known = set(folder.record.settings)
        with open_run(path) as folder:
            assert list(folder.ratings()) == ratings
    except RunError as error:
        _is_plain_line(str(error), str(path))
        return
    expected = [each for each in whole if each and (each.settings not in known or _is_on_scale(each))]
    assert {rating.key for rating in ratings} == {rating.key for rating in expected}
    assert all(_is_typed(rating) for rating in ratings)


def _saved(content: bytes, name: str) -> Source:
    Path(name).write_bytes(content)
    return source_of(name)


def _copied(dialogues: list[Dialogue]) -> list[Dialogue]:
    """Write dialogues as a run folder keeps them, and read them back."""
    lines = b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in dialogues)
    source = _saved(lines, "copy.jsonl")
    check_dialogues([source], Reading())
    return list(read_dialogues([source], Reading()))


def _is_plain_line(text: str, place: str) -> None:
    assert text.startswith(place)
    # Control characters, lone surrogates, and the separators of lines and paragraphs.
    assert not {unicodedata.category(character) for character in text} & {"Cc", "Cs", "Zl", "Zp"}, repr(text)


def _is_on_scale(rating: Rating) -> bool:
    """Return whether a score lies on the scale of its dimension in the default pack, or there is none to lie on."""
    known = default_pack().dimensions.get(rating.dimension)
    if known is None or rating.score is None:
        return True
    low, high = known.bounds
    return low - _ROUNDING <= rating.score <= high + _ROUNDING


def _is_typed(rating: Rating) -> bool:
    """Tell whether every field is what `Rating` says, and small enough for the ledger and the tables."""
    counts = (rating.turn, rating.sample, rating.tokens_in, rating.tokens_out, rating.cached_tokens, rating.attempts)
    return (
        _RATING.validate_json(rating_line(rating), strict=True) == rating
        and (rating.score is None or math.isfinite(rating.score))
        and all(abs(count) < _TOO_LARGE for count in counts)
    )


def _stated(reply: str) -> set[float]:
    return {float(number) for pattern in (_WHOLE, _DECIMAL) for number in pattern.findall(reply)}
