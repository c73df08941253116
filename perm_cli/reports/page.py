"""
The report: one HTML file without a network, that a colleague can open.

What people and judges wrote is put into the page as data and set as text by its script, never as markup; the
content policy lets nothing run but the scripts whose hashes it names, and nothing be fetched at all. Data and Plotly
lie in it packed, the dialogues in parts that are unpacked when they are looked at.
"""

import base64
import gzip
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined

from perm_cli import __version__
from perm_cli.prompts.rubrics import Dimension
from perm_cli.reports.browsing import Shelf
from perm_cli.reports.charts import Chart
from perm_cli.reports.terms import Group

MOST_PACKED = 21_000_000  # characters of packed dialogues, so that the file stays below 25 MB
GENERATOR = '<meta name="generator" content="perm '
_COMPRESSION = 6
_PART = 20  # dialogues are unpacked together
_LISTED = ("id", "system", "reward", "replies", "spread", "failures", "invented")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One line of how the report was made."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of text with its caption."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """
    What a report shows.

    `answer` is what it comes to in sentences, the first the most important; `notes` are on what it rests on. `making`
    says how the reward is made, `wordings` what the rubrics ask, and `facts` how the ratings were. `ends` are those of
    the reward, and `dimensions` what it is made of.
    """

    title: str
    question: str
    answer: Sequence[str]
    notes: Sequence[Group]
    tables: Sequence[Table]
    charts: Sequence[Chart]
    shelf: Shelf
    facts: Sequence[Fact]
    making: Sequence[Fact] = ()
    wordings: Sequence[Table] = ()
    ends: tuple[float, float] = (0.0, 1.0)
    dimensions: Sequence[Dimension] = ()


def render(page: Page, most_packed: int = MOST_PACKED) -> bytes:
    """Return the page as HTML; dialogues for which there is no room are left out and counted."""
    environment = Environment(
        loader=PackageLoader("perm_cli.reports", "page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    script, library = _file("page.js"), _library() if page.charts else ""
    listing, parts = _packed_dialogues(page.shelf, most_packed)
    listing["ends"] = page.ends
    figures = [
        {"id": f"chart-{place}", "figure": orjson.Fragment(chart.plotly)} for place, chart in enumerate(page.charts)
    ]
    data = {
        "listing": _packed(listing),
        "dialogues": "\n".join(parts),
        "figures": _packed(figures),
        "library": _packed(library),
    }
    return (
        environment.get_template("page.html.jinja")
        .render(
            page=page,
            generator=f'{GENERATOR}{__version__}">',
            version=__version__,
            style=_file("page.css"),
            script=script,
            hashes=[_hash(each) for each in (script, library) if each],
            data=data,
        )
        .encode(errors="replace")
    )


def _file(name: str) -> str:
    return (files("perm_cli.reports") / "page" / name).read_text(encoding="utf-8")


def _library() -> str:
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """Return what the content policy calls a script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _packed_dialogues(shelf: Shelf, most_packed: int) -> tuple[dict[str, Any], list[str]]:
    """Return what the list of dialogues needs, and all else of them in parts."""
    parts = list(_within(_parts(shelf.dialogues), most_packed))
    shown = shelf.dialogues[: len(parts) * _PART]
    listing = {
        "dialogues": [{name: dialogue[name] for name in _LISTED} for dialogue in shown],
        "left_out": shelf.left_out + len(shelf.dialogues) - len(shown),
        "part": _PART,
    }
    return listing, parts


def _parts(dialogues: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for start in range(0, len(dialogues), _PART):
        yield _packed(dialogues[start : start + _PART])


def _within(parts: Iterator[str], most: int) -> Iterator[str]:
    """Yield the first part, and more while they are no longer than so much together."""
    size = 0
    for part in parts:
        size += len(part)
        if size > most and size > len(part):
            return
        yield part


def _packed(content: Any) -> str:
    """Return data as text of a few harmless letters, a fifth of its size."""
    return base64.b64encode(gzip.compress(orjson.dumps(content), _COMPRESSION, mtime=0)).decode()
