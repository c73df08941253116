"""Leaderboards as text and checks as XML: what they come to, and nothing a hostile name could break."""

from collections.abc import Iterable
from io import StringIO
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console, RenderableType

from perm_cli.comparing.checks import Check
from perm_cli.comparing.systems import Leaderboard, leaderboard
from perm_cli.comparing.table import Given, Rated, table_of
from perm_cli.reports.contrasted import difference_table, shown_differences, verdict_lines
from perm_cli.reports.graded import junit, standings_table

HOSTILE = "\x1b[2J[red]<&>\"'\x00\u202e]]>\n=1+1\ud800"


def board(given: Iterable[tuple[str, str, float]]) -> Leaderboard:
    """Return a board of dialogue, system and reward."""
    table = table_of(Given(Rated(dialogue, system, 2), "reward", "j", score) for dialogue, system, score in given)
    return leaderboard(table, "j", ["reward"])


def rendered(table: RenderableType) -> str:
    """Return a table as a wide terminal shows it."""
    console = Console(file=StringIO(), width=200)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


CLEAR = board((f"d{n}", system, n / 10 + (0.5 if system == "a" else n % 2 / 50)) for n in range(12) for system in "ab")
CLOSE = board((f"d{n}", system, n / 10 + (n % 2 if system == "a" else 0.4)) for n in range(12) for system in "ab")
ALIKE = board((f"d{n}", system, n / 10) for n in range(12) for system in "ab")
APART = board((f"{system}{n}", system, n / 10) for n in range(12) for system in "ab")
# Where both have answered, b is better by one; a has answered easier ones besides.
TURNED = board(
    [(f"d{n}", s, n / 20 + (s == "b")) for n in range(9) for s in "ab"] + [(f"e{n}", "a", 9.0) for n in range(9)]
)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        pytest.param(CLEAR, "a is decisively best, ahead of b by 0.490 (0.485 … 0.495).", id="decisive"),
        pytest.param(CLOSE, "j cannot tell these systems apart on 12 dialogues; a true difference of 0.", id="close"),
        pytest.param(
            ALIKE, "j cannot tell these systems apart on 12 dialogues; their scores do not differ.", id="alike"
        ),
        pytest.param(
            APART, "j cannot tell these systems apart: no dialogue has a score for two of them.", id="nothing-shared"
        ),
        pytest.param(TURNED, "b is decisively best, ahead of a by 1.000", id="turned-round"),
    ],
)
def test_the_verdict_says_no_more_than_the_numbers(found: Leaderboard, said: str) -> None:
    """One sentence, and it is true."""
    (line,) = verdict_lines(found.contrasts, None)

    assert said in line
    assert "nan" not in line
    assert "- (" not in line


def test_a_close_call_says_what_would_be_found() -> None:
    """So that one knows whether more dialogues would help."""
    (line,) = verdict_lines(CLOSE.contrasts, None)

    assert "on 12 dialogues; a true difference of 0." in line
    assert line.endswith("would be detected with 80 % power.")


def test_against_a_baseline_systems_are_better_or_worse_or_neither() -> None:
    """Each is measured against that one, not against its neighbour."""
    levels = {"best": 0.5, "base": 0.0, "same": 0.0, "poor": -0.5}
    found = board((f"d{n}", name, n + level + n % 2 / 50) for n in range(12) for name, level in levels.items())

    assert [(each.first, each.second) for each in shown_differences(found.contrasts, "base")] == [
        ("best", "base"), ("same", "base"), ("poor", "base"),
    ]  # fmt: skip
    assert list(verdict_lines(found.contrasts, "base")) == [
        "Decisively better than base: best.",
        "Decisively worse than base: poor.",
        "Not decisively different from base: same; their scores do not differ.",
    ]


def test_one_system_needs_no_verdict() -> None:
    """There is nobody to be better than."""
    alone = board((f"d{n}", "a", n) for n in range(3))

    assert (list(verdict_lines(alone.contrasts, None)), list(verdict_lines(alone.contrasts, "a"))) == ([], [])


def test_a_table_shows_what_is_known_and_a_dash_for_the_rest() -> None:
    """A system that was compared with no other has no rank."""
    text = rendered(standings_table(APART))

    assert "None" not in text
    assert "nan" not in text
    assert "0 - 0 - 0" in text
    assert "12 - 0 - 0" in rendered(standings_table(CLEAR))


def test_hostile_names_are_inert_in_tables_and_sentences() -> None:
    """No terminal code, no markup, no second line."""
    found = board((f"d{n}", system, n + (system == "b")) for n in range(12) for system in (HOSTILE, "b"))

    text = rendered(standings_table(found)) + rendered(difference_table(found.contrasts.differences))
    text += "".join(verdict_lines(found.contrasts, None))

    assert not set(text) & set("\x1b\x00\u202e\ud800")
    assert "[red]" in text


def test_checks_are_xml_that_any_reader_reads() -> None:
    """Names come back as they were, but for what XML cannot hold."""
    checks = [
        Check(system="a", rater="j", name="fail-under", passed=True, said="0.7 against 0.5"),
        Check(system=HOSTILE, rater=HOSTILE, name="fail-under", passed=False, said=HOSTILE),
        Check(system="", name="rated", passed=False, said="worse"),
    ]

    root = ET.fromstring(junit(checks, "perm grade"))  # noqa: S314 - our own

    assert (root.get("name"), root.get("tests"), root.get("failures")) == ("perm grade", "3", "2")
    cases = root.findall("testcase")
    safe = HOSTILE.replace("\x1b", "\ufffd").replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    assert [case.get("name") for case in cases] == ["a, by j", f"{safe}, by {safe}", "-"]
    assert [case.get("classname") for case in cases] == ["perm.fail-under"] * 2 + ["perm.rated"]
    assert [case.find("failure") is None for case in cases] == [True, False, False]
    assert cases[1].find("failure").get("message") == safe
    assert cases[0].findtext("system-out") == "0.7 against 0.5"


def test_no_checks_are_an_empty_suite() -> None:
    """A build server takes that for a pass."""
    root = ET.fromstring(junit([], "perm grade"))  # noqa: S314 - our own

    assert (root.get("tests"), root.get("failures"), len(root)) == ("0", "0", 0)
