"""`perm compare`: judges side by side."""

from pathlib import Path

import typer

from perm_cli.cli.exits import COVERAGE_TOO_LOW, DONE
from perm_cli.cli.options import (
    AsJson,
    DialogueOptions,
    Inputs,
    JudgeOptions,
    Judges,
    MinCoverage,
    PanelOption,
    People,
    RewardOptions,
    RunsFolder,
    Tex,
)
from perm_cli.errors import SettingsError


def compare(
    inputs: Inputs,
    dialogues: DialogueOptions,
    asking: JudgeOptions,
    reward: RewardOptions,
    judge: Judges = None,
    people: People = None,
    panel: PanelOption = None,
    tex: Tex = None,
    out: RunsFolder = Path("runs/compare"),
    min_coverage: MinCoverage = 0.95,
    as_json: AsJson = False,
) -> None:
    """
    Compare judges on the same dialogues: use of the scale, agreement, level, ranking of systems, biases.

    Missing ratings are made first; no call is repeated.
    """
    from perm_cli.cli.console import WIDE, output, show
    from perm_cli.cli.from_options import recipe_of
    from perm_cli.cli.tables import enough, panel_in, rated_table
    from perm_cli.comparing.biases import feature_table
    from perm_cli.comparing.side_by_side import compare
    from perm_cli.disk import write_whole
    from perm_cli.reports.as_json import comparison_json
    from perm_cli.reports.in_terminal import comparison_parts
    from perm_cli.reports.latex import compared_latex, judged_by

    recipe = recipe_of(reward, asking.score)
    table = rated_table(inputs, dialogues, asking, recipe, judge, out, people)
    if not table.scores.judges:
        raise SettingsError(f"{inputs[0]}: no judges found, only people, expected judges to compare")
    convened = panel_in(table.scores, panel, recipe)[0] if panel else None
    found = compare(table.scores, feature_table(table.scores.items, table.dialogues()))
    if tex:
        write_whole(tex, compared_latex(found, judged_by(table.runs)))
    if as_json:
        print(comparison_json(found, table.health, convened), end="")
    else:
        show(output(WIDE), comparison_parts(found, table.health, table.caveats, convened, table.rationales))
    raise typer.Exit(DONE if enough(table, min_coverage) else COVERAGE_TOO_LOW)
