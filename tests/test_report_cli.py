"""The report from end to end: judges behind a real address, one command to compare them, a real browser to read it."""

import importlib.util
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Perm, runner
from tests.loopback import Answer, loopback
from tests.makers import row, written

CHROMIUM = shutil.which("chromium")
SAMPLES = Path(__file__).parents[1] / "data" / "samples" / "dialogues.jsonl"
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or importlib.util.find_spec("playwright") is None, reason="chromium or playwright is not installed"
)


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line."""
    return runner(monkeypatch, capsys)


@contextmanager
def browsing(report: Path) -> Iterator[Any]:
    """Open a report in a real browser; `heard` is what the page said, asked for or stumbled over."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - a browser is not everywhere

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.heard = []
        page.on("console", lambda said: page.heard.append(f"console: {said.text}"))
        page.on("pageerror", lambda error: page.heard.append(f"error: {error}"))
        page.on("dialog", lambda dialog: page.heard.append(f"dialog: {dialog.message}"))
        page.on("request", lambda asked: page.heard.append(f"request: {asked.url}"))
        page.goto(report.absolute().as_uri())
        page.wait_for_selector("html[data-ready=yes]", timeout=30_000)
        yield page
        browser.close()


def varied(body: dict[str, Any]) -> Answer:
    """Give verdicts that depend on judge and prompt, with a quote that nobody has said."""
    place = sum(map(ord, body["model"] + body["messages"][-1]["content"]))
    names = body["response_format"]["json_schema"]["schema"]["properties"]
    why = 'It says "nobody has ever said these words", which is odd.'
    scores = {name: rule["enum"][place % len(rule["enum"])] for name, rule in names.items() if name != "rationale"}
    return Answer(text=json.dumps({"rationale": why} | scores))


@needs_browser
def test_three_judges_on_the_samples_are_one_command_and_one_page(perm: Perm) -> None:
    """What a researcher does first, to the end."""
    judges = [part for name in ("a", "b", "c") for part in ("--judge", f"openai/{name}")]
    with loopback(varied) as server:
        compared = perm("compare", SAMPLES, *judges, "--base-url", server.url, "--out", "runs")
    runs = sorted(path for path in Path("runs").iterdir() if path.is_dir())
    written_to = perm("report", *runs, "--out", "report.html")

    assert (compared.code, written_to.code, len(runs)) == (0, 0, 3)
    with browsing(Path("report.html")) as page:
        assert "18" in page.inner_text("#count")
        assert page.locator(".chart svg").count() > 0
        page.fill("#search", "exam")
        page.locator("#count", has_not_text="18 of 18").wait_for()
        page.locator("details.dialogue > summary").first.click()
        assert page.locator("mark.invented").first.inner_text() == "nobody has ever said these words"
        assert page.heard == [f"request: {Path('report.html').absolute().as_uri()}"]


def test_a_report_is_not_written_over_what_is_there(perm: Perm, tmp_path: Path) -> None:
    """It may have been annotated."""
    files = written(tmp_path / "d.jsonl", [row(0)])
    perm("score", files, "--judge", "baseline", "--out", "run")
    Path("report.html").write_text("mine")

    refused, forced = perm("report", "run"), perm("report", "run", "--force")

    assert (refused.code, forced.code) == (1, 0)
    assert "already exists; name a new file" in refused.err


def test_a_report_takes_the_place_of_the_one_before(perm: Perm, tmp_path: Path) -> None:
    """Where it always lies; one with a name of its own is kept."""
    perm("score", written(tmp_path / "d.jsonl", [row(0)]), "--judge", "baseline", "--out", "run")

    codes = [perm("report", "run", *options).code for options in ((), (), ("--out", "mine.html")) for _ in "ab"]

    assert codes == [0, 0, 0, 0, 0, 1]
