"""`perm calibrate`: learn from labels how a judge's levels relate to people's."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from perm_cli.cli.exits import COVERAGE_TOO_LOW, DONE
from perm_cli.cli.options import (
    DialogueOptions,
    Inputs,
    JudgeOptions,
    Judges,
    LabelOptions,
    MinCoverage,
    Overwrite,
    People,
    RewardOptions,
    RunsFolder,
)
from perm_cli.errors import SettingsError


def calibrate(
    inputs: Inputs,
    dialogues: DialogueOptions,
    asking: JudgeOptions,
    reward: RewardOptions,
    against: LabelOptions,
    to: Annotated[Path, typer.Option(help="Calibration file to write (JSON).", show_default=False)],
    judge: Judges = None,
    people: People = None,
    out: RunsFolder = Path("runs/calibrate"),
    min_coverage: MinCoverage = 0.95,
    force: Overwrite = False,
) -> None:
    """
    Learn from labels how each judge's levels map to people's, and write that to a file for --calibration.

    A map never reverses an order. With too few labels, none is learned.
    """
    from perm_cli.cli.console import WIDE, messages, output, say
    from perm_cli.cli.from_options import recipe_of
    from perm_cli.cli.labelled import judged_table, labelled
    from perm_cli.cli.tables import enough
    from perm_cli.comparing.learning import learn
    from perm_cli.reports.figures import counted
    from perm_cli.reports.in_terminal import calibration_table
    from perm_cli.rewards.calibration import write_calibration

    if to.exists() and not force:
        raise SettingsError(f"--to: {to} already exists; name a new file, or overwrite it with --force")
    if reward.calibration:
        raise SettingsError("--calibration cannot be used with perm calibrate, which learns from uncalibrated scores")
    recipe = recipe_of(reward, asking.score)
    table = judged_table(inputs, dialogues, asking, recipe, judge, out, people, against)
    scores, mapped = labelled(table, people, against)
    raters = {each.rater: (each.judge, each.settings) for each in table.health}
    made = datetime.now(UTC).isoformat(timespec="seconds")
    calibration, refused = learn(scores, mapped, raters, made, inputs)
    write_calibration(calibration, to)
    for line in refused:
        say(messages(), f"not learned: {line}")
    console = output(WIDE)
    console.print(calibration_table(calibration))
    say(console, f"{to}: {counted(len(calibration.curves), 'curve')}, to be used with --calibration {to}")
    raise typer.Exit(DONE if enough(table, min_coverage) else COVERAGE_TOO_LOW)
