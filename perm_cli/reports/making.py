"""How the numbers of a report are made: the reward's formula and range, and the wording of the rubrics."""

from collections.abc import Iterable, Iterator, Sequence

from perm_cli.prompts.rubrics import ITEM_RANGE, Wording, Wordings
from perm_cli.reports.figures import listed, number
from perm_cli.reports.page import Fact, Table
from perm_cli.rewards.reward import BOUNDS, TOP, Recipe, unrated
from perm_cli.words import EMPATHY, ScoreMode

_FUSIONS = {
    "harmonic": "harmonic mean",
    "mean": "mean",
    "weighted-mean": "weighted mean",
    "geometric": "geometric mean",
}
_MODES = {
    "mode": "as the judge states it; of several samples the most frequent",
    "expected": "the mean of all levels, weighed by the judge's log-probabilities",
    "mean": "the mean of all samples",
}


def formula(recipe: Recipe) -> str:
    """Return the reward as a formula over the names of the scores."""
    said = f"reward = {_fused(recipe)}"
    if recipe.bystander_coef:
        said += f" + {recipe.bystander_coef:g} × (bystander / {BOUNDS['bystander'][1]:g} − 1)"
    if recipe.length_penalty:
        said += f" − {recipe.length_penalty:g} × max(0, tokens − {recipe.length_limit})"
    return said


def _fused(recipe: Recipe) -> str:
    match recipe.fusion:
        case "harmonic":
            return f"{len(EMPATHY)} / ({' + '.join(f'{TOP:g} / {name}' for name in EMPATHY)})"
        case "geometric":
            return f"({' × '.join(EMPATHY)}) ^ (1 / {len(EMPATHY)}) / {TOP:g}"
        case "mean":
            return f"({' + '.join(EMPATHY)}) / {TOP * len(EMPATHY):g}"
        case "weighted-mean":
            terms = " + ".join(f"{recipe.weights[name]:g} × {name}" for name in EMPATHY)
            return f"({terms}) / {TOP * sum(recipe.weights[name] for name in EMPATHY):g}"


def ends_of(recipe: Recipe) -> tuple[float, float]:
    """Return the lowest and the highest reward, what length takes off left aside."""
    reward = unrated("", "", recipe, None, None)
    return reward.reward_low, reward.reward_high


def recipe_facts(recipe: Recipe, modes: Iterable[ScoreMode]) -> Iterator[Fact]:
    """Yield how scores become a reward."""
    low, high = (number(end, 3, signed=True) for end in ends_of(recipe))
    yield Fact(name="Formula", value=formula(recipe))
    yield Fact(name="Range", value=f"{low} to {high}" + ", less what length takes off" * bool(recipe.length_penalty))
    yield Fact(name="Fusion", value=f"{_FUSIONS[recipe.fusion]} of {listed([f'{name}/{TOP:g}' for name in EMPATHY])}")
    if recipe.fusion == "weighted-mean":
        yield Fact(name="Weights", value=", ".join(f"{name} {recipe.weights[name]:g}" for name in EMPATHY))
    yield Fact(name="Bystander", value=_on_bystander(recipe))
    yield Fact(name="Length", value=_on_length(recipe))
    yield Fact(name="Score of a dimension", value="; ".join(_MODES[mode] for mode in dict.fromkeys(modes)))
    calibrated = "put on people's levels first, as far as the calibration knows the judge"
    yield Fact(name="Calibration", value=calibrated if recipe.calibration else "none: scores are the judge's own")


def _on_bystander(recipe: Recipe) -> str:
    if not recipe.bystander_coef:
        return "not in the reward (coefficient 0)"
    return f"coefficient {recipe.bystander_coef:g}: its 0 to 100 take off {recipe.bystander_coef:g} to 0"


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
    low, high = ITEM_RANGE
    if wording.items:
        rows: list[Sequence[str]] = [[item, *words] for item, words in wording.items.items()]
        return Table(caption=asked, columns=["item", "question", f"{low} is", f"{high} is"], rows=rows)
    return Table(caption=asked, columns=["level", "means"], rows=[list(each) for each in wording.levels.items()])
