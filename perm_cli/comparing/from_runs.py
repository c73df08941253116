"""The scores that run folders hold, a rater for each judge and the settings it was used under."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np
import orjson

from perm_cli.comparing.table import Given, Rated, Scores, table_of
from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.errors import RunError
from perm_cli.prompts.rubrics import Pack
from perm_cli.ratings.ledger import Outcome
from perm_cli.ratings.run_folder import RunFolder, is_run, run_folders
from perm_cli.ratings.run_record import CommandRecord
from perm_cli.ratings.spending import Spending
from perm_cli.rewards.formula import Recipe
from perm_cli.rewards.lengths import lengths_in
from perm_cli.rewards.reward import Reward, rewards_of

REWARD = "reward"
_Rater = tuple[str, str]  # judge and settings


@dataclass(kw_only=True)
class Health:
    """
    How the ratings of one rater went.

    `caveat` is what its judge is known not to be worth, `stopped` why the making of its ratings ended early, `shared`
    how many of them were made under other settings of the same run.
    """

    rater: str
    judge: str
    settings: str
    spending: Spending = field(default_factory=Spending)
    latencies_s: list[float] = field(default_factory=list)
    caveat: str | None = None
    stopped: str | None = None
    shared: int = 0

    @property
    def coverage(self) -> float:
        """Return the share of the ratings asked for that have a score."""
        return self.spending.statuses["scored"] / self.spending.rated if self.spending.rated else 0.0

    @property
    def shortfall(self) -> str | None:
        """Return how many of its ratings are missing, of which kinds, and why; None if none is."""
        if self.coverage == 1:
            return None
        return "; ".join(filter(None, (f"{self.rater}: {self.spending.sentence()}", self.stopped)))

    def latency_s(self, quantile: float) -> float | None:
        """Return a quantile of the seconds that a rating took, None if none was made here."""
        return float(np.quantile(self.latencies_s, quantile)) if self.latencies_s else None


@dataclass(frozen=True, kw_only=True)
class RunScores:
    """
    The scores of one run or several, the health of their raters, and what kept items from being compared.

    `asked` has the command of each run whose ratings these are, if that is not all of them.
    """

    runs: Sequence[Path]
    scores: Scores
    health: Sequence[Health]
    remarks: Sequence[str] = ()
    asked: Mapping[Path, CommandRecord] = field(default_factory=dict)

    @cached_property
    def caveats(self) -> Mapping[str, str]:
        """Return what a judge is known not to be worth, by rater."""
        return {each.rater: each.caveat for each in self.health if each.caveat}

    def rater_of(self, judge: str, settings: str) -> str | None:
        """Return who rated under these settings, though the judge went by another name then; None if nobody did."""
        alike = [each for each in self.health if each.settings == settings]
        named = [each.rater for each in alike if each.judge == judge]
        return named[0] if named else alike[0].rater if len(alike) == 1 else None

    def shortfalls(self) -> Iterator[str]:
        """Yield what is missing of the ratings that were asked for, and which systems have no reward at all."""
        yield from filter(None, (each.shortfall for each in self.health))
        names, codes = self.scores.systems
        for column, rater in enumerate(self.scores.raters):
            given = ~np.isnan(self.scores.tables[REWARD][:, column])
            lost = [repr(name) for code, name in enumerate(names) if not given[codes == code].any()]
            if lost:
                yield f"{rater}: no reward of {', '.join(lost)}"

    def dialogues(self) -> Iterator[Dialogue]:
        """Yield the dialogues of all runs, each from one run; of one that was edited, the last version comes last."""
        seen: set[tuple[str, str]] = set()
        for run in self.runs:
            own = set()
            folder = RunFolder(run)
            for dialogue in folder.dialogues(self.asked[run].lines) if run in self.asked else folder.texts():
                place = (dialogue.id, dialogue.system)
                if place not in seen:
                    own.add(place)
                    yield dialogue
            seen |= own


def read_runs(
    runs: Sequence[Path], recipe: Recipe | None = None, asked: Mapping[Path, CommandRecord] | None = None
) -> RunScores:
    """
    Return the scores in run folders, on every dimension and, last, fused into `reward`.

    The folder of a training run stands for those of its processes.
    What was asked for and not made has no score. What several samples come to is as the last command on the run has
    said.
    Dialogues that have another text in another run are left out of both. Raise `RunError` if there is no run, or if
    runs have a dimension of the same name and of another scale.
    """
    health: dict[_Rater, Health] = {}
    rewards: list[Reward] = []
    runs = run_folders(runs)
    packs: dict[tuple[object, ...], Pack] = {}
    for run in runs:
        folder = _opened(run)
        with closing(folder):
            _add_packs(packs, folder)
            rewards += _rewards(folder, recipe, health, (asked or {}).get(run))
    _name(list(health.values()))
    differing = _differing(runs) if len(runs) > 1 and not asked else set()
    given = (
        score
        for reward in rewards
        if (reward.dialogue_id, reward.system) not in differing
        for score in _given(reward, health[reward.judge, reward.settings].rater)
    )
    scores = _reward_last(table_of(given, packs=list(packs.values())))
    if not scores.items:
        raise RunError(f"{', '.join(map(str, runs))}: no ratings found, expected some to compare")
    remarks = [
        *([_remark(differing)] if differing else []),
        *_on_packs(list(packs.values())),
        *_shared(health.values()),
    ]
    return RunScores(runs=runs, scores=scores, health=list(health.values()), remarks=remarks, asked=asked or {})


def rationales(runs: Iterable[Path], items: Iterable[Rated]) -> dict[tuple[Rated, str, str, str], str]:
    """Return what judges said of these items, by item, dimension, judge and settings."""
    wanted = set(items)
    found = {}
    for run in runs:
        for row in RunFolder(run).rows():
            item = Rated(row["dialogue_id"], row["system"], row["turn"])
            if item in wanted and row["status"] == "scored":
                found[item, row["dimension"], row["judge"], row["settings"]] = row["rationale"]
    return found


def _opened(run: Path) -> RunFolder:
    if not is_run(run):
        raise RunError(f"{run}: no run found, expected a folder that perm score has written")
    return RunFolder(run)


def _add_packs(packs: dict[tuple[object, ...], Pack], folder: RunFolder) -> None:
    """Add the packs of a run, one of each shape; raise `RunError` if a name means two things."""
    known = {name: each.bounds for pack in packs.values() for name, each in pack.dimensions.items()}
    for pack in folder.packs().values():
        for name, each in pack.dimensions.items():
            low, high = known.setdefault(name, each.bounds)
            if (low, high) != each.bounds:
                found = f"{name} from {each.bounds[0]:g} to {each.bounds[1]:g}"
                raise RunError(f"{folder.path}: {found} found beside {low:g} to {high:g}; compare these runs apart")
        packs.setdefault(pack.shape, pack)


def _reward_last(scores: Scores) -> Scores:
    tables = {name: table for name, table in scores.tables.items() if name != REWARD}
    return replace(scores, tables=tables | {name: scores.tables[name] for name in [REWARD] if name in scores.tables})


def _rewards(
    folder: RunFolder, recipe: Recipe | None, health: dict[_Rater, Health], only: CommandRecord | None
) -> list[Reward]:
    recipe = replace(recipe or Recipe(), score=folder.record.last_score)
    with lengths_in(folder, recipe) as lengths:
        return list(rewards_of(_watched(folder, health, only), recipe, lengths, packs=folder.packs()))


def _watched(folder: RunFolder, health: dict[_Rater, Health], only: CommandRecord | None) -> Iterator[Outcome]:
    for outcome in folder.outcomes([only] if only else None):
        key = (outcome.judge, outcome.settings)
        of = health.get(key)
        if of is None:
            of = health[key] = Health(
                rater="",
                judge=outcome.judge,
                settings=outcome.settings,
                caveat=folder.record.under(outcome.settings).caveat,
                stopped=folder.stopped(outcome.settings),
            )
        of.spending.add(outcome)
        of.shared += outcome.reused == folder.path.name
        if outcome.attempts and not outcome.reused:
            of.latencies_s.append(outcome.latency_s)
        yield outcome


def _name(health: Sequence[Health]) -> None:
    """Call a rater by its judge, and by its settings too where a judge was used under several."""
    for each in health:
        alone = sum(other.judge == each.judge for other in health) == 1
        each.rater = each.judge if alone else f"{each.judge} ({each.settings[:6]})"


def _given(reward: Reward, rater: str) -> Iterator[Given]:
    item = Rated(reward.dialogue_id, reward.system, reward.turn)
    for dimension, score in (*reward.scores.items(), (REWARD, reward.reward)):
        yield Given(item, dimension, rater, np.nan if score is None else score)


def _differing(runs: Sequence[Path]) -> set[tuple[str, str]]:
    """Return the dialogues, by id and system, that are not the same in all runs."""
    texts: dict[tuple[str, str], bytes] = {}
    differing = set()
    for run in runs:
        last = {
            (text.id, text.system): blake2b(
                orjson.dumps([text.turns, text.scenario, text.persona]), digest_size=16
            ).digest()
            for text in RunFolder(run).texts()
        }
        differing |= {name for name, text in last.items() if texts.setdefault(name, text) != text}
    return differing


def _on_packs(packs: Sequence[Pack]) -> Iterator[str]:
    """Yield that rewards of several packs are no more comparable than their formulas are the same."""
    if len(packs) > 1:
        names = ", ".join(dict.fromkeys(pack.name for pack in packs))
        yield f"rewards are made by the formulas of several packs of rubrics ({names}) and cannot be compared"


def _shared(health: Iterable[Health]) -> Iterator[str]:
    """Yield which ratings of a rater are those of another one, since a prompt is the same under several settings."""
    for each in health:
        if each.shared:
            yield (
                f"{each.rater}: {each.shared:,} ratings are those of other settings of this run, whose prompts are the "
                "same: where they agree, one rating agrees with itself"
            )


def _remark(differing: set[tuple[str, str]]) -> str:
    first = min(differing)
    count = "1 dialogue has" if len(differing) == 1 else f"{len(differing):,} dialogues have"
    left_out = "is left out" if len(differing) == 1 else "are left out"
    return f"{count} another text in another run and {left_out}: {first[0]!r}" + " first" * (len(differing) > 1)
