"""
The formula of the reward: scores on several dimensions and the length, fused into one number.

The pack says which dimensions are fused and which are penalty terms. The formulas are PERM's (arXiv 2601.10532, section
on reward modeling, and its released code), where `share` is a score divided by the highest one of its scale:

    empathy = n / Σ(1 / share), the harmonic mean of the fused shares    (also: mean, weighted-mean, geometric)
    term    = c · (share - 1), for each dimension that is a penalty term
    length  = -p · max(0, t - 768)                                        p = 0.001, off unless asked for
    reward  = empathy + terms + length

Each formula is here once as arithmetic and once as text, so that they stay the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from perm_cli.errors import SettingsError
from perm_cli.prompts.rubrics import Dimension, Pack
from perm_cli.words import FusionName, ScoreMode

_LARGEST = 100


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

    def text(self, recipe: Recipe) -> str:
        """Return the reward as a formula over the names of the dimensions."""
        parts = [f"reward = {empathy_text(self)}"]
        parts += [f"{part:g} × ({self.share_text(name)} − 1)" for name, part in self.terms.items() if part]
        if recipe.length_penalty:
            return f"{' + '.join(parts)} − {recipe.length_penalty:g} × max(0, tokens − {recipe.length_limit})"
        return " + ".join(parts)

    def share_text(self, name: str) -> str:
        """Return the formula by which a score becomes a share."""
        return " / ".join(_over(self.dimensions[name]))


def formula_of(pack: Pack, recipe: Recipe) -> Formula:
    """Return the formula of a pack with a recipe; raise `SettingsError` if the recipe does not fit the pack."""
    rule = pack.reward
    terms = {term.of: term.coefficient for term in rule.terms}
    if unknown := next((name for name in recipe.coefficients if name not in terms), None):
        expected = f"one of {', '.join(terms)}" if terms else "no coefficient"
        raise SettingsError(f"--coef: {unknown!r} found, expected {expected} for the reward of {pack.name}")
    fusion = recipe.fusion or rule.empathy.by
    if recipe.weights and fusion != "weighted-mean":  # any other mean would ignore them in silence
        raise SettingsError(f"--weights cannot be used with the fusion {fusion}; add --fusion weighted-mean")
    if recipe.weights and set(recipe.weights) != set(rule.empathy.of):
        found = ",".join(f"{name}={weight:g}" for name, weight in recipe.weights.items())
        expected = ",".join(f"{name}=NUMBER" for name in rule.empathy.of)
        raise SettingsError(f"--weights: {found!r} found, expected {expected}")
    if recipe.calibration:  # a level beyond the scale would make a share below 0 or above 1
        recipe.calibration.check({name: each.bounds for name, each in pack.dimensions.items()})
    return Formula(
        dimensions=pack.dimensions,
        fused=rule.empathy.of,
        fusion=fusion,
        weights=[recipe.weights.get(name, 1.0) for name in rule.empathy.of],
        terms={**terms, **recipe.coefficients},
    )


def empathy_of(shares: Sequence[float], fusion: FusionName, weights: Sequence[float] = ()) -> float:
    """Return the mean of shares between 0 and 1; the harmonic and geometric means are 0 if one of the shares is."""
    match fusion:
        case "harmonic":  # 0 is its limit as a share approaches 0
            return len(shares) / sum(1 / share for share in shares) if all(shares) else 0.0
        case "geometric":
            return math.prod(shares) ** (1 / len(shares))
        case "mean":
            return sum(shares) / len(shares)
        case "weighted-mean":
            return sum(w * share for w, share in zip(weights, shares, strict=True)) / sum(weights)


def empathy_text(formula: Formula) -> str:
    """Return the calculation of `empathy_of` as a formula over the names of the dimensions."""
    count, shares = len(formula.fused), [formula.share_text(name) for name in formula.fused]
    match formula.fusion:
        case "harmonic":
            inverse = (" / ".join(reversed(_over(formula.dimensions[name]))) for name in formula.fused)
            return f"{count} / ({' + '.join(inverse)})"
        case "geometric":
            return f"({' × '.join(shares)}) ^ (1 / {count})"
        case "mean":
            return f"({' + '.join(shares)}) / {count}"
        case "weighted-mean":
            terms = (f"{weight:g} × {share}" for weight, share in zip(formula.weights, shares, strict=True))
            return f"({' + '.join(terms)}) / {sum(formula.weights):g}"


def _over(dimension: Dimension) -> tuple[str, str]:
    """Return the numerator and the denominator of the share of a score, as text."""
    low, high = dimension.bounds
    if dimension.share == "top" or not low:
        return dimension.name, f"{high:g}"
    return f"({dimension.name} {'−' if low > 0 else '+'} {abs(low):g})", f"{high - low:g}"


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
