"""`perm validate`: judges against people."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from perm_cli.biases import feature_table
from perm_cli.calibration import Calibration, calibrated, read_calibration
from perm_cli.cli.compare import WIDTH, Wishes, rated_table
from perm_cli.cli.console import messages, output, say
from perm_cli.cli.inputs import Table
from perm_cli.cli.options import DialogueOptions, JudgeOptions, LabelOptions, RewardOptions
from perm_cli.cli.orders import recipe_of
from perm_cli.constructs import mapping, read_map
from perm_cli.errors import SettingsError
from perm_cli.labels import labels_of, read_ratings, with_labels
from perm_cli.panel import LEAST_JUDGES, convene
from perm_cli.reports.validated import ceiling_table, findings, level_table, powered_table, rank_table
from perm_cli.rewards import Recipe
from perm_cli.scores import Scores
from perm_cli.statistics.resampling import Resamples
from perm_cli.validation import DimensionValidation, Mapped, validate


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """Say what judges are held against, and how."""

    labels: Path | None
    mapped: str | None
    epsilon: float


def run(
    inputs: Sequence[str],
    dialogues: DialogueOptions,
    asking: JudgeOptions,
    reward: RewardOptions,
    wishes: Wishes,
    against: Against,
) -> None:
    """Do what the command says."""
    recipe = recipe_of(reward, asking.score)
    table = rated_table(inputs, dialogues, asking, recipe, wishes)
    scores, mapped = labelled(table, wishes.people, against)
    if reward.calibration and not table.runs:  # those of runs are on people's levels already
        scores = applied(scores, read_calibration(reward.calibration), reward.calibration)
    if len(scores.judges) >= LEAST_JUDGES:
        scores = _with_panel(scores, wishes, recipe)
    if reward.calibration:
        say(messages(), "calibrated: if that was learned from these dialogues, the numbers flatter")
    features = feature_table(scores.items, table.dialogues())
    found = validate(scores, mapped, features, against.epsilon)
    if wishes.as_json:
        content = {"dimensions": [asdict(each) for each in found], "findings": list(findings(found))}
        sys.stdout.write(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())
    else:
        _show(table, found)


def labelled(table: Table, people: Sequence[str], against: Against) -> tuple[Scores, list[Mapped]]:
    """Return the scores with people's beside, and what is held against what."""
    scores = table.scores
    if against.labels:
        labels = read_ratings(against.labels, people)
        scores = with_labels(scores, ((each, True) for each in labels.without(labels.judges).given()))
    elif table.runs:
        found = [each for dialogue in table.dialogues() for each in labels_of(dialogue)]
        scores = with_labels(scores, found)
        if people:
            scores = scores.without(set(scores.humans) - set(people))
    if not scores.humans:
        raise SettingsError("no people found among the raters, expected labels; name people with --people NAME")
    if not scores.judges:
        raise SettingsError("no judges found among the raters, expected some beside people")
    return scores, mapping(scores, read_map(against.mapped) if against.mapped else ())


def labelled_if_any(table: Table, people: Sequence[str], against: LabelOptions) -> tuple[Scores | None, list[Mapped]]:
    """Return what `labelled` does, nothing where the dialogues carry no labels and no file is given."""
    held = Against(labels=against.labels, mapped=against.map, epsilon=0.0)
    if not against.labels and not any(dialogue.labels for dialogue in table.dialogues()):
        return None, []
    try:
        return labelled(table, people, held)
    except SettingsError:
        if against.labels or against.map:
            raise
        return None, []  # labels that nothing is known of


def applied(scores: Scores, calibration: Calibration, path: Path) -> Scores:
    """Return the scores as calibrated; raise `SettingsError` if the file has nothing for these judges."""
    mapped, used = calibrated(scores, calibration)
    if not used:
        known = ", ".join(sorted({each.judge for each in calibration.curves}))
        raise SettingsError(f"--calibration: {path}: curves for {known} found, expected some for {scores.judges[0]}")
    return mapped


def _with_panel(scores: Scores, wishes: Wishes, recipe: Recipe) -> Scores:
    _, whole = convene(scores, wishes.panel or "mean", recipe, Resamples(scores.clusters))
    return whole


def _show(table: Table, found: Sequence[DimensionValidation]) -> None:
    for remark in table.remarks:
        say(messages(), remark)
    console = output(WIDTH)
    say(console, "How far people agree:", "bold")
    console.print(ceiling_table(found))
    say(console, "How judges order what people have ordered:", "bold")
    console.print(rank_table(found))
    say(console, "How near judges come to people's numbers:", "bold")
    console.print(level_table(found))
    powered = powered_table(found)
    if powered:
        say(console, "What people would give on average:", "bold")
        console.print(powered)
    for line in findings(found):
        say(console, line)
    for caveat in dict.fromkeys(each.caveat for each in table.health if each.caveat):
        say(console, caveat, "bold")
