"""Biases of judges: halo across dimensions, correlation with counted features, and self-preference by model family."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from perm_cli.comparing.table import Rated, Scores
from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.features import NAMES, as_row, features_by_turn
from perm_cli.statistics.agreement import spearman
from perm_cli.statistics.means import mean_of, none_if_nan, row_means
from perm_cli.statistics.resampling import Floats, Resamples, Statistic, divided, statistic


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """
    Discriminant validity of a rater, from Spearman's rho (multitrait-multimethod, Campbell and Fiske 1959).

    `halo` is the mean rho between its own dimensions, `first_share` the share of their variance on the first principal
    component. `convergent` is the mean rho with other judges on the same dimension, `discriminant` on different ones:
    a rater that distinguishes the dimensions has a higher convergent than discriminant value.
    """

    rater: str
    halo: float | None
    first_share: float | None
    convergent: float | None
    discriminant: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureCorrelations:
    """
    Correlations of a rater's scores with features counted in the replies (Spearman's rho per feature).

    `own_family` is self-preference as a difference of differences, in points of the scale: how much higher the rater
    scores systems of its own family than the other judges do, minus the same for all other systems.
    """

    rater: str
    features: Mapping[str, float | None]
    own_family: Statistic


def structures(scores: Scores, dimensions: Sequence[str]) -> list[Structure]:
    """Return the structure of every rater, or nothing for fewer than two dimensions."""
    if len(dimensions) < 2:  # noqa: PLR2004 - see above
        return []
    columns = {(rater, name): scores.of(name, [rater])[:, 0] for rater in scores.raters for name in dimensions}
    rho = {
        (first, second): spearman(np.stack((columns[first], columns[second]), axis=1))
        for place, first in enumerate(columns)
        for second in list(columns)[place + 1 :]
    }
    return [_structure(rater, scores, dimensions, rho) for rater in scores.raters]


def feature_table(items: Sequence[Rated], dialogues: Iterable[Dialogue]) -> Floats:
    """
    Return the counted features of each item: (item, feature) in the order of `NAMES`, NaN where the text is unknown.

    An item that is a whole dialogue has the mean over its supporter turns.
    """
    rows: dict[Rated, list[float]] = {}
    for dialogue in dialogues:
        turns = {turn: as_row(each) for turn, each in features_by_turn(dialogue).items()}
        rows |= {Rated(dialogue.id, dialogue.system, turn): row for turn, row in turns.items()}
        if turns:
            rows[Rated(dialogue.id, dialogue.system)] = np.mean(list(turns.values()), axis=0).tolist()
    unknown = [np.nan] * len(NAMES)
    return np.array([rows.get(item, unknown) for item in items], dtype=float).reshape(len(items), len(NAMES))


def feature_correlations(
    scores: Scores, dimension: str, features: Floats, resamples: Resamples
) -> list[FeatureCorrelations]:
    """Return the correlations of every rater's scores on one dimension with `features`, (item, feature)."""
    found = []
    for rater in scores.raters:
        column = scores.of(dimension, [rater])
        rho = [spearman(np.hstack((column, features[:, [place]]))) for place in range(len(NAMES))]
        by_feature = {name: none_if_nan(each) for name, each in zip(NAMES, rho, strict=True)}
        found.append(
            FeatureCorrelations(
                rater=rater, features=by_feature, own_family=_own_family(scores, dimension, rater, resamples)
            )
        )
    return found


_FAMILIES: Mapping[str, re.Pattern[str]] = {
    name: re.compile(rf"(?<![a-z])(?:{words})", re.IGNORECASE)
    for name, words in {
        "OpenAI": r"gpt|openai|chatgpt|o[134](?![a-z0-9])",
        "Anthropic": "claude|anthropic",
        "Google": "gemini|gemma|google|palm",
        "Meta": "llama|meta",
        "Alibaba": "qwen|qwq",
        "DeepSeek": "deepseek",
        "Mistral": "mistral|mixtral|ministral|magistral",
        "xAI": "grok|xai",
        "Microsoft": "phi-",
        "Cohere": "command|cohere|aya",
        "Zhipu": "glm|chatglm",
        "Moonshot": "kimi|moonshot",
    }.items()
}


def family_of(model: str) -> str | None:
    """Return the maker of a model by its name, None if the name shows none or several."""
    last = model.rsplit("/", 1)[-1]  # in front of it stands the provider, which may serve models of any maker
    found = [name for name, words in _FAMILIES.items() if words.search(last)]
    return found[0] if len(found) == 1 else None  # a distilled model, say, names two families


def _own_family(scores: Scores, dimension: str, rater: str, resamples: Resamples) -> Statistic:
    """Return own scores minus the other judges', for systems of the rater's family minus the same for the rest."""
    family = family_of(rater)
    others = [judge for judge in scores.judges if judge != rater]
    names, systems = scores.systems
    own = np.array([family is not None and family_of(name) == family for name in names])[systems]
    if rater in scores.people or not others or not own.any() or own.all():
        return Statistic(
            value=None, why="it needs another judge, and systems both inside and outside the judge's model family"
        )
    apart = scores.of(dimension, [rater])[:, 0] - row_means(scores.of(dimension, others))
    given = ~np.isnan(apart)
    parts = [given & own, given & ~own]
    columns = [np.where(part, np.nan_to_num(apart), 0.0) for part in parts] + [part.astype(float) for part in parts]
    sums = resamples.sums(np.stack(columns, axis=1))

    def gap(weights: Floats) -> Floats:
        drawn = weights @ sums
        return (divided(drawn[:, 0], drawn[:, 2]) - divided(drawn[:, 1], drawn[:, 3]))[:, None]

    low, high = resamples.interval(gap)
    return statistic(gap(np.ones((1, resamples.count)))[0, 0], low[0], high[0], "too few dialogues")


def _structure(
    rater: str,
    scores: Scores,
    dimensions: Sequence[str],
    rho: Mapping[tuple[tuple[str, str], tuple[str, str]], float],
) -> Structure:
    def of(first: tuple[str, str], second: tuple[str, str]) -> float:
        return rho[first, second] if (first, second) in rho else rho[second, first]

    own = np.eye(len(dimensions))
    for i, first in enumerate(dimensions):
        for j in range(i + 1, len(dimensions)):
            own[i, j] = own[j, i] = of((rater, first), (rater, dimensions[j]))
    others = [judge for judge in scores.judges if judge != rater]
    same = [of((rater, name), (other, name)) for other in others for name in dimensions]
    different = [
        of((rater, name), (other, unlike))
        for other in others
        for name in dimensions
        for unlike in dimensions
        if unlike != name
    ]
    whole = not np.isnan(own).any()  # eigenvalues need the full matrix of correlations
    return Structure(
        rater=rater,
        halo=mean_of(own[np.triu_indices(len(dimensions), 1)]),
        first_share=float(np.linalg.eigvalsh(own)[-1] / len(dimensions)) if whole else None,
        convergent=mean_of(same),
        discriminant=mean_of(different),
    )
