"""Scores with people's labels beside them, which judges are validated against and calibrated on."""

from collections.abc import Sequence
from pathlib import Path

from perm_cli.cli.console import messages, say
from perm_cli.cli.inputs import files_of
from perm_cli.cli.options import DialogueOptions, JudgeOptions, LabelOptions
from perm_cli.cli.tables import Table, rated_table
from perm_cli.comparing.against_people import Mapped
from perm_cli.comparing.expectations import mapping, read_map
from perm_cli.comparing.labels import is_ratings_file, labels_of, read_ratings, with_labels
from perm_cli.comparing.learning import calibrated
from perm_cli.comparing.table import Scores
from perm_cli.errors import SettingsError
from perm_cli.rewards.calibration import read_calibration
from perm_cli.rewards.formula import Recipe
from perm_cli.text import one_line


def judged_table(
    inputs: Sequence[str],
    dialogues: DialogueOptions,
    asking: JudgeOptions,
    recipe: Recipe,
    judges: Sequence[str] | None,
    out: Path,
    people: Sequence[str] | None,
    against: LabelOptions,
) -> Table:
    """Return the scores of the inputs; `people` are among their raters only if the labels are."""
    inputs = files_of(inputs)
    holds_labels = not against.labels and any(is_ratings_file(Path(name)) for name in inputs)
    return rated_table(inputs, dialogues, asking, recipe, judges, out, people if holds_labels else None)


def labelled(table: Table, people: Sequence[str] | None, against: LabelOptions) -> tuple[Scores, list[Mapped]]:
    """Return the scores with people's beside them, and which dimension is compared with which label."""
    scores = table.scores
    if against.labels:
        labels = read_ratings(against.labels, people or ())
        labels = labels.without(labels.judges) if labels.humans else labels  # whose they are, the user has said
        scores = with_labels(scores.without(scores.humans), ((each, True) for each in labels.given()), people or ())
    elif table.runs:
        found = (each for dialogue in table.dialogues() for each in labels_of(dialogue))
        scores = with_labels(scores, found, people or ())
    if not scores.humans:
        raise SettingsError("no people found among the raters, expected labels; name people with --people NAME")
    if not scores.judges:
        raise SettingsError("no judges found among the raters, expected some beside people")
    return scores, mapping(scores, read_map(against.map) if against.map else ())


def labelled_if_any(
    table: Table, people: Sequence[str] | None, against: LabelOptions
) -> tuple[Scores | None, list[Mapped]]:
    """Return what `labelled` does, nothing where the dialogues carry no labels and no file is given."""
    if not against.labels and not any(dialogue.labels for dialogue in table.dialogues()):
        return None, []
    try:
        return labelled(table, people, against)
    except SettingsError:
        if against.labels or against.map:
            raise
        return None, []  # labels that nothing is known of


def calibrated_table(table: Table, scores: Scores, path: Path) -> Scores:
    """
    Return the scores calibrated as the file says; those of runs already are.

    Print which judges the file has no curve for; raise `SettingsError` if that is all of them.
    """
    calibration = read_calibration(path)
    asked = {each.rater: (each.judge, each.settings) for each in table.health}
    raw = [judge for judge in scores.judges if not calibration.calibrated(*asked.get(judge, (judge, "")))]
    if len(raw) == len(scores.judges):
        known = ", ".join(dict.fromkeys(one_line(each.judge, 40) for each in calibration.curves))
        raise SettingsError(
            f"--calibration: {path}: curves for {known} found, expected some for {one_line(raw[0], 40)} as it was asked"
        )
    for judge in raw:
        say(messages(), f"{judge}: not calibrated, since {path} has no curve for it as it was asked")
    return scores if table.runs else calibrated(scores, calibration)[0]
