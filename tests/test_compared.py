"""A comparison in words: the sentence that the numbers bear out, and no other."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from perm_cli.comparing.from_runs import Health
from perm_cli.comparing.labels import read_ratings
from perm_cli.comparing.panel import convene
from perm_cli.comparing.side_by_side import compare
from perm_cli.comparing.table import Given, Rated, Scores, table_of
from perm_cli.reports.compared import (
    CLOSING,
    agreement_table,
    board_table,
    dispute_lines,
    findings,
    health_table,
    pair_table,
    use_table,
)
from perm_cli.rewards.formula import Recipe
from perm_cli.statistics.resampling import Resamples

HOSTILE = "\x1b[2J[red]\x00\u202e\n=1+1"
Row = tuple[str, str, str, str, float]  # dialogue, system, dimension, rater, score


def of(rows: Iterable[Row], people: Iterable[str] = ()) -> Scores:
    """Return a table."""
    return table_of((Given(Rated(d, s, 2), name, rater, score) for d, s, name, rater, score in rows), people)


def said(rows: Iterable[Row], people: Iterable[str] = ()) -> str:
    """Return the findings as a text."""
    return "\n".join(findings(compare(of(rows, people))))


def shown(*tables: object) -> str:
    """Return tables as a wide terminal shows them."""
    console = Console(width=250)
    with console.capture() as captured:
        for table in tables:
            console.print(table)
    return captured.get()


def judged(**levels: Iterable[float]) -> list[Row]:
    """Return scores of one system on one dimension, by rater."""
    return [
        (f"d{n}", "s", "warmth", rater, score) for rater, scores in levels.items() for n, score in enumerate(scores)
    ]


FIVE = [1.0, 2, 3, 4, 5] * 6


@pytest.mark.parametrize(
    ("rows", "people", "sentence"),
    [
        pytest.param(
            judged(x=FIVE, y=FIVE), (), "On warmth the judges agree well: alpha 1.00 (1.00 … 1.00).", id="well"
        ),
        pytest.param(
            judged(x=FIVE, y=FIVE[::-1]), (), "On warmth the judges agree little: alpha -", id="against-each-other"
        ),
        pytest.param(
            judged(x=[math.nan] * 3, y=FIVE), (), "The judges share too few scores to say how far they agree.", id="few"
        ),
        pytest.param(
            judged(ann=FIVE[::-1], x=FIVE, y=FIVE),
            ["ann"],
            "agree with each other far more (alpha 1.00) than with people (-",
            id="of-one-mind-but-not-with-people",
        ),
        pytest.param(
            judged(ann=FIVE, x=FIVE, y=FIVE),
            ["ann"],
            "On warmth the judges' alpha with people is 1.00, among themselves 1.00.",
            id="of-one-mind-with-people",
        ),
        pytest.param(
            judged(ann=FIVE, x=FIVE), ["ann"], "On warmth the alpha of x with people is 1.00.", id="one-judge"
        ),
        pytest.param(
            judged(ann=FIVE, x=[5.0] * 25 + FIVE[:5], y=FIVE),
            ["ann"],
            "warmth piles up at the top of the scale, of all replies: x 87% (people: 20%).",
            id="piled-up",
        ),
        pytest.param(
            judged(x=[score + 1 for score in FIVE], y=FIVE),
            (),
            "On warmth 1 of 1 pairs of judges differ in level; the widest: x scores 1.00 higher than y.",
            id="more-lenient",
        ),
        pytest.param(
            judged(x=FIVE, y=FIVE), (), "On warmth no difference in level between judges is decisive.", id="even"
        ),
    ],
)
def test_a_sentence_stands_where_the_numbers_bear_it_out(rows: list[Row], people: list[str], sentence: str) -> None:
    """Each on numbers made for it; the last sentence is never left out."""
    text = said(rows, people)

    assert sentence in text
    assert text.splitlines()[-1] == CLOSING


def test_scores_all_alike_pile_up_nowhere() -> None:
    """A scale nobody has used has no top."""
    assert "piles up" not in said(judged(x=[3.0] * 5, y=[3.0] * 5))


def ranked(*levels: tuple[str, str, float]) -> list[Row]:
    """Return twelve dialogues, in which a rater gives a system so much over the others, give or take a little."""
    return [
        (f"d{n}", system, "warmth", rater, n % 3 + level + (n % 2) * 0.1 * (system == "a"))
        for n in range(12)
        for rater, system, level in levels
    ]


def test_who_puts_whom_first_is_said() -> None:
    """All alike, each their own, or the one judge who says anything."""
    alike = said(ranked(("x", "a", 1), ("x", "b", 0), ("y", "a", 1), ("y", "b", 0)))
    apart = said(ranked(("x", "a", 1), ("x", "b", 0), ("y", "a", 0), ("y", "b", 1)))
    alone = said(ranked(("x", "a", 1), ("x", "b", 0), ("y", "a", math.nan), ("y", "b", math.nan)))

    assert "All judges put a first.\nThe rankings agree with W = 1.00." in alike
    assert "cannot tell" not in alike
    assert "The judges do not agree on the best system: x puts a first and y puts b first" in apart
    assert "x puts a first." in alone
    assert "All judges" not in alone
    assert "y puts" not in alone


def test_a_lead_of_chance_is_called_one() -> None:
    """The best of two equals is nobody."""
    rows = [(f"d{n}", s, "w", r, float((n * 7 + ord(s)) % 5)) for n in range(12) for s in "ab" for r in "xy"]

    assert " cannot tell these systems apart on 12 dialogues" in said(rows)


def test_one_impression_for_all_dimensions_is_said() -> None:
    """Where judges agree as much across dimensions as on the same one."""
    generator = np.random.default_rng(1)
    rows: list[Row] = [
        (f"d{place}", "s", name, rater, float(impression + generator.normal(0, 0.3)))
        for place, impression in enumerate(generator.normal(0, 1, 60))
        for name in ("warmth", "depth")
        for rater in "xy"
    ]

    assert "x hardly tells the dimensions apart: it agrees with the others as much across dimensions" in said(rows)


def test_what_a_judge_lacks_is_said_first() -> None:
    """Ratings without a score, and a judge known to be worth nothing."""
    ill = Health(rater="x", judge="x", settings="s", caveat="Far too small to judge empathy.")
    ill.spending.statuses.update(scored=9, unparseable=1)

    first, second, *_ = findings(compare(of(judged(x=FIVE, y=FIVE))), [ill])

    assert first == "x gave a score for 90% of its ratings only."
    assert second == "x: Far too small to judge empathy."
    assert "1 unparseable" in shown(health_table([ill]))


def test_a_panel_says_whom_it_could_do_without() -> None:
    """A judge that guesses makes it worse; one that has nothing in common with the others leaves it nothing to say."""
    generator = np.random.default_rng(2)
    guessed = generator.integers(1, 6, 30).astype(float).tolist()
    scores = of(judged(x=FIVE, y=FIVE, z=guessed))
    against = of(judged(x=FIVE, y=FIVE[::-1]))

    panel, opposed = (convene(each, "mean", Recipe(), Resamples(each.clusters))[0] for each in (scores, against))

    assert "; without z it is no worse." in "\n".join(findings(compare(scores), panel=panel))
    assert "have nothing in common on warmth, so their mean says nothing." in "\n".join(
        findings(compare(against), panel=opposed)
    )


def test_hostile_words_are_inert_wherever_they_stand() -> None:
    """Names of dialogues, systems, raters and dimensions, and what judges have to say."""
    rows = [
        (f"{HOSTILE}{n}", f"{HOSTILE}{s}", HOSTILE, rater, float((n + s) % 5 if rater == "x" else n % 5))
        for n in range(8)
        for s in range(2)
        for rater in ("x", HOSTILE)
    ]
    found = compare(of(rows))
    rationales = {(dispute.item, dispute.dimension, "x"): HOSTILE for dispute in found.disputes}

    lines = [*dispute_lines(found.disputes, rationales), *findings(found)]
    text = "".join(lines) + shown(use_table(found), agreement_table(found), pair_table(found), board_table(found))

    assert not set(text) & set("\x1b\x00\u202e")
    assert not any("\n" in line for line in lines)
    assert "[red]" in text


@pytest.mark.parametrize("missing", [math.nan, 3.0])
def test_figures_that_are_none_say_why(missing: float) -> None:
    """Never a NaN, in no table and no sentence."""
    found = compare(of(judged(x=[missing] * 3, y=[missing] * 3)))

    text = shown(use_table(found), agreement_table(found), pair_table(found)) + "".join(findings(found))

    assert "nan" not in text.lower()
    assert ("all scores are equal" in text) is (missing == 3.0)


def test_what_mentalbench_align_comes_to(shared: Path) -> None:
    """The tool says of itself what is known of these data: judges agree, and not with people."""
    table = pd.read_csv(shared / "data/ratings/mentalalign.csv")
    table[table["attribute"] == "Empathy"].to_csv("empathy.csv", index=False)

    text = "\n".join(findings(compare(read_ratings(Path("empathy.csv")))))

    assert (
        "On Empathy the judges agree with each other far more (alpha 0.61) than with people (-0.01 to 0.18): "
        "they share something that people do not."
    ) in text
    assert (
        "Empathy piles up at the top of the scale, of all replies: gpt-4o 85%, claude-3.7 79%, gemini-2.5-flash 80% "
        "and o4-mini 69% (people: 37%)."
    ) in text
