"""
Calibrations: maps from a judge's scores to the levels that people use, learned from labels and stored in a file.

`comparing.learning` makes them. A map is non-decreasing, so it never reverses an order; ratings keep the raw scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from pydantic import TypeAdapter, ValidationError

from perm_cli.disk import write_whole
from perm_cli.errors import SettingsError
from perm_cli.findings import first_finding
from perm_cli.statistics.resampling import Floats

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """
    The map of one judge on one dimension: linear between the knots `x` and `y`, constant beyond them.

    `error_before` and `error_after` are the mean absolute differences from people, the latter on held-out dialogues;
    `bias_before` and `bias_after` are the mean differences. Those before are None if the scales differ.
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
        """Return scores mapped to people's levels, an array of the same shape."""
        return np.interp(scores, self.x, self.y)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The curves of a file; `made` is when they were learned, `of` from which files."""

    perm_calibration: int
    made: str
    of: Sequence[str]
    curves: Sequence[Curve]

    def curve(self, judge: str, settings: str, dimension: str) -> Curve | None:
        """Return the curve for a judge under these settings, None if none was learned."""
        own = [each for each in self.curves if each.judge == judge and each.dimension == dimension]
        return next((each for each in own if not each.settings or each.settings == settings), None)

    def calibrated(self, judge: str, settings: str) -> list[str]:
        """Return the dimensions with a curve for a judge under these settings."""
        return [each.dimension for each in self.curves if self.curve(judge, settings, each.dimension) is each]

    def check(self, bounds: Mapping[str, tuple[float, float]]) -> None:
        """Raise `SettingsError` if a curve maps to values outside `bounds`, the scales that rewards are made from."""
        for curve in self.curves:
            low, high = bounds.get(curve.dimension, (-np.inf, np.inf))
            if min(curve.y) < low or max(curve.y) > high:
                raise SettingsError(
                    f"--calibration: {curve.dimension} of {curve.judge} becomes {min(curve.y):g} to {max(curve.y):g}, "
                    f"expected {low:g} to {high:g}, the scale of the dimension: the labels had another scale"
                )

    def level(self, judge: str, settings: str, dimension: str, score: float) -> float:
        """Return one score mapped to people's levels, unchanged if there is no curve."""
        curve = self.curve(judge, settings, dimension)
        return score if curve is None else float(np.interp(score, curve.x, curve.y))


_CALIBRATION = TypeAdapter(Calibration)


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration as JSON."""
    write_whole(path, orjson.dumps(asdict(calibration), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def calibration_of(record: Any) -> Calibration:
    """Return the calibration that `asdict` made a record of."""
    return _CALIBRATION.validate_python(record)


def read_calibration(path: Path) -> Calibration:
    """Read a file of `write_calibration`; raise `SettingsError` if it is something else."""
    try:
        found = _CALIBRATION.validate_json(path.read_bytes(), extra="forbid")
    except OSError as error:
        raise SettingsError(f"--calibration: {path}: {error.strerror}; expected a file of perm calibrate") from error
    except ValidationError as error:
        what = first_finding(error)
        raise SettingsError(f"--calibration: {path}: {what}; expected a file of perm calibrate") from error
    broken = next((each for each in found.curves if not _rises(each)), None)
    if found.perm_calibration != FORMAT or broken or not found.curves:
        what = f"a curve that falls or is empty for {broken.judge!r}" if broken else "another format or no curve"
        raise SettingsError(f"--calibration: {path}: {what} found, expected a file of perm calibrate")
    return found


def _rises(curve: Curve) -> bool:
    x, y = np.array(curve.x), np.array(curve.y)
    finite = len(x) == len(y) > 0 and np.isfinite(x).all() and np.isfinite(y).all()
    return bool(finite and (np.diff(x) > 0).all() and (np.diff(y) >= 0).all())
