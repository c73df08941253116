"""What a report says of runs: the answer first, then pictures, dialogues, and how it was made."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from perm_cli import __version__
from perm_cli.comparing.against_people import Mapped, validate
from perm_cli.comparing.biases import feature_table
from perm_cli.comparing.from_runs import REWARD, Health, RunScores
from perm_cli.comparing.side_by_side import compare
from perm_cli.comparing.systems import Leaderboard, leaderboard
from perm_cli.comparing.table import Scores
from perm_cli.dialogues.features import NAMES
from perm_cli.ratings.run_folder import RunFolder
from perm_cli.ratings.run_record import JudgeRecord, RunRecord, SettingsRecord
from perm_cli.reports.browsing import browsable
from perm_cli.reports.charts import (
    Chart,
    agreement_chart,
    curve_chart,
    distribution_chart,
    leaderboard_chart,
    length_chart,
    people_chart,
)
from perm_cli.reports.compared import findings as compared
from perm_cli.reports.contrasted import verdict
from perm_cli.reports.figures import counted, figure, listed, name_of, number, percent
from perm_cli.reports.graded import remarks_on, standings_rows
from perm_cli.reports.making import recipe_facts, wording_tables
from perm_cli.reports.page import Fact, Page, Table
from perm_cli.reports.terms import grouped
from perm_cli.reports.validated import titled_findings as validated
from perm_cli.rewards.formula import Recipe, formula_of
from perm_cli.statistics.means import row_means
from perm_cli.statistics.resampling import Floats
from perm_cli.words import ScoreMode

_HIDDEN = frozenset({"name", "model", "price"})
_NAMED = 4  # systems or judges that a title has room for
_FIRST = {"system": 0, REWARD: 1, "rank": 2}
_NOTHING = "Nobody can say: no reply has all the ratings that a reward takes."


def report_of(
    runs: RunScores,
    title: str | None = None,
    labelled: Scores | None = None,
    mapped: Sequence[Mapped] = (),
    recipe: Recipe | None = None,
) -> Page:
    """
    Return the report on some runs, whose rewards were made by the recipe.

    `labelled` is their table with people's scores beside, if there are any.
    """
    features = feature_table([*runs.scores.items, *(labelled.items if labelled else ())], runs.dialogues())
    own, with_people = np.split(features, [len(runs.scores.items)])
    records = [RunFolder(run).record for run in runs.runs]
    unnamed = _unnamed(records)
    scores, labelled = _named(runs.scores, unnamed), labelled and _named(labelled, unnamed)
    boards = [leaderboard(scores, judge, list(scores.tables)) for judge in scores.judges]
    several = len(scores.systems[0]) > 1
    recipe = recipe or Recipe()
    formulas = [formula_of(pack, recipe) for pack in scores.packs]
    wordings = [settings.wordings for record in records for settings in record.settings.values()]
    return Page(
        title=title or _title(scores),
        question="Which system is more empathetic, and is that decisive?" if several else "How empathetic is it?",
        answer=[*_on_boards(boards, runs), *runs.remarks],
        notes=list(grouped([*_on_people(labelled, mapped, with_people), *_on_judges(scores, own, boards)])),
        tables=[_standings(board, runs.caveats.get(board.rater)) for board in boards],
        charts=[chart for chart in _charts(scores, own, boards, labelled, mapped) if chart],
        shelf=browsable(runs, unnamed=unnamed),
        facts=list(_facts(runs)),
        making=[fact for formula in formulas for fact in recipe_facts(formula, recipe, _modes(records))],
        wordings=list(wording_tables(wordings)),
        ends=(min(formula.ends[0] for formula in formulas), max(formula.ends[1] for formula in formulas)),
        dimensions=list(scores.dimensions.values()),
    )


def _unnamed(records: Sequence[RunRecord]) -> str:
    """Return what to call a system without a name: the file it stands in, if there is one file only."""
    inputs = {each.name for record in records for command in record.commands for each in command.asked.inputs}
    return f"({Path(inputs.pop()).name})" if len(inputs) == 1 else "(no name)"


def _named(scores: Scores, unnamed: str) -> Scores:
    """Return the table with a name for the system that has none."""
    return replace(scores, items=[item if item.system else item._replace(system=unnamed) for item in scores.items])


def _title(scores: Scores) -> str:
    systems, judges = scores.systems[0], scores.judges
    of = listed(list(map(name_of, systems))) if len(systems) <= _NAMED else f"{len(systems)} systems"
    by = listed(list(map(name_of, judges))) if len(judges) <= _NAMED else f"{len(judges)} judges"
    return f"Empathy of {of}, judged by {by}"


def _modes(records: Sequence[RunRecord]) -> list[ScoreMode]:
    """Return what several samples of a rating come to, as the last command on each run has said."""
    return [record.commands[-1].score for record in records if record.commands] or ["mode"]


def _standings(board: Leaderboard, caveat: str | None) -> Table:
    """Return the systems with the reward first, since a narrow window shows the first columns."""
    columns, rows = standings_rows(board)
    order = sorted(range(len(columns)), key=lambda place: _FIRST.get(columns[place].split()[0], len(_FIRST)))
    return Table(
        caption=f"The systems as {board.rater} sees them" + (f". {caveat}" if caveat else ""),
        columns=[columns[place] for place in order],
        rows=[[row[place] for place in order] for row in rows],
    )


def _on_boards(boards: Sequence[Leaderboard], runs: RunScores) -> Iterator[str]:
    if len(boards[0].standings) == 1:
        yield from (_by(board, boards) + _alone(board) for board in boards)
    elif not any(standing.dialogues for board in boards for standing in board.standings):
        yield _NOTHING
    else:
        headline = _headline(boards, trusted=not {board.rater for board in boards} <= runs.caveats.keys())
        yield from [headline] if len(boards) > 1 or boards[0].contrasts.best is not None else []
        for board in boards:
            yield from (_by(board, boards) + line for line in [verdict(board.contrasts), *remarks_on(board)])
    for each in runs.health:
        if each.coverage < 1:
            yield f"{each.rater} gave a score for {percent(each.coverage)} of its ratings."


def _by(board: Leaderboard, boards: Sequence[Leaderboard]) -> str:
    return f"{name_of(board.rater)}: " if len(boards) > 1 else ""


def _headline(boards: Sequence[Leaderboard], *, trusted: bool) -> str:
    """
    Return in a sentence which of several systems the judges put first, so far as they tell them apart.

    Judges that are known to be too weak are not `trusted` to say which is more empathetic.
    """
    votes = Counter(board.contrasts.best for board in boards if board.contrasts.best is not None)
    silent = len(boards) - votes.total()
    if not votes:
        return f"Which system is best is not decided: none of the {len(boards)} judges can tell."
    if len(votes) > 1:
        places = [f"{name_of(system)} is best for {count}" for system, count in votes.most_common()]
        rest = f"; {silent} cannot tell" if silent else ""
        return f"The judges do not agree: of {len(boards)}, {listed(places)}{rest}."
    best = name_of(next(iter(votes)))
    if silent:
        return f"{best} is best for {votes.total()} of {len(boards)} judges; {silent} cannot tell."
    by = f" for all {len(boards)} judges" if len(boards) > 1 else ""
    if not trusted:
        weak = "a judge that is" if len(boards) == 1 else "judges that are"
        return f"{best} is decisively scored higher than the others, by {weak} too weak to say who is more empathetic."
    return f"{best} is more empathetic than the others{by}, and that is decisive."


def _alone(board: Leaderboard) -> str:
    """Return in a sentence how good the only system is."""
    standing = board.standings[0]
    *scores, reward = standing.means
    if reward.value is None:
        return _NOTHING
    means = [f"{name} {number(mean.value)}" for name, mean in zip(board.dimensions, scores, strict=False)]
    over = f"{counted(standing.dialogues, 'dialogue')} and {counted(standing.turns, 'turn')}"
    return f"The mean reward is {figure(reward, 3, signed=True)} over {over}, of means of {listed(means)}."


_Titled = tuple[str, Sequence[str]]


def _on_judges(scores: Scores, features: Floats, boards: Sequence[Leaderboard]) -> Iterator[_Titled]:
    if len(scores.judges) > 1:
        # Which system is best has been said already.
        yield "The judges beside each other", compared(replace(compare(scores, features, boards), boards=()))


def _on_people(labelled: Scores | None, mapped: Sequence[Mapped], features: Floats) -> Iterator[_Titled]:
    if labelled and mapped:
        yield from validated(validate(labelled, mapped, features))


def _charts(
    scores: Scores,
    features: Floats,
    boards: Sequence[Leaderboard],
    labelled: Scores | None,
    mapped: Sequence[Mapped],
) -> Iterator[Chart | None]:
    yield leaderboard_chart(boards)
    for dimension in scores.tables:
        yield distribution_chart(scores, dimension)
    for dimension in dict.fromkeys(pack.trajectory_dimension for pack in scores.packs):
        yield curve_chart(scores, dimension)
    yield length_chart(scores, REWARD, np.expm1(features[:, NAMES.index("length")]))
    yield agreement_chart(scores, REWARD)
    for each in mapped if labelled else ():
        assert labelled is not None  # noqa: S101 - see above
        truth = row_means(labelled.of(each.human, labelled.humans))
        judged = {judge: labelled.of(each.judged, [judge])[:, 0] for judge in labelled.judges}
        yield people_chart(judged, truth, f"{each.judged} against people's {each.human}")


def _facts(runs: RunScores) -> Iterator[Fact]:
    for each in runs.health:
        yield Fact(name=f"Judge {each.rater}", value="; ".join(_health_of(each)))
    for run in runs.runs:
        yield from _run_facts(run)
    yield Fact(name="Made with", value=f"perm {__version__}, numpy {np.__version__}")


def _health_of(health: Health) -> Iterator[str]:
    spending, median = health.spending, health.latency_s(0.5)
    statuses = ", ".join(f"{count:,} {name}" for name, count in sorted(spending.statuses.items()))
    yield f"{percent(health.coverage)} of {spending.rated:,} ratings scored ({statuses})"
    cost = "unknown" if spending.cost_usd is None else f"{spending.cost_usd:.4f} USD"
    yield f"{spending.tokens['calls']:,} calls, cost {cost}"
    if median is not None:
        yield f"median {number(median)} s a rating"


def _run_facts(run: Path) -> Iterator[Fact]:
    record = RunFolder(run).record
    yield Fact(name="Run", value=run.name)
    for identity, settings in record.settings.items():
        shown = [f"model {settings.judge.model}", *_parameters(settings.judge), *_digests(settings)]
        yield Fact(name=f"Settings {identity}", value="; ".join(shown))
    for command in record.commands[-1:]:
        for each in command.asked.inputs:
            said = f"sha256 {each.sha256}, {counted(each.dialogues, 'dialogue')}"
            yield Fact(name=f"Input {Path(each.name).name}", value=said)


def _parameters(judge: JudgeRecord) -> Iterable[str]:
    given = judge.as_written().items()
    return (f"{name} {value}" for name, value in given if name not in _HIDDEN and value not in (None, {}, []))


def _digests(settings: SettingsRecord) -> Iterable[str]:
    digests = {"rubrics": settings.rubrics_digest, "prompts": settings.prompts_digest}
    return (f"{name} {digest}" for name, digest in digests.items() if digest is not None)
