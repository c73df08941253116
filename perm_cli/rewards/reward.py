"""
The reward: scores on several dimensions and the length, fused into one number per supporter turn.

The pack says which dimensions are fused and which are penalty terms. The formulas are PERM's (arXiv 2601.10532, section
on reward modeling, and its released code), where `share` is a score divided by the highest one of its scale:

    empathy = n / Σ(1 / share), the harmonic mean of the fused shares    (also: mean, weighted-mean, geometric)
    term    = c · (share - 1), for each dimension that is a penalty term
    length  = -p · max(0, t - 768)                                        p = 0.001, off unless asked for
    reward  = empathy + terms + length

A missing score is never guessed: the record then has the lowest and highest reward that it allows.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from statistics import fmean
from typing import Any, Protocol

from perm_cli.errors import SettingsError
from perm_cli.prompts.rubrics import Dimension, Pack, default_pack
from perm_cli.ratings.ledger import Outcome
from perm_cli.ratings.rating import Rating
from perm_cli.words import FusionName, ScoreMode, Status

Lengths = Callable[[str, str, int], int]


class Calibrator(Protocol):
    """A map from a judge's scores to people's levels, such as `calibration.Calibration`."""

    def calibrated(self, judge: str, settings: str) -> Sequence[str]:
        """Return the dimensions that it maps for a judge under these settings."""

    def check(self, bounds: Mapping[str, tuple[float, float]]) -> None:
        """Raise `SettingsError` if a mapped score can be outside `bounds`, the scale of its dimension."""

    def level(self, judge: str, settings: str, dimension: str, score: float) -> float:
        """Return the score mapped to people's levels, unchanged if the dimension is not mapped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """
    The user's choices of how scores become a reward; the pack decides the rest.

    `fusion`, `coefficients` (of the terms) and `weights` (of the fused dimensions) override the pack's. A coefficient
    of 0 leaves its dimension out, so that the reward does not need its score. `length_penalty` is the cost of each
    token over `length_limit`; 0 leaves the length out. A `calibration` maps scores to people's levels first.
    """

    fusion: FusionName | None = None
    coefficients: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    length_penalty: float = 0.0
    length_limit: int = 768
    tokenizer: str = "cl100k_base"
    score: ScoreMode = "mode"
    calibration: Calibrator | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """
    The formula by which the scores of one pack become a reward.

    `weights` are those of the `fused` dimensions, in the same order; `terms` has the coefficient of each penalty term
    by dimension.
    """

    dimensions: Mapping[str, Dimension]
    fused: Sequence[str]
    fusion: FusionName
    weights: Sequence[float]
    terms: Mapping[str, float]

    @property
    def needed(self) -> set[str]:
        """Return the dimensions whose scores the reward needs."""
        return {*self.fused, *(name for name, coefficient in self.terms.items() if coefficient)}

    @property
    def ends(self) -> tuple[float, float]:
        """Return the lowest and the highest reward, without the length term."""
        lowest, highest = ({name: each.bounds[end] for name, each in self.dimensions.items()} for end in (0, 1))
        return self.total(lowest), self.total(highest)

    def empathy(self, scores: Mapping[str, float]) -> float:
        """Return the fused dimensions as one number between 0 and 1."""
        shares = [self.dimensions[name].share_of(scores[name]) for name in self.fused]
        return empathy_of(shares, self.fusion, self.weights)

    def term(self, name: str, score: float) -> float:
        """Return the penalty term of one dimension, at most 0."""
        return term_of(self.dimensions[name].share_of(score), self.terms[name])

    def total(self, scores: Mapping[str, float]) -> float:
        """Return the reward of a complete set of scores, without the length term."""
        return self.empathy(scores) + sum(self.term(name, scores[name]) for name in self.terms)


def formula_of(pack: Pack, recipe: Recipe) -> Formula:
    """Return the formula of a pack with a recipe; raise `SettingsError` if the recipe does not fit the pack."""
    rule = pack.reward
    terms = {term.of: term.coefficient for term in rule.terms}
    if unknown := next((name for name in recipe.coefficients if name not in terms), None):
        expected = f"one of {', '.join(terms)}" if terms else "no coefficient"
        raise SettingsError(f"--coef: {unknown!r} found, expected {expected} for the reward of {pack.name}")
    fusion = recipe.fusion or rule.empathy.by
    if recipe.weights and fusion != "weighted-mean":
        raise SettingsError(f"--weights cannot be used with the fusion {fusion}; add --fusion weighted-mean")
    if recipe.weights and set(recipe.weights) != set(rule.empathy.of):
        found = ",".join(f"{name}={weight:g}" for name, weight in recipe.weights.items())
        expected = ",".join(f"{name}=NUMBER" for name in rule.empathy.of)
        raise SettingsError(f"--weights: {found!r} found, expected {expected}")
    if recipe.calibration:
        recipe.calibration.check({name: each.bounds for name, each in pack.dimensions.items()})
    return Formula(
        dimensions=pack.dimensions,
        fused=rule.empathy.of,
        fusion=fusion,
        weights=[recipe.weights.get(name, 1.0) for name in rule.empathy.of],
        terms={**terms, **recipe.coefficients},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """
    The reward of one supporter turn from one judge under one set of settings.

    `reward` and its parts are None if a score that they need is missing; `missing` says which and why. `terms` has the
    penalty terms by dimension, `scores` the score on each dimension. `reward_low` and `reward_high` are the lowest and
    highest reward that is possible.
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
    terms: Mapping[str, float | None]
    length_term: float
    scores: Mapping[str, float | None]
    missing: Mapping[str, str]
    completion_tokens: int | None = None
    caveat: str | None = None

    @property
    def parts(self) -> dict[str, float | None]:
        """Return the parts of the reward by the names of their columns."""
        terms = {f"{name}_term": taken for name, taken in self.terms.items()}
        return {"empathy": self.empathy, **terms, "length_term": self.length_term}

    def record(self) -> dict[str, Any]:
        """Return the line of `rewards.jsonl`, with one column per dimension."""
        return {
            "dialogue_id": self.dialogue_id,
            "system": self.system,
            "turn": self.turn,
            "judge": self.judge,
            "settings": self.settings,
            "reward": self.reward,
            "reward_low": self.reward_low,
            "reward_high": self.reward_high,
            **self.parts,
            **self.scores,
            "missing": self.missing,
            "completion_tokens": self.completion_tokens,
            "caveat": self.caveat,
        }


def empathy_of(shares: Sequence[float], fusion: FusionName, weights: Sequence[float] = ()) -> float:
    """Return the mean of shares between 0 and 1; the harmonic and geometric means are 0 if one of the shares is."""
    match fusion:
        case "harmonic":
            return len(shares) / sum(1 / share for share in shares) if all(shares) else 0.0
        case "geometric":
            return math.prod(shares) ** (1 / len(shares))
        case "mean":
            return sum(shares) / len(shares)
        case "weighted-mean":
            return sum(w * share for w, share in zip(weights, shares, strict=True)) / sum(weights)


def term_of(share: float, coefficient: float) -> float:
    """Return the penalty of a share, from minus the coefficient to 0."""
    return coefficient * (share - 1)


def length_term(completion_tokens: int, recipe: Recipe) -> float:
    """Return the penalty for the tokens over the limit, at most 0."""
    return -recipe.length_penalty * max(0, completion_tokens - recipe.length_limit)


def read_weights(text: str) -> dict[str, float]:
    """Return the positive weights in `NAME=1,NAME=2` by dimension; raise `SettingsError` for anything else."""
    weights = read_numbers(text)
    if not all(0 < weight < math.inf for weight in weights.values()):
        raise SettingsError(f"--weights: {text!r} found, expected DIMENSION=NUMBER,… with numbers above 0")
    return weights


def read_coefficients(text: str) -> dict[str, float]:
    """Return the coefficients in `NAME=0.5` by dimension; raise `SettingsError` for anything else."""
    coefficients = read_numbers(text)
    if not all(0 <= coefficient <= _LARGEST for coefficient in coefficients.values()):
        raise SettingsError(f"--coef: {text!r} found, expected DIMENSION=NUMBER,… with numbers from 0 to {_LARGEST}")
    return coefficients


def read_numbers(text: str) -> dict[str, float]:
    """Return the numbers in `NAME=NUMBER,…` by name, NaN for anything that is not a number."""
    numbers: dict[str, float] = {}
    for pair in text.split(","):
        name, _, number = pair.partition("=")
        try:
            numbers[name.strip()] = float(number)
        except ValueError:
            numbers[name.strip()] = math.nan
    return numbers


_LARGEST = 100


def rewards_of(
    ratings: Iterable[Rating | Outcome],
    recipe: Recipe,
    lengths: Lengths | None = None,
    caveats: Mapping[str, str] | None = None,
    packs: Mapping[str, Pack] | None = None,
) -> Iterator[Reward]:
    """
    Yield the rewards of ratings, one per supporter turn, judge and settings; ratings of one reward must be adjacent.

    Of ratings for the same question and sample the last one counts. `lengths` returns the tokens of a turn (by
    `dialogue_id`, `system`, `turn`) and is needed only for a length penalty. `caveats` has the limits of judges by
    settings id; a reward's caveat also names the dimensions that a calibration leaves unchanged. `packs` has the packs
    by settings id; settings without one use the default pack.
    """
    said: dict[tuple[str, str], str | None] = {}
    formulas: dict[str, Formula] = {}
    for cell, group in groupby(ratings, _cell):
        outcomes = {(each.dimension, each.sample): (each.status, each.score) for each in group}
        judge, settings = cell[3:]
        if settings not in formulas:
            formulas[settings] = formula_of((packs or {}).get(settings) or default_pack(), recipe)
        formula = formulas[settings]
        if (judge, settings) not in said:
            known = (caveats or {}).get(settings)
            raw = _left_raw(judge, settings, recipe, formula)
            said[judge, settings] = "; ".join(filter(None, (known, raw))) or None
        yield _reward(cell, outcomes, recipe, formula, lengths, said[judge, settings])


def unrated(
    judge: str, settings: str, recipe: Recipe, lengths: Lengths | None, caveat: str | None, pack: Pack | None = None
) -> Reward:
    """Return the reward of a reply without ratings, which has only its lowest and highest possible value."""
    formula = formula_of(pack or default_pack(), recipe)
    return _reward(("", "", 0, judge, settings), {}, recipe, formula, lengths, caveat)


_cell = attrgetter("dialogue_id", "system", "turn", "judge", "settings")
_Cell = tuple[str, str, int, str, str]
_Outcome = tuple[Status, float | None]


def _reward(
    cell: _Cell,
    outcomes: Mapping[tuple[str, int], _Outcome],
    recipe: Recipe,
    formula: Formula,
    lengths: Lengths | None,
    caveat: str | None,
) -> Reward:
    dialogue_id, system, turn, judge, settings = cell
    given: dict[str, list[_Outcome]] = {}
    for (dimension, _), outcome in outcomes.items():
        given.setdefault(dimension, []).append(outcome)
    scores = {name: _one_score(given.get(name, ()), recipe.score) for name in formula.dimensions}
    if recipe.calibration:
        level = recipe.calibration.level
        scores = {
            name: score if score is None else level(judge, settings, name, score) for name, score in scores.items()
        }
    missing: dict[str, str] = {
        name: given[name][0][0] if name in given else "not rated" for name, score in scores.items() if score is None
    }
    tokens = lengths(dialogue_id, system, turn) if lengths and recipe.length_penalty else None
    taken = 0.0 if tokens is None else length_term(tokens, recipe)
    # The reward rises with every score, so the ends of the scales give its bounds.
    worst = _filled(scores, formula, 0)
    low = formula.total(worst) + taken
    high = formula.total(_filled(scores, formula, 1)) + taken if missing else low
    return Reward(
        dialogue_id=dialogue_id,
        system=system,
        turn=turn,
        judge=judge,
        settings=settings,
        reward=None if formula.needed & missing.keys() else low,
        reward_low=low,
        reward_high=high,
        empathy=None if missing.keys() & set(formula.fused) else formula.empathy(worst),
        terms={name: None if name in missing else formula.term(name, worst[name]) for name in formula.terms},
        length_term=taken,
        scores=scores,
        missing=missing,
        completion_tokens=tokens,
        caveat=caveat,
    )


def _left_raw(judge: str, settings: str, recipe: Recipe, formula: Formula) -> str | None:
    """Return a caveat that names the dimensions that a calibration leaves unchanged, None if there are none."""
    if recipe.calibration is None:
        return None
    known = recipe.calibration.calibrated(judge, settings)
    raw = [name for name in formula.dimensions if name not in known]
    if len(raw) == len(formula.dimensions):
        return f"not calibrated: the calibration has nothing for {judge} as it was asked"
    return f"not calibrated on {', '.join(raw)}" if raw else None


def _one_score(outcomes: Sequence[_Outcome], mode: ScoreMode) -> float | None:
    """Return one score for all samples: their mean, or in `mode` the most frequent, the lowest in a tie."""
    scores = [score for _, score in outcomes if score is not None]
    if len(scores) < 2:  # noqa: PLR2004 - there is nothing to choose from
        return scores[0] if scores else None
    if mode != "mode":
        return fmean(scores)
    counts = Counter(scores)
    return min(counts, key=lambda score: (-counts[score], score))


def _filled(scores: Mapping[str, float | None], formula: Formula, end: int) -> dict[str, float]:
    """Return the scores with missing ones replaced by the lowest (`end` 0) or highest (`end` 1) possible score."""
    return {name: formula.dimensions[name].bounds[end] if score is None else score for name, score in scores.items()}
