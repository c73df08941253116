"""
Learning calibrations from people's labels.

One map per judge and dimension is fitted by isotonic regression; its error is measured by cross-fitting, on dialogues
that it was not fitted to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from perm_cli.comparing.against_people import Mapped, same_scale
from perm_cli.comparing.from_runs import REWARD
from perm_cli.comparing.table import Scores
from perm_cli.errors import SettingsError
from perm_cli.rewards.calibration import FORMAT, Calibration, Curve
from perm_cli.statistics.calibrating import cross_fitted, folds_of, isotonic
from perm_cli.statistics.means import row_means

LEAST_LABELS = 50
LEAST_DIALOGUES = 20  # so that each of the five folds holds out four or more


def learn(
    scores: Scores, mapped: Sequence[Mapped], raters: Mapping[str, tuple[str, str]], made: str, of: Sequence[str]
) -> tuple[Calibration, list[str]]:
    """
    Return the calibration learned from the people in a table, and for each curve that was not learned, the reason.

    `raters` gives the judge and settings of each rater, `made` is the date and `of` the inputs that the calibration
    names. Of several labels for a dimension the first usable one counts. Raise `SettingsError` if no curve is learned.
    """
    curves: dict[tuple[str, str], Curve] = {}
    refused = []
    for each in mapped:
        for rater in scores.judges:
            before = curves.get((rater, each.judged))
            found = f"already learned from {before.human}" if before else _curve(scores, each, rater)
            if isinstance(found, str):
                refused.append(f"{rater}, {each.judged} from {each.human}: {found}")
            else:
                judge, settings = raters.get(rater, (rater, ""))
                curves[rater, each.judged] = replace(found, judge=judge, settings=settings)
    if not curves:
        raise SettingsError(f"no calibration can be learned: {'; '.join(refused) or 'no judge and no people found'}")
    return Calibration(perm_calibration=FORMAT, made=made, of=of, curves=list(curves.values())), refused


def calibrated(scores: Scores, calibration: Calibration) -> tuple[Scores, int]:
    """Return the table with scores mapped wherever the calibration has a curve, and the number of columns mapped."""
    used = 0
    tables = {}
    for dimension, table in scores.tables.items():
        mapped = table.copy()
        for place, rater in enumerate(scores.raters):
            curve = calibration.curve(rater, "", dimension)
            if curve and rater not in scores.people:
                mapped[:, place] = curve(table[:, place])
                used += 1
        tables[dimension] = mapped
    return replace(scores, tables=tables), used


def _curve(scores: Scores, mapped: Mapped, rater: str) -> Curve | str:
    humans = scores.of(mapped.human, scores.humans)
    truth = row_means(humans)
    column = scores.of(mapped.judged, [rater])[:, 0]
    both = ~np.isnan(column) & ~np.isnan(truth)
    dialogues = len(np.unique(scores.clusters[both]))
    if mapped.judged == REWARD:
        return "the reward is fused from scores and cannot be calibrated itself; pass --map DIMENSION=LABEL"
    if both.sum() < LEAST_LABELS or dialogues < LEAST_DIALOGUES:
        found = f"{both.sum()} labels in {dialogues} dialogues"
        return f"{found} found, expected at least {LEAST_LABELS} in {LEAST_DIALOGUES}"
    if mapped.sign < 0:
        return f"higher {mapped.human} means less of it; calibration needs a label of the same direction"
    held_out = cross_fitted(column, truth, folds_of([item.dialogue_id for item in scores.items]))
    fitted = isotonic(column[both], truth[both])
    # Isotonic regression of opposite scores is flat: it would lower the error and erase all ranks.
    if fitted.y[0] == fitted.y[-1]:
        return "the scores do not increase with people's, so a map would make all scores equal"
    before, after = column[both] - truth[both], held_out[both] - truth[both]
    same = same_scale(scores, mapped, humans)
    return Curve(
        judge=rater,
        settings="",
        dimension=mapped.judged,
        human=mapped.human,
        labels=int(both.sum()),
        dialogues=dialogues,
        x=fitted.x,
        y=fitted.y,
        # On different scales the difference of raw scores is no error.
        error_before=float(np.abs(before).mean()) if same else None,
        error_after=float(np.abs(after).mean()),
        bias_before=float(before.mean()) if same else None,
        bias_after=float(after.mean()),
    )
