"""
Learning calibrations from what people said.

A map is learned for each judge and dimension by isotonic regression; what it is worth is measured on dialogues it has
not seen.
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
    Learn from the people in a table, and say which curves could not be learned and why.

    `raters` gives each rater's judge and settings. Of several labels for a dimension, the first that teaches anything
    counts. Raise `SettingsError` if nothing at all could be learned.
    """
    curves: dict[tuple[str, str], Curve] = {}
    refused = []
    for each in mapped:
        for rater in scores.judges:
            before = curves.get((rater, each.judged))
            found = f"{before.human} is learned from already" if before else _curve(scores, each, rater)
            if isinstance(found, str):
                refused.append(f"{rater}, {each.judged} from {each.human}: {found}")
            else:
                judge, settings = raters.get(rater, (rater, ""))
                curves[rater, each.judged] = replace(found, judge=judge, settings=settings)
    if not curves:
        raise SettingsError(f"nothing to learn from: {'; '.join(refused) or 'no judge and no people found'}")
    return Calibration(perm_calibration=FORMAT, made=made, of=of, curves=list(curves.values())), refused


def calibrated(scores: Scores, calibration: Calibration) -> tuple[Scores, int]:
    """Return the table with the scores mapped wherever there is a curve, and the number of columns that had one."""
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
        return "a reward is made of scores and has no map of its own, expected --map DIMENSION=LABEL"
    if both.sum() < LEAST_LABELS or dialogues < LEAST_DIALOGUES:
        found = f"{both.sum()} labels in {dialogues} dialogues"
        return f"{found} found, expected {LEAST_LABELS} in {LEAST_DIALOGUES} or more"
    if mapped.sign < 0:
        return f"{mapped.human} runs the other way, expected people's labels of the same direction"
    held_out = cross_fitted(column, truth, folds_of([item.dialogue_id for item in scores.items]))
    fitted = isotonic(column[both], truth[both])
    if fitted.y[0] == fitted.y[-1]:
        return "the scores do not rise with people's, and their map would make all alike"
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
        error_before=float(np.abs(before).mean()) if same else None,
        error_after=float(np.abs(after).mean()),
        bias_before=float(before.mean()) if same else None,
        bias_after=float(after.mean()),
    )
