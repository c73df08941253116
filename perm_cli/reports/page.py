"""
The report: one HTML file without a network, that a colleague can open.

What people and judges wrote is put into the page as data and set as text by its script, never as markup; the
content policy lets nothing run but the two scripts whose hashes it names, and nothing be fetched at all.
"""

import base64
import gzip
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined

from perm_cli import __version__
from perm_cli.reports.charts import Chart

_COMPRESSION = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Hold one line of how the report was made."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Hold a table of text with its caption."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """
    Hold what a report shows.

    `answer` is what it comes to, in sentences, the first of them the most important; `dialogues` is the data that
    the page's script browses.
    """

    title: str
    question: str
    answer: Sequence[str]
    tables: Sequence[Table]
    charts: Sequence[Chart]
    dialogues: Mapping[str, Any]
    facts: Sequence[Fact]


def render(page: Page) -> bytes:
    """Return the page as HTML."""
    environment = Environment(
        loader=PackageLoader("perm_cli.reports", "page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    scripts = [_file("page.js")]
    if page.charts:
        library = (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
        scripts.insert(0, library.replace("</script", r"<\/script"))  # which would end it
    figures = [
        {"id": f"chart-{place}", "figure": orjson.Fragment(chart.plotly)} for place, chart in enumerate(page.charts)
    ]
    return (
        environment.get_template("page.html.jinja")
        .render(
            page=page,
            version=__version__,
            style=_file("page.css"),
            scripts=scripts,
            hashes=list(map(_hash, scripts)),
            figures=_packed(figures),
            dialogues=_packed(page.dialogues),
        )
        .encode(errors="replace")
    )


def _file(name: str) -> str:
    return (files("perm_cli.reports") / "page" / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """Return what the content policy calls a script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _packed(content: Any) -> str:
    """Return data as text of a few harmless letters, a fifth of its size."""
    return base64.b64encode(gzip.compress(orjson.dumps(content), _COMPRESSION, mtime=0)).decode()
