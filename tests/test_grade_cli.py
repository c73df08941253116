"""`perm grade` as typed: leaderboards, bars with their exit codes, and XML for build servers."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.commands import Perm, a_run, by_habit, judges, runner, tickets
from tests.loopback import loopback


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line."""
    return runner(monkeypatch, capsys)


def steady(level: float, count: int = 12, system: str = "s") -> dict[tuple[str, str], list[float | None]]:
    """Return ratings about a level; with the bystander at 100 the reward is about a fifth of it."""
    return {(f"d{n}", system): [level + n % 2 * 0.1, level, level, 100.0] for n in range(count)}


def test_systems_are_ranked_and_the_difference_is_told_from_chance(perm: Perm) -> None:
    """The fair judge's two points between good and poor are seen on every dialogue."""
    with loopback(by_habit) as server:
        path = tickets(Path("d.jsonl"), 12)
        result = perm("grade", path, *judges(server, "fair"))
        again = perm("grade", path, *judges(server, "fair"))

        assert len(server.requests) == 24 * 4
    assert (result.code, again.out) == (0, result.out)
    assert re.search(r"good +12 +100% .* 12 - 0 - 0 +1 ", result.out)
    assert "good is decisively best, ahead of poor by " in result.out


def test_a_judge_without_an_opinion_decides_nothing(perm: Perm) -> None:
    """Equal systems are not ranked by their names."""
    with loopback(by_habit) as server:
        result = perm("grade", tickets(Path("d.jsonl")), *judges(server, "flat"))

    assert "openai/flat cannot tell these systems apart on 8 dialogues; their scores do not differ." in result.out
    assert re.search(r"poor .* 0 - 8 - 0 +1 … 2", result.out)


def test_a_judge_that_tells_nothing_apart_ranks_nothing_anywhere(perm: Perm) -> None:
    """Systems stand by name, the line beside them says why, and the weak judge's caveat follows."""
    path = tickets(Path("d.jsonl"), 5, ["good", "a poor one"])

    scored = perm("score", path, "--judge", "baseline", "--out", "run").out
    shown = [scored, perm("grade", "run").out, perm("compare", "run").out]
    perm("convert", "run", "--out", "t.md")

    for text in (*shown, Path("t.md").read_text()):
        assert text.index("a poor one") < text.rindex("good")
        beside = text.index("baseline cannot tell these systems apart on 5 dialogues; 6 or more are needed.")
        assert "no measure of empathy" in text[beside:]
    for text in shown[1:]:
        assert re.search(r"a poor one .* 1 … 2 *\n good .* 1 … 2", text)


def test_of_many_differences_those_to_the_next_system_are_shown(perm: Perm) -> None:
    """Of eight systems there are 28, which nobody reads; JSON holds all."""
    levels = {(f"d{n}", f"s{place}"): [3.0 + (place == 7), 3.0, 3.0, 30.0 + n] for n in range(12) for place in range(8)}
    a_run(Path("run"), levels)

    text, record = perm("grade", "run").out, json.loads(perm("grade", "run", "--json").out)

    assert "… and 21 more differences in --json" in text
    assert re.search(r"p \(Holm\).*\n.*\n s7 - s0 .* decisive", text)
    assert len(record["boards"][0]["differences"]) == 28


def test_means_come_by_name(perm: Perm) -> None:
    """A program must not have to count columns; and it is told what is decisive."""
    a_run(Path("run"), steady(3.0) | steady(4.0, system="t"))

    (board,) = json.loads(perm("grade", "run", "--json").out)["boards"]

    assert (board["best"], board["told_apart"]) == ("t", True)
    assert [(each["system"], each["place"]) for each in board["standings"]] == [("t", [1, 1]), ("s", [2, 2])]
    assert set(board["standings"][0]["means"]) == {"resonation", "expression", "reception", "bystander", "reward"}
    assert board["standings"][0]["means"]["bystander"]["value"] == 100.0
    assert [each["decisive"] for each in board["differences"]] == [True]


def test_a_panel_is_one_more_judge(perm: Perm) -> None:
    """It alone ranks."""
    with loopback(by_habit) as server:
        result = perm(
            "grade", tickets(Path("d.jsonl")), *judges(server, "fair", "kind", "wrong"), "--panel", "weighted", "--json"
        )

    (board,) = json.loads(result.out)["boards"]
    assert board["rater"] == "panel (weighted of 3)"
    assert [standing["system"] for standing in board["standings"]] == ["good", "poor"]


def test_a_baseline_is_what_the_others_are_measured_against(perm: Perm) -> None:
    """One that is not there is a line."""
    a_run(Path("run"), steady(3.0) | steady(4.0, system="t"))

    result, typo = perm("grade", "run", "--baseline", "s"), perm("grade", "run", "--baseline", "S")

    assert "Decisively better than s: t.\nDecisively worse than s: none." in result.out
    assert typo.err == "perm: --baseline: 'S' found, expected one of 's', 't'\n"


@pytest.mark.parametrize(
    ("bar", "code", "said"),
    [
        pytest.param("0.5", 0, "passed  fail-under  s, by j: 0.60", id="over"),
        pytest.param("0.604", 0, "against 0.604: not decisive", id="within-noise"),
        pytest.param("0.7", 3, "FAILED  fail-under  s, by j: 0.60", id="decisively-under"),
    ],
)
def test_a_bar_ends_with_3_only_on_a_decisive_loss(perm: Perm, bar: str, code: int, said: str) -> None:
    """A mean of about 0.603; noise fails nobody."""
    a_run(Path("run"), steady(3.0))

    result = perm("grade", "run", "--fail-under", bar)

    assert result.code == code
    assert said in result.out


@pytest.mark.parametrize(("bar", "code"), [("nan", 1), ("inf", 1), ("-inf", 1), ("high", 2)])
def test_a_bar_is_a_number(perm: Perm, bar: str, code: int) -> None:
    """What nothing can pass, or nothing miss, is a mistake."""
    result = perm("grade", "run", f"--fail-under={bar}")

    assert (result.code, result.out, "--fail-under" in result.err) == (code, "", True)


@pytest.mark.parametrize(
    ("level", "code", "verdict"),
    [
        pytest.param(3.0, 0, "+0.000 (+0.000 … +0.000) over 12 dialogues: not decisive", id="the-same"),
        pytest.param(3.5, 0, "over 12 dialogues: better", id="better"),
        pytest.param(2.5, 3, "over 12 dialogues: worse", id="worse"),
    ],
)
def test_worse_than_a_run_before_ends_with_3_only_if_it_is(perm: Perm, level: float, code: int, verdict: str) -> None:
    """Over the same dialogues, whatever the system was called."""
    a_run(Path("before"), steady(3.0, system="old"))
    a_run(Path("now"), steady(level, system="new"))

    result = perm("grade", "now", "--fail-if-worse-than", "before")

    assert (result.code, verdict in result.out) == (code, True)


def test_few_dialogues_are_never_decisively_worse(perm: Perm) -> None:
    """However bad four of them are, chance could have done it."""
    a_run(Path("before"), steady(5.0, 4))
    a_run(Path("now"), steady(1.0, 4))

    assert perm("grade", "now", "--fail-if-worse-than", "before").code == 0


def test_now_and_before_are_fused_alike(perm: Perm) -> None:
    """A recipe on the command line is for both, or a run would be worse than itself."""
    scored = {(f"d{n}", "s"): [1.0 + n % 3, 5.0, 3.0, 50.0] for n in range(12)}
    a_run(Path("now"), scored)
    a_run(Path("before"), scored)

    result = perm("grade", "now", "--fail-if-worse-than", "before", "--fusion", "mean", "--bystander-coef", "0")

    assert (result.code, "+0.000 (+0.000 … +0.000) over 12 dialogues" in result.out) == (0, True)


def test_a_run_to_compare_with_is_looked_for_before_anything_is_paid(perm: Perm) -> None:
    """A typing mistake must cost nothing."""
    with loopback(by_habit) as server:
        result = perm("grade", tickets(Path("d.jsonl")), *judges(server, "fair"), "--fail-if-worse-than", "nowhere")

        assert (result.code, server.requests) == (1, [])
    assert result.err == "perm: nowhere: no run found, expected a folder that perm score has written\n"


def test_another_judge_before_is_a_line(perm: Perm) -> None:
    """Its ratings are no measure of a change."""
    a_run(Path("now"), steady(3.0))
    a_run(Path("before"), steady(3.0), judge="k")

    result = perm("grade", "now", "--fail-if-worse-than", "before")

    assert (result.code, result.err) == (1, "perm: --fail-if-worse-than: ratings by k found, expected ratings by j\n")


def test_checks_are_written_for_build_servers(perm: Perm) -> None:
    """A case a judge and system, with hostile names in them."""
    evil = '\x1b[2J<b a="&">\u202e'
    a_run(Path("one"), steady(3.0, system=evil))
    a_run(Path("two"), steady(4.5, system=evil), judge="k<")

    result = perm("grade", "one", "two", "--fail-under", "0.7", "--junit", "out/checks.xml")

    root = ET.parse("out/checks.xml").getroot()  # noqa: S314 - our own
    assert (result.code, root.get("tests"), root.get("failures")) == (3, "2", "1")
    name = evil.replace("\x1b", "\ufffd")
    assert [case.get("name") for case in root] == [f"{name}, by j", f"{name}, by k<"]
    assert not set(result.out) & set("\x1b\u202e")


@pytest.mark.parametrize("place", ["/", ".", "run", "run/ratings.jsonl/x.xml"])
def test_a_place_that_cannot_be_written_is_a_line(perm: Perm, place: str) -> None:
    """And leaves nothing half-written."""
    a_run(Path("run"), steady(3.0))
    before = sorted(Path().rglob("*"))

    result = perm("grade", "run", "--fail-under", "0.1", "--junit", place)

    assert (result.code, len(result.err.splitlines())) == (1, 1)
    assert "cannot be written: " in result.err
    assert sorted(Path().rglob("*")) == before


def test_json_is_all_there_is_on_standard_output(perm: Perm) -> None:
    """Boards and checks."""
    a_run(Path("run"), steady(3.0))

    content = json.loads(perm("grade", "run", "--fail-under", "0.1", "--json").out)

    assert [board["rater"] for board in content["boards"]] == ["j"]
    assert [(check["system"], check["rater"], check["passed"]) for check in content["checks"]] == [("s", "j", True)]


def test_folders_and_patterns_stand_for_their_files(perm: Perm) -> None:
    """As a shell would spell them out, hidden files aside."""
    Path("in").mkdir()
    tickets(Path("in/one.jsonl"), 2, ["good"])
    tickets(Path("in/two.jsonl"), 2, ["poor"])
    Path("in/.hidden.jsonl").write_text("nonsense")

    with loopback(by_habit) as server:
        folder = perm("grade", "in", *judges(server, "fair"))
        pattern = perm("grade", "in/*.jsonl", *judges(server, "fair"))
        above = perm("grade", f"{Path.cwd()}/i?/t[w]o.jsonl", *judges(server, "fair"), "--out", "other")

    assert (folder.code, pattern.code, above.code) == (0, 0, 0)
    assert "cannot tell these systems apart on 2 dialogues; 6 or more are needed." in folder.out
    assert pattern.out == folder.out
    assert "good" not in above.out


@pytest.mark.parametrize("name", ["nothing/*.jsonl", "a**b/*.jsonl", "[", "empty", ""])
def test_what_stands_for_no_file_is_a_line(perm: Perm, name: str) -> None:
    """An empty name least of all for everything here, as `"$FILES"` would be where nobody has set FILES."""
    Path("empty").mkdir()
    tickets(Path("d.jsonl"))

    with loopback(by_habit) as server:
        result = perm("grade", name, *judges(server, "fair"))

        assert (result.code, server.requests) == (1, [])
    assert "Traceback" not in result.err


def test_people_can_grade_too(perm: Perm) -> None:
    """A file of their ratings is ranked by them where there is no judge."""
    lines = [f"d{n},{system},{n % 3 + (system == 'x')}" for n in range(9) for system in "xy"]
    Path("r.csv").write_text("\n".join(["id,system,human", *lines]))

    result = perm("grade", "r.csv")

    assert (result.code, result.out.startswith("human, by score:")) == (0, True)
    assert "x is decisively best, ahead of y by 1.000" in result.out


LITTLE = {
    "one-item": "id,a,b\nd,3,4\n",
    "one-system": "id,a,b\nd,3,4\ne,4,4\n",
    "all-equal": "id,system,a,b\n" + "".join(f"d{n},{s},3,3\n" for n in range(4) for s in "xy"),
    "nothing-given": "id,system,a,b\n" + "".join(f"d{n},{s},,\n" for n in range(4) for s in "xy"),
    "nothing-shared": "id,system,a,b\nd,x,3,4\ne,y,3,4\n",
    "one-has-nothing": "id,system,a,b\n"
    + "".join(f"d{n},{s},{n if s == 'x' else ''},{n}\n" for n in range(4) for s in "xy"),
    "hostile": 'id,system,"\x1b[2J[red]","=1+1\u202e"\n'
    + "".join(f'"\x01[/b]{n}","\x07{n % 2}",{n},{n % 3}\n' for n in range(9)),
}


@pytest.mark.parametrize("more", [[], ["--panel", "median"], ["--fail-under", "1"]], ids=["", "panel", "bar"])
@pytest.mark.parametrize("content", LITTLE.values(), ids=LITTLE)
def test_little_or_hostile_ratings_are_plain_sentences(perm: Perm, content: str, more: list[str]) -> None:
    """No NaN, no None, no warning, no traceback, and nothing a terminal obeys."""
    Path("r.csv").write_text(content)

    table, whole = perm("grade", "r.csv", *more), perm("grade", "r.csv", *more, "--json")

    assert table.code == whole.code
    assert table.code in {0, 3}
    assert not set(table.out + table.err) & set("\x1b\x00\u202e\x07")
    assert not re.search(r"\bnan\b|None|Traceback|Warning", table.out + table.err)
    assert "NaN" not in json.dumps(json.loads(whole.out))
