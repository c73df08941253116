"""
The summary of a run: means by system with intervals and coverage, and every dialogue's reception over its turns.

A dialogue's value is the mean over its rated turns, a system's the mean over its dialogues.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from perm_cli.reports.spending import Spending
from perm_cli.rewards import Recipe, Reward
from perm_cli.statistics import Estimate, bootstrap_means
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
    """Hold all that a run comes to; `expected` is the number of ratings it should have."""

    run: str
    recipe: Recipe
    expected: int
    spending: Spending
    systems: Sequence[SystemSummary]
    curves: Sequence[Curve]

    @property
    def coverage(self) -> float:
        """Return the share of the ratings wanted that have a score."""
        return self.spending.statuses["scored"] / self.expected if self.expected else 0.0

    @property
    def caveats(self) -> list[str]:
        """Return what the judges are known not to be worth, once each."""
        return list(dict.fromkeys(system.caveat for system in self.systems if system.caveat))


def summarise(rewards: Sequence[Reward], spending: Spending, expected: int, run: str, recipe: Recipe) -> Summary:
    """Summarise the rewards of a run."""
    import pandas as pd  # noqa: PLC0415 - half a second, and only needed once the calls are done

    columns = ("system", "judge", "settings", "dialogue_id", "turn", *MEASURES, "reward_low", "reward_high")
    rows = [[getattr(reward, name) for name in columns] for reward in rewards]
    frame = pd.DataFrame(rows, columns=list(columns)).astype(dict.fromkeys(columns[5:], "float64"))
    groups: Any = frame.groupby(["system", "judge", "settings"], sort=False) if rows else []
    caveats = {reward.settings: reward.caveat for reward in rewards}
    systems = [_system(key, group, caveats) for key, group in groups]
    return Summary(
        run=run,
        recipe=recipe,
        expected=expected,
        spending=spending,
        systems=sorted(systems, key=_best_first),
        curves=_curves(rewards),
    )


def _system(key: Any, group: Any, caveats: Mapping[str, str | None]) -> SystemSummary:
    system, judge, settings = key
    by_dialogue = group.groupby("dialogue_id", sort=False)
    means = by_dialogue[list(MEASURES)].mean()
    estimates = bootstrap_means(means.to_numpy())
    coverage = group[list(MEASURES)].notna().mean()
    ends = by_dialogue[["reward_low", "reward_high"]].mean().mean()
    return SystemSummary(
        system=system,
        judge=judge,
        settings=settings,
        dialogues=len(means),
        turns=len(group),
        measures=[
            Measure(name=name, estimate=estimate, coverage=float(coverage[name]))
            for name, estimate in zip(MEASURES, estimates, strict=True)
        ],
        reward_low=float(ends["reward_low"]),
        reward_high=float(ends["reward_high"]),
        caveat=caveats.get(settings),
    )


def _best_first(summary: SystemSummary) -> tuple[str, float]:
    reward = summary.measures[-1].estimate.mean
    return summary.settings, -reward if reward is not None else float("inf")


def _curves(rewards: Iterable[Reward]) -> list[Curve]:
    dialogues: dict[tuple[str, str, str, str], list[Reward]] = {}
    for reward in rewards:
        key = (reward.dialogue_id, reward.system, reward.judge, reward.settings)
        dialogues.setdefault(key, []).append(reward)
    curves = []
    for (dialogue_id, system, judge, settings), turns in dialogues.items():
        given = [turn.reward for turn in turns if turn.reward is not None]
        curves.append(
            Curve(
                dialogue_id=dialogue_id,
                system=system,
                judge=judge,
                settings=settings,
                reward=sum(given) / len(given) if given else None,
                reception=[turn.reception for turn in sorted(turns, key=lambda turn: turn.turn)],
            )
        )
    return curves


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
        "dialogues": [asdict(curve) for curve in summary.curves[:LISTED_DIALOGUES]],
        "dialogues_left_out": max(len(summary.curves) - LISTED_DIALOGUES, 0),
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def summary_csv(summary: Summary) -> bytes:
    """Return a line a system and measure; a cell that a spreadsheet would run is quoted as text."""
    import pandas as pd  # noqa: PLC0415 - as above

    rows = [
        {
            "system": _inert(system.system),
            "judge": _inert(system.judge),
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


def _inert(text: str) -> str:
    text = one_line(text)
    return f"'{text}" if text.lstrip()[:1] in {"=", "+", "-", "@"} else text
