"""
The summary of a run: means by system with intervals and coverage, and every dialogue's reception over its turns.

A dialogue's value is the mean over its rated turns, a system's the mean over its dialogues.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import attrgetter
from tempfile import TemporaryFile
from typing import Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from perm_cli.calibration import calibration_of
from perm_cli.formats.cells import guarded
from perm_cli.reports.spending import Spending
from perm_cli.rewards import Recipe, Reward
from perm_cli.statistics.means import CHUNK_ROWS, Estimate, bootstrap_means
from perm_cli.terminal import one_line

MEASURES = (
    "resonation",
    "expression",
    "reception",
    "bystander",
    "empathy",
    "bystander_term",
    "length_term",
    "reward",
)
LISTED_DIALOGUES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Hold one measure of a system; `coverage` is the share of its turns that have a value."""

    name: str
    estimate: Estimate
    coverage: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSummary:
    """
    Hold what one judge under one set of settings says of one system.

    `reward_low` and `reward_high` are the mean reward if all that is missing were worst or best.
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
class Curve:
    """Hold one dialogue's mean reward and the seeker's reception turn by turn."""

    dialogue_id: str
    system: str
    judge: str
    settings: str
    reward: float | None
    reception: Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """
    Hold all that a run comes to; `expected` is the number of ratings it should have.

    `curves` are those of the first thousand dialogues, `curves_left_out` the number of the others.
    """

    run: str
    recipe: Recipe
    expected: int
    spending: Spending
    systems: Sequence[SystemSummary]
    curves: Sequence[Curve]
    curves_left_out: int = 0

    @property
    def coverage(self) -> float:
        """Return the share of the ratings wanted that have a score."""
        return self.spending.statuses["scored"] / self.expected if self.expected else 0.0

    @property
    def caveats(self) -> list[str]:
        """Return what the judges are known not to be worth, once each."""
        return list(dict.fromkeys(system.caveat for system in self.systems if system.caveat))


def summarise(rewards: Iterable[Reward], spending: Spending, expected: int, run: str, recipe: Recipe) -> Summary:
    """
    Summarise rewards, in which those of a system stand together and in it those of a dialogue.

    `spending` is looked at when all rewards have passed, `expected` the least number of ratings there should be.
    """
    curves: list[Curve] = []
    systems = []
    for _, of_system in groupby(rewards, attrgetter("settings", "judge", "system")):
        with _Tally() as tally:
            for _, of_dialogue in groupby(of_system, attrgetter("dialogue_id")):
                turns = sorted(of_dialogue, key=attrgetter("turn"))
                tally.add(turns)
                curves += [_curve(turns)] if len(curves) < LISTED_DIALOGUES else []
            systems.append(tally.summary())
    return Summary(
        run=run,
        recipe=recipe,
        expected=max(expected, spending.rated),
        spending=spending,
        systems=sorted(systems, key=_best_first),
        curves=curves,
        curves_left_out=sum(system.dialogues for system in systems) - len(curves),
    )


_measures = attrgetter(*MEASURES)


class _Tally:
    """Add up the dialogues of one system; their values are kept on disk, since resampling needs them all."""

    def __init__(self) -> None:
        self._values = TemporaryFile()  # noqa: SIM115 - closed by the `with` block of the tally
        self._dialogues = self._turns = 0
        self._ends = [0.0, 0.0]
        self._present = [0] * len(MEASURES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._values.close()

    def add(self, turns: Sequence[Reward]) -> None:
        """Take a dialogue into account."""
        self._one = turns[0]
        self._dialogues += 1
        self._turns += len(turns)
        means = array("d")
        for place, column in enumerate(zip(*map(_measures, turns), strict=True)):
            given = [value for value in column if value is not None]
            self._present[place] += len(given)
            means.append(sum(given) / len(given) if given else math.nan)
        means.tofile(self._values)
        self._ends[0] += sum(turn.reward_low for turn in turns) / len(turns)
        self._ends[1] += sum(turn.reward_high for turn in turns) / len(turns)

    def summary(self) -> SystemSummary:
        """Return what it comes to."""
        self._values.seek(0)
        estimates = bootstrap_means(self._chunks(), self._dialogues)
        return SystemSummary(
            system=self._one.system,
            judge=self._one.judge,
            settings=self._one.settings,
            dialogues=self._dialogues,
            turns=self._turns,
            measures=[
                Measure(name=name, estimate=estimate, coverage=present / self._turns)
                for name, estimate, present in zip(MEASURES, estimates, self._present, strict=True)
            ],
            reward_low=self._ends[0] / self._dialogues,
            reward_high=self._ends[1] / self._dialogues,
            caveat=self._one.caveat,
        )

    def _chunks(self) -> Iterator[NDArray[np.float64]]:
        columns = len(MEASURES)
        while content := self._values.read(CHUNK_ROWS * columns * 8):
            yield np.frombuffer(content).reshape(-1, columns)


def _best_first(summary: SystemSummary) -> tuple[str, float]:
    reward = summary.measures[-1].estimate.mean
    return summary.settings, -reward if reward is not None else float("inf")


def _curve(turns: Sequence[Reward]) -> Curve:
    given = [turn.reward for turn in turns if turn.reward is not None]
    return Curve(
        dialogue_id=turns[0].dialogue_id,
        system=turns[0].system,
        judge=turns[0].judge,
        settings=turns[0].settings,
        reward=sum(given) / len(given) if given else None,
        reception=[turn.reception for turn in turns],
    )


def summary_json(summary: Summary) -> bytes:
    """Return the summary as JSON; of very many dialogues the first thousand, with the count of the others."""
    systems = []
    for system in summary.systems:
        record = {name: value for name, value in asdict(system).items() if name != "measures"}
        record["measures"] = {m.name: asdict(m.estimate) | {"coverage": m.coverage} for m in system.measures}
        systems.append(record)
    content = {
        "run": summary.run,
        "coverage": summary.coverage,
        "ratings_expected": summary.expected,
        "statuses": dict(summary.spending.statuses),
        "tokens": dict(summary.spending.tokens),
        "cost_usd": summary.spending.cost_usd,
        "recipe": asdict(summary.recipe),
        "caveats": summary.caveats,
        "systems": systems,
        "dialogues": [asdict(curve) for curve in summary.curves],
        "dialogues_left_out": summary.curves_left_out,
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
        curves=[Curve(**curve) for curve in record["dialogues"]],
        curves_left_out=record["dialogues_left_out"],
    )


def _recipe(record: dict[str, Any]) -> Recipe:
    calibration = record.pop("calibration", None)
    return Recipe(**record, calibration=calibration_of(calibration) if calibration else None)


def _measure(name: str, record: dict[str, Any]) -> Measure:
    coverage = record.pop("coverage")
    return Measure(name=name, estimate=Estimate(**record), coverage=coverage)


def summary_csv(summary: Summary) -> bytes:
    """Return a line a system and measure; a cell that a spreadsheet would run is quoted as text."""
    import pandas as pd  # noqa: PLC0415 - half a second, and only needed once the calls are done

    rows = [
        {
            "system": guarded(one_line(system.system)),
            "judge": guarded(one_line(system.judge)),
            "settings": system.settings,
            "measure": measure.name,
            "mean": measure.estimate.mean,
            "ci_low": measure.estimate.low,
            "ci_high": measure.estimate.high,
            "dialogues": measure.estimate.n,
            "coverage": measure.coverage,
            "caveat": system.caveat or "",
        }
        for system in summary.systems
        for measure in system.measures
    ]
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n").encode()
