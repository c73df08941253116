"""
Rewards: one judge's ratings of a supporter turn, fused by the formula of their pack.

A missing score is never guessed: the record then has the lowest and highest reward that it allows.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from statistics import fmean
from typing import Any

from perm_cli.prompts.rubrics import Pack, default_pack
from perm_cli.ratings.ledger import Outcome
from perm_cli.ratings.rating import Rating
from perm_cli.rewards.formula import Formula, Recipe, formula_of, length_term
from perm_cli.words import ScoreMode, Status

Lengths = Callable[[str, str, int], int]


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
    # Both are found once: a run has few settings and may have millions of turns.
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
        # A score that no part of the reward uses may be missing.
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
    # The lowest in a tie, as the prompts ask of a judge that hesitates between two levels.
    return min(counts, key=lambda score: (-counts[score], score))


def _filled(scores: Mapping[str, float | None], formula: Formula, end: int) -> dict[str, float]:
    """Return the scores with missing ones replaced by the lowest (`end` 0) or highest (`end` 1) possible score."""
    return {name: formula.dimensions[name].bounds[end] if score is None else score for name, score in scores.items()}
