"""`perm validate` as typed: labels of all kinds in, plain sentences and valid JSON out."""

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from perm_cli.judges.route_baseline import CAVEAT
from tests.commands import Perm, Result, runner
from tests.loopback import loopback
from tests.makers import row, written


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line, whose JSON must be free of NaN."""
    run = runner(monkeypatch, capsys)

    def checked(*arguments: object) -> Result:
        found = run(*arguments)
        assert "Traceback" not in found.err
        assert "nan" not in found.out.lower().split()
        if "--json" in arguments and found.code == 0:
            json.loads(found.out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
        return found

    return checked


def table(path: Path, header: str, lines: Iterable[Iterable[object]]) -> Path:
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header.split(","))
        writer.writerows(lines)
    return path


def talk(place: int, words: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a dialogue of four turns, whose replies are the longer the more words."""
    turns = [
        {"role": "seeker", "text": f"I lost number {place} today."},
        {"role": "supporter", "text": "Losing hurts? " * words},
        {"role": "seeker", "text": "Yes."},
        {"role": "supporter", "text": "Sorry to hear. " * words},
    ]
    return row(place, turns=turns, **changes)


def level(place: int, person: int = 0) -> int:
    """Return what a person says of a dialogue."""
    return min(5, max(1, 1 + place % 5 + (place * (person + 2) % 3 - 1)))


def run_of(perm: Perm, labels: Callable[[int], dict[str, Any]], dialogues: int = 40) -> Path:
    """Return the counter's run over labelled dialogues."""
    path = written(Path("d.jsonl"), [talk(n, words=1 + n % 5, labels=labels(n)) for n in range(dialogues)])
    assert perm("score", path, "--judge", "baseline", "--out", "run").code == 0
    return Path("run")


def by_experts(place: int) -> dict[str, Any]:
    """Return labels of three experts and a crowd, of the dialogue as a whole."""
    return {
        "experts": {f"e{person}": {"empathy": level(place, person)} for person in range(3)},
        "crowd": {"empathy": 6 - level(place)},
    }


def test_labels_of_dialogues_are_found(perm: Perm) -> None:
    """Without another word; the crowd is left out where there are experts."""
    result = perm("validate", run_of(perm, by_experts))

    assert result.code == 0
    assert "How far people agree:" in result.out
    assert "On empathy people agree with alpha" in result.out
    assert "baseline ranks replies on expression ~ empathy with rho" in result.out
    assert "It only counts words, and is included as a control." in result.out
    assert result.out.rstrip().endswith(CAVEAT)


def test_json_holds_all_of_it(perm: Perm) -> None:
    """For programs: figures, sentences, and what the judge is not worth."""
    found = json.loads(perm("validate", run_of(perm, by_experts), "--json").out)

    (dimension,) = found["dimensions"]
    assert dimension["ceiling"]["people"] == ["e0", "e1", "e2"]
    assert dimension["judges"][0]["items"] == 40
    assert dimension["judges"][0]["within"] is None
    assert set(dimension["counting"]) == {"length", "questions", "sympathy", "overlap"}
    assert any(line.startswith("40 items are too few") for line in found["findings"])
    assert found["caveats"] == [CAVEAT]


@pytest.mark.parametrize(("people", "found"), [(["crowd"], ["crowd"]), (["e2", "crowd"], ["e2", "crowd"])])
def test_people_are_those_named(perm: Perm, people: list[str], found: list[str]) -> None:
    """The crowd too, if it is asked for."""
    named = [each for name in people for each in ("--people", name)]

    result = perm("validate", run_of(perm, by_experts), *named, "--json")

    assert json.loads(result.out)["dimensions"][0]["ceiling"]["people"] == found


def test_labels_by_turn_are_held_against_turns(perm: Perm) -> None:
    """Two replies a dialogue make eighty items, and a correlation within dialogues."""
    run = run_of(perm, lambda n: {"turns": {"2": {"empathy": level(n)}, "4": {"empathy": level(n + 1)}}})

    judge = json.loads(perm("validate", run, "--json").out)["dimensions"][0]["judges"][0]

    assert judge["items"] == 80
    assert judge["within"] is not None


def test_labels_from_a_file_are_of_people_whatever_they_are_called(perm: Perm) -> None:
    """The option says that they are people's."""
    run = run_of(perm, lambda _: {})
    labels = table(
        Path("l.csv"), "dialogue_id,system,ann,bob", ([f"d{n}", "s", level(n), level(n, 1)] for n in range(40))
    )

    result = perm("validate", run, "--labels", labels, "--map", "expression=score", "--json")

    assert json.loads(result.out)["dimensions"][0]["ceiling"]["people"] == ["ann", "bob"]
    assert "two" not in result.err


def test_people_may_be_named_of_a_file_of_labels_beside_a_file_of_judges(perm: Perm) -> None:
    """They stand in the one and not in the other."""
    judges = table(Path("j.csv"), "dialogue_id,dimension,m,n", ([f"d{n}", "e", level(n), 3] for n in range(9)))
    labels = table(Path("l.csv"), "dialogue_id,dimension,ann,bob", ([f"d{n}", "e", level(n), 1] for n in range(9)))

    result = perm("validate", judges, "--labels", labels, "--people", "ann", "--json")

    (found,) = json.loads(result.out)["dimensions"]
    assert (found["ceiling"]["people"], [each["rater"] for each in found["judges"]]) == (
        ["ann"],
        ["m", "n", "panel (mean of 2)"],
    )


def test_the_counter_has_no_seat_on_the_panel(perm: Perm) -> None:
    """A control is no judge among judges."""
    path = written(Path("d.jsonl"), [talk(n, labels={"empathy": level(n)}) for n in range(6)])
    with loopback() as server:
        judges = ["--judge", "openai/a", "--judge", "openai/b", "--judge", "baseline"]
        result = perm("validate", path, *judges, "--base-url", server.url, "--json")

    raters = [each["rater"] for each in json.loads(result.out)["dimensions"][0]["judges"]]
    assert raters == ["openai/a", "openai/b", "baseline", "panel (mean of 2)"]


def test_negative_labels_are_turned_round(perm: Perm) -> None:
    """As the construct map has them, and as the user says."""
    run = run_of(perm, lambda n: {"experts": {"ann": {"dismissing_emotions": 6 - level(n)}}})

    expected = perm("validate", run).out
    wished = perm("validate", run, "--map", "reception=-dismissing_emotions").out

    assert "reception ~ less dismissing_emotions with rho 0." in expected
    assert wished == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--map", "recption=empathy"], "--map: 'recption' found, expected one of the dimensions resonation"),
        (["--map", "reception=warmth"], "--map: 'warmth' found, expected one of the labels empathy"),
        (["--map", "reception"], "--map: 'reception' found, expected DIMENSION=LABEL"),
        (["--people", "eve"], "--people: eve not found in the labels, expected one or more of crowd, e0, e1, e2"),
        (["--labels", "none.csv"], "none.csv: no such file, expected"),
        (["--judge", "baseline"], "--judge cannot be used with ratings that are made"),
        (["--calibration", "none.json"], "none.json: No such file or directory; expected a file"),
    ],
)
def test_a_slip_is_one_line(perm: Perm, options: list[str], said: str) -> None:
    """With what was expected instead."""
    result = perm("validate", run_of(perm, by_experts, 4), *options)

    assert (result.code, result.out) == (1, "")
    assert said in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("header", "lines", "said"),
    [
        pytest.param("dialogue_id,human1", [["d1", 3]], "no judges found among the raters", id="people only"),
        pytest.param("dialogue_id,gpt", [["d1", 3]], "no people found among the raters", id="judges only"),
        pytest.param("dialogue_id,human1,gpt", [], "no ratings found", id="empty"),
        pytest.param("dialogue_id,human1,gpt", [["d1", "nan", "nan"]], "nothing to compare", id="no number"),
    ],
)
def test_a_table_that_holds_nothing_to_compare_is_one_line(
    perm: Perm, header: str, lines: list[list[object]], said: str
) -> None:
    """And no table of dashes."""
    result = perm("validate", table(Path("r.csv"), header, lines))

    assert (result.code, result.out) == (1, "")
    assert said in result.err


@pytest.mark.parametrize(
    ("header", "lines"),
    [
        pytest.param("dialogue_id,human1,gpt", [[f"d{n}", n % 3, n % 4] for n in range(10)], id="one person"),
        pytest.param("dialogue_id,human1,human2,gpt", [[f"d{n}", 3, 3, 3] for n in range(10)], id="all equal"),
        pytest.param("dialogue_id,human1,gpt", [["d1", 3, ""], ["d2", "", 3]], id="no overlap"),
        pytest.param("dialogue_id,human1,human2,gpt", [["d1", 3, 4, 5]], id="one item"),
        pytest.param(
            "dialogue_id,system,human1,gpt", [["d1", s, n, n] for n, s in enumerate("abc")], id="one dialogue"
        ),
    ],
)
def test_little_or_odd_input_is_shown_as_far_as_it_goes(perm: Perm, header: str, lines: list[list[object]]) -> None:
    """In tables, words and JSON without a NaN."""
    path = table(Path("r.csv"), header, lines)

    shown, as_json = perm("validate", path), perm("validate", path, "--json")

    assert (shown.code, shown.err, as_json.code) == (0, "", 0)
    assert "These results may not hold for other raters" in shown.out
    assert "NaN" not in as_json.out
