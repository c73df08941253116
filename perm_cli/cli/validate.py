"""`perm validate`: judges against people."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import orjson

from perm_cli.cli.compare import WIDTH, Wishes, rated_table
from perm_cli.cli.console import messages, output, say
from perm_cli.cli.from_options import recipe_of
from perm_cli.cli.inputs import Table, enough
from perm_cli.cli.names import files_of
from perm_cli.cli.options import DialogueOptions, JudgeOptions, LabelOptions, RewardOptions
from perm_cli.comparing.against_people import DimensionValidation, Mapped, validate
from perm_cli.comparing.biases import feature_table
from perm_cli.comparing.expectations import mapping, read_map
from perm_cli.comparing.labels import is_ratings_file, labels_of, read_ratings, with_labels
from perm_cli.comparing.learning import calibrated
from perm_cli.comparing.panel import LEAST_JUDGES, convene
from perm_cli.comparing.table import Scores
from perm_cli.disk import write_whole
from perm_cli.errors import SettingsError
from perm_cli.judges.routes import control_caveats
from perm_cli.reports.latex import judged_by, validated_latex
from perm_cli.reports.terms import grouped
from perm_cli.reports.validated import (
    ceiling_table,
    findings,
    level_table,
    powered_table,
    rank_table,
    titled_findings,
)
from perm_cli.rewards.calibration import Calibration, read_calibration
from perm_cli.rewards.formula import Recipe
from perm_cli.statistics.resampling import Resamples
from perm_cli.text import one_line
from perm_cli.words import COVERAGE_TOO_LOW, DONE


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
) -> int:
    """Hold the judges of the inputs against people and print how they do; return the exit code."""
    recipe = recipe_of(reward, asking.score)
    table = judged_table(inputs, dialogues, asking, recipe, wishes, against)
    scores, mapped = labelled(table, wishes.people, against)
    if reward.calibration:
        scores = applied(table, scores, read_calibration(reward.calibration), reward.calibration)
        say(messages(), "calibrated: if that was learned from these dialogues, the numbers flatter")
    controls = control_caveats()
    scores = _with_panel(scores, {each.rater for each in table.health if each.caveat in controls}, wishes, recipe)
    features = feature_table(scores.items, table.dialogues())
    found = validate(scores, mapped, features, against.epsilon)
    if wishes.tex:
        write_whole(wishes.tex, validated_latex(found, judged_by(table.runs)))
    if wishes.as_json:
        content = {
            "dimensions": [asdict(each) for each in found],
            "findings": list(findings(found)),
            "caveats": table.caveats,
        }
        sys.stdout.write(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())
    else:
        _show(table, found)
    return DONE if enough(table, wishes.min_coverage) else COVERAGE_TOO_LOW


def judged_table(
    inputs: Sequence[str],
    dialogues: DialogueOptions,
    asking: JudgeOptions,
    recipe: Recipe,
    wishes: Wishes,
    against: Against,
) -> Table:
    """Return the scores of the inputs, and say what kept some out; people are named of them only if they hold any."""
    inputs = files_of(inputs)
    in_table = not against.labels and any(is_ratings_file(Path(name)) for name in inputs)
    return rated_table(inputs, dialogues, asking, recipe, wishes if in_table else replace(wishes, people=()))


def labelled(table: Table, people: Sequence[str], against: Against) -> tuple[Scores, list[Mapped]]:
    """Return the scores with people's beside, and what is held against what."""
    scores = table.scores
    if against.labels:
        labels = read_ratings(against.labels, people)
        labels = labels.without(labels.judges) if labels.humans else labels  # whose they are, the user has said
        scores = with_labels(scores.without(scores.humans), ((each, True) for each in labels.given()), people)
    elif table.runs:
        found = (each for dialogue in table.dialogues() for each in labels_of(dialogue))
        scores = with_labels(scores, found, people)
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


def applied(table: Table, scores: Scores, calibration: Calibration, path: Path) -> Scores:
    """
    Return the scores as calibrated, those of runs being so already.

    Say which judges the file has nothing for; raise `SettingsError` if that is all of them.
    """
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


def _with_panel(scores: Scores, controls: set[str], wishes: Wishes, recipe: Recipe) -> Scores:
    """Return the table with the judges' panel, in which controls have no seat, if there are enough of them."""
    seated = scores.without(controls)
    if len(seated.judges) < LEAST_JUDGES:
        return scores
    panel, fused = convene(seated, wishes.panel or "mean", recipe, Resamples(scores.clusters))
    columns = {name: fused.of(name, [panel.name]) for name in scores.tables}
    tables = {name: np.hstack((table, columns[name])) for name, table in scores.tables.items()}
    return replace(scores, raters=[*scores.raters, panel.name], tables=tables)


def _show(table: Table, found: Sequence[DimensionValidation]) -> None:
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
    for group in grouped(titled_findings(found)):
        say(console, group.title, "bold")
        for sentence in group.sentences:
            say(console, sentence)
        for term, says in group.terms.items():
            say(console, f"  {term}: {says}", "dim italic")
        say(console, "")
    for caveat in table.caveats:
        say(console, caveat, "bold")
