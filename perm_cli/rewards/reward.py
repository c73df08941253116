"""
The reward: three empathy scores, the bystander's sum and the length fused into one number a supporter turn.

The formulas are PERM's (arXiv 2601.10532, section on reward modeling, and its released code):

    empathy   = 3 / Σ(5/s), the harmonic mean of s/5        (also: mean, weighted-mean, geometric)
    bystander = c · (b/100 - 1)                              c = 0.5
    length    = -p · max(0, t - 768)                         p = 0.001, off unless asked for
    reward    = empathy + bystander + length

A score that is missing is never guessed: the record then holds the lowest and highest reward it allows.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from statistics import fmean
from typing import Protocol

from perm_cli.errors import SettingsError
from perm_cli.ratings.ledger import Outcome
from perm_cli.ratings.rating import Rating
from perm_cli.words import DIMENSIONS, EMPATHY, FusionName, ScoreMode, Status

Lengths = Callable[[str, str, int], int]

TOP = 5.0
BOUNDS: Mapping[str, tuple[float, float]] = {**dict.fromkeys(EMPATHY, (1.0, TOP)), "bystander": (0.0, 100.0)}


class Leveller(Protocol):
    """Put a judge's scores on people's levels, as `calibration.Calibration` does."""

    def knows(self, judge: str, settings: str) -> Sequence[str]:
        """Return the dimensions on which that is known."""

    def level(self, judge: str, settings: str, dimension: str, score: float) -> float:
        """Return the score on people's levels, or as it is where nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """
    Say how scores become a reward.

    `bystander_coef` 0 leaves the bystander out, and its missing score then leaves nothing open. `length_penalty`
    is what each token over `length_limit` costs; 0 leaves the length out.
    With a `calibration`, scores are put on people's levels first.
    """

    fusion: FusionName = "harmonic"
    bystander_coef: float = 0.5
    length_penalty: float = 0.0
    length_limit: int = 768
    tokenizer: str = "cl100k_base"
    weights: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(EMPATHY, 1.0))
    score: ScoreMode = "mode"
    calibration: Leveller | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """
    Hold one line of `rewards.jsonl`: one supporter turn as one judge under one set of settings sees it.

    `reward` and its parts are None where a score they need is missing; `missing` says which and why.
    `reward_low` and `reward_high` are what it could be at worst and at best.
    """

    dialogue_id: str
    system: str
    turn: int
    judge: str
    settings: str
    reward: float | None
    reward_low: float
    reward_high: float
    empathy: float | None
    bystander_term: float | None
    length_term: float
    resonation: float | None
    expression: float | None
    reception: float | None
    bystander: float | None
    missing: Mapping[str, str]
    completion_tokens: int | None = None
    caveat: str | None = None


def empathy_of(scores: Sequence[float], fusion: FusionName, weights: Sequence[float] = ()) -> float:
    """Fuse scores on the scale of 1 to 5 into a number between 0.2 and 1."""
    shares = [score / TOP for score in scores]
    match fusion:
        case "harmonic":
            return len(shares) / sum(1 / share for share in shares)
        case "geometric":
            return math.prod(shares) ** (1 / len(shares))
        case "mean":
            return sum(shares) / len(shares)
        case "weighted-mean":
            return sum(w * share for w, share in zip(weights, shares, strict=True)) / sum(weights)


def bystander_term(score: float, coefficient: float) -> float:
    """Return what the bystander's sum of 0 to 100 takes off: between minus the coefficient and 0."""
    return coefficient * (score / 100 - 1)


def length_term(completion_tokens: int, recipe: Recipe) -> float:
    """Return what the tokens over the limit take off."""
    return -recipe.length_penalty * max(0, completion_tokens - recipe.length_limit)


def read_weights(text: str) -> dict[str, float]:
    """Read `resonation=1,expression=2,reception=1`; raise `SettingsError` unless all three are positive numbers."""
    weights: dict[str, float] = {}
    for pair in text.split(","):
        name, _, number = pair.partition("=")
        try:
            weights[name.strip()] = float(number)
        except ValueError:
            weights[name.strip()] = math.nan
    good = set(weights) == set(EMPATHY) and all(0 < weight < math.inf for weight in weights.values())
    if not good:
        raise SettingsError(f"--weights: {text!r} found, expected {','.join(f'{name}=NUMBER' for name in EMPATHY)}")
    return weights


def rewards_of(
    ratings: Iterable[Rating | Outcome],
    recipe: Recipe,
    lengths: Lengths | None = None,
    caveats: Mapping[str, str] | None = None,
) -> Iterator[Reward]:
    """
    Fuse ratings into rewards, one a supporter turn, judge and settings, whose ratings must stand together.

    Of ratings for the same question and sample the last one counts. `lengths` gives the tokens of a dialogue's
    turn (`dialogue_id`, `system`, `turn`); it is needed for a length penalty only. `caveats` says of settings
    by their id what their judge is not worth; which dimensions a calibration leaves as they are is said as well.
    """
    said: dict[tuple[str, str], str | None] = {}
    for cell, group in groupby(ratings, _cell):
        outcomes = {(each.dimension, each.sample): (each.status, each.score) for each in group}
        judge, settings = cell[3:]
        if (judge, settings) not in said:
            known = (caveats or {}).get(settings)
            said[judge, settings] = "; ".join(filter(None, (known, _left_raw(judge, settings, recipe)))) or None
        yield _reward(cell, outcomes, recipe, lengths, said[judge, settings])


def unrated(judge: str, settings: str, recipe: Recipe, lengths: Lengths | None, caveat: str | None) -> Reward:
    """Return what is known of a reply that nobody has rated: the lowest and the highest reward it could have."""
    return _reward(("", "", 0, judge, settings), {}, recipe, lengths, caveat)


_cell = attrgetter("dialogue_id", "system", "turn", "judge", "settings")
_Cell = tuple[str, str, int, str, str]
_Outcome = tuple[Status, float | None]


def _reward(
    cell: _Cell,
    outcomes: Mapping[tuple[str, int], _Outcome],
    recipe: Recipe,
    lengths: Lengths | None,
    caveat: str | None,
) -> Reward:
    dialogue_id, system, turn, judge, settings = cell
    given: dict[str, list[_Outcome]] = {}
    for (dimension, _), outcome in outcomes.items():
        given.setdefault(dimension, []).append(outcome)
    scores: dict[str, float | None] = {name: _one_score(given.get(name, ()), recipe.score) for name in DIMENSIONS}
    if recipe.calibration:
        level = recipe.calibration.level
        scores = {
            name: score if score is None else level(judge, settings, name, score) for name, score in scores.items()
        }
    missing: dict[str, str] = {
        name: given[name][0][0] if name in given else "not rated" for name in DIMENSIONS if scores[name] is None
    }
    tokens = lengths(dialogue_id, system, turn) if lengths and recipe.length_penalty else None
    low = _total(_filled(scores, 0), recipe, tokens)
    high = _total(_filled(scores, 1), recipe, tokens) if missing else low
    needed = set(EMPATHY) | ({"bystander"} if recipe.bystander_coef else set())
    empathy = [score for name in EMPATHY if (score := scores[name]) is not None]
    seen_by = scores["bystander"]
    return Reward(
        dialogue_id=dialogue_id,
        system=system,
        turn=turn,
        judge=judge,
        settings=settings,
        reward=None if needed & missing.keys() else low,
        reward_low=low,
        reward_high=high,
        empathy=None if len(empathy) < len(EMPATHY) else empathy_of(empathy, recipe.fusion, _weights(recipe)),
        bystander_term=None if seen_by is None else bystander_term(seen_by, recipe.bystander_coef),
        length_term=0.0 if tokens is None else length_term(tokens, recipe),
        resonation=scores["resonation"],
        expression=scores["expression"],
        reception=scores["reception"],
        bystander=seen_by,
        missing=missing,
        completion_tokens=tokens,
        caveat=caveat,
    )


def _left_raw(judge: str, settings: str, recipe: Recipe) -> str | None:
    """Say which dimensions a calibration leaves as they are."""
    if recipe.calibration is None:
        return None
    known = recipe.calibration.knows(judge, settings)
    raw = [name for name in DIMENSIONS if name not in known]
    if len(raw) == len(DIMENSIONS):
        return f"not calibrated: the calibration has nothing for {judge} as it was asked"
    return f"not calibrated on {', '.join(raw)}" if raw else None


def _one_score(outcomes: Sequence[_Outcome], mode: ScoreMode) -> float | None:
    """Return one score for all samples: their mean, or in `mode` the most frequent, the lower one of a tie."""
    scores = [score for _, score in outcomes if score is not None]
    if len(scores) < 2:  # noqa: PLR2004 - there is nothing to choose from
        return scores[0] if scores else None
    if mode != "mode":
        return fmean(scores)
    counts = Counter(scores)
    return min(counts, key=lambda score: (-counts[score], score))


def _filled(scores: Mapping[str, float | None], end: int) -> dict[str, float]:
    """Put the lowest (0) or highest (1) possible score where one is missing."""
    return {name: BOUNDS[name][end] if score is None else score for name, score in scores.items()}


def _total(scores: Mapping[str, float], recipe: Recipe, tokens: int | None) -> float:
    empathy = empathy_of([scores[name] for name in EMPATHY], recipe.fusion, _weights(recipe))
    taken = bystander_term(scores["bystander"], recipe.bystander_coef)
    return empathy + taken + (0.0 if tokens is None else length_term(tokens, recipe))


def _weights(recipe: Recipe) -> list[float]:
    return [recipe.weights[name] for name in EMPATHY]
