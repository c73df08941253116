"""How the numbers of a report are made: the reward's formula and range, and the wording of the rubrics."""

from collections.abc import Iterable, Iterator

from perm_cli.prompts.rubrics import Wording, Wordings
from perm_cli.reports.figures import listed, number
from perm_cli.reports.page import Fact, Table
from perm_cli.rewards.formula import Formula, Recipe
from perm_cli.words import ScoreMode

_MODES = {
    "mode": "as the judge states it; of several samples the most frequent",
    "expected": "the mean of all levels, weighed by the judge's log-probabilities",
    "mean": "the mean of all samples",
}


def recipe_facts(formula: Formula, recipe: Recipe, modes: Iterable[ScoreMode]) -> Iterator[Fact]:
    """Yield how scores become a reward."""
    low, high = (number(end, 3, signed=True) for end in formula.ends)
    yield Fact(name="Formula", value=formula.text(recipe))
    yield Fact(name="Range", value=f"{low} to {high}" + ", less what length takes off" * bool(recipe.length_penalty))
    shares = [formula.share_text(name).replace(" / ", "/") for name in formula.fused]
    mean = formula.fusion.replace("-", " ").removesuffix("mean").strip()
    yield Fact(name="Fusion", value=f"{mean} mean of {listed(shares)}".lstrip())
    if formula.fusion == "weighted-mean":
        weights = zip(formula.fused, formula.weights, strict=True)
        yield Fact(name="Weights", value=", ".join(f"{name} {weight:g}" for name, weight in weights))
    for name in formula.terms:
        yield Fact(name=name.capitalize(), value=_on_term(formula, name))
    yield Fact(name="Length", value=_on_length(recipe))
    yield Fact(name="Score of a dimension", value="; ".join(_MODES[mode] for mode in dict.fromkeys(modes)))
    calibrated = "put on people's levels first, as far as the calibration knows the judge"
    yield Fact(name="Calibration", value=calibrated if recipe.calibration else "none: scores are the judge's own")


def _on_term(formula: Formula, name: str) -> str:
    coefficient, (low, high) = formula.terms[name], formula.dimensions[name].bounds
    if not coefficient:
        return "not in the reward (coefficient 0)"
    most, least = (-formula.term(name, end) for end in (low, high))
    return f"coefficient {coefficient:g}: its {low:g} to {high:g} take off {most:g} to {max(least, 0):g}"


def _on_length(recipe: Recipe) -> str:
    if not recipe.length_penalty:
        return "takes nothing off (penalty 0)"
    return (
        f"takes off {recipe.length_penalty:g} for each token over {recipe.length_limit}, as {recipe.tokenizer} counts"
    )


def wording_tables(wordings: Iterable[Wordings]) -> Iterator[Table]:
    """Yield a table of levels or items for each dimension, each wording once."""
    seen: list[tuple[str, Wording]] = []
    for dimensions in wordings:
        for name, wording in dimensions.items():
            if (name, wording) not in seen:
                seen.append((name, wording))
                yield _table(wording)


def _table(wording: Wording) -> Table:
    asked = f"{wording.title} ({wording.perspective}): {wording.question}" if wording.perspective else wording.question
    return Table(caption=asked, columns=list(wording.columns), rows=list(wording.rows))
