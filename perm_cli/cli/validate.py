"""`perm validate`: judges against people."""

from pathlib import Path
from typing import Annotated

import typer

from perm_cli.cli.exits import COVERAGE_TOO_LOW, DONE
from perm_cli.cli.options import (
    AsJson,
    DialogueOptions,
    Inputs,
    JudgeOptions,
    Judges,
    LabelOptions,
    MinCoverage,
    PanelOption,
    People,
    RewardOptions,
    RunsFolder,
    Tex,
)


def validate(
    inputs: Inputs,
    dialogues: DialogueOptions,
    asking: JudgeOptions,
    reward: RewardOptions,
    against: LabelOptions,
    judge: Judges = None,
    people: People = None,
    panel: PanelOption = None,
    epsilon: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="How far a judge may fall behind a person: 0.2 for experts, 0.15 for skilled people, 0.1 for a crowd.",
        ),
    ] = 0.2,
    tex: Tex = None,
    out: RunsFolder = Path("runs/validate"),
    min_coverage: MinCoverage = 0.95,
    as_json: AsJson = False,
) -> None:
    """
    Compare judges with people: how far people agree, how close each judge comes, and whether it beats word counting.

    The labels are those in the dialogues, or a CSV file of ratings.
    """
    from perm_cli.cli.console import WIDE, messages, output, say, show
    from perm_cli.cli.from_options import recipe_of
    from perm_cli.cli.labelled import calibrated_table, judged_table, labelled
    from perm_cli.cli.tables import enough
    from perm_cli.comparing.against_people import validate
    from perm_cli.comparing.biases import feature_table
    from perm_cli.comparing.panel import LEAST_JUDGES, with_panel_of
    from perm_cli.disk import write_whole
    from perm_cli.judges.routes import control_caveats
    from perm_cli.reports.as_json import validation_json
    from perm_cli.reports.in_terminal import validation_parts
    from perm_cli.reports.latex import judged_by, validated_latex

    recipe = recipe_of(reward, asking.score)
    table = judged_table(inputs, dialogues, asking, recipe, judge, out, people, against)
    scores, mapped = labelled(table, people, against)
    if reward.calibration:
        scores = calibrated_table(table, scores, reward.calibration)
        say(
            messages(),
            "calibrated: the figures are too good if the calibration was learned from these dialogues",
        )
    # Controls have no seat on the panel.
    seated = scores.without({each.rater for each in table.health if each.caveat in control_caveats()})
    if len(seated.judges) >= LEAST_JUDGES:
        scores = with_panel_of(scores, seated, panel or "mean", recipe)
    found = validate(scores, mapped, feature_table(scores.items, table.dialogues()), epsilon)
    if tex:
        write_whole(tex, validated_latex(found, judged_by(table.runs)))
    if as_json:
        print(validation_json(found, table.caveats), end="")
    else:
        show(output(WIDE), validation_parts(found, table.caveats))
    raise typer.Exit(DONE if enough(table, min_coverage) else COVERAGE_TOO_LOW)
