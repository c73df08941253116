"""The pictures of a report: valid for Plotly, and with the right numbers beneath."""

import json
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from perm_cli.comparing.systems import leaderboard
from perm_cli.comparing.table import Given, Rated, Scores, table_of
from perm_cli.reports.charts import (
    COLOURS,
    Chart,
    agreement_chart,
    curve_chart,
    distribution_chart,
    leaderboard_chart,
    length_chart,
    people_chart,
)


def scores(*given: tuple[str, str, int, str, str, float]) -> Scores:
    """Return a table from dialogue, system, turn, dimension, rater and score."""
    return table_of(Given(Rated(*each[:3]), *each[3:]) for each in given)


def judged(values: Iterable[float], rater: str = "j", dimension: str = "reception", system: str = "s") -> Scores:
    """Return the scores of one judge, each on a dialogue of its own."""
    return scores(*((f"d{place}", system, 2, dimension, rater, value) for place, value in enumerate(values)))


def drawn(chart: Chart | None) -> go.Figure:
    """Return the figure of a chart, which Plotly has checked."""
    assert chart is not None
    return go.Figure(json.loads(chart.plotly))


def test_a_distribution_has_a_bar_a_level() -> None:
    """Of 1, 3, 3 and 5, a quarter are 1, half 3 and a quarter 5; levels nobody gave are shown as well."""
    chart = distribution_chart(judged([1, 3, 3, 5]), "reception")

    figure = drawn(chart)
    assert chart is not None
    assert chart.columns == ["system", "judge", "replies", "1", "2", "3", "4", "5"]
    assert chart.rows == [["s", "j", "4", "25%", "0%", "50%", "0%", "25%"]]
    assert list(figure.data[0].x) == [1, 2, 3, 4, 5]
    assert list(figure.data[0].y) == [0.25, 0, 0.5, 0, 0.25]


@pytest.mark.parametrize(
    ("dimension", "values", "ticks"),
    [
        pytest.param("bystander", [3, 97, 50], [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100], id="a known scale"),
        pytest.param(
            "reward", [-0.31, 0.62], [-0.4, -0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], id="span"
        ),
        pytest.param("reward", [0.5, 0.5], [0.5, 0.6], id="all the same"),
        pytest.param("reception", [1.5, 4.25], [1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5], id="between the levels"),
    ],
)
def test_bars_of_many_values_begin_and_end_at_round_numbers(
    dimension: str, values: list[float], ticks: list[float]
) -> None:
    """Nobody reads an axis that is marked 11.8, 19.6, 27.4; and no value falls off its ends."""
    figure = drawn(distribution_chart(judged(values, dimension=dimension), dimension))

    assert list(figure.layout.xaxis.tickvals) == ticks
    assert sum(figure.data[0].y) == pytest.approx(1.0)


def test_a_curve_has_a_mean_a_turn() -> None:
    """Turn 2 has 2 and 4, whose mean is 3; turn 4 has 5; a turn that one system lacks has no mean."""
    table = scores(
        ("a", "s", 2, "reception", "j", 2.0),
        ("b", "s", 2, "reception", "j", 4.0),
        ("a", "s", 4, "reception", "j", 5.0),
        ("a", "t", 2, "reception", "j", 1.0),
    )

    chart = curve_chart(table, "reception")

    assert chart is not None
    assert chart.columns == ["system", "turn 2", "turn 4"]
    assert chart.rows == [["s", "3.00 (n = 2)", "5.00 (n = 1)"], ["t", "1.00 (n = 1)", "- (n = 0)"]]
    assert list(drawn(chart).data[1].y) == [1.0]


def test_a_curve_ends_where_few_replies_are_left() -> None:
    """One long dialogue of twenty is no mean; how many there are stands beside each point."""
    table = scores(
        *[(f"d{n}", "s", turn, "reception", "j", 3.0) for n in range(20) for turn in (2, 4, 6) if turn < 6 or n < 3]
    )

    (line,) = drawn(curve_chart(table, "reception")).data

    assert (list(line.x), list(line.text)) == ([2, 4], ["20", "20"])


def test_systems_have_distributions_of_their_own() -> None:
    """A panel each, on one scale; where there are very many they stand together."""
    few = scores(("a", "s", 2, "reception", "j", 1.0), ("a", "t", 2, "reception", "j", 5.0))
    many = scores(*[("a", f"s{n}", 2, "reception", "j", 1.0 + n % 5) for n in range(20)])

    figures = [drawn(distribution_chart(table, "reception")) for table in (few, many)]

    assert [[list(bars.y) for bars in figure.data] for figure in figures] == [
        [[1, 0, 0, 0, 0], [0, 0, 0, 0, 1]],
        [[0.2] * 5],
    ]
    assert [each.text for each in figures[0].layout.annotations] == ["s", "t"]
    assert figures[0].layout.yaxis2.matches == "y"


def test_reward_against_length_is_ranked() -> None:
    """The longer the better, but for one exchange of neighbours: rho = 1 - 6 (1 + 1) / (4 · 15) = 0.8."""
    chart = length_chart(judged([1, 2, 4, 3], dimension="reward"), "reward", np.array([10.0, 20, 30, 40]))

    assert chart is not None
    assert chart.rows == [["reward and words", "0.80"]]
    assert "rank correlation +0.80" in chart.says
    assert list(drawn(chart).data[0].x) == [10, 20, 30, 40]


def test_of_very_many_replies_a_sample_is_drawn() -> None:
    """Ten thousand points are a blot, and make the file slow."""
    rng = np.random.default_rng(1)

    chart = length_chart(judged(rng.random(3000), dimension="reward"), "reward", rng.random(3000) * 90)

    assert len(drawn(chart).data[0].x) == 2000


def test_judges_are_held_against_each_other() -> None:
    """One judge turns the other's order round, so rho is -1; each agrees with itself."""
    given = {"one": (1, 2, 3), "two": (3, 2, 1)}
    table = scores(*((f"d{i}", "s", 2, "reward", judge, v) for judge, vs in given.items() for i, v in enumerate(vs)))

    chart = agreement_chart(table, "reward")

    assert chart is not None
    assert chart.rows == [["one", "1.00", "-1.00"], ["two", "-1.00", "1.00"]]
    assert drawn(chart).layout.xaxis.type == "category"


def test_judges_are_held_against_people() -> None:
    """The same order is rho 1; a point is spread by less than a tenth; what nobody rated is left out."""
    truth = np.array([1.0, 2, 3, np.nan])

    chart = people_chart({"j": np.array([2.0, 3, 4, 5]), "none": np.full(4, np.nan)}, truth, "reception")

    figure = drawn(chart)
    assert chart is not None
    assert chart.rows == [["j", "1.00"]]
    assert np.abs(np.array(figure.data[0].x) - truth[:3]).max() < 0.1


def test_systems_stand_best_first_with_their_intervals() -> None:
    """The better one is on top; the reach of an interval counts from the mean."""
    given = {"low": (0.1, 0.2, 0.3, 0.1, 0.2, 0.3), "2024": (0.5, 0.6, 0.7, 0.5, 0.6, 0.7)}
    table = scores(*((f"d{i}", of, 2, "reward", "j", v) for of, vs in given.items() for i, v in enumerate(vs)))

    chart = leaderboard_chart([leaderboard(table, "j", ["reward"])])

    figure = drawn(chart)
    assert chart is not None
    assert [row[:2] for row in chart.rows] == [["j", "2024"], ["j", "low"]]
    assert chart.rows[0][2].startswith("0.600 (0.5")
    assert list(figure.data[0].x) == pytest.approx([0.6, 0.2])
    assert (figure.layout.yaxis.type, figure.layout.yaxis.autorange) == ("category", "reversed")


@pytest.mark.parametrize(
    "chart",
    [
        pytest.param(leaderboard_chart([]), id="no systems"),
        pytest.param(distribution_chart(judged([np.nan, np.nan]), "reception"), id="no scores"),
        pytest.param(curve_chart(judged([1, 2]), "reception"), id="one turn"),
        pytest.param(curve_chart(judged([1, 2], dimension="reward"), "reception"), id="no reception"),
        pytest.param(length_chart(judged([1], dimension="reward"), "reward", np.ones(1)), id="one reply"),
        pytest.param(agreement_chart(judged([1, 2], dimension="reward"), "reward"), id="one judge"),
        pytest.param(people_chart({"j": np.ones(2)}, np.full(2, np.nan), "x"), id="no people"),
    ],
)
def test_what_shows_nothing_is_not_drawn(chart: Chart | None) -> None:
    """An empty picture is worse than none."""
    assert chart is None


def test_without_spread_there_is_no_correlation() -> None:
    """A judge that always says the same is no reason to fail, nor is it a correlation of nought."""
    chart = length_chart(judged([3, 3, 3], dimension="reward"), "reward", np.array([1.0, 2, 3]))

    assert chart is not None
    assert "the rank correlation is undefined" in chart.says
    assert chart.rows == [["reward and words", "-"]]


def test_names_cannot_be_markup_and_stay_apart() -> None:
    """Plotly reads some HTML in names, and would take two of one name for one."""
    names = ["<b>x</b>", "&lt;b&gt;", "n" * 50 + "1", "n" * 50 + "2"]
    table = scores(*(("d", "s", 2, "reward", name, 1.0 + place) for place, name in enumerate(names)))
    table = replace(table, tables={"reward": np.array([[1.0, 2, 3, 4], [2, 3, 4, 5]])}, items=[Rated("d"), Rated("e")])

    chart = agreement_chart(table, "reward")

    labels = list(drawn(chart).data[0].x)
    assert labels[:2] == ["&lt;b&gt;x&lt;/b&gt;", "&amp;lt;b&amp;gt;"]
    assert labels[2:] == ["n" * 39 + "…", "n" * 39 + "… (2)"]
    assert chart is not None
    assert chart.rows[0][0] == "<b>x</b>"


def test_colours_are_seen_on_light_and_dark_paper() -> None:
    """What is drawn stands out at 3 to 1 on both (WCAG 2.2, 1.4.11)."""
    assert min(contrast(colour, paper) for colour in COLOURS for paper in ("#ffffff", "#171717")) >= 3.0


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours (WCAG 2.2)."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour such as #0072b2."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
