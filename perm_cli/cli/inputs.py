"""What commands that compare are given: run folders, files of ratings, or dialogues still to be rated."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from perm_cli.cli.console import messages, say
from perm_cli.comparing.from_runs import Health, RunScores, read_runs
from perm_cli.comparing.labels import is_ratings_file, read_ratings
from perm_cli.comparing.table import Scores
from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.errors import SettingsError
from perm_cli.ratings.run_folder import is_run
from perm_cli.rewards.formula import Recipe
from perm_cli.text import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Hold a table of scores and where it is from; one from a file of ratings has no runs."""

    scores: Scores
    runs: RunScores | None = None
    remarks: Sequence[str] = ()

    @property
    def health(self) -> Sequence[Health]:
        """Return how the ratings went, as far as runs tell."""
        return self.runs.health if self.runs else ()

    @property
    def caveats(self) -> list[str]:
        """Return what judges are known not to be worth, each thing once."""
        return list(dict.fromkeys(self.runs.caveats.values())) if self.runs else []

    def dialogues(self) -> Iterable[Dialogue]:
        """Return the dialogues, as far as runs hold them."""
        return self.runs.dialogues() if self.runs else ()


def enough(table: Table, min_coverage: float) -> bool:
    """Say what is missing of the ratings that were asked for; return whether there are enough to go by."""
    if table.runs is None:
        return True
    for line in table.runs.shortfalls():
        say(messages(), one_line(line, 500))
    lowest = min((each.coverage for each in table.health), default=1.0)
    if lowest < min_coverage:
        say(messages(), f"coverage {lowest:.1%} is below --min-coverage {min_coverage:.0%}")
    return lowest >= min_coverage


def table_of_runs(runs: RunScores) -> Table:
    """Return the table of some runs."""
    return Table(scores=runs.scores, runs=runs, remarks=runs.remarks)


def read_table(
    names: Sequence[str], recipe: Recipe, people: Sequence[str] = (), *, ratings: bool = True
) -> Table | None:
    """
    Return the scores in run folders or, unless they hold no `ratings`, in one file; None if these are dialogues.

    Raise `SettingsError` if they are of several kinds.
    """
    runs = [Path(name) for name in names if is_run(Path(name))]
    if runs and len(runs) < len(names):
        other = next(name for name in names if not is_run(Path(name)))
        raise SettingsError(f"{other}: found beside run folders, expected run folders only, or dialogues only")
    if runs:
        return table_of_runs(read_runs(runs, recipe))
    files = [Path(name) for name in names if ratings and is_ratings_file(Path(name))]
    if not files:
        return None
    if len(names) > 1:
        raise SettingsError(f"{files[0]}: a file of ratings found beside other inputs, expected it alone")
    return Table(scores=read_ratings(files[0], people))
