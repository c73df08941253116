"""
Calibrations: a judge's scores mapped to the levels that people use, learned from labels and kept in a file.

A map is learned for each judge and dimension by isotonic regression, so it moves levels and never turns an order
round. What it is worth is measured on dialogues it has not seen. Raw scores are always kept beside what it makes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import orjson
from pydantic import TypeAdapter, ValidationError

from perm_cli.errors import SettingsError
from perm_cli.files import write_whole
from perm_cli.scores import Floats, Scores
from perm_cli.statistics.calibrating import Isotonic, cross_fitted, folds_of, isotonic
from perm_cli.validation import Mapped, row_means

LEAST_LABELS = 50
LEAST_DIALOGUES = 20
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """
    Hold the map of one judge on one dimension.

    `error_before` and `error_after` are the mean absolute difference from people, the latter on dialogues that were
    held out; `bias_before` and `bias_after` the mean difference. Before there is none where the scales differ.
    """

    judge: str
    settings: str
    dimension: str
    human: str
    labels: int
    dialogues: int
    x: tuple[float, ...]
    y: tuple[float, ...]
    error_before: float | None
    error_after: float
    bias_before: float | None
    bias_after: float

    def __call__(self, scores: Floats) -> Floats:
        """Return the scores on people's levels."""
        return Isotonic(x=self.x, y=self.y)(scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Hold the curves of a file; `made` says when, `of` from what."""

    perm_calibration: int
    made: str
    of: Sequence[str]
    curves: Sequence[Curve]

    def curve(self, judge: str, settings: str, dimension: str) -> Curve | None:
        """Return the curve for a judge under these settings, None if none was learned."""
        own = [each for each in self.curves if each.judge == judge and each.dimension == dimension]
        return next((each for each in own if not each.settings or each.settings == settings), None)


_CALIBRATION = TypeAdapter(Calibration)


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
    return Calibration(perm_calibration=_FORMAT, made=made, of=of, curves=curves), refused


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


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration as JSON."""
    write_whole(path, orjson.dumps(asdict(calibration), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def read_calibration(path: Path) -> Calibration:
    """Read what `write_calibration` wrote; raise `SettingsError` if it is something else."""
    try:
        found = _CALIBRATION.validate_json(path.read_bytes(), extra="forbid")
    except OSError as error:
        raise SettingsError(
            f"--calibration: {path}: {error.strerror} found, expected a file of perm calibrate"
        ) from error
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(map(str, detail["loc"]))
        raise SettingsError(
            f"--calibration: {path}: {place}: {detail['msg']}; expected a file of perm calibrate"
        ) from error
    broken = next((each for each in found.curves if not _rises(each)), None)
    if found.perm_calibration != _FORMAT or broken:
        what = f"a curve that falls or is empty for {broken.judge!r}" if broken else "another format"
        raise SettingsError(f"--calibration: {path}: {what} found, expected a file of perm calibrate")
    return found


def calibrated(scores: Scores, calibration: Calibration, raters: Mapping[str, tuple[str, str]]) -> tuple[Scores, int]:
    """Return the table with the scores mapped wherever there is a curve, and the number of columns that had one."""
    used = 0
    tables = {}
    for dimension, table in scores.tables.items():
        mapped = table.copy()
        for place, rater in enumerate(scores.raters):
            curve = calibration.curve(*raters.get(rater, (rater, "")), dimension)
            if curve and rater not in scores.people:
                mapped[:, place] = curve(table[:, place])
                used += 1
        tables[dimension] = mapped
    return replace(scores, tables=tables), used


def digest(calibration: Calibration) -> str:
    """Return a hash that names a calibration."""
    return blake2b(orjson.dumps(asdict(calibration)), digest_size=6).hexdigest()


def _rises(curve: Curve) -> bool:
    x, y = np.array(curve.x), np.array(curve.y)
    finite = len(x) == len(y) > 0 and np.isfinite(x).all() and np.isfinite(y).all()
    return bool(finite and (np.diff(x) > 0).all() and (np.diff(y) >= 0).all())
