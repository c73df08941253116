"""
Learning calibrations from what people said.

A map is learned for each judge and dimension by isotonic regression; what it is worth is measured on dialogues it has
not seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from perm_cli.calibration import FORMAT, Calibration, Curve
from perm_cli.errors import SettingsError
from perm_cli.scores import Floats, Scores
from perm_cli.statistics.calibrating import cross_fitted, folds_of, isotonic
from perm_cli.validation import Mapped, row_means

LEAST_LABELS = 50
LEAST_DIALOGUES = 20


def learn(
    scores: Scores, mapped: Sequence[Mapped], raters: Mapping[str, tuple[str, str]], made: str, of: Sequence[str]
) -> tuple[Calibration, list[str]]:
    """
    Learn from the people in a table, and say which curves could not be learned and why.

    `raters` gives each rater's judge and settings. Raise `SettingsError` if nothing at all could be learned.
    """
    curves, refused = [], []
    for each in mapped:
        truth = row_means(scores.of(each.human, scores.humans))
        for rater in scores.judges:
            found = _curve(scores, each, rater, truth)
            if isinstance(found, str):
                refused.append(f"{rater}, {each.judged}: {found}")
            else:
                judge, settings = raters.get(rater, (rater, ""))
                curves.append(replace(found, judge=judge, settings=settings))
    if not curves:
        raise SettingsError(f"nothing to learn from: {'; '.join(refused) or 'no judge and no people found'}")
    return Calibration(perm_calibration=FORMAT, made=made, of=of, curves=curves), refused


def _curve(scores: Scores, mapped: Mapped, rater: str, truth: Floats) -> Curve | str:
    column = scores.of(mapped.judged, [rater])[:, 0]
    both = ~np.isnan(column) & ~np.isnan(truth)
    dialogues = len(np.unique(scores.clusters[both]))
    if both.sum() < LEAST_LABELS or dialogues < LEAST_DIALOGUES:
        found = f"{both.sum()} labels in {dialogues} dialogues"
        return f"{found} found, expected {LEAST_LABELS} in {LEAST_DIALOGUES} or more"
    if mapped.sign < 0:
        return f"{mapped.human} runs the other way, expected people's labels of the same direction"
    held_out = cross_fitted(column, truth, folds_of([item.dialogue_id for item in scores.items]))
    fitted = isotonic(column[both], truth[both])
    before, after = column[both] - truth[both], held_out[both] - truth[both]
    same = mapped.judged == mapped.human
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
