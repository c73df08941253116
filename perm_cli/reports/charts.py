"""
The pictures of a report, drawn by Plotly: each a figure with a sentence that says what it shows and a table beneath.

Colours are told apart by people who see few of them (Okabe and Ito 2008), and every series by its shape as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go

from perm_cli.reports.figures import figure as with_interval
from perm_cli.reports.figures import number
from perm_cli.run_scores import REWARD
from perm_cli.scores import Floats, Scores
from perm_cli.statistics.agreement import spearman
from perm_cli.statistics.resampling import Statistic
from perm_cli.systems import Leaderboard
from perm_cli.terminal import one_line
from perm_cli.validation import row_means

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "cross", "star", "hexagon")
_MOST_POINTS = 2000
_MOST_TURNS = 30
_BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Hold a picture: Plotly's JSON of it, its title, what it says, and its numbers as a table."""

    title: str
    says: str
    plotly: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def leaderboard_chart(boards: Sequence[Leaderboard]) -> Chart | None:
    """Return the systems' means with their intervals, a series a rater."""
    if not boards or len(boards[0].standings) < 2:  # noqa: PLR2004 - one system is no ranking
        return None
    figure, rows = _figure(), []
    for board, (colour, symbol) in zip(boards, _looks(), strict=False):
        shown = [standing for standing in reversed(board.standings) if standing.means[-1].value is not None]
        means = [standing.means[-1] for standing in shown]
        values = [mean.value or 0.0 for mean in means]
        figure.add_scatter(
            x=values,
            y=[_name(standing.system) for standing in shown],
            mode="markers",
            name=_name(board.rater),
            marker={"color": colour, "symbol": symbol, "size": 10},
            error_x=_reach(means),
        )
        rows += [[_name(board.rater), _name(each.system), with_interval(each.means[-1], 3)] for each in board.standings]
    figure.update_layout(height=120 + 40 * len(boards[0].standings), xaxis_title=boards[0].dimensions[-1])
    return _chart("Systems", "Mean over dialogues, with 95 % intervals.", figure, ["judge", "system", "mean"], rows)


def distribution_chart(scores: Scores, dimension: str) -> Chart | None:
    """Return how often each rater gives which score."""
    figure, rows = _figure(), []
    edges, labels = _bins(scores, dimension)
    for rater, (colour, _) in zip(scores.raters, _looks(), strict=False):
        column = scores.of(dimension, [rater])[:, 0]
        given = column[~np.isnan(column)]
        if not given.size:
            continue
        shares = np.histogram(given, edges)[0] / len(given)
        figure.add_bar(x=labels, y=shares.tolist(), name=_name(rater), marker_color=colour)
        rows.append([_name(rater), *[f"{share:.0%}" for share in shares]])
    if not rows:
        return None
    figure.update_layout(barmode="group", yaxis={"tickformat": ".0%"}, xaxis={"type": "category"}, height=300)
    says = "Share of the replies that get each score." if dimension != REWARD else "Share of the replies by reward."
    return _chart(dimension.capitalize(), says, figure, ["judge", *labels], rows)


def curve_chart(scores: Scores, dimension: str = "reception") -> Chart | None:
    """Return the mean of a dimension turn by turn, a line a system, as the mean of all judges sees it."""
    if dimension not in scores.tables or not any(item.turn for item in scores.items):
        return None
    names, systems = scores.systems
    mean = row_means(scores.of(dimension, scores.judges))
    turns = np.array([item.turn for item in scores.items])
    last = np.sort(np.unique(turns))[:_MOST_TURNS]
    if len(last) < 2:  # noqa: PLR2004 - a point is no curve
        return None
    figure, rows = _figure(), []
    for place, (name, (colour, symbol)) in enumerate(zip(names, _looks(), strict=False)):
        values = [_mean(mean[(systems == place) & (turns == turn)]) for turn in last]
        figure.add_scatter(
            x=last.tolist(),
            y=values,
            mode="lines+markers",
            name=_name(name),
            line={"color": colour},
            marker={"symbol": symbol, "size": 8},
        )
        rows.append([_name(name), *[number(value) for value in values]])
    figure.update_layout(xaxis={"title": "turn", "dtick": 2}, yaxis={"title": dimension}, height=320)
    says = f"Mean {dimension} turn by turn; later turns have fewer dialogues."
    return _chart("Over the conversation", says, figure, ["system", *[str(turn) for turn in last]], rows)


def length_chart(scores: Scores, main: str, lengths: Floats) -> Chart | None:
    """Return reward against length in words; of very many replies a sample is drawn."""
    value = row_means(scores.of(main, scores.judges))
    kept = np.flatnonzero(~np.isnan(value) & ~np.isnan(lengths))
    if len(kept) < 2:  # noqa: PLR2004 - a point shows nothing
        return None
    rho = spearman(np.stack((lengths[kept], value[kept]), axis=1))
    if len(kept) > _MOST_POINTS:
        kept = np.sort(np.random.default_rng(0).choice(kept, _MOST_POINTS, replace=False))
    names, systems = scores.systems
    figure = _figure()
    for place, (name, (colour, symbol)) in enumerate(zip(names, _looks(), strict=False)):
        own = kept[systems[kept] == place]
        figure.add_scatter(
            x=np.expm1(lengths[own]).round().tolist(),
            y=value[own].tolist(),
            mode="markers",
            name=_name(name),
            marker={"color": colour, "symbol": symbol, "opacity": 0.6},
        )
    figure.update_layout(xaxis={"title": "words", "type": "log"}, yaxis={"title": main}, height=340)
    told = "no correlation can be worked out" if np.isnan(rho) else f"rank correlation {rho:+.2f}"
    return _chart(
        "Length", f"{main.capitalize()} against the length of the reply: {told}.", figure, ["rho"], [[number(rho)]]
    )


def agreement_chart(scores: Scores, main: str) -> Chart | None:
    """Return a heat map of how raters' scores go together."""
    raters = [rater for rater in scores.raters if not np.isnan(scores.of(main, [rater])).all()]
    if len(raters) < 2:  # noqa: PLR2004 - nothing to agree with
        return None
    rho = [[1.0 if a == b else _known(spearman(scores.of(main, [a, b]))) for b in raters] for a in raters]
    names = [_name(rater) for rater in raters]
    text = [[number(value) for value in row] for row in rho]
    figure = _figure()
    figure.add_heatmap(
        z=rho, x=names, y=names, text=text, texttemplate="%{text}", zmin=-1, zmax=1, colorscale="RdBu", showscale=False
    )
    figure.update_layout(height=140 + 50 * len(names), yaxis={"autorange": "reversed"})
    rows = [[name, *row] for name, row in zip(names, text, strict=True)]
    says = f"Rank correlation of the raters' scores, {main}. Agreement between judges is not accuracy."
    return _chart("Judge against judge", says, figure, ["", *names], rows)


def people_chart(judged: Mapping[str, Floats], truth: Floats, title: str) -> Chart | None:
    """Return judges' scores against people's."""
    figure, rows = _figure(), []
    for (rater, column), (colour, symbol) in zip(judged.items(), _looks(), strict=False):
        kept = np.flatnonzero(~np.isnan(column) & ~np.isnan(truth))[:_MOST_POINTS]
        if not len(kept):
            continue
        # Whole numbers lie on each other, so they are spread a little.
        spread = np.random.default_rng(0).uniform(-0.08, 0.08, (2, len(kept)))
        figure.add_scatter(
            x=(truth[kept] + spread[0]).tolist(),
            y=(column[kept] + spread[1]).tolist(),
            mode="markers",
            name=_name(rater),
            marker={"color": colour, "symbol": symbol, "opacity": 0.6},
        )
        rows.append([_name(rater), number(_known(spearman(np.stack((column, truth), axis=1))))])
    if not rows:
        return None
    figure.update_layout(xaxis={"title": "people"}, yaxis={"title": "judge"}, height=340)
    says = "Each point is what people and a judge gave, spread a little so that points do not hide each other."
    return _chart(title, says, figure, ["judge", "rank correlation"], rows)


def _chart(title: str, says: str, figure: Any, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Chart:
    return Chart(title=title, says=says, plotly=figure.to_json(), columns=columns, rows=rows)


def _figure() -> Any:
    layout = {
        "template": "none",
        "margin": {"l": 60, "r": 20, "t": 10, "b": 50},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "legend": {"orientation": "h", "y": 1.1},
        "xaxis": {"automargin": True},
        "yaxis": {"automargin": True},
    }
    return go.Figure(layout=layout)


def _reach(means: Sequence[Statistic]) -> dict[str, Any]:
    """Return how far the intervals reach from their means, as Plotly wants it."""
    known = [(mean.value or 0.0, mean.low, mean.high) for mean in means]
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if high is None else high - value for value, _, high in known],
        "arrayminus": [0.0 if low is None else value - low for value, low, _ in known],
    }


def _looks() -> Any:
    return cycle(list(zip(_COLOURS, _SYMBOLS, strict=True)))


def _bins(scores: Scores, dimension: str) -> tuple[Floats, list[str]]:
    """Return the edges of the bars and what they are called: a bar a level if there are few."""
    table = scores.tables[dimension]
    levels = np.unique(table[~np.isnan(table)])
    if 0 < len(levels) <= _BINS and (levels == levels.round()).all():
        scale = scores.scale(dimension)
        whole = np.arange(min(scale.low, levels[0]), max(scale.high, levels[-1]) + 1)
        if len(whole) <= _BINS:
            return np.append(whole, whole[-1] + 1) - 0.5, [f"{level:g}" for level in whole]
    low, high = (float(levels[0]), float(levels[-1])) if len(levels) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    return edges, [f"{start:.3g} to {end:.3g}" for start, end in pairwise(edges)]


def _mean(values: Floats) -> float | None:
    given = values[~np.isnan(values)]
    return float(given.mean()) if given.size else None


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _name(text: str) -> str:
    # Plotly reads a little HTML in names, so its signs are taken away.
    return one_line(text, 40).replace("<", "‹").replace(">", "›").replace("&", "＆") or "-"
