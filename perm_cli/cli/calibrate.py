"""`perm calibrate`: learn from labels how a judge's levels relate to people's."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from perm_cli.cli.compare import WIDTH, Wishes
from perm_cli.cli.console import messages, output, say
from perm_cli.cli.exits import COVERAGE_TOO_LOW, DONE
from perm_cli.cli.from_options import recipe_of
from perm_cli.cli.inputs import enough
from perm_cli.cli.options import DialogueOptions, JudgeOptions, RewardOptions
from perm_cli.cli.validate import Against, judged_table, labelled
from perm_cli.comparing.learning import learn
from perm_cli.errors import SettingsError
from perm_cli.reports.figures import number
from perm_cli.reports.layout import Grid
from perm_cli.rewards.calibration import Calibration, write_calibration
from perm_cli.text import one_line


def run(
    inputs: Sequence[str],
    dialogues: DialogueOptions,
    asking: JudgeOptions,
    reward: RewardOptions,
    wishes: Wishes,
    against: Against,
    to: Path,
    *,
    force: bool,
) -> int:
    """Learn each judge's curves from the labels and write them; return the exit code."""
    if to.exists() and not force:
        raise SettingsError(f"--to: {to} is there already, expected a new file, or --force")
    if reward.calibration:
        raise SettingsError("--calibration: found with perm calibrate, which learns from the scores as they were given")
    recipe = recipe_of(reward, asking.score)
    table = judged_table(inputs, dialogues, asking, recipe, wishes, against)
    scores, mapped = labelled(table, wishes.people, against)
    raters = {each.rater: (each.judge, each.settings) for each in table.health}
    made = datetime.now(UTC).isoformat(timespec="seconds")
    calibration, refused = learn(scores, mapped, raters, made, list(inputs))
    write_calibration(calibration, to)
    for line in refused:
        say(messages(), f"not learned: {line}")
    _show(calibration, to)
    return DONE if enough(table, wishes.min_coverage) else COVERAGE_TOO_LOW


def _show(calibration: Calibration, to: Path) -> None:
    columns = ["judge", "dimension", "labels", "dialogues", "error", "held out", "level", "held-out level"]
    table = Grid(columns=columns, names=2)
    for curve in calibration.curves:
        table.add(
            one_line(curve.judge, 40),
            f"{one_line(curve.dimension, 40)} ~ {one_line(curve.human, 40)}",
            f"{curve.labels:,}",
            f"{curve.dialogues:,}",
            number(curve.error_before),
            number(curve.error_after),
            number(curve.bias_before, signed=True),
            number(curve.bias_after, signed=True),
        )
    console = output(WIDTH)
    console.print(table)
    curves = len(calibration.curves)
    say(console, f"{to}: {curves} {'curve' if curves == 1 else 'curves'}, to be used with --calibration {to}")
