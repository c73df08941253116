"""The steps of a training run, as its signs were kept: read, and shown as a table with warnings."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from pydantic import TypeAdapter, ValidationError
from rich.console import Group, RenderableType
from rich.text import Text

from perm_cli.errors import RunError
from perm_cli.reports.figures import number, percent, sparkline
from perm_cli.reports.layout import Grid
from perm_cli.text import one_line
from perm_cli.training.folders import SIGNS
from perm_cli.training.signs import Signs, read_signs, warnings_of

_WIDTH = 40
_LONGEST = 200  # characters of a path
_MOST = 1e12  # which no sign comes near
_SHARES = frozenset({"tied", "saturated", "failures", "empty"})


class Step(NamedTuple):
    """The signs of one step, or of one window of replies where no step is known."""

    step: int | None
    signs: Signs


_STEP = TypeAdapter(Step)


def signs_file(path: Path) -> Path:
    """Return the file of signs in the folder of a training run, or beside the folder of one of its processes."""
    if path.is_file():
        return path
    return path.parent / SIGNS if (path / "run.json").exists() else path / SIGNS


def steps_so_far(file: Path) -> RenderableType:
    """Return what `steps_shown` does, or what is waited for while no step is kept."""
    if not file.exists() or not file.stat().st_size:
        return Text(f"waiting for {one_line(str(file), _LONGEST)}, which training writes when a step has ended")
    return steps_shown(read_steps(file))


def read_steps(file: Path) -> list[Step]:
    """Return the steps kept in a file of signs; raise `RunError` if it holds something else, or nothing."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RunError(f"{file}: {error.strerror} found, expected the signs that training keeps in its run") from error
    rows = []
    for place, line in enumerate(content.splitlines(keepends=True), 1):
        try:
            row = orjson.loads(line)
            rows.append(_STEP.validate_python((row["step"], read_signs(_bounded(row)))))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValidationError):
            if line.endswith(b"\n"):  # or it is being written
                raise RunError(f"{file}:{place}: something else found, expected a line of signs") from None
    if not rows:
        raise RunError(f"{file}: no signs found, expected some")
    return rows


def _bounded(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line; raise `TypeError` for numbers that no reward comes near, and no picture can be drawn of."""
    if any(abs(value) > _MOST for value in line.values() if isinstance(value, int | float)):
        raise TypeError
    return line


def steps_shown(rows: Sequence[Step]) -> RenderableType:
    """Return a table of the signs over the steps, and the warnings that the last step gives."""
    table = Grid(columns=["sign", "first", "last", "", "lowest", "highest"])
    records = [row.signs.record() for row in rows]
    for name in dict.fromkeys(name for record in records for name in record):
        values = [record.get(name) for record in records]
        given = [float(value) for value in values if value is not None]
        if not given or name == "replies":
            continue
        show = percent if name in _SHARES else number
        table.add(name, show(given[0]), show(given[-1]), _line(given), show(min(given)), show(max(given)))
    last = rows[-1]
    at = f"step {last.step}" if last.step is not None else f"window {len(rows)}"
    said = [Text(f"{at}, {sum(row.signs.replies for row in rows):,} replies so far")]
    said += [Text(f"! {warning}", style="bold") for warning in warnings_of(last.signs).values()]
    return Group(table, *said)


def _line(values: Sequence[float]) -> str:
    """Return values as a line of bars, neighbours joined where there are too many."""
    width = min(len(values), _WIDTH)
    cuts = [place * len(values) // width for place in range(width + 1)]
    means = [sum(values[low:high]) / (high - low) for low, high in pairwise(cuts)]
    return sparkline(means, min(means), max(means))
