"""A report as people meet it, in a real Chromium: it is drawn, browsed, printed, and runs nothing but its own."""

import json
import random
import re
import shutil
import string
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from perm_cli.cli import main
from perm_cli.comparing.from_runs import read_runs
from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.reports.browsing import Shelf, browsable
from perm_cli.reports.page import Page as Report
from perm_cli.reports.page import render
from perm_cli.reports.report import report_of
from tests.makers import DIMENSIONS
from tests.test_browsing import FINAL, talk, whole, written_run
from tests.test_charts import contrast
from tests.test_page import HOSTILE, PAGE, TAGS

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")

JUDGES = ("one", "two")
SIZES = {"width": 1200, "height": 900}


@dataclass
class Seen:
    """Hold an open report and what it did unasked: messages, errors, dialogs; `requests` has what it fetched."""

    page: Any
    noise: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def forget_blocked(self, request: Any) -> None:
        """Forget a request that the policy has stopped before it left."""
        if request.failure == "csp":
            self.requests.remove(request.url)

    def text(self, selector: str) -> str:
        """Return the text of the first such element, sign by sign."""
        return str(self.page.locator(selector).first.text_content())

    def ids(self) -> list[str]:
        """Return the dialogues in the list."""
        return [str(each) for each in self.page.locator(".dialogue .id").all_text_contents()]

    def expect_count(self, text: str) -> None:
        """Wait for what is said of the list."""
        sync_api.expect(self.page.locator("#count")).to_have_text(text)


Opening = Callable[..., Seen]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return a browser for all tests, since starting one costs a second."""
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def seen_in(context: Any, content: bytes, folder: Path) -> Seen:
    """Open a report and wait until it is drawn."""
    path = folder / "report.html"
    path.write_bytes(content)
    seen = Seen(page=context.new_page())
    seen.page.on("console", lambda message: seen.noise.append(message.text))
    seen.page.on("pageerror", lambda error: seen.noise.append(str(error)))
    seen.page.on("dialog", lambda dialog: (seen.noise.append(dialog.message), dialog.dismiss()))
    seen.page.on("popup", lambda popup: seen.noise.append(popup.url))
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.on("requestfailed", seen.forget_blocked)
    seen.page.goto(path.as_uri())
    seen.page.wait_for_selector("html[data-ready=yes]", timeout=60_000)
    return seen


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Opening]:
    """Return a function that opens a report and waits until it is drawn."""
    contexts = []

    def open_report(content: bytes, **options: Any) -> Seen:
        contexts.append(browser.new_context(**{"viewport": SIZES} | options))
        return seen_in(contexts[-1], content, tmp_path)

    yield open_report
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def tab(browser: Any, plain: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Return an open tab, since opening one costs a second."""
    context = browser.new_context(viewport=SIZES)
    yield seen_in(context, plain, tmp_path_factory.mktemp("plain"))
    context.close()


@pytest.fixture
def browsed(tab: Seen) -> Seen:
    """Return the report without pictures as it is when it is opened."""
    address = tab.page.url
    tab.page.goto("about:blank")  # or the browser would fill in what the last test has chosen
    tab.page.goto(address.partition("#")[0])
    tab.page.wait_for_selector("html[data-ready=yes]", timeout=60_000)
    return tab


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return the report of two judges on sixty dialogues of two systems, with failures and made up quotes."""
    folder = tmp_path_factory.mktemp("usual")
    dialogues = [talk(f"d{place}", "ab"[place % 2], turns=2, scenario=f"Scene {place}.") for place in range(60)]
    runs = [written_run(folder / judge, dialogues, ratings_by(judge, dialogues)) for judge in JUDGES]
    return report_of(read_runs(runs), "Sixty dialogues")


@pytest.fixture(scope="module")
def content(usual: Report) -> bytes:
    """Return it as a file."""
    return render(usual)


@pytest.fixture(scope="module")
def plain(usual: Report) -> bytes:
    """Return it without pictures, which take a second to draw."""
    return render(replace(usual, charts=[]))


def ratings_by(judge: str, dialogues: list[Dialogue]) -> list[Any]:
    """Return a judge's ratings, of every level; one in nine dialogues has a failure, one in seven a made up quote."""
    found = []
    for place, dialogue in enumerate(dialogues):
        score = 1.0 + (place * (2 if judge == "one" else 3)) % 5
        why = 'It says "losing number 0 hurts".' + (' As in "I know just how you feel".' if place % 7 == 6 else "")
        first, *rest = whole(dialogue, score, judge=judge, rationale=why)
        failed = replace(first, score=None, rationale="", **{k: v for k, v in FINAL.items() if k != "score"})
        found += [failed if place % 9 == 8 else first, *rest]
    return found


@pytest.fixture(scope="module")
def drawn(browser: Any, content: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Return it with all its pictures, to look at in several lights."""
    context = browser.new_context(viewport=SIZES)
    yield seen_in(context, content, tmp_path_factory.mktemp("drawn"))
    context.close()


# --- it renders ---


def test_a_report_is_drawn_without_a_word_or_a_request(drawn: Seen) -> None:
    """No message, no error, and nothing fetched but the file itself."""
    seen = drawn

    assert seen.noise == []
    assert {url.rsplit("/", 1)[1] for url in seen.requests} == {"report.html"}
    assert seen.page.title() == seen.text("h1") == "Sixty dialogues"
    assert seen.page.locator(".chart.js-plotly-plot").count() == seen.page.locator(".chart").count() == 9
    assert seen.page.locator("#chart-1 .subplot").count() == 2  # a panel for each system
    assert len(seen.ids()) == 50


def test_the_policy_stops_what_is_none_of_the_page(opened: Opening, plain: bytes) -> None:
    """Were markup to slip in, it would neither run nor send anything."""
    seen = opened(plain)

    ran = seen.page.evaluate(
        """async () => {
            window.ran = [];
            const script = document.createElement("script");
            script.textContent = "window.ran.push('inline')";
            document.head.append(script);
            const box = document.createElement("div");
            box.innerHTML = `<img src="x" onerror="window.ran.push('handler')">
                <a href="javascript:window.ran.push('link')">`;
            document.body.append(box);
            box.querySelector("a").click();
            const frame = document.createElement("iframe");
            frame.src = "https://example.org/";
            document.body.append(frame);
            try { await fetch("https://example.org/"); window.ran.push("fetch"); } catch { }
            setTimeout(() => eval("window.ran.push('eval')"));
            await new Promise((done) => setTimeout(done, 100));
            return window.ran;
        }"""
    )

    assert ran == []
    assert len(seen.requests) == 1
    assert all("Content Security Policy" in message for message in seen.noise)
    assert seen.noise


def test_without_scripts_the_answer_and_the_numbers_are_there(content: bytes, browser: Any) -> None:
    """Some programs show a page and run nothing of it."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_content(content.decode())

    assert "is not decided" in page.locator(".first").inner_text()
    assert "need one" in page.locator("noscript").inner_text()
    assert page.locator("figure table").count() == 9
    context.close()


# --- it is browsed ---


def test_search_finds_words_of_the_talk_and_of_rationales(browsed: Seen) -> None:
    """Case does not matter, and what is not there is said."""
    seen = browsed

    for words, count in [("scene 17.", 1), ("KNOW JUST HOW", 8), ("nowhere", 0), ("", 60)]:
        seen.page.fill("#search", words)
        seen.expect_count(f"{count} of 60 dialogues")
        assert len(seen.ids()) == min(count, 50)


def test_dialogues_are_filtered(browsed: Seen) -> None:
    """By system, by failure, by made up quotes, and by all of it together."""
    seen = browsed

    seen.page.select_option("#which", "failed")
    seen.expect_count("6 of 60 dialogues")
    assert seen.ids() == ["d8", "d17", "d26", "d35", "d44", "d53"]
    seen.page.select_option("#system", "=b")
    seen.expect_count("3 of 60 dialogues")
    seen.page.select_option("#which", "invented")
    seen.expect_count("4 of 60 dialogues")
    seen.page.fill("#search", "scene 13")
    seen.expect_count("1 of 60 dialogues")
    seen.page.press("#search", "Enter")
    assert seen.ids() == ["d13"]


def test_dialogues_are_sorted(browsed: Seen, usual: Report) -> None:
    """Those that are alike stay in the order of the input."""
    orders: dict[str, Callable[[Any], float]] = {
        "low": lambda each: each["reward"],
        "high": lambda each: -each["reward"],
        "disputed": lambda each: -each["spread"],
        "failures": lambda each: -each["failures"],
        "input": lambda _: 0,
    }

    shown = {}
    for order in orders:
        browsed.page.select_option("#order", order)
        shown[order] = browsed.ids()

    assert shown == {
        order: [each["id"] for each in sorted(usual.shelf.dialogues, key=key)][:50] for order, key in orders.items()
    }


def test_the_rest_of_a_long_list_is_a_click_away(browsed: Seen) -> None:
    """The keyboard goes on where the list does."""
    seen = browsed

    seen.page.click("#more")

    assert len(seen.ids()) == 60
    assert seen.page.locator("#more").is_hidden()
    assert seen.page.evaluate("document.activeElement.querySelector('.id').textContent") == "d50"


def test_a_dialogue_opens_by_keyboard(browsed: Seen) -> None:
    """What is inside is made when it is looked at, and once."""
    seen = browsed
    assert seen.page.locator(".inside").count() == 0

    seen.page.focus("#all")
    seen.page.keyboard.press("Tab")
    for _ in range(3):  # open, close, open
        seen.page.keyboard.press("Enter")
    seen.page.wait_for_selector(".inside")

    assert seen.page.locator(".inside").count() == 1
    assert seen.page.locator(".inside .who").all_text_contents() == [
        "1. seeker",
        "2. supporter",
        "3. seeker",
        "4. supporter",
    ]
    assert seen.page.locator(".inside tbody tr").count() == 2 * len(JUDGES) * len(DIMENSIONS)
    assert seen.page.locator("caption", has_text="Ratings of turn 4").is_visible()


def test_quotes_are_marked(browsed: Seen) -> None:
    """In the turn where it was said, in the rationale, and as nobody's where nobody said it."""
    seen = browsed

    seen.page.locator(".dialogue", has_text="d6").first.locator("summary").click()
    seen.page.wait_for_selector(".inside")

    assert set(seen.page.locator(".turn mark.said").all_text_contents()) == {"Losing number 0 hurts"}
    assert set(seen.page.locator(".why mark.said").all_text_contents()) == {"losing number 0 hurts"}
    assert set(seen.page.locator(".why mark.invented").all_text_contents()) == {"I know just how you feel"}
    flag = "getComputedStyle(document.querySelector('mark.invented'), '::after').content"
    assert "nobody said this" in seen.page.evaluate(flag)  # told by words, and not by colour alone
    assert "16 quotes nobody said" in seen.text(".dialogue[open] summary")


def test_marks_are_in_place_beyond_sixteen_bits(opened: Opening, tmp_path: Path) -> None:
    """A script counts such a character as two, and a mark would slip."""
    dialogue = talk()
    dialogue = replace(
        dialogue, turns=(dialogue.turns[0], replace(dialogue.turns[1], text="😀😀 it is all too much 😀"))
    )
    run = written_run(
        tmp_path / "run", [dialogue], whole(dialogue, rationale="😀 says “all too much 😀” and “not 😀 at all”")
    )
    seen = opened(render(replace(report_of(read_runs([run]), "T"), charts=[])))

    seen.page.click(".dialogue summary")
    seen.page.wait_for_selector(".inside")

    assert seen.text(".turn mark") == "all too much 😀"
    assert seen.text(".why mark.said") == "all too much 😀"
    assert seen.text(".why mark.invented") == "not 😀 at all"


def test_the_worst_replies_are_a_click_away(browsed: Seen, usual: Report) -> None:
    """Each with its words, its dialogue behind it, and a mark on it there."""
    seen = browsed
    lowest = min(reward for each in usual.shelf.dialogues for _, reward, _ in each["replies"])

    seen.page.click("#worst")
    seen.expect_count("114 of 114 replies")
    first = seen.page.locator(".dialogue").first
    first.locator("summary").click()
    first.locator(".meant").wait_for()

    assert f"reward {lowest:+.3f}" in first.locator("summary").text_content()
    said = first.locator("summary .said").text_content()
    assert said == first.locator(".meant p:not(.analysis)").text_content()


def test_a_dialogue_shows_its_rewards_turn_by_turn(browsed: Seen) -> None:
    """As a curve for each judge, and beside each reply; scores stand with their scale."""
    seen = browsed

    seen.page.locator(".dialogue summary").first.click()
    seen.page.wait_for_selector(".inside")

    assert seen.page.locator(".curves svg").count() == 1 + len(DIMENSIONS)
    assert seen.page.locator(".curves svg").first.locator("circle").count() == 2 * len(JUDGES)
    assert re.fullmatch(r"reward [+-]0\.\d{3} by one", seen.text(".turn .reward"))
    assert seen.page.locator(".score").all_text_contents()[:4] == ["1 of 5", "1 of 5", "1 of 5", "1 of 100"]


def test_all_are_opened_and_closed_at_a_click(browsed: Seen) -> None:
    """Those shown, and those that are shown next."""
    seen = browsed

    seen.page.click("#all")
    sync_api.expect(seen.page.locator(".inside")).to_have_count(50)
    seen.page.click("#more")
    sync_api.expect(seen.page.locator(".inside")).to_have_count(60)
    seen.page.click("#all")

    assert seen.page.locator(".dialogue[open]").count() == 0


def test_it_is_printed_open(browsed: Seen) -> None:
    """Paper cannot be clicked on; afterwards the screen is as it was."""
    seen = browsed
    seen.page.wait_for_selector("html[data-fetched='50']")
    seen.page.evaluate(
        "addEventListener('beforeprint', () => { window.printed = document.querySelectorAll('.inside').length; })"
    )

    seen.page.pdf()

    assert seen.page.evaluate("window.printed") == 50
    assert seen.page.locator("details[open]").count() == 0


def test_a_telephone_shows_the_reward_without_scrolling(opened: Opening, plain: bytes) -> None:
    """It is what one looks for, and stands beside the system."""
    seen = opened(plain, viewport={"width": 390, "height": 844})

    cell = seen.page.locator("#answer td").first.bounding_box()

    assert re.fullmatch(r"[+-]\d\.\d{3} \(.*\)", seen.text("#answer td"))
    assert cell["x"] + cell["width"] <= 390


# --- it can be seen and read by all ---


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_scheme_and_stand_out(drawn: Seen, scheme: str) -> None:
    """Text stands out at 4.5 to 1, in charts too, and the edges of controls at 3 to 1 (WCAG 2.2)."""
    drawn.page.emulate_media(media="screen", color_scheme=scheme)

    style = "getComputedStyle(document.documentElement)"
    named = {name: drawn.page.evaluate(f"{style}.getPropertyValue('--{name}').trim()") for name in COLOURS}
    full = {
        name: "#" + "".join(c * 2 for c in value[1:]) if len(value) == 4 else value for name, value in named.items()
    }
    texts = [(ink, paper) for ink in ("ink", "faint", "accent") for paper in ("paper", "panel")]
    assert {pair: contrast(full[pair[0]], full[pair[1]]) for pair in texts if low(full, *pair, 4.5)} == {}
    assert not any(low(full, "ink", paper, 4.5) for paper in ("quote", "invented"))
    assert not low(full, "edge", "paper", 3.0)
    ticks = drawn.page.evaluate("[...document.querySelectorAll('.xtick text')].map((e) => getComputedStyle(e).fill)")
    assert {as_hex(tick) for tick in ticks} == {full["ink"]}
    assert as_hex(drawn.page.evaluate(f"{style}.backgroundColor")) == full["paper"]


COLOURS = ("paper", "ink", "faint", "panel", "accent", "edge", "quote", "invented")


def low(colours: dict[str, str], first: str, second: str, least: float) -> bool:
    """Tell whether two colours are too near each other."""
    return contrast(colours[first], colours[second]) < least


def as_hex(colour: str) -> str:
    """Return a colour such as `rgb(0, 1, 2)` as #000102."""
    return "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", colour)[:3])


def test_it_is_printed_dark_on_light(drawn: Seen) -> None:
    """Whatever the screen's colours; and without what only a screen is good for."""
    drawn.page.emulate_media(media="print", color_scheme="dark")

    assert as_hex(drawn.page.evaluate("getComputedStyle(document.querySelector('.xtick text')).fill")) == "#000000"
    assert as_hex(drawn.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")) == "#ffffff"
    assert not any(drawn.page.locator(each).is_visible() for each in ("nav", "#filter", "#more"))
    assert drawn.page.pdf()[:5] == b"%PDF-"


def test_nothing_is_wider_than_a_telephone(opened: Opening, content: bytes) -> None:
    """Tables scroll by themselves."""
    seen = opened(content, viewport={"width": 360, "height": 640})
    seen.page.locator(".dialogue summary").nth(8).click()
    seen.page.wait_for_selector(".inside")
    for each in seen.page.locator("figure details summary").all():
        each.click()

    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert seen.page.locator("figure").first.bounding_box()["width"] <= 360


def test_who_hears_the_page_finds_the_way(drawn: Seen) -> None:
    """Controls, pictures and tables have names, headings go down step by step, and one skips to the dialogues."""
    seen = drawn
    seen.page.emulate_media(media="screen")
    seen.page.reload()
    seen.page.wait_for_selector("html[data-ready]")
    seen.page.keyboard.press("Tab")
    skips_to = seen.page.evaluate("document.activeElement.getAttribute('href')")
    seen.page.locator(".dialogue summary").first.click()
    seen.page.wait_for_selector(".inside")

    assert skips_to == "#dialogues"
    every = "(selector) => [...document.querySelectorAll(selector)]"
    unnamed = f"({every})('input, select').filter((e) => !e.labels.length || !e.labels[0].firstChild.data.trim())"
    assert seen.page.evaluate(f"{unnamed}.length") == 0
    images = seen.page.evaluate(f"({every})('[role=img]').map((e) => e.ariaLabel)")
    assert len(set(images)) == 9 + 5  # and the curves of the dialogue
    levels = seen.page.evaluate(f"({every})('h1, h2, h3, h4').map((e) => +e.tagName[1])")
    assert levels[0] == levels.count(1) == 1
    assert max(after - before for before, after in pairwise(levels)) == 1
    assert seen.page.evaluate(f"({every})('table').every((e) => e.caption && e.querySelector('th[scope=col]'))")
    assert seen.page.get_attribute("html", "lang") == "en"
    assert seen.page.locator("main").count() == 1


# --- it takes what comes ---


def test_ten_thousand_turns_fit(opened: Opening) -> None:
    """Three judges gave four ratings to each of them, with a rationale of its own."""
    rng = random.Random(0)  # noqa: S311 - no secret
    letters = "".join(rng.choices(string.ascii_lowercase + " " * 6, k=2_000_000))
    page = replace(
        PAGE, charts=[], shelf=Shelf(dialogues=[long_dialogue(place, letters, rng) for place in range(1000)])
    )

    packed = render(page)
    seen = opened(packed)

    assert len(packed) <= 25_000_000
    assert re.fullmatch(r"\d+ of \d+ dialogues; \d+ more count in the numbers.*", seen.text("#count"))
    seen.page.click("#more")
    seen.page.locator(".dialogue summary").last.click()
    seen.page.wait_for_selector(".inside tbody tr")


def long_dialogue(place: int, letters: str, rng: random.Random) -> dict[str, Any]:
    """Return a dialogue of ten exchanges as it is browsed."""

    def said(length: int) -> str:
        start = rng.randrange(len(letters) - length)
        return letters[start : start + length]

    turns = [
        {"role": role, "text": said(300), "analysis": None, "marks": [], "analysis_marks": []}
        for _ in range(10)
        for role in ("seeker", "supporter")
    ]
    one = {"score": 3.0, "status": "scored", "quotes": [], "ends": [1, 5], "items": []}
    ratings = [
        one | {"turn": turn, "judge": judge, "dimension": dimension, "why": said(250)}
        for turn in range(2, 21, 2)
        for judge in ("one", "two", "three")
        for dimension in DIMENSIONS
    ]
    listed = {"id": f"d{place}", "system": "s", "reward": 0.5, "spread": 0.0, "failures": 0, "invented": 0}
    listed |= {"replies": [[turn, 0.5, 3] for turn in range(2, 21, 2)], "rewards": []}
    return listed | {"scenario": said(100), "persona": said(100), "turns": turns, "ratings": ratings}


@pytest.mark.parametrize(
    ("dialogues", "changes", "first"),
    [
        pytest.param([talk()], {}, "The mean reward is +0.115 over 1 dialogue and 1 turn", id="one of everything"),
        pytest.param([talk("d"), talk("e")], FINAL, "Nobody can say", id="all failed"),
    ],
)
def test_little_is_shown_too(
    opened: Opening, tmp_path: Path, dialogues: list[Dialogue], changes: dict[str, Any], first: str
) -> None:
    """What cannot be drawn is left out, and nothing is left hanging."""
    ratings = [each for dialogue in dialogues for each in whole(dialogue, **changes)]
    run = written_run(tmp_path / "run", dialogues, ratings)

    seen = opened(render(report_of(read_runs([run]), "T")))

    assert seen.noise == []
    assert seen.text(".first").startswith(first)
    seen.expect_count(f"{len(dialogues)} of {len(dialogues)} dialogue{'s' * (len(dialogues) > 1)}")
    assert seen.page.locator("#system").is_visible() == (len({each.system for each in dialogues}) > 1)


def test_people_stand_beside_judges(
    opened: Opening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With labels the report says what people say, and draws it; a file that is there stays."""
    dialogues = [talk(f"d{n}", labels={"<b>ann</b>": {"reception": n % 5 + 1}}) for n in range(12)]
    ratings = [each for n, dialogue in enumerate(dialogues) for each in whole(dialogue, n % 4 + 1.0)]
    written_run(tmp_path / "a<b>&run", dialogues, ratings)
    monkeypatch.setattr(sys, "argv", ["perm", "report", "a<b>&run", "--out", "r.html"])

    codes = [code_of(main) for _ in range(2)]
    seen = opened(Path("r.html").read_bytes())

    assert codes == [0, 1]
    assert "r.html is there already" in capsys.readouterr().err
    assert seen.noise == []
    assert seen.page.title() == "Empathy of s, judged by j"
    assert seen.page.locator("figure", has_text="against people's reception").locator("svg .point").count() == 12
    assert "rated by one person" in seen.text("#answer")


def code_of(command: Callable[[], object]) -> int:
    """Return the exit code of a command."""
    try:
        command()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


# --- nothing in it runs ---


def test_hostile_text_stays_text(opened: Opening, tmp_path: Path) -> None:
    """In every field that a dialogue, a judge or a run has, it is shown sign by sign, and nothing comes of it."""
    dialogues = [
        replace(
            talk(f"{n} {bad}", bad, scenario=bad, persona=bad),
            turns=tuple(replace(turn, text=bad, analysis=turn.analysis and bad) for turn in talk().turns),
        )
        for n, bad in enumerate(HOSTILE)
    ]
    ratings = [
        each
        for n, dialogue in enumerate(dialogues)
        for judge in (HOSTILE[0], *HOSTILE[16:18])
        for each in hostile_ratings(dialogue, judge, HOSTILE[n])
    ]
    run = written_run(tmp_path / re.sub("[/\x00]", "", HOSTILE[0]), dialogues, ratings)
    report = report_of(read_runs([run]), HOSTILE[0])
    seen = opened(render(report))

    shown = [shown_of(seen, place) for place in range(len(HOSTILE))]

    assert (seen.noise, len(seen.requests)) == ([], 1)
    assert seen.page.evaluate("window.ran") is None
    ours = "body *:not(.chart *, #js-plotly-tester, #js-plotly-tester *)"
    assert set(seen.page.evaluate(f"[...document.querySelectorAll('{ours}')].map((e) => e.localName)")) <= TAGS | {
        "mark"
    }
    assert seen.page.evaluate("document.querySelectorAll('a:not(nav a, .skip), iframe, img, object').length") == 0
    assert seen.page.evaluate("document.scripts.length") == 2
    assert seen.page.title() == seen.text("h1") == HOSTILE[0]
    assert shown == [
        {"id": f"{n} {bad}", "texts": [bad, bad], "about": f"Situation: {bad}", "why": {bad, ""}}
        for n, bad in enumerate(HOSTILE)
    ]
    assert HOSTILE[0] in seen.page.locator(".legendtext").all_text_contents()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= SIZES["width"]
    assert json.loads(json.dumps(browsable(read_runs([run])).dialogues))  # plain data


def hostile_ratings(dialogue: Dialogue, judge: str, bad: str) -> list[Any]:
    """Return ratings with the text in each place that a judge or a provider can write to."""
    scored, noted, failed, rest = whole(dialogue, judge=judge, settings=f"s{HOSTILE.index(judge)}")
    return [
        replace(scored, rationale=bad),
        replace(noted, note=bad),
        replace(failed, status="failed", score=None, error={"kind": bad, "message": bad, "transient": False}),
        rest,
    ]


def shown_of(seen: Seen, place: int) -> dict[str, Any]:
    """Open a dialogue and return what is shown of it."""
    box = seen.page.locator(".dialogue").nth(place)
    box.locator("summary").click()
    box.locator(".inside").wait_for()
    return {
        "id": box.locator(".id").text_content(),
        "texts": box.locator(".turn > p:not(.analysis)").all_text_contents(),
        "about": box.locator(".about").first.text_content(),
        "why": set(box.locator(".why").all_text_contents()),
    }
