"""`perm watch`: what the replies of a training run show, step by step."""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from pydantic import TypeAdapter, ValidationError
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from perm_cli.cli.console import output
from perm_cli.errors import RunError
from perm_cli.reports.figures import number, percent, sparkline
from perm_cli.reports.layout import Grid
from perm_cli.text import one_line
from perm_cli.training.folders import SIGNS
from perm_cli.training.signs import Signs, read_signs, warnings_of

_WIDTH = 40
_REFRESH_S = 2.0
_LONGEST = 200  # characters of a path
_MOST = 1e12  # which no sign comes near
_SHARES = frozenset({"tied", "saturated", "failures", "empty"})


class _Step(NamedTuple):
    step: int | None
    signs: Signs


_STEP = TypeAdapter(_Step)


def run(path: Path, *, follow: bool, pause: Callable[[float], None] = time.sleep) -> None:
    """Show the signs of a run, with `follow` again and again from whenever there are some."""
    console = output()
    if not follow:
        console.print(_shown(_lines(_file(path))))
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(_followed(_file(path)), refresh=True)
            pause(_REFRESH_S)


def _file(path: Path) -> Path:
    """Return the file of signs in the folder of a training run, or beside the folder of one of its processes."""
    if path.is_file():
        return path
    return path.parent / SIGNS if (path / "run.json").exists() else path / SIGNS


def _followed(file: Path) -> RenderableType:
    if not file.exists() or not file.stat().st_size:
        return Text(f"waiting for {one_line(str(file), _LONGEST)}, which training writes when a step has ended")
    return _shown(_lines(file))


def _lines(file: Path) -> list[_Step]:
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


def _shown(rows: Sequence[_Step]) -> RenderableType:
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
