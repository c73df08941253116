"""The scores of run folders as one table, with one rater per judge and the settings it was used under."""

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
    The state of one rater's ratings: how many there are, their cost, and why some are missing.

    `caveat` is a known limitation of its judge, `stopped` the reason why rating ended early, and `shared` the number of
    ratings that were made under other settings of the same run.
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
        """Return the share of the requested ratings that have a score."""
        return self.spending.statuses["scored"] / self.spending.rated if self.spending.rated else 0.0

    @property
    def shortfall(self) -> str | None:
        """Return how many ratings are missing, by status, and why; None if none are."""
        if self.coverage == 1:
            return None
        return "; ".join(filter(None, (f"{self.rater}: {self.spending.sentence()}", self.stopped)))

    def latency_s(self, quantile: float) -> float | None:
        """Return a quantile of the seconds per rating, None if no rating was made in these runs."""
        return float(np.quantile(self.latencies_s, quantile)) if self.latencies_s else None


@dataclass(frozen=True, kw_only=True)
class RunScores:
    """
    The scores of one or more runs, the health of their raters, and remarks on what could not be compared.

    `asked` has the command per run to which the ratings are restricted; it is empty if all ratings are taken.
    """

    runs: Sequence[Path]
    scores: Scores
    health: Sequence[Health]
    remarks: Sequence[str] = ()
    asked: Mapping[Path, CommandRecord] = field(default_factory=dict)

    @cached_property
    def caveats(self) -> Mapping[str, str]:
        """Return the known limitations of judges, by rater."""
        return {each.rater: each.caveat for each in self.health if each.caveat}

    def rater_of(self, judge: str, settings: str) -> str | None:
        """Return the rater of these settings, if several the one of this judge's name; None if there is no such one."""
        alike = [each for each in self.health if each.settings == settings]
        named = [each.rater for each in alike if each.judge == judge]
        return named[0] if named else alike[0].rater if len(alike) == 1 else None

    def rationales(self, items: Iterable[Rated]) -> dict[tuple[Rated, str, str], str]:
        """Return what the raters said of these items, by item, dimension and rater."""
        wanted = set(items)
        found = {}
        for run in self.runs:
            for row in RunFolder(run).rows():
                item = Rated(row["dialogue_id"], row["system"], row["turn"])
                if item in wanted and row["status"] == "scored":
                    found[item, row["dimension"], row["judge"], row["settings"]] = row["rationale"]
        return {
            (item, dimension, rater): text
            for (item, dimension, judge, settings), text in found.items()
            if (rater := self.rater_of(judge, settings))
        }

    def shortfalls(self) -> Iterator[str]:
        """Yield what is missing of the requested ratings, and which systems have no reward at all."""
        yield from filter(None, (each.shortfall for each in self.health))
        names, codes = self.scores.systems
        for column, rater in enumerate(self.scores.raters):
            given = ~np.isnan(self.scores.tables[REWARD][:, column])
            lost = [repr(name) for code, name in enumerate(names) if not given[codes == code].any()]
            if lost:
                yield f"{rater}: no reward for {', '.join(lost)}"

    def dialogues(self) -> Iterator[Dialogue]:
        """Yield the dialogues of all runs, each from the first run that has it; its last edited version comes last."""
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
    Return the scores in run folders on every dimension and, last, their fusion as `reward`.

    The folder of a training run stands for those of its worker processes. A rating that was requested and not made has
    no score. Several samples are combined as the last command on the run asked. Dialogues whose text differs between
    runs are excluded. Raise `RunError` if there are no ratings, or if a dimension has two scales in different runs.
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
        raise RunError(f"{', '.join(map(str, runs))}: no ratings found, expected a run with ratings")
    left_out = [_remark(differing)] if differing else []
    remarks = [*left_out, *_on_packs(list(packs.values())), *_shared(health.values())]
    return RunScores(runs=runs, scores=scores, health=list(health.values()), remarks=remarks, asked=asked or {})


def _opened(run: Path) -> RunFolder:
    if not is_run(run):
        raise RunError(f"{run}: no run found, expected a folder that perm score has written")
    return RunFolder(run)


def _add_packs(packs: dict[tuple[object, ...], Pack], folder: RunFolder) -> None:
    """Add the packs of a run, one of each shape; raise `RunError` if a dimension has two scales."""
    known = {name: each.bounds for pack in packs.values() for name, each in pack.dimensions.items()}
    for pack in folder.packs().values():
        for name, each in pack.dimensions.items():
            low, high = known.setdefault(name, each.bounds)
            if (low, high) != each.bounds:
                scale = f"{name} is rated from {each.bounds[0]:g} to {each.bounds[1]:g}"
                raise RunError(
                    f"{folder.path}: {scale} here and from {low:g} to {high:g} in another run; compare them apart"
                )
        packs.setdefault(pack.shape, pack)


def _reward_last(scores: Scores) -> Scores:
    tables = {name: table for name, table in scores.tables.items() if name != REWARD}
    return replace(scores, tables=tables | {name: scores.tables[name] for name in [REWARD] if name in scores.tables})


def _rewards(
    folder: RunFolder, recipe: Recipe | None, health: dict[_Rater, Health], only: CommandRecord | None
) -> list[Reward]:
    # How samples are combined is the choice of whoever rated, not of whoever compares.
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
        # Ratings taken from elsewhere have the latency of another run, or of none.
        if outcome.attempts and not outcome.reused:
            of.latencies_s.append(outcome.latency_s)
        yield outcome


def _name(health: Sequence[Health]) -> None:
    """Name each rater after its judge, and its settings too where a judge was used under several."""
    for each in health:
        alone = sum(other.judge == each.judge for other in health) == 1
        each.rater = each.judge if alone else f"{each.judge} ({each.settings[:6]})"


def _given(reward: Reward, rater: str) -> Iterator[Given]:
    item = Rated(reward.dialogue_id, reward.system, reward.turn)
    for dimension, score in (*reward.scores.items(), (REWARD, reward.reward)):
        yield Given(item, dimension, rater, np.nan if score is None else score)


def _differing(runs: Sequence[Path]) -> set[tuple[str, str]]:
    """Return the dialogues, by id and system, whose text is not the same in all runs."""
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
    """Yield a remark for each rater whose ratings are shared with other settings that send the same prompts."""
    for each in health:
        if each.shared:
            yield (
                f"{each.rater}: {each.shared:,} ratings are shared with other settings of this run that send the same "
                "prompts, so their agreement is not evidence"
            )


def _remark(differing: set[tuple[str, str]]) -> str:
    first = min(differing)
    count = "1 dialogue has" if len(differing) == 1 else f"{len(differing):,} dialogues have"
    left_out = "is excluded" if len(differing) == 1 else "are excluded"
    return f"{count} different text in another run and {left_out}: {first[0]!r}" + " first" * (len(differing) > 1)
