"""
Calibrations: a judge's scores mapped to the levels that people use, learned from labels and kept in a file.

`comparing.learning` makes them. A map moves levels and never turns an order round; raw scores stay in the ratings.
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
    The map of one judge on one dimension: straight lines between the knots `x` and `y`, level beyond them.

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
        return np.interp(scores, self.x, self.y)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The curves of a file; `made` says when, `of` from what."""

    perm_calibration: int
    made: str
    of: Sequence[str]
    curves: Sequence[Curve]

    def curve(self, judge: str, settings: str, dimension: str) -> Curve | None:
        """Return the curve for a judge under these settings, None if none was learned."""
        own = [each for each in self.curves if each.judge == judge and each.dimension == dimension]
        return next((each for each in own if not each.settings or each.settings == settings), None)

    def knows(self, judge: str, settings: str) -> list[str]:
        """Return the dimensions that curves were learned on for a judge under these settings."""
        return [each.dimension for each in self.curves if self.curve(judge, settings, each.dimension) is each]

    def check(self, bounds: Mapping[str, tuple[float, float]]) -> None:
        """Raise `SettingsError` if a curve leaves the scale that rewards are made from."""
        for curve in self.curves:
            low, high = bounds.get(curve.dimension, (-np.inf, np.inf))
            if min(curve.y) < low or max(curve.y) > high:
                raise SettingsError(
                    f"--calibration: {curve.dimension} of {curve.judge} becomes {min(curve.y):g} to {max(curve.y):g}, "
                    f"expected {low:g} to {high:g}, which rewards are made of: the labels had another scale"
                )

    def level(self, judge: str, settings: str, dimension: str, score: float) -> float:
        """Return one score on people's levels, or as it is where no curve was learned."""
        curve = self.curve(judge, settings, dimension)
        return score if curve is None else float(np.interp(score, curve.x, curve.y))


_CALIBRATION = TypeAdapter(Calibration)


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration as JSON."""
    write_whole(path, orjson.dumps(asdict(calibration), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def calibration_of(record: Any) -> Calibration:
    """Return what `asdict` has made a record of."""
    return _CALIBRATION.validate_python(record)


def read_calibration(path: Path) -> Calibration:
    """Read what `write_calibration` wrote; raise `SettingsError` if it is something else."""
    try:
        found = _CALIBRATION.validate_json(path.read_bytes(), extra="forbid")
    except OSError as error:
        raise SettingsError(
            f"--calibration: {path}: {error.strerror} found, expected a file of perm calibrate"
        ) from error
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
