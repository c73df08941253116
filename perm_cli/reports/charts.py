"""
The charts of a report, drawn by Plotly, each with a sentence on what it shows and its numbers as a table.

Colours are distinguishable with colour-vision deficiency (after Okabe and Ito 2008) on light and dark backgrounds, and
every series also has its own marker or pattern. The page sets the colours of text and axes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle, pairwise
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from perm_cli.comparing.from_runs import REWARD
from perm_cli.comparing.systems import Leaderboard
from perm_cli.comparing.table import Scores
from perm_cli.reports.figures import NONE, listed, name_of, number, with_scale
from perm_cli.reports.figures import figure as with_interval
from perm_cli.statistics.agreement import spearman
from perm_cli.statistics.means import mean_of, none_if_nan, row_means
from perm_cli.statistics.resampling import Floats, Ints, Statistic
from perm_cli.text import one_line

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07d00", "#2f8fc9", "#7f7f7f", "#8a63d2")
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "cross", "star", "hexagon")
_PATTERNS = ("", "/", ".", "x", "-", "\\", "|", "+")
_MOST_POINTS = 2000  # more points hide each other and make the page slow
_MOST_TURNS = 30
_MOST_PANELS = 8  # with more, the panels are too flat to read
_LEAST_POINT = 3  # replies per point
_BINS = 10
_ROUNDING = 1e-9
_LONGEST_LABEL = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart as Plotly JSON, with its title, a sentence on what it shows (`says`), and its numbers as a table."""

    title: str
    says: str
    plotly: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class _Look(NamedTuple):
    colour: str
    symbol: str
    pattern: str


def leaderboard_chart(boards: Sequence[Leaderboard]) -> Chart | None:
    """Return the systems' means with 95 % intervals, one series per rater; None for fewer than two systems."""
    if not boards or len(boards[0].standings) < 2:  # noqa: PLR2004 - one system is no ranking
        return None
    figure, rows = _figure(), []
    labels = _labels([standing.system for standing in boards[0].standings])
    for board, rater, look in zip(boards, _labels([board.rater for board in boards]).values(), _looks(), strict=False):
        shown = [standing for standing in board.standings if standing.means[-1].value is not None]
        means = [standing.means[-1] for standing in shown]
        figure.add_scatter(
            x=[mean.value for mean in means],
            y=[labels[standing.system] for standing in shown],
            mode="markers",
            orientation="h",
            name=rater,
            marker={"color": look.colour, "symbol": look.symbol, "size": 10},
            error_x=_reach(means),
        )
        rows += [
            [name_of(board.rater), name_of(each.system), with_interval(each.means[-1], 3)] for each in board.standings
        ]
    figure.update_layout(
        height=110 + (30 + 18 * len(boards)) * len(labels),
        scattermode="group",  # otherwise the markers of different judges overlap
        xaxis={"title": boards[0].dimensions[-1]},
        yaxis={"type": "category", "categoryarray": list(labels.values()), "autorange": "reversed"},
    )
    open_ = [name_of(board.rater) for board in boards if not board.contrasts.told_apart]
    said = f" {listed(open_)} cannot tell the systems apart, so they are ordered by name." if open_ else ""
    says = f"Mean over dialogues, with 95 % intervals.{said}"
    return _chart("Systems", says, figure, ["judge", "system", "mean"], rows)


def distribution_chart(scores: Scores, dimension: str) -> Chart | None:
    """Return the distribution of each rater's scores, one panel per system; None without scores."""
    edges, is_levels = _edges(scores, dimension)
    centres = (edges[:-1] + edges[1:]) / 2
    bars = [f"{level:g}" for level in centres] if is_levels else [f"{a:g} to {b:g}" for a, b in pairwise(edges)]
    panels = _panels(scores)
    figure, rows = _stacked(list(_labels(list(panels)).values())), []
    raters = list(zip(scores.raters, _labels(scores.raters).values(), _looks(), strict=False))
    for place, (system, own) in enumerate(panels.items(), 1):
        for rater, label, look in raters:
            column = scores.of(dimension, [rater])[own, 0]
            given = column[~np.isnan(column)]
            if not given.size:
                continue
            shares = np.histogram(given, edges)[0] / len(given)
            hover = [f"{bar}: {share:.0%} of {len(given):,}" for bar, share in zip(bars, shares, strict=True)]
            _add_bars(figure, centres, shares, hover, label, look, place)
            rows.append([system, name_of(rater), f"{len(given):,}", *[f"{share:.0%}" for share in shares]])
    if not rows:
        return None
    figure.update_layout(barmode="group", showlegend=len(scores.raters) > 1, height=110 + 130 * len(panels))
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", nticks=4)
    # Bars of levels are named in the middle, bars of ranges at their edges.
    figure.update_xaxes(tickvals=(centres if is_levels else edges).tolist())
    what = "replies by reward" if dimension == REWARD else "replies that get each score"
    says = f"Share of the {what}{', system by system' if len(panels) > 1 else ''}."
    title = REWARD.capitalize() if dimension == REWARD else _with_scale(scores, dimension).capitalize()
    return _chart(title, says, figure, ["system", "judge", "replies", *bars], rows)


def _with_scale(scores: Scores, dimension: str) -> str:
    known = scores.known_scale(dimension)
    return with_scale(dimension, known.high if known else None)


def _panels(scores: Scores) -> dict[str, NDArray[np.bool_]]:
    """Return the items of each system by its name, or of all systems together if there are too many for panels."""
    names, systems = scores.systems
    if len(names) > _MOST_PANELS:
        return {f"all {len(names)} systems": np.ones(len(systems), dtype=bool)}
    return {name_of(name): systems == place for place, name in enumerate(names)}


def _add_bars(
    figure: Any, centres: Floats, shares: Floats, hover: Sequence[str], label: str, look: _Look, panel: int
) -> None:
    outline = {"color": look.colour, "width": 1}
    marker = {"color": look.colour, "line": outline, "pattern": {"shape": look.pattern, "solidity": 0.35}}
    figure.add_bar(
        x=centres.tolist(),
        y=shares.tolist(),
        hovertext=hover,
        hoverinfo="text+name",
        name=label,
        legendgroup=label,
        showlegend=panel == 1,
        marker=marker,
        row=panel,
        col=1,
    )


def curve_chart(scores: Scores, dimension: str) -> Chart | None:
    """Return the mean of a dimension per turn over all judges, one line per system; None for fewer than two turns."""
    if dimension not in scores.tables or not any(item.turn for item in scores.items):
        return None
    names, systems = scores.systems
    mean = row_means(scores.of(dimension, scores.judges))
    turns = np.array([item.turn for item in scores.items])
    shown = np.unique(turns)[:_MOST_TURNS]
    if len(shown) < 2:  # noqa: PLR2004 - a point is no curve
        return None
    figure, rows = _figure(), []
    for place, (label, look) in enumerate(zip(_labels(names).values(), _looks(), strict=False)):
        own = [mean[(systems == place) & (turns == turn) & ~np.isnan(mean)] for turn in shown]
        _add_curve(figure, shown, own, label, look, place)
        rows.append([name_of(names[place]), *[f"{number(mean_of(each))} (n = {len(each)})" for each in own]])
    figure.update_layout(xaxis={"title": "turn", "tickvals": shown.tolist()}, yaxis={"title": dimension}, height=340)
    says = (
        f"Mean {dimension} per turn over all judges, with the number of replies at each point. Turns are omitted where "
        f"a system has fewer than {_LEAST_POINT} replies, or fewer than a fifth of its largest number."
    )
    return _chart("Over the conversation", says, figure, ["system", *[f"turn {turn}" for turn in shown]], rows)


def _add_curve(figure: Any, turns: Ints, values: Sequence[Floats], label: str, look: _Look, place: int) -> None:
    """Draw the points of one system that rest on enough replies."""
    # Dialogues end at different turns: without a limit the last points of a line would show a single long dialogue.
    counts = [len(each) for each in values]
    least = max(min(_LEAST_POINT, max(counts)), max(counts) / 5)
    kept = [at for at, count in enumerate(counts) if count >= least]
    figure.add_scatter(
        x=[int(turns[at]) for at in kept],
        y=[mean_of(values[at]) for at in kept],
        text=[f"{counts[at]}" for at in kept],
        textposition="top center" if place % 2 == 0 else "bottom center",
        textfont={"size": 10},
        hovertemplate="turn %{x}: %{y:.2f}, n = %{text}",
        mode="lines+markers+text",
        name=label,
        line={"color": look.colour},
        marker={"symbol": look.symbol, "size": 8},
    )


def length_chart(scores: Scores, main: str, words: Floats) -> Chart | None:
    """Return reward against length in words, of at most `_MOST_POINTS` replies at random; None for fewer than two."""
    value = row_means(scores.of(main, scores.judges))
    kept = np.flatnonzero(~np.isnan(value) & ~np.isnan(words))
    if len(kept) < 2:  # noqa: PLR2004 - a point shows nothing
        return None
    rho = none_if_nan(spearman(np.stack((words[kept], value[kept]), axis=1)))
    # After the correlation, which is of all replies and not of the sample that is drawn.
    if len(kept) > _MOST_POINTS:
        kept = np.sort(np.random.default_rng(0).choice(kept, _MOST_POINTS, replace=False))
    names, systems = scores.systems
    figure = _figure()
    for place, (label, look) in enumerate(zip(_labels(names).values(), _looks(), strict=False)):
        own = kept[systems[kept] == place]
        _add_points(figure, words[own], value[own], label, look)
    figure.update_layout(xaxis={"title": "words", "rangemode": "tozero"}, yaxis={"title": main}, height=340)
    told = "the rank correlation is undefined" if rho is None else f"rank correlation {number(rho, signed=True)}"
    says = f"{main.capitalize()} against the length of the reply: {told}."
    return _chart("Length", says, figure, ["", "rank correlation"], [[f"{main} and words", number(rho)]])


def agreement_chart(scores: Scores, main: str) -> Chart | None:
    """Return a heat map of the rank correlations between raters; None for fewer than two."""
    raters = [rater for rater in scores.raters if not np.isnan(scores.of(main, [rater])).all()]
    if len(raters) < 2:  # noqa: PLR2004 - nothing to agree with
        return None
    rho = [[1.0 if a == b else none_if_nan(spearman(scores.of(main, [a, b]))) for b in raters] for a in raters]
    labels = list(_labels(raters).values())
    text = [[number(value) for value in row] for row in rho]
    figure = _figure()
    figure.add_heatmap(
        z=rho,
        x=labels,
        y=labels,
        text=text,
        texttemplate="%{text}",
        zmin=-1,
        zmax=1,
        colorscale="RdBu",
        showscale=False,
    )
    figure.update_layout(
        height=140 + 50 * len(labels), xaxis={"type": "category"}, yaxis={"type": "category", "autorange": "reversed"}
    )
    rows = [[name_of(rater), *row] for rater, row in zip(raters, text, strict=True)]
    says = f"Rank correlation between the raters' scores ({main}). Agreement between judges is not accuracy."
    return _chart("Judge against judge", says, figure, ["", *map(name_of, raters)], rows)


def people_chart(judged: Mapping[str, Floats], truth: Floats, title: str) -> Chart | None:
    """Return judges' scores against people's mean scores, one point per item and judge; None without shared items."""
    figure, rows = _figure(), []
    for (rater, column), label, look in zip(judged.items(), _labels(list(judged)).values(), _looks(), strict=False):
        kept = np.flatnonzero(~np.isnan(column) & ~np.isnan(truth))[:_MOST_POINTS]
        if not len(kept):
            continue
        # Scores are mostly whole numbers, whose points would lie on top of each other.
        jitter = np.random.default_rng(0).uniform(-0.08, 0.08, (2, len(kept)))
        _add_points(figure, truth[kept] + jitter[0], column[kept] + jitter[1], label, look)
        rows.append([name_of(rater), number(none_if_nan(spearman(np.stack((column, truth), axis=1))))])
    if not rows:
        return None
    figure.update_layout(xaxis={"title": "people"}, yaxis={"title": "judge"}, height=340)
    says = "Each point is one item: people's mean score and the judge's, slightly jittered to reduce overlap."
    return _chart(title[:1].upper() + title[1:], says, figure, ["judge", "rank correlation"], rows)


# --- shared parts ---


def _chart(title: str, says: str, figure: Any, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Chart:
    return Chart(title=title, says=says, plotly=figure.to_json(), columns=columns, rows=rows)


def _figure() -> Any:
    layout = {
        "template": "none",
        "margin": {"l": 50, "r": 15, "t": 10, "b": 40},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        "hoverlabel": {"namelength": -1},
        "xaxis": {"automargin": True},
        "yaxis": {"automargin": True},
    }
    return go.Figure(layout=layout)


def _stacked(titles: Sequence[str]) -> Any:
    """Return a figure of panels one above the other, each with its title unless there is only one."""
    count = len(titles)
    figure = make_subplots(
        rows=count,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.25 / count,
        subplot_titles=titles if count > 1 else None,
        figure=_figure(),
    )
    for place in range(2, count + 1):  # all panels follow the first one's axis
        figure.update_yaxes(matches="y", row=place, col=1)
    figure.update_annotations(x=0, xanchor="left", font={"size": 13})
    figure.update_layout(margin={"t": 40}, legend={"y": 1 + 0.1 / count})
    return figure


def _add_points(figure: Any, x: Floats, y: Floats, label: str, look: _Look) -> None:
    marker = {"color": look.colour, "symbol": look.symbol, "opacity": 0.75}
    figure.add_scatter(x=x.round(3).tolist(), y=y.round(3).tolist(), mode="markers", name=label, marker=marker)


def _reach(means: Sequence[Statistic]) -> dict[str, Any]:
    """Return the intervals as Plotly's error bars, whose lengths are counted from the means."""
    known = [(mean.value or 0.0, mean.low, mean.high) for mean in means]
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if high is None else high - value for value, _, high in known],
        "arrayminus": [0.0 if low is None else value - low for value, low, _ in known],
    }


def _looks() -> Iterator[_Look]:
    return cycle(map(_Look, COLOURS, _SYMBOLS, _PATTERNS))


def _edges(scores: Scores, dimension: str) -> tuple[Floats, bool]:
    """Return the edges of the bars, and whether each bar is one level: if all scores are whole and levels are few."""
    table = scores.tables[dimension]
    given = table[~np.isnan(table)]
    scale = scores.scale(dimension)
    ends = np.array([scale.low, scale.high, given.min(initial=scale.low), given.max(initial=scale.high)])
    low, high = float(ends.min()), float(ends.max())
    if (given == given.round()).all() and low == round(low) and high - low < _BINS:
        return np.arange(low, high + 2) - 0.5, True
    # Edges are multiples of a round step, nudged so that rounding error adds no empty bar at either end.
    step = _round_step((high - low) / _BINS)
    first, last = np.floor(low / step + _ROUNDING), np.ceil(high / step - _ROUNDING)
    return (np.arange(first, max(last, first + 1) + 1) * step).round(10), False


def _round_step(least: float) -> float:
    """Return the smallest of …, 0.1, 0.2, 0.5, 1, 2, 5, 10, … that is at least `least`."""
    power = 10.0 ** np.floor(np.log10(least or 0.1))
    return float(next(each * power for each in (1, 2, 5, 10) if each * power >= least - _ROUNDING))


def _labels(names: Sequence[str]) -> dict[str, str]:
    """Return a label per name with markup escaped; equal labels are numbered, since Plotly would merge their series."""
    labels: dict[str, str] = {}
    for name in names:
        taken = set(labels.values())
        suffixes = ("", *(f" ({nth})" for nth in range(2, len(names) + 2)))
        tries = ((one_line(name, _LONGEST_LABEL) or NONE) + suffix for suffix in suffixes)
        labels[name] = next(label for each in tries if (label := _spelled(each)) not in taken)
    return labels


def _spelled(text: str) -> str:
    # Plotly reads text between two dollar signs as a formula.
    return escape(text, quote=False).replace("$", "&#36;")
