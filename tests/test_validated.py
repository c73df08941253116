"""A validation in tables and words: nothing said that is not known."""

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from perm_cli.comparing.against_people import Ceiling, DimensionValidation, Levels, Pairs, Validity
from perm_cli.reports.validated import ceiling_table, findings, level_table, powered_table, rank_table
from perm_cli.statistics.replacement import Replacement
from perm_cli.statistics.resampling import Statistic

NOTHING = Statistic(value=None, why="too few")
FAILS = Replacement(winning_rate=1 / 3, advantage=0.6)
PASSES = Replacement(winning_rate=2 / 3, advantage=0.8)
UNKNOWN = Replacement(winning_rate=None, advantage=None, why="too few")


def figure(value: float, low: float | None = None, high: float | None = None, why: str = "") -> Statistic:
    """Return a figure."""
    return Statistic(value=value, low=low, high=high, why=why)


def judge(**changes: Any) -> Validity:
    """Return what a judge is worth."""
    usual: dict[str, Any] = {
        "rater": "j",
        "items": 500,
        "rho": figure(0.4, 0.3, 0.5),
        "tau_b": figure(0.3, 0.2, 0.4),
        "within": 0.25,
        "systems": figure(0.9, why="10 systems"),
        "told_apart": True,
        "pairs": Pairs(pairs=100, right=0.4, tied=0.5, wrong=0.1),
        "levels": Levels(kappa=0.3, icc_a1=0.2, error=0.8, bias=0.7),
        "calibrated": Levels(kappa=0.4, icc_a1=0.4, error=0.6, bias=0.0),
        "replacement": FAILS,
        "replacement_calibrated": PASSES,
        "over_counting": figure(0.1, 0.05, 0.15),
        "powered": {},
    }
    return Validity(**usual | changes)


def validation(*judges: Validity, alpha: Statistic | None = None, **changes: Any) -> DimensionValidation:
    """Return a validation of some judges."""
    ceiling = Ceiling(
        people=["ann", "bob", "eve"],
        items=500,
        alpha=alpha or figure(0.5, 0.4, 0.6),
        icc_a1=figure(0.5),
        left_out=0.6,
        judge_left_out={each.rater: 0.0 for each in judges},
    )
    usual: dict[str, Any] = {
        "judged": "reception",
        "human": "empathy",
        "sign": 1,
        "ceiling": ceiling,
        "judges": judges,
        "counting": {"length": -0.3, "questions": 0.1, "sympathy": None, "overlap": 0.0},
        "constant": FAILS,
    }
    return DimensionValidation(**usual | changes)


def said(*judges: Validity, **changes: Any) -> list[str]:
    """Return the sentences."""
    return list(findings([validation(*judges, **changes)]))


def shown(*validations: DimensionValidation) -> str:
    """Return all tables as text."""
    console = Console(width=200)
    with console.capture() as capture:
        for table in (ceiling_table, rank_table, level_table, powered_table):
            console.print(table(validations))
    return capture.get()


def test_all_of_it_in_words() -> None:
    """From the ceiling to what is not said."""
    assert said(judge()) == [
        "On empathy people agree with alpha 0.50 (0.40 … 0.60); each with the mean of the others: rho 0.60 on average.",
        (
            "j ranks replies on reception ~ empathy with rho 0.40 (0.30 … 0.50); "
            "against the mean of all people but one it reaches 0.00, the person left out 0.60."
        ),
        "  It ranks systems better than replies: rho 0.90 over 10 systems against 0.40.",
        "  Of the pairs of replies that people rate differently, it ties 50% and reverses 10%.",
        "  It beats counting (length) by 0.10 (0.05 … 0.15) in rho.",
        "  On average it scores 0.70 higher than people.",
        (
            "  Alternative annotator test: fails (33% of people beaten) before calibration, "
            "passes (67% of people beaten) after calibration on other dialogues."
        ),
        "These results may not hold for other raters, languages or kinds of conversation.",
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param(
            {"over_counting": figure(0.1, -0.01, 0.2)},
            "  It is not shown to beat word counting: length alone reaches rho 0.30.",
            id="no better than counting",
        ),
        pytest.param(
            {"over_counting": figure(0.1)},
            "  It is not shown to beat word counting: length alone reaches rho 0.30.",
            id="without an interval nothing is shown",
        ),
        pytest.param(
            {"told_apart": False},
            "  It cannot tell these systems apart, so its ranking of 10 systems is not informative.",
            id="systems not told apart",
        ),
        pytest.param({"rater": "baseline"}, "  It only counts words, and is included as a control.", id="the counter"),
        pytest.param({"rho": NOTHING}, "j cannot be validated on reception ~ empathy: too few.", id="no order"),
        pytest.param(
            {"levels": Levels(kappa=None, icc_a1=None, error=0.5, bias=-0.5)},
            "  On average it scores 0.50 lower than people.",
            id="lower",
        ),
        pytest.param(
            {"replacement": UNKNOWN},
            "  Alternative annotator test: passes (67% of people beaten) after calibration on other dialogues.",
            id="other scales",
        ),
        pytest.param({"items": 49}, "49 items are too few to tell a good judge from a poor one.", id="49 items"),
        pytest.param({"items": 1}, "1 item is too few to tell a good judge from a poor one.", id="1 item"),
        pytest.param(
            {"items": 50},
            "50 items can tell a good judge from a poor one, but hardly two good judges from each other.",
            id="50 items",
        ),
        pytest.param(
            {"powered": {"s": (4.0, figure(3.5, 3.0, 4.0))}},
            "People's means (PPI++) are unbiased only if the labelled replies are a random sample.",
            id="means from both",
        ),
    ],
)
def test_each_case_has_its_sentence(changes: dict[str, Any], line: str) -> None:
    """Plain, and true of it alone."""
    assert line in said(judge(**changes))
    assert line not in said(judge())


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"replacement_calibrated": UNKNOWN, "replacement": UNKNOWN}, id="no test"),
        pytest.param({"levels": None, "calibrated": None}, id="no levels"),
        pytest.param({"pairs": None, "systems": NOTHING, "within": None}, id="no pairs, one system"),
    ],
)
def test_what_is_not_known_is_a_dash_and_no_sentence(changes: dict[str, Any]) -> None:
    """And never None or NaN."""
    text = shown(validation(judge(**changes))) + "".join(said(judge(**changes)))

    assert "-" in text
    assert "None" not in text.replace("None\n", "")
    assert "nan" not in text


def test_where_people_disagree_there_is_no_verdict() -> None:
    """In words or in the table."""
    lines = said(judge(), alpha=figure(0.1, 0.0, 0.2), constant=PASSES)

    assert lines[0].startswith("On empathy people agree too little for a verdict on any judge (alpha 0.10 (0.00")
    assert not any(line.startswith(("j orders", "  ")) for line in lines)
    table = shown(validation(judge(), alpha=figure(0.1)))
    assert "67% inconclusive" in table
    assert "pass" not in table


def test_where_a_constant_passes_that_is_said() -> None:
    """Else a pass would be taken for more than it is."""
    line = "On empathy the annotator test is not informative: a constant score passes it too."

    assert line in said(judge(), constant=PASSES)
    assert line not in said(judge())


def test_where_the_texts_are_not_known_that_is_said() -> None:
    """A silence on counting would be taken for a pass."""
    line = "The judges are not compared with word counting: that needs the texts, so pass run folders."

    assert line in said(judge(), counting={})
    assert line not in said(judge())


def test_a_judge_of_other_dialogues_does_not_hide_how_few_there_are() -> None:
    """Items of those that have any are counted."""
    lines = said(judge(rater="absent", items=0, rho=NOTHING), judge(items=12))

    assert "12 items are too few to tell a good judge from a poor one." in lines


def test_names_from_files_cannot_change_the_screen() -> None:
    """They are shown spelled out, in tables and in words."""
    hostile = validation(judge(rater="j\x1b[31m[bold]"), human="em\npathy")

    text = shown(hostile) + "\n".join(findings([hostile]))

    assert "\x1b" not in text
    assert "[bold]" in text
    assert "em pathy" in text


def test_labels_of_which_more_means_less_are_called_so() -> None:
    """Or a good rho would read the wrong way."""
    less = replace(validation(judge()), sign=-1)

    assert any("reception ~ less empathy" in line for line in findings([less]))
