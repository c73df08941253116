"""
The report as one HTML file that needs no network.

Text by people and judges is embedded as data and inserted as text by the page's script, never as markup. The content
security policy runs only the scripts whose hashes it names, and fetches nothing. Data and Plotly are embedded
compressed; the dialogues are in parts that are decompressed when they are viewed.
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
from perm_cli.reports.browsing import DialogueListing
from perm_cli.reports.charts import Chart
from perm_cli.reports.terms import Group

MOST_PACKED = 21_000_000  # characters of packed dialogues, so that the file stays below 25 MB
GENERATOR = '<meta name="generator" content="perm '
_COMPRESSION = 6
_PART = 20  # dialogues decompressed together
_LISTED = ("id", "system", "reward", "replies", "spread", "failures", "invented")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A name and a value in the section on how the report was made."""

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
    The content of a report.

    `answer` is the result in sentences, the most important first; `notes` are findings on the judges. `making` is how
    the reward is computed, `wordings` what the rubrics ask, and `facts` how the ratings were made. `ends` are the
    lowest and the highest possible reward, and `dimensions` those that were rated.
    """

    title: str
    question: str
    answer: Sequence[str]
    notes: Sequence[Group]
    tables: Sequence[Table]
    charts: Sequence[Chart]
    listing: DialogueListing
    facts: Sequence[Fact]
    making: Sequence[Fact] = ()
    wordings: Sequence[Table] = ()
    ends: tuple[float, float] = (0.0, 1.0)
    dimensions: Sequence[Dimension] = ()


def render(page: Page, most_packed: int = MOST_PACKED) -> bytes:
    """Return the page as HTML; dialogues beyond `most_packed` compressed characters are omitted and counted."""
    environment = Environment(
        loader=PackageLoader("perm_cli.reports", "page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    script, library = _file("page.js"), _library() if page.charts else ""
    listing, parts = _packed_dialogues(page.listing, most_packed)
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
            # The page runs no other script, so text that slipped in as markup could do nothing.
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
    """Return the source expression of a script for the content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _packed_dialogues(listed: DialogueListing, most_packed: int) -> tuple[dict[str, Any], list[str]]:
    """Return the data for the list of dialogues, and the full dialogues in compressed parts."""
    parts = list(_within(_parts(listed.dialogues), most_packed))
    shown = listed.dialogues[: len(parts) * _PART]
    listing = {
        "dialogues": [{name: dialogue[name] for name in _LISTED} for dialogue in shown],
        "left_out": listed.left_out + len(listed.dialogues) - len(shown),
        "part": _PART,
    }
    return listing, parts


def _parts(dialogues: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for start in range(0, len(dialogues), _PART):
        yield _packed(dialogues[start : start + _PART])


def _within(parts: Iterator[str], most: int) -> Iterator[str]:
    """Yield the first part, and further ones while their total length is at most `most`."""
    size = 0
    for part in parts:
        size += len(part)
        if size > most and size > len(part):
            return
        yield part


def _packed(content: Any) -> str:
    """Return data as gzip in base64, which has no character that HTML would interpret."""
    return base64.b64encode(gzip.compress(orjson.dumps(content), _COMPRESSION, mtime=0)).decode()
