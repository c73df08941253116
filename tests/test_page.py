"""The page itself: what its policy allows, what its data unpack to, what its answer says."""

import base64
import gzip
import hashlib
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest

from perm_cli.comparing.from_runs import read_runs
from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.reports.browsing import DialogueListing
from perm_cli.reports.charts import Chart
from perm_cli.reports.page import Fact, Page, Table, render
from perm_cli.reports.report import report_of
from perm_cli.reports.terms import Group
from tests.test_browsing import FINAL, talk, whole, written_run

HOSTILE = (
    "<script>window.ran = 1</script>",
    "</script><script>window.ran = 2</script>",
    "</template></style></title><img src=x onerror='window.ran = 3'>",
    '"><svg onload=alert(1)>',
    "javascript:window.ran = 4",
    "<a href=javascript:alert(5)>click</a>",
    "${window.ran = 6}",
    "{{7*7}}",
    "{% for x in y %}",
    "<!-- <![CDATA[",
    "&lt;b&gt;&amp;",
    "a\x00b",
    "\u202egnp.exe\u2066",
    "w" * 1500,
    "</style><style>*{display:none}",
    "red;} * { display: none } @import url(https://example.org/x)",
    "<b>bold</b><br><a href='https://example.org'>x</a>",
    "$\\href{https://example.org}{x}$ %{x} %{customdata}",
    "'); alert(7); //",
    "\n\r\t\u2028\u2029\ufeff",
)
TAGS = frozenset(
    """
    a body button caption dd details div dl dt figcaption figure footer form h1 h2 h3 h4 head header html input label
    li main meta nav noscript option output p script section select span style summary table tbody td template th thead
    title tr ul
    """.split()  # noqa: SIM905 - a list of names reads best as text
)
CHART = Chart(title="Title", says="Says.", plotly='{"data": [], "layout": {}}', columns=["a"], rows=[["1"]])
PAGE = Page(
    title="Title",
    question="Question?",
    answer=["Answer.", "More."],
    notes=[Group(title="Notes", sentences=["Note."], terms={"alpha": "a letter"})],
    tables=[Table(caption="Caption", columns=["a", "b"], rows=[["1", "2"]])],
    charts=[CHART],
    listing=DialogueListing(),
    facts=[Fact(name="Made", value="so")],
    making=[Fact(name="Formula", value="so")],
    wordings=[Table(caption="Asked", columns=["a", "b"], rows=[["1", "2"]])],
)


class Parsed(HTMLParser):
    """Hold the elements of a page, each with its attributes, and the text of those that hold none."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of an element."""
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        """Close it and all that is open in it."""
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Take note of its text."""
        if self._open:
            self.texts[self._open[-1]][-1] += data

    def policy(self) -> str:
        """Return the content policy."""
        return next(attrs["content"] or "" for tag, attrs in self.elements if "http-equiv" in attrs)


def data_in(content: bytes) -> dict[str, str]:
    """Return the packed data of a page."""
    return dict(re.findall(r'<template id="(\w+)-data">([^<]*)</template>', content.decode()))


def unpacked(packed: str) -> Any:
    """Return what was packed."""
    return orjson.loads(gzip.decompress(base64.b64decode(packed)))


def policy_hash(script: str) -> str:
    """Return how a policy names a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def shown(number: int, text: str = "text") -> dict[str, Any]:
    """Return a dialogue as it is browsed."""
    listed = {"id": f"d{number}", "system": "s", "reward": 0.5, "spread": 0.0, "failures": 0, "invented": 0}
    said = {"scenario": text, "persona": "", "turns": [], "ratings": [], "replies": [], "rewards": []}
    return listed | said


def answer_of(path: Path, *ratings: Any, dialogues: list[Dialogue]) -> list[str]:
    """Return what a report on ratings says first."""
    return list(report_of(read_runs([written_run(path / "run", dialogues, ratings)]), "T").answer)


# --- the file ---


def test_the_policy_names_the_scripts_in_the_file_and_no_other() -> None:
    """A script that is none of ours has no hash, and nothing else may be fetched, framed or sent."""
    content = render(PAGE)

    parsed = Parsed(content)
    library = unpacked(data_in(content)["library"])
    (script,) = parsed.texts["script"]
    directives = dict(each.strip().split(" ", 1) for each in parsed.policy().split(";"))
    assert directives["script-src"].split() == [policy_hash(script), policy_hash(library)]
    assert directives["default-src"] == "'none'"
    assert directives.keys() == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}


def test_a_page_without_pictures_has_no_library() -> None:
    """Five megabytes of drawing program are of no use where nothing is drawn."""
    content = render(replace(PAGE, charts=[]))

    assert len(content) < 50_000
    assert len(re.findall("'sha256-", Parsed(content).policy())) == 1
    assert b"#pictures" not in re.sub(rb"<style>.*?</style>", b"", content, flags=re.DOTALL)


def test_the_same_page_is_the_same_file() -> None:
    """Two files that differ are of two results."""
    assert render(PAGE) == render(PAGE)


def test_dialogues_come_back_as_they_were() -> None:
    """They lie in parts, beside a list of what is shown of each while it is closed."""
    dialogues = [shown(number, f"{number} 😀 <b>") for number in range(45)]

    data = data_in(render(replace(PAGE, listing=DialogueListing(dialogues=dialogues, left_out=2))))

    listing, parts = unpacked(data["listing"]), [unpacked(part) for part in data["dialogues"].split()]
    assert [len(part) for part in parts] == [20, 20, 5]
    assert [each for part in parts for each in part] == dialogues
    assert (len(listing["dialogues"]), listing["left_out"], listing["part"]) == (45, 2, 20)


def test_dialogues_there_is_no_room_for_are_counted() -> None:
    """A file that no mail takes is no report; the first part is there in any case."""
    page = replace(PAGE, listing=DialogueListing(dialogues=[shown(number) for number in range(45)], left_out=2))

    listing = unpacked(data_in(render(page, most_packed=10))["listing"])

    assert (len(listing["dialogues"]), listing["left_out"]) == (20, 27)


def test_no_text_becomes_an_element() -> None:
    """Whatever stands in a title, a sentence, a name or a fact, the elements are those of a page without it."""
    hostile = "".join(HOSTILE) + "\ud800"
    page = Page(
        title=hostile,
        question=hostile,
        answer=[hostile] * 2,
        notes=[Group(title=hostile, sentences=[hostile], terms={hostile: hostile})],
        making=[Fact(name=hostile, value=hostile)],
        wordings=[Table(caption=hostile, columns=[hostile] * 2, rows=[[hostile] * 2])],
        tables=[Table(caption=hostile, columns=[hostile] * 2, rows=[[hostile] * 2])],
        charts=[replace(CHART, title=hostile, says=hostile, columns=[hostile], rows=[[hostile]])],
        listing=DialogueListing(dialogues=[shown(0, "".join(HOSTILE))]),
        facts=[Fact(name=hostile, value=hostile)],
    )

    parsed, plain = Parsed(render(page)), Parsed(render(PAGE))

    assert [tag for tag, _ in parsed.elements] == [tag for tag, _ in plain.elements]
    assert {tag for tag, _ in parsed.elements} <= TAGS
    assert not [name for _, attrs in parsed.elements for name in attrs if name.startswith("on")]
    assert parsed.texts["title"][0].startswith(HOSTILE[0])
    assert parsed.policy() == plain.policy()
    for packed in data_in(render(page)).values():
        assert re.fullmatch(r"[A-Za-z0-9+/=\n]*", packed)


# --- the answer ---


@pytest.mark.parametrize(
    ("levels", "answer"),
    [
        pytest.param({"j": (5, 2)}, "a is decisively more empathetic than the others.", id="decisive"),
        pytest.param(
            {"j": (3, 3)}, "j cannot tell these systems apart on 10 dialogues; their scores do not differ.", id="a tie"
        ),
        pytest.param(
            {"j": (5, 2), "k": (4, 2)},
            "a is decisively more empathetic than the others for all 2 judges.",
            id="two judges",
        ),
        pytest.param(
            {"j": (5, 2), "k": (3, 3)},
            "a is best for 1 of 2 judges; 1 cannot tell.",
            id="one of two",
        ),
        pytest.param(
            {"j": (5, 2), "k": (4, 2), "l": (1, 3)},
            "The judges do not agree: of 3, a is best for 2 and b is best for 1.",
            id="no agreement",
        ),
    ],
)
def test_the_first_sentence_says_who_is_better(tmp_path: Path, levels: dict[str, tuple[int, int]], answer: str) -> None:
    """It answers the question above it without a figure."""
    dialogues = [talk(f"d{place}", system) for place in range(10) for system in "ab"]
    ratings = [
        each
        for judge, (of_a, of_b) in levels.items()
        for dialogue in dialogues
        for level in [float(of_a if dialogue.system == "a" else of_b)]
        for each in whole(dialogue, level, judge=judge, settings=f"of {judge}")
    ]

    assert answer_of(tmp_path, *ratings, dialogues=dialogues)[0] == answer


def test_with_ratings_missing_one_comparison_says_who_is_first(tmp_path: Path) -> None:
    """The mean of b is the higher one, since its bad replies have no reward; where both have one, a is better."""
    dialogues = [talk(f"d{place}", system) for place in range(20) for system in "ab"]
    ratings = [
        each
        for place, dialogue in enumerate(dialogues)
        for level in [(1.0 if place < 20 else 4.0) + (dialogue.system == "a")]
        for each in (whole(dialogue, **FINAL) if dialogue.system == "b" and place < 16 else whole(dialogue, level))
    ]

    page = report_of(read_runs([written_run(tmp_path / "run", dialogues, ratings)]), "T")

    assert page.answer[0] == "a is decisively more empathetic than the others."
    assert page.answer[1].startswith("a is decisively best, ahead of b by ")
    assert "differences and ranks over the dialogues that both have" in page.answer[2]
    assert [(row[0], row[2]) for row in page.tables[0].rows] == [("a", "1"), ("b", "2")]
    assert not [line for line in page.answer if "b comes first" in line or "b less a" in line]


def test_a_weak_judge_does_not_say_who_is_more_empathetic(tmp_path: Path) -> None:
    """However decisive its numbers are."""
    dialogues = [talk(f"d{place}", system) for place in range(10) for system in "ab"]
    ratings = [each for one in dialogues for each in whole(one, 4.0 if one.system == "a" else 2.0)]
    runs = read_runs([written_run(tmp_path / "run", dialogues, ratings)])
    runs.health[0].caveat = "far too small"

    page = report_of(runs, "T")

    assert page.answer[0] == (
        "a scores decisively higher than the others, but the judge is too weak to measure empathy."
    )
    assert page.tables[0].caption == "Systems as scored by j. far too small"


def test_of_one_system_the_first_sentence_says_how_good_it_is(tmp_path: Path) -> None:
    """Scores of 3 make a harmonic mean of 3/5; the bystander's 3 of 100 take off 0.5 · 0.97, and 0.115 is left."""
    dialogue = talk()

    first, *_ = answer_of(tmp_path, *whole(dialogue), dialogues=[dialogue])

    assert first.startswith("The mean reward is +0.115 over 1 dialogue and 1 turn; mean scores: resonation 3.00,")


def test_a_system_without_a_name_is_told_from_others(tmp_path: Path) -> None:
    """Dialogues need not say who wrote them; it is then called after its file."""
    dialogues = [talk("d", ""), talk("d", "b")]
    ratings = [each for dialogue in dialogues for each in whole(dialogue)]

    page = report_of(read_runs([written_run(tmp_path / "run", dialogues, ratings)]), "T")

    assert [row[0] for row in page.tables[0].rows] == ["(d.jsonl)", "b"]
    assert {each["system"] for each in page.listing.dialogues} == {"(d.jsonl)", "b"}


def test_where_all_ratings_failed_the_first_sentence_says_so(tmp_path: Path) -> None:
    """Nothing is made up of nothing."""
    dialogues = [talk("d", "a"), talk("d", "b")]
    ratings = [each for dialogue in dialogues for each in whole(dialogue, **FINAL)]

    answer = answer_of(tmp_path, *ratings, dialogues=dialogues)

    assert answer[0] == "There is no answer: no reply has all the ratings that a reward needs."
    assert "j: 0% of its ratings have a score." in answer


def test_a_report_says_how_it_was_made(tmp_path: Path) -> None:
    """Judge, parameters, hashes, coverage and cost; what has no value is left away."""
    dialogue = talk()
    run = written_run(tmp_path / "run", [dialogue], whole(dialogue))

    facts = {fact.name: fact.value for fact in report_of(read_runs([run]), "T").facts}

    assert facts["Judge j"] == "100% of 4 ratings scored (4 scored); 0 calls, cost 0.0000 USD"
    assert facts["Settings x"] == "model m; temperature 0.3; rubrics aaaa; prompts bbbb"
    assert facts["Input d.jsonl"] == "sha256 cccc, 1 dialogue"
    assert facts["Run"] == "run"


def test_markup_is_spelled_out_and_reads_back() -> None:
    """A reader sees what was written, sign by sign."""
    content = render(replace(PAGE, answer=["a <b> & 'c'"])).decode()

    (first,) = re.findall(r'<p class="first">(.*?)</p>', content)
    assert unescape(first) == "a <b> & 'c'"
    assert "<" not in first
