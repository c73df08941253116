"""
The summary of a run: means by system with intervals and coverage, and scores turn by turn for each dialogue.

A dialogue's value is the mean over its rated turns, a system's value the mean over its dialogues.
"""

import math
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from io import StringIO
from itertools import chain, groupby
from operator import attrgetter
from tempfile import TemporaryFile
from typing import Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from perm_cli.dialogues.files.cells import write_guarded
from perm_cli.prompts.rubrics import Pack, default_pack
from perm_cli.ratings.spending import Spending
from perm_cli.rewards.calibration import calibration_of
from perm_cli.rewards.formula import Recipe, formula_of
from perm_cli.rewards.reward import Reward
from perm_cli.statistics.contrasts import Contrasts, Difference, differences
from perm_cli.statistics.means import CHUNK_ROWS, chunked_means, mean_statistic
from perm_cli.statistics.resampling import Resamples, Statistic
from perm_cli.text import one_line

LISTED_DIALOGUES = 1000
_COEFFICIENT = "_coef"
_Rater = tuple[str, str]  # settings and judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """
    One measure of a system: a dimension, the reward or a part of it.

    `mean` is over the `dialogues` that have a value; `coverage` is the share of the turns that have one. `scale` is the
    lowest and highest score of a dimension.
    """

    name: str
    mean: Statistic
    dialogues: int
    coverage: float
    scale: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSummary:
    """
    The measures of one system from one judge under one set of settings.

    `reward_low` and `reward_high` are the mean reward if every missing score were the lowest or the highest.
    """

    system: str
    judge: str
    settings: str
    dialogues: int
    turns: int
    measures: Sequence[Measure]
    reward_low: float
    reward_high: float
    caveat: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """
    One dialogue: its mean reward, and its scores turn by turn on the pack's trajectory dimension.

    `scale` is the lowest and highest of these scores that is possible.
    """

    dialogue_id: str
    system: str
    judge: str
    settings: str
    reward: float | None
    dimension: str
    scores: Sequence[float | None]
    scale: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """
    The rewards of a run, summarised by system; `expected` is the number of ratings it should have.

    `contrasts` has the paired differences between systems' rewards per judge and settings. `trajectories` are those of
    the first thousand dialogues, `trajectories_left_out` is the number of the others.
    """

    run: str
    recipe: Recipe
    expected: int
    spending: Spending
    systems: Sequence[SystemSummary]
    trajectories: Sequence[Trajectory]
    trajectories_left_out: int = 0
    contrasts: Sequence[Contrasts] = ()

    @property
    def coverage(self) -> float:
        """Return the share of the expected ratings that have a score."""
        return self.spending.statuses["scored"] / self.expected if self.expected else 0.0

    @property
    def caveats(self) -> list[str]:
        """Return the caveats of the judges, each once."""
        return list(dict.fromkeys(system.caveat for system in self.systems if system.caveat))


def summarise(
    rewards: Iterable[Reward],
    spending: Spending,
    expected: int,
    run: str,
    recipe: Recipe,
    packs: Mapping[str, Pack] | None = None,
) -> Summary:
    """
    Return the summary of rewards, of which those of a system, and within it those of a dialogue, must be adjacent.

    `spending` is read after the last reward, since it may be filled while they are read. `expected` is the least number
    of ratings there should be. `packs` has the packs by settings id, as in `rewards_of`.
    """
    trajectories: list[Trajectory] = []
    systems = []
    values: dict[_Rater, dict[str, _Values]] = {}
    for (settings, judge, system), of_system in groupby(rewards, attrgetter("settings", "judge", "system")):
        pack = (packs or {}).get(settings) or default_pack()
        with _Tally(pack) as tally:
            for _, of_dialogue in groupby(of_system, attrgetter("dialogue_id")):
                turns = sorted(of_dialogue, key=attrgetter("turn"))
                tally.add(turns)
                trajectories += [_trajectory(turns, pack)] if len(trajectories) < LISTED_DIALOGUES else []
            systems.append(tally.summary())
            values.setdefault((settings, judge), {})[system] = tally.values
    contrasts = {rater: _contrasts(_named(rater, values), own) for rater, own in values.items()}
    return Summary(
        run=run,
        recipe=_in_full(recipe, packs or {"": default_pack()}),
        expected=max(expected, spending.rated),
        spending=spending,
        systems=_in_order(systems, contrasts),
        trajectories=trajectories,
        trajectories_left_out=sum(system.dialogues for system in systems) - len(trajectories),
        contrasts=[each for each in contrasts.values() if each.differences],
    )


def _in_full(recipe: Recipe, packs: Mapping[str, Pack]) -> Recipe:
    """Return the recipe completed by the pack's choices, unchanged if the packs differ in them."""
    if len({pack.shape for pack in packs.values()}) != 1:
        return recipe
    formula = formula_of(next(iter(packs.values())), recipe)
    weights = dict(zip(formula.fused, formula.weights, strict=True))
    return replace(recipe, fusion=formula.fusion, coefficients=dict(formula.terms), weights=weights)


def _named(rater: _Rater, raters: Collection[_Rater]) -> str:
    settings, judge = rater
    return judge if len(raters) == 1 else f"{judge} ({settings[:6]})"


def _contrasts(rater: str, values: Mapping[str, "_Values"]) -> Contrasts:
    """Return the differences between systems' rewards, paired over the dialogues for which both have a reward."""
    keys = np.unique(np.concatenate([np.asarray(own.dialogues) for own in values.values()]))
    grid = np.full((len(keys), len(values)), np.nan)
    for column, own in enumerate(values.values()):
        grid[np.searchsorted(keys, np.asarray(own.dialogues)), column] = own.rewards
    return Contrasts(
        rater=rater,
        systems=list(values),
        differences=differences(list(values), grid, Resamples(np.arange(len(keys)))),
    )


def _in_order(systems: Sequence[SystemSummary], contrasts: Mapping[_Rater, Contrasts]) -> list[SystemSummary]:
    """Return the systems of each judge and settings in the order of their paired differences."""
    order = {rater: each.in_order() for rater, each in contrasts.items()}

    def place(system: SystemSummary) -> tuple[str, str, int]:
        return system.settings, system.judge, order[system.settings, system.judge].index(system.system)

    return sorted(systems, key=place)


def _measures(reward: Reward) -> dict[str, float | None]:
    return {**reward.scores, **reward.parts, "reward": reward.reward}


@dataclass(frozen=True, slots=True)
class _Values:
    """The mean rewards of a system's dialogues, NaN if there is none, with a 64-bit hash of each dialogue's id."""

    dialogues: "array[int]" = field(default_factory=lambda: array("Q"))
    rewards: "array[float]" = field(default_factory=lambda: array("d"))


class _Tally:
    """Sums over the dialogues of one system; all values are kept in a file, since resampling needs every one."""

    def __init__(self, pack: Pack) -> None:
        self.values = _Values()
        self._pack = pack
        self._names: Sequence[str] = ()
        self._values = TemporaryFile()  # noqa: SIM115 - closed by the `with` block of the tally
        self._dialogues = self._turns = 0
        self._ends = [0.0, 0.0]
        self._present: Counter[str] = Counter()
        self._with_value: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._values.close()

    def add(self, turns: Sequence[Reward]) -> None:
        """Add a dialogue, given by its turns."""
        self._one = turns[0]
        self._names = list(_measures(turns[0]))
        self._dialogues += 1
        self._turns += len(turns)
        means = array("d")
        rows = [_measures(turn).values() for turn in turns]
        for name, column in zip(self._names, zip(*rows, strict=True), strict=True):
            given = [value for value in column if value is not None]
            self._present[name] += len(given)
            self._with_value[name] += bool(given)
            means.append(sum(given) / len(given) if given else math.nan)
        means.tofile(self._values)
        self.values.dialogues.frombytes(_hashed(turns[0].dialogue_id))
        self.values.rewards.append(means[-1])
        self._ends[0] += sum(turn.reward_low for turn in turns) / len(turns)
        self._ends[1] += sum(turn.reward_high for turn in turns) / len(turns)

    def summary(self) -> SystemSummary:
        """Return the summary of the system."""
        self._values.seek(0)
        means = chunked_means(self._chunks(), self._dialogues)
        return SystemSummary(
            system=self._one.system,
            judge=self._one.judge,
            settings=self._one.settings,
            dialogues=self._dialogues,
            turns=self._turns,
            measures=[self._measure(name, mean) for name, mean in zip(self._names, means, strict=True)],
            reward_low=self._ends[0] / self._dialogues,
            reward_high=self._ends[1] / self._dialogues,
            caveat=self._one.caveat,
        )

    def _measure(self, name: str, mean: Statistic) -> Measure:
        dimension = self._pack.dimensions.get(name)
        return Measure(
            name=name,
            mean=mean,
            dialogues=self._with_value[name],
            coverage=self._present[name] / self._turns,
            scale=dimension.bounds if dimension else None,
        )

    def _chunks(self) -> Iterator[NDArray[np.float64]]:
        columns = len(self._names)
        while content := self._values.read(CHUNK_ROWS * columns * 8):
            yield np.frombuffer(content).reshape(-1, columns)


def _hashed(dialogue_id: str) -> bytes:
    return blake2b(dialogue_id.encode(errors="surrogatepass"), digest_size=8).digest()


def _trajectory(turns: Sequence[Reward], pack: Pack) -> Trajectory:
    given = [turn.reward for turn in turns if turn.reward is not None]
    return Trajectory(
        dialogue_id=turns[0].dialogue_id,
        system=turns[0].system,
        judge=turns[0].judge,
        settings=turns[0].settings,
        reward=sum(given) / len(given) if given else None,
        dimension=pack.trajectory_dimension,
        scores=[turn.scores[pack.trajectory_dimension] for turn in turns],
        scale=pack.dimensions[pack.trajectory_dimension].bounds,
    )


def summary_json(summary: Summary) -> bytes:
    """Return the summary as JSON, with at most a thousand dialogues and the number of the others."""
    systems = []
    for system in summary.systems:
        record = {name: value for name, value in asdict(system).items() if name != "measures"}
        record["measures"] = {each.name: _measure_record(each) for each in system.measures}
        systems.append(record)
    content = {
        "run": summary.run,
        "coverage": summary.coverage,
        "ratings_expected": summary.expected,
        "statuses": dict(summary.spending.statuses),
        "tokens": dict(summary.spending.tokens),
        "cost_usd": summary.spending.cost_usd,
        "recipe": _recipe_record(summary.recipe),
        "caveats": summary.caveats,
        "systems": systems,
        "dialogues": [asdict(each) | {each.dimension: each.scores} for each in summary.trajectories],
        "dialogues_left_out": summary.trajectories_left_out,
        "comparisons": [
            asdict(each) | {"told_apart": each.told_apart, "best": each.best} for each in summary.contrasts
        ],
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def read_summary(content: bytes) -> Summary:
    """Return the summary that `summary_json` wrote."""
    record = orjson.loads(content)
    systems = [
        SystemSummary(**system | {"measures": [_measure(name, each) for name, each in system["measures"].items()]})
        for system in record["systems"]
    ]
    return Summary(
        run=record["run"],
        recipe=_recipe(record["recipe"]),
        expected=record["ratings_expected"],
        spending=Spending(
            statuses=Counter(record["statuses"]), tokens=Counter(record["tokens"]), cost_usd=record["cost_usd"]
        ),
        systems=systems,
        trajectories=[_trajectory_of(each) for each in record["dialogues"]],
        trajectories_left_out=record["dialogues_left_out"],
        contrasts=[_contrasts_of(each) for each in record.get("comparisons", ())],
    )


def _contrasts_of(record: dict[str, Any]) -> Contrasts:
    found = [Difference(**each | {"mean": Statistic(**each["mean"])}) for each in record["differences"]]
    return Contrasts(rater=record["rater"], systems=record["systems"], differences=found)


def _recipe_record(recipe: Recipe) -> dict[str, Any]:
    record = asdict(recipe)
    return record | {f"{name}{_COEFFICIENT}": each for name, each in record.pop("coefficients").items()}


def _recipe(record: dict[str, Any]) -> Recipe:
    calibration = record.pop("calibration", None)
    names = [name for name in record if name.endswith(_COEFFICIENT)]
    coefficients = {name.removesuffix(_COEFFICIENT): record.pop(name) for name in names}
    calibration = calibration_of(calibration) if calibration else None
    return Recipe(**record, coefficients=coefficients, calibration=calibration)


def _trajectory_of(record: dict[str, Any]) -> Trajectory:
    del record[record["dimension"]]
    return Trajectory(**record | {"scale": tuple(record["scale"])})


def _measure_record(measure: Measure) -> dict[str, Any]:
    mean = measure.mean
    ends = {"mean": mean.value, "low": mean.low, "high": mean.high}
    scale = {"scale": measure.scale} if measure.scale else {}
    return ends | {"n": measure.dialogues, "coverage": measure.coverage} | scale


def _measure(name: str, record: Mapping[str, Any]) -> Measure:
    mean = mean_statistic(*(math.nan if record[end] is None else record[end] for end in ("mean", "low", "high")))
    scale = record.get("scale")
    return Measure(
        name=name,
        mean=mean,
        dialogues=record["n"],
        coverage=record["coverage"],
        scale=(scale[0], scale[1]) if scale else None,
    )


_CSV_COLUMNS = (
    *("system", "judge", "settings", "measure"),
    *("mean", "ci_low", "ci_high", "dialogues", "coverage", "caveat"),
)


def summary_csv(summary: Summary) -> bytes:
    """Return the summary as CSV, with one row per system and measure."""
    text = StringIO()
    write_guarded(chain([_CSV_COLUMNS], _csv_rows(summary)), text, line_end="\n")
    return text.getvalue().encode()


def _csv_rows(summary: Summary) -> Iterator[list[Any]]:
    for system in summary.systems:
        names = [one_line(system.system), one_line(system.judge), system.settings]
        for measure in system.measures:
            mean = measure.mean
            figures = [mean.value, mean.low, mean.high, measure.dialogues, measure.coverage]
            yield [*names, measure.name, *figures, system.caveat or ""]
