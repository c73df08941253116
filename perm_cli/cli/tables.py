"""The scores that comparing commands work on: of run folders, of a file of ratings, or of dialogues rated first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from perm_cli.cli.announcing import announce_coverage
from perm_cli.cli.console import messages, say
from perm_cli.cli.inputs import files_of
from perm_cli.cli.options import DialogueOptions, JudgeOptions
from perm_cli.cli.rating import rate_all
from perm_cli.comparing.from_runs import Health, RunScores, read_runs
from perm_cli.comparing.labels import is_ratings_file, read_ratings
from perm_cli.comparing.panel import LEAST_JUDGES, Panel, panel_of
from perm_cli.comparing.table import Rated, Scores
from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.errors import SettingsError
from perm_cli.ratings.run_folder import is_run
from perm_cli.rewards.formula import Recipe
from perm_cli.statistics.resampling import Resamples
from perm_cli.text import one_line
from perm_cli.words import PanelName


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Scores and the runs they are from; those of a file of ratings have no runs."""

    scores: Scores
    runs: RunScores | None = None
    remarks: Sequence[str] = ()

    @property
    def health(self) -> Sequence[Health]:
        """Return how the ratings of each rater went, as far as runs tell."""
        return self.runs.health if self.runs else ()

    @property
    def caveats(self) -> list[str]:
        """Return the caveats on the judges, each once."""
        return list(dict.fromkeys(self.caveats_by_rater.values()))

    @property
    def caveats_by_rater(self) -> Mapping[str, str]:
        """Return the caveat on each rater's judge, if there is one."""
        return self.runs.caveats if self.runs else {}

    def rationales(self, items: Sequence[Rated]) -> Mapping[tuple[Rated, str, str], str]:
        """Return what the raters said of these items, by item, dimension and rater, as far as runs tell."""
        return self.runs.rationales(items) if self.runs else {}

    def dialogues(self) -> Iterable[Dialogue]:
        """Return the dialogues, as far as runs hold them."""
        return self.runs.dialogues() if self.runs else ()


def enough(table: Table, min_coverage: float) -> bool:
    """Return whether enough of the ratings asked for have a score, and print a message per rater that lacks some."""
    if table.runs is None:
        return True
    for line in table.runs.shortfalls():
        say(messages(), one_line(line, 500))
    lowest = min((each.coverage for each in table.health), default=1.0)
    return announce_coverage(lowest, min_coverage)


def rated_table(
    inputs: Sequence[str],
    dialogues: DialogueOptions,
    asking: JudgeOptions,
    recipe: Recipe,
    judges: Sequence[str] | None,
    out: Path,
    people: Sequence[str] | None = None,
) -> Table:
    """
    Return the scores of the inputs; dialogues are rated first, by the judges and into run folders in `out`.

    `people` are the raters of a file who are persons.
    """
    inputs = files_of(inputs)
    is_described = bool(dialogues.columns) or dialogues.format != "auto"  # as dialogues, whatever columns are called
    found = _read_table(inputs, recipe, people or (), ratings=not is_described)
    if found and judges:
        raise SettingsError("--judge cannot be used with ratings that are made; pass dialogues to rate them")
    if people and (not found or found.runs):
        raise SettingsError("--people needs a CSV file of ratings, whose raters it names")
    if not found:
        found = _rated(inputs, dialogues, asking, recipe, judges or (), out)
    for remark in found.remarks:
        say(messages(), remark)
    return found


def _rated(
    inputs: Sequence[str],
    dialogues: DialogueOptions,
    asking: JudgeOptions,
    recipe: Recipe,
    judges: Sequence[str],
    out: Path,
) -> Table:
    if not judges:
        what = "dialogues" if inputs[0] == "-" or Path(inputs[0]).is_file() else "no file of dialogues and no run"
        raise SettingsError(f"{inputs[0]}: {what} found, expected dialogues and --judge to rate them, or run folders")
    each = [replace(asking, judge=judge) for judge in dict.fromkeys(judges)]
    asked = rate_all(inputs, dialogues, each, recipe, out)
    return _table_of_runs(read_runs(list(asked), recipe, asked))


def panel_in(scores: Scores, how: PanelName, recipe: Recipe) -> tuple[Panel, Scores]:
    """Return the panel of all judges, and the scores with it; raise `SettingsError` if there are too few."""
    if len(scores.judges) < LEAST_JUDGES:
        raise SettingsError(f"--panel: {len(scores.judges)} judge found, expected {LEAST_JUDGES} or more")
    return panel_of(scores, how, recipe, Resamples(scores.clusters))


def _read_table(names: Sequence[str], recipe: Recipe, people: Sequence[str], *, ratings: bool) -> Table | None:
    """
    Return the scores in run folders or, unless they hold no `ratings`, in one file; None if these are dialogues.

    Raise `SettingsError` if they are of several kinds.
    """
    runs = [Path(name) for name in names if is_run(Path(name))]
    if runs and len(runs) < len(names):
        other = next(name for name in names if not is_run(Path(name)))
        raise SettingsError(f"{other}: cannot be mixed with run folders; pass run folders only, or dialogues only")
    if runs:
        return _table_of_runs(read_runs(runs, recipe))
    files = [Path(name) for name in names if ratings and is_ratings_file(Path(name))]
    if not files:
        return None
    if len(names) > 1:
        raise SettingsError(f"{files[0]}: a file of ratings cannot be mixed with other inputs; pass it alone")
    return Table(scores=read_ratings(files[0], people))


def _table_of_runs(runs: RunScores) -> Table:
    return Table(scores=runs.scores, runs=runs, remarks=runs.remarks)
