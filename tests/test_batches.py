"""
Batches from the command line to a provider and back: no rating twice, nothing paid for twice, no traceback.

Only waiting is taken out, all but two resamples of the intervals, and what each command of a process of its own would
load anew: the rubrics, the templates and the certificates of authorities that no test talks to.
"""

import json
import random
import shutil
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import openai
import pytest
from tenacity import wait_none

from perm_cli import cli
from perm_cli.judges.batches_anthropic import AnthropicBatches
from perm_cli.judges.batches_openai import OpenAIBatches
from perm_cli.judges.batches_shared import lines_of
from perm_cli.judges.retrying import retrying
from perm_cli.ratings.run_folder import RunFolder
from tests.batch_loopback import BatchLoopback, Fault, Outcome, batch_loopback
from tests.commands import AT_ONCE
from tests.loopback import Answer, refusal, verdict
from tests.makers import row, written

KEY = "sk-never-to-be-seen"
RUN = Path("run")
DIALOGUES = 3
CALLS = 4 * DIALOGUES
SENT = CALLS - 1  # the first goes live
DROP = Answer(drop=True)
BROKEN = Answer(status=500)
HTML = Answer(body=b"<html><h1>It works!</h1></html>", headers={"Content-Type": "text/html"})
HTML_AS_JSON = Answer(body=HTML.body)


class Result(NamedTuple):
    """Hold what a command came to."""

    code: int
    out: str
    err: str


Perm = Callable[..., Result]
Export = Callable[..., list[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Provider:
    """Name a provider's judge and its calls as the loopback counts them."""

    model: str
    root: str
    live: str
    create: str
    every: str
    show: str
    results: str
    api: type[OpenAIBatches | AnthropicBatches]
    place: str


OPENAI = Provider(
    model="openai/m",
    root="/v1",
    live="POST /v1/chat/completions",
    create="POST /v1/batches",
    every="GET /v1/batches",
    show="GET /v1/batches/{id}",
    results="GET /v1/files/{id}/content",
    api=OpenAIBatches,
    place="body",
)
ANTHROPIC = Provider(
    model="anthropic/claude-x",
    root="",
    live="POST /v1/messages",
    create="POST /v1/messages/batches",
    every="GET /v1/messages/batches",
    show="GET /v1/messages/batches/{id}",
    results="GET /v1/messages/batches/{id}/results",
    api=AnthropicBatches,
    place="params",
)


def of_openai(*marks: pytest.MarkDecorator) -> Any:
    """Return the desk of OpenAI, for a table of desks."""
    return pytest.param(OPENAI, id="openai", marks=marks)


def of_anthropic(*marks: pytest.MarkDecorator) -> Any:
    """Return the desk of Anthropic, for a table of desks."""
    return pytest.param(ANTHROPIC, id="anthropic", marks=marks)


def at(*desks: Any) -> pytest.MarkDecorator:
    """Run a test at these desks instead of at both."""
    return pytest.mark.parametrize("desk", desks, indirect=True)


@dataclass(frozen=True)
class Desk:
    """Order, watch, collect and cancel batches of one provider, in one run folder."""

    perm: Perm
    provider: Provider
    server: BatchLoopback

    @property
    def judge(self) -> list[object]:
        """Return the options that name the server's judge."""
        url = self.server.url.removesuffix("/v1") + self.provider.root
        return ["--judge", self.provider.model, "--base-url", url, "--api-key-env", "JUDGE_KEY"]

    def submit(self, *more: object) -> Result:
        """Submit the dialogues."""
        return self.perm("batch", "submit", "d.jsonl", *self.judge, "--out", RUN, *more)

    def collect(self, *more: object) -> Result:
        """Collect, once everything is over; JSON takes less time to show than tables."""
        self.server.finish()
        return self.batch("collect", "--json", *more)

    def batch(self, command: str, *more: object) -> Result:
        """Run a command on the batches, reaching the judge as they were sent."""
        return self.perm("batch", command, RUN, *self.judge[2:], *more)

    def score(self, out: Path = RUN) -> Result:
        """Rate live."""
        return self.perm("score", "d.jsonl", *self.judge, "--out", out)

    def keys(self) -> list[str]:
        """Return the keys of all that was ever sent in batches, in the order of sending."""
        return [str(each["custom_id"]) for each in self.server.submitted]

    def fail(self, call: str, answer: Answer = BROKEN, *, nth: int | None = None, after: bool = False) -> None:
        """Let a call come to something else from now on."""
        nth = nth and self.server.counts[call] + nth
        self.server.faults = [Fault(call=call, nth=nth, answer=answer, after=after)]


@pytest.fixture(autouse=True)
def swift(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Wait for nothing, load nothing twice, and start with a key and some dialogues."""
    monkeypatch.setattr(openai.OpenAI, "_calculate_retry_timeout", lambda *_: 0.0)
    monkeypatch.setattr(AnthropicBatches._tried.retry, "wait", wait_none())  # type: ignore[attr-defined]
    monkeypatch.setattr("httpx._transports.default.create_ssl_context", _no_certificates)
    monkeypatch.setattr(httpx.Client, "__init__", _remembered)
    monkeypatch.setenv("JUDGE_KEY", KEY)
    written(tmp_path / "d.jsonl", [row(place) for place in range(DIALOGUES)])


_clients: list[httpx.Client] = []
_open = httpx.Client.__init__


def _remembered(client: httpx.Client, *arguments: Any, **named: Any) -> None:
    _open(client, *arguments, **named)
    _clients.append(client)


@cache
def _no_certificates(**_: object) -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line; what it does not catch, fails the test."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["perm", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        finally:
            while _clients:  # as the end of the process would
                _clients.pop().close()
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture(params=[of_openai(), of_anthropic()])
def desk(request: pytest.FixtureRequest, perm: Perm) -> Iterator[Desk]:
    """Return a desk whose batches move when they are told to."""
    with batch_loopback(the_same_verdict, polls=None, key=KEY) as server:
        yield Desk(perm, request.param, server)


def the_same_verdict(body: Mapping[str, Any]) -> Answer:
    """Return the same verdict to the same words, in whichever shape a client sends them."""
    turns = [{"content": body["system"]}] if "system" in body else []
    said = [turn["content"] for turn in [*turns, *body["messages"]]]
    texts = [text if isinstance(text, str) else "".join(part["text"] for part in text) for text in said]
    return verdict({"response_format": body.get("response_format"), "messages": texts})


def ratings(run: Path = RUN) -> list[dict[str, Any]]:
    """Return the ratings on disk."""
    path = run / "ratings.jsonl"
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def statuses(run: Path = RUN) -> Counter[str]:
    """Return how often each status was given."""
    return Counter(each["status"] for each in ratings(run))


def states() -> list[tuple[str, str]]:
    """Return what the run's record says of its batches."""
    return [(each["state"], each["standing"]) for each in record()["batches"]]


def record() -> dict[str, Any]:
    """Return the run's record."""
    return dict(json.loads((RUN / "run.json").read_text()))


def assert_whole(run: Path = RUN, calls: int = CALLS) -> None:
    """Make sure that every question has a score, and none has two ratings."""
    found = Counter(each["key"] for each in ratings(run))
    assert (len(found), found.total(), statuses(run)["scored"]) == (calls, calls, calls)


def assert_paid_once(desk: Desk, calls: int = CALLS) -> None:
    """Make sure that each question was sent once, live or in a batch."""
    assert max(Counter(desk.keys()).values()) == 1
    assert len(desk.server.requests) + len(desk.keys()) == calls


def assert_one_line(result: Result, *said: str) -> None:
    """Make sure that a mistake or a fault of the provider's is said in a line."""
    assert result.code == 1
    last = result.err.splitlines()[-1]
    assert last.startswith("perm: ")
    assert [words for words in said if words not in last] == []


class TestThereAndBack:
    """All goes well."""

    def test_a_batch_gives_the_scores_that_live_calls_give(self, desk: Desk) -> None:
        """Half the price buys the same judgement."""
        sent = desk.submit()
        early = desk.batch("collect")
        desk.server.finish()
        status = desk.batch("status")
        collected = desk.batch("collect")
        live = desk.score(Path("live"))

        assert (sent.code, early.code, status.code, collected.code, live.code) == (0, 3, 0, 0, 0)
        assert f"batch 1: {SENT} requests sent as " in sent.err
        assert "1 batches have not ended" in early.err
        assert f"batch 1: {SENT} requests, open as {record()['batches'][0]['id']}" in status.out
        assert f"{SENT} done, 0 failed of {SENT}" in status.out
        assert f"batch 1: {SENT} scored" in collected.err
        assert f"{CALLS} of {CALLS} ratings scored (100.0%)" in collected.out
        assert_whole()
        assert {r["key"]: r["score"] for r in ratings()} == {r["key"]: r["score"] for r in ratings(Path("live"))}
        assert (RUN / "rewards.jsonl").read_text() == (Path("live") / "rewards.jsonl").read_text()

    def test_half_the_price_is_recorded(self, desk: Desk) -> None:
        """The first call costs its full price."""
        url = desk.judge[3]
        house = f'[judges.house]\nmodel = "{desk.provider.model}"\nbase_url = "{url}"\napi_key_env = "JUDGE_KEY"\n'
        Path("perm.toml").write_text(house + "price = { input = 1.0, output = 2.0 }\n")

        desk.perm("batch", "submit", "d.jsonl", "--judge", "house", "--out", RUN)
        summary = json.loads(desk.collect().out)

        # 100 tokens in and 10 out
        assert Counter(r["cost_usd"] for r in ratings()) == {120e-6: 1, 60e-6: SENT}
        assert summary["cost_usd"] == pytest.approx(120e-6 + SENT * 60e-6)

    @pytest.mark.parametrize("limit", ["requests", "bytes"])
    def test_requests_are_cut_to_what_the_provider_takes(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, limit: str
    ) -> None:
        """What is too large would be refused as a whole."""
        if limit == "requests":
            monkeypatch.setattr(desk.provider.api, "requests_most", 4)
            desk.server.max_requests = 4
        else:
            monkeypatch.setattr(desk.provider.api, "bytes_most", 12_000)
            desk.server.max_bytes = 12_000 + 64  # around Anthropic's lines

        sent = desk.submit()
        sizes = [len(batch.rows) for batch in desk.server.batches.values()]
        collected = desk.collect()

        assert (sent.code, collected.code) == (0, 0)
        assert sizes == [4, 4, 3] if limit == "requests" else len(sizes) > 2
        files = sorted((RUN / "batches").glob("*.requests.jsonl"))
        assert [len(file.read_bytes().splitlines()) for file in files] == sizes
        assert limit == "requests" or max(file.stat().st_size for file in files) <= 12_000
        assert_whole()
        assert_paid_once(desk)

    @at(of_openai())
    def test_a_request_that_is_too_large_alone_goes_alone(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is refused, and takes no other with it."""
        monkeypatch.setattr(OpenAIBatches, "bytes_most", 1)

        desk.submit()

        assert [len(batch.rows) for batch in desk.server.batches.values()] == [1] * SENT

    def test_the_first_call_learns_what_the_judge_takes(self, desk: Desk) -> None:
        """A parameter that is refused is refused once, and not by every request tomorrow."""

        def no_temperature(body: dict[str, Any]) -> Answer:
            refused = "temperature" in body
            return refusal(400, "`temperature` may not be set for this model.") if refused else the_same_verdict(body)

        desk.server.answering = no_temperature

        assert desk.submit().code == 0

        assert ["temperature" in body for body in desk.server.requests] == [True, False]
        assert [each for each in desk.server.submitted if "temperature" in each[desk.provider.place]] == []
        desk.collect()
        assert_whole()

    @at(of_openai())
    def test_the_first_call_learns_which_form_the_judge_takes(self, desk: Desk) -> None:
        """The batch asks for JSON as the endpoint knows it."""

        def no_schema(body: dict[str, Any]) -> Answer:
            refused = body.get("response_format", {}).get("type") == "json_schema"
            return refusal(400, "response_format json_schema is unknown") if refused else the_same_verdict(body)

        desk.server.answering = no_schema

        desk.submit()

        assert {each["body"]["response_format"]["type"] for each in desk.server.submitted} == {"json_object"}

    def test_submitting_again_sends_nothing_again(self, desk: Desk) -> None:
        """Neither while it is on the way nor when it is back."""
        desk.submit()
        while_open = desk.submit()
        desk.collect()
        when_collected = desk.submit()

        assert [result.code for result in (while_open, when_collected)] == [0, 0]
        assert "nothing is left to send" in while_open.err
        assert "nothing is left to send" in when_collected.err
        assert len(desk.server.batches) == 1
        assert_paid_once(desk)

    def test_more_dialogues_are_sent_beside_what_is_on_the_way(self, desk: Desk) -> None:
        """Only what is new leaves."""
        desk.submit()
        written(Path("d.jsonl"), [row(place) for place in range(DIALOGUES + 1)])

        assert desk.submit().code == 0

        assert [len(batch.rows) for batch in desk.server.batches.values()] == [SENT, 3]
        desk.collect()
        assert_whole(calls=CALLS + 4)
        assert_paid_once(desk, CALLS + 4)

    @at(of_openai())
    def test_samples_have_seeds_of_their_own(self, desk: Desk) -> None:
        """Else a provider that remembers gives the same answer twice."""
        desk.submit("--samples", "2")
        desk.collect()

        assert {each["body"]["seed"] for each in desk.server.submitted} == {0, 1}
        assert_whole(calls=2 * CALLS)

    @at(of_openai())
    def test_waiting_looks_until_all_are_over(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """`--wait` ends with everything collected."""
        desk.submit()
        desk.server.polls = 1
        pauses: list[float] = []
        monkeypatch.setattr(time, "sleep", pauses.append)

        collected = desk.batch("collect", "--wait", "--json")

        assert (collected.code, desk.server.counts[desk.provider.show]) == (0, 4)
        assert pauses == [60.0, 60.0]
        assert "looking again in 60 s" in collected.err
        assert_whole()

    def test_the_key_is_in_no_file(self, desk: Desk) -> None:
        """Not of the run, whatever happens."""
        desk.fail(desk.provider.create, refusal(401, f"bad key {KEY}"), nth=1)
        ended = [desk.submit(), desk.submit(), desk.batch("status"), desk.collect()]

        assert [result.code for result in ended] == [1, 0, 0, 0]
        assert [path for path in RUN.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()] == []

    def test_the_key_is_in_no_message(self, desk: Desk) -> None:
        """Providers repeat the key they refuse."""
        desk.submit()
        desk.fail(desk.provider.show, refusal(401, f"Incorrect API key provided: {KEY}."))

        result = desk.batch("status")

        assert_one_line(result, "Incorrect API key provided: ***")
        assert KEY not in result.out + result.err


class TestMistakes:
    """What is for the user to mend is a line."""

    def test_a_wrong_key_costs_one_call(self, desk: Desk) -> None:
        """And the right one goes on from there."""
        desk.server.key = "another"

        wrong = desk.submit()

        assert_one_line(wrong, "does not accept the API key", "(HTTP 401)")
        assert desk.server.counts == {desk.provider.live: 1}
        desk.server.key = KEY
        assert (desk.submit().code, desk.collect().code) == (0, 0)
        assert_whole()

    @pytest.mark.parametrize(
        ("judge", "said"),
        [
            pytest.param(["local"], "--judge local: missing ", id="local"),
            pytest.param(["gemini/g", "--api-key-env", "JUDGE_KEY"], "no batch API of gemini is known", id="gemini"),
            pytest.param(["openai/m"], "missing the API key: export OPENAI_API_KEY=…", id="no-key"),
        ],
    )
    def test_a_judge_without_batches_is_a_line(self, perm: Perm, judge: list[str], said: str) -> None:
        """Before a folder is made."""
        result = perm("batch", "submit", "d.jsonl", "--out", RUN, "--judge", *judge)

        assert_one_line(result, said)
        assert not RUN.exists()

    @pytest.mark.parametrize("command", ["status", "collect", "cancel"])
    def test_a_run_without_batches_is_a_line(self, perm: Perm, command: str) -> None:
        """Whether there is a run or none."""
        assert_one_line(perm("batch", command, RUN), "run: no run found")
        RUN.mkdir()
        (RUN / "run.json").write_text('{"perm_run": 1, "settings": {}, "commands": []}')

        assert_one_line(perm("batch", command, RUN), "no batches found")

    @pytest.mark.parametrize("batches", ["5", "[5]", '[{"number": 1}]', '{"a": 1}'])
    def test_a_record_that_holds_no_batches_is_a_line(self, perm: Perm, batches: str) -> None:
        """Somebody may have edited it."""
        RUN.mkdir()
        (RUN / "run.json").write_text(f'{{"perm_run": 1, "settings": {{}}, "commands": [], "batches": {batches}}}')

        assert_one_line(perm("batch", "status", RUN), "expected the record of a run")

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            pytest.param(
                {"rubrics": "nowhere"}, "nowhere/pack.yaml: the rubric cannot be read: No such file", id="no-rubrics"
            ),
            pytest.param({"settings": "another"}, "expected those of the batch", id="no-settings"),
            pytest.param(
                {"number": 7}, "0007.calls.jsonl: the calls of the batch cannot be read: No such file", id="no-calls"
            ),
        ],
    )
    @at(of_openai())
    def test_what_a_batch_was_sent_with_is_missing(self, desk: Desk, change: dict[str, Any], said: str) -> None:
        """It is said, and the batch can be collected when it is there again."""
        desk.submit()
        content = (RUN / "run.json").read_text()
        changed = record()
        changed["batches"][0] |= change
        (RUN / "run.json").write_text(json.dumps(changed))

        assert_one_line(desk.collect(), said)

        (RUN / "run.json").write_text(content)
        desk.collect()
        assert_whole()

    @at(of_openai())
    def test_a_judge_that_does_not_answer_is_sent_nothing(self, desk: Desk) -> None:
        """Nothing is known of what it takes: all requests could be refused, and fail for good."""
        desk.server.answering = lambda _: refusal(503, "overloaded")

        with retrying(AT_ONCE):
            assert_one_line(desk.submit(), "overloaded")
        assert desk.keys() == []

    @at(of_openai())
    def test_expectations_of_a_judge_without_probabilities_are_not_sent(self, desk: Desk) -> None:
        """`perm score` finds that out with its first call; a batch must not find it out with its last."""
        result = desk.submit("--score", "expected")

        assert_one_line(result, "no log-probabilities")
        assert desk.keys() == []

    @at(of_anthropic())
    def test_parameters_mean_the_same_in_a_batch(self, desk: Desk) -> None:
        """What the first call was not refused for is refused to no request of the batch."""
        house = f'[judges.house]\nmodel = "anthropic/claude-x"\nbase_url = "{desk.judge[3]}"\n'
        Path("perm.toml").write_text(f'{house}api_key_env = "JUDGE_KEY"\nparams = {{ stop = ["END"] }}\n')

        refused = desk.perm("batch", "submit", "d.jsonl", "--judge", "house", "--out", RUN)

        assert_one_line(refused, "params: stop found")
        assert (desk.server.counts, RUN.exists()) == ({}, False)


class TestHostileFolder:
    """A run folder may come from anybody, and its record says neither where a key goes nor which."""

    @pytest.fixture
    def planted(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """Return the judge of a folder whose record asks for a variable of the reader's, and leave it no request."""
        monkeypatch.setenv("AWS_SECRET", KEY)
        desk.submit()
        changed = record()
        judge: dict[str, Any] = next(iter(changed["settings"].values()))["judge"]
        judge["api_key_env"] = "AWS_SECRET"
        (RUN / "run.json").write_text(json.dumps(changed))
        desk.server.counts.clear()
        return judge

    @pytest.mark.parametrize("command", ["status", "collect", "cancel"])
    def test_neither_address_nor_variable_come_from_the_record(
        self, desk: Desk, planted: dict[str, Any], command: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both addresses are named, and the option that decides."""
        variable = f"{desk.provider.model.partition('/')[0].upper()}_API_KEY"
        monkeypatch.setenv(variable, KEY)

        result = desk.perm("batch", command, RUN)

        assert_one_line(result, planted["base_url"], "your settings lead to https://api.", "--base-url")
        assert desk.server.counts == {}

    @pytest.mark.parametrize("command", ["status", "collect"])
    def test_an_address_that_the_user_gives_takes_no_key_along(
        self, desk: Desk, planted: dict[str, Any], command: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The variable is for the user to name, too: the provider's usual one is meant for another host."""
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        result = desk.perm("batch", command, RUN, "--base-url", planted["base_url"])

        assert result.code == 1
        assert desk.server.counts.keys() <= {desk.provider.show}  # and refused for want of a key

    @at(of_openai())
    def test_a_judge_of_the_settings_is_reached_as_they_say(self, desk: Desk) -> None:
        """Who has named a judge need not repeat its address."""
        house = f'[judges.house]\nmodel = "openai/m"\nbase_url = "{desk.judge[3]}"\napi_key_env = "JUDGE_KEY"\n'
        Path("perm.toml").write_text(house)
        desk.perm("batch", "submit", "d.jsonl", "--judge", "house", "--out", RUN)
        desk.server.finish()

        status, collected = desk.perm("batch", "status", RUN), desk.perm("batch", "collect", RUN)

        assert (status.code, collected.code) == (0, 0)
        assert_whole()

    @at(of_openai())
    def test_submitting_says_how_to_collect(self, desk: Desk) -> None:
        """With the options that are needed once more."""
        last = desk.submit().err.splitlines()[-1]

        assert last == f"when they are done: perm batch collect run --base-url {desk.judge[3]} --api-key-env JUDGE_KEY"

    @at(of_openai())
    @pytest.mark.parametrize("price", ['{"input": -1, "output": 1}', '{"input": "much", "output": 1}', "[1]"])
    def test_a_judge_of_any_shape_is_a_line(self, desk: Desk, price: str) -> None:
        """Its price too is read from the record."""
        desk.submit()
        changed = record()
        next(iter(changed["settings"].values()))["judge"]["price"] = json.loads(price)
        (RUN / "run.json").write_text(json.dumps(changed))

        assert_one_line(desk.batch("status"), "run.json: settings: ", "expected those of the batch")


class TestLostOnTheWay:
    """A submission is cut short."""

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(DROP, id="drop"),
            pytest.param(BROKEN, id="500"),
            pytest.param(HTML_AS_JSON, id="html"),
        ],
    )
    def test_what_got_through_is_adopted_and_not_sent_again(self, desk: Desk, answer: Answer) -> None:
        """Only the answer was lost."""
        desk.fail(desk.provider.create, answer, nth=1, after=True)

        assert_one_line(desk.submit())
        assert (len(desk.server.batches), states()) == (1, [("sending", "unsure")])
        untouched = desk.batch("collect")
        adopted = desk.submit()

        assert "batch 1: not sent yet" in untouched.err
        assert f"batch 1: {SENT} requests sent as {next(iter(desk.server.batches))}" in adopted.err
        assert desk.collect().code == 0
        assert_whole()
        assert_paid_once(desk)

    @pytest.mark.parametrize("answer", [DROP, BROKEN, Answer(status=429)], ids=["drop", "500", "429"])
    def test_what_did_not_get_through_is_sent(self, desk: Desk, answer: Answer) -> None:
        """By the next submission, from the file that is on record."""
        desk.fail(desk.provider.create, answer, nth=1)

        assert_one_line(desk.submit())
        assert (desk.server.batches, states()) == ({}, [("sending", "unsure")])
        assert desk.submit().code == 0

        assert desk.collect().code == 0
        assert_whole()
        assert_paid_once(desk)

    @at(of_openai())
    def test_an_upload_that_fails_is_tried_again(self, desk: Desk) -> None:
        """Whole: by the client, then by the next submission."""
        desk.fail("POST /v1/files")

        assert_one_line(desk.submit(), "(HTTP 500)")
        assert (desk.server.files, desk.server.counts["POST /v1/files"], desk.server.batches) == ({}, 3, {})
        desk.fail("POST /v1/files", nth=1)
        assert desk.submit().code == 0

        assert desk.server.counts["POST /v1/files"] == 5
        assert desk.collect().code == 0
        assert_whole()
        assert_paid_once(desk)

    @at(of_openai())
    def test_an_adopted_batch_may_stand_far_down_the_list(self, desk: Desk) -> None:
        """Others have submitted meanwhile."""
        desk.fail(desk.provider.create, DROP, nth=1, after=True)
        desk.submit()
        (ours,) = desk.server.batches.values()
        for number in range(250):
            shown = ours.shown | {"id": f"batch_other{number}", "metadata": None}
            desk.server.batches[shown["id"]] = replace(ours, shown=shown, rows=[])

        assert f"sent as {ours.shown['id']}" in desk.submit().err
        assert desk.server.counts[desk.provider.every] == 3

    def test_an_adopted_batch_may_go_by_another_clock(self, desk: Desk) -> None:
        """The provider's clock is a minute behind ours."""
        desk.server.clock = lambda: time.time() - 60
        desk.fail(desk.provider.create, DROP, nth=1, after=True)

        desk.submit()
        desk.submit()

        assert_paid_once(desk)

    def test_no_other_batch_is_taken_for_one_that_was_lost(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two halves of a run are of one size and made in the same second."""
        monkeypatch.setattr(desk.provider.api, "requests_most", 4)
        desk.fail(desk.provider.create, nth=2)
        desk.submit()

        desk.submit()

        ids = [each["id"] for each in record()["batches"]]
        assert len(set(ids)) == len(ids) == 3
        desk.collect()
        assert_whole()
        assert_paid_once(desk)

    def test_what_is_cancelled_before_it_is_adopted_is_not_paid_twice(self, desk: Desk) -> None:
        """The provider works on it until it is told."""
        desk.fail(desk.provider.create, DROP, nth=1, after=True)
        desk.submit()

        cancelled = desk.batch("cancel")

        assert cancelled.code == 0
        (lost,) = desk.server.batches.values()
        assert lost.status in {"cancelling", "canceling"}

    def test_export_only_sends_nothing(self, desk: Desk) -> None:
        """As its name says."""
        desk.fail(desk.provider.create, nth=1)
        desk.submit()

        desk.submit("--export-only")

        assert desk.server.batches == {}


class TestSomeFail:
    """Not every request comes to a score."""

    @at(of_openai())
    def test_a_batch_that_is_refused_is_told_and_to_do_again(self, desk: Desk) -> None:
        """A batch that never ran has cost nothing."""
        desk.server.max_enqueued = SENT - 1
        desk.submit()
        desk.server.finish()

        status = desk.batch("status")
        refused = desk.collect()

        assert "failed: 0 done, 0 failed of 0; token_limit_exceeded: Enqueued token limit reached." in status.out
        assert "batch 1: failed: token_limit_exceeded: Enqueued token limit reached." in refused.err
        assert f"batch 1: nothing new; {SENT} to do again" in refused.err
        again = desk.collect()
        assert (refused.code, again.code) == (3, 3)
        assert "is below --min-coverage 95%" in again.err
        desk.server.max_enqueued = None
        desk.submit()
        assert desk.collect().code == 0
        assert_whole()
        # One more went live.
        assert len(desk.keys()) == SENT + SENT - 1

    def test_each_failure_comes_to_its_own(self, desk: Desk) -> None:
        """What may pass is to do again, by exactly those; what will not is kept, and never a score."""
        ends: dict[str, tuple[Outcome, str | None]] = {
            "rejected": (refusal(400, "messages: this will not do"), "failed"),
            "refused": (Answer(text="I cannot", finish_reason="content_filter"), "refused"),
            "cut": (Answer(text='{"rationale": "Na', finish_reason="length"), "truncated"),
            "garbled": (Answer(text="It depends."), "unparseable"),
            "busy": (refusal(429, "slow down"), None),
            "broken": (refusal(500, "oops"), None),
            "late": ("expired", None),
            "stopped": ("cancelled", None),
            "slow": ("timed_out", None),
            "gone": ("lost", None),
        }
        desk.submit()
        keys = dict(zip(ends, desk.keys(), strict=False))
        desk.server.outcomes = {keys[name]: outcome for name, (outcome, _) in ends.items()}

        first = desk.collect()

        found = {each["key"]: each["status"] for each in ratings()}
        assert {name: found.get(key) for name, key in keys.items()} == {name: end for name, (_, end) in ends.items()}
        assert "1 failed, 1 refused, 1 scored, 1 truncated, 1 unparseable; 6 to do again" in first.err
        again = {keys[name] for name, (_, end) in ends.items() if end is None}
        self.assert_sends_exactly(desk, again)
        failed = next(each["error"] for each in ratings() if each["status"] == "failed")
        assert failed == {"kind": "rejected", "message": "messages: this will not do (HTTP 400)", "transient": False}

    @staticmethod
    def assert_sends_exactly(desk: Desk, keys: set[str]) -> None:
        """Make sure that a later submission sends these again, the first of them live, and nothing more."""
        before = [each["key"] for each in ratings()]
        desk.server.outcomes = {}
        sent = len(desk.server.submitted)

        desk.submit()
        second = desk.keys()[sent:]
        desk.collect()

        after = [each["key"] for each in ratings()]
        assert set(second) < keys
        assert len(second) == len(keys) - 1
        assert set(after) - set(before) == keys
        assert max(Counter(after).values()) == 1
        assert "nothing is left to send" in desk.submit().err

    @at(of_openai())
    def test_a_filter_that_refuses_by_an_error_is_a_refusal(self, desk: Desk) -> None:
        """Azure answers so."""
        desk.submit()
        error = {"error": {"code": "content_filter", "message": "The response was filtered"}}
        desk.server.outcomes = {desk.keys()[0]: Answer(status=400, body=json.dumps(error).encode())}

        desk.collect()

        assert statuses() == {"scored": CALLS - 1, "refused": 1}

    @at(of_openai())
    def test_a_success_without_an_answer_is_to_do_again(self, desk: Desk) -> None:
        """Routers put the failure of their upstream into a success."""
        desk.submit()
        upstream = Answer(body=b'{"error": {"message": "upstream is away", "code": 502}}')
        desk.server.outcomes = {desk.keys()[0]: upstream, desk.keys()[1]: Answer(body=b'{"choices": []}')}

        assert "2 to do again" in desk.collect().err

    @at(of_openai())
    def test_an_account_without_credit_is_told(self, desk: Desk) -> None:
        """And all of it is to do again."""
        desk.submit()
        desk.server.answering = lambda _: refusal(402, "Insufficient credit")

        result = desk.collect()

        assert "the account has no credit left: Insufficient credit (HTTP 402)" in result.err
        assert f"{SENT} to do again" in result.err

    @at(of_openai())
    def test_what_ails_every_request_is_told_once(self, desk: Desk) -> None:
        """A batch has fifty thousand."""
        desk.submit()
        desk.server.answering = lambda _: refusal(404, "The model `m` has been retired")

        assert desk.collect().err.count("has been retired") == 1

    def test_the_live_way_does_the_rest(self, desk: Desk) -> None:
        """`perm score` on the same folder asks what no batch has brought."""
        desk.submit()
        desk.server.outcomes = dict.fromkeys(desk.keys()[:5], "expired")
        desk.collect()

        result = desk.score()

        assert (result.code, len(desk.server.requests)) == (0, 1 + 5)
        assert_whole()

    @at(of_openai())
    def test_what_was_rated_live_meanwhile_is_not_rated_again(self, desk: Desk) -> None:
        """Somebody did not want to wait."""
        desk.submit()
        desk.score()

        result = desk.collect()

        assert "batch 1: nothing new\n" in result.err
        assert_whole()

    def test_a_collection_that_is_interrupted_rates_nothing_twice(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It goes on behind what is on disk."""
        desk.submit()
        with monkeypatch.context() as patch:
            patch.setattr(RunFolder, "append", interrupting(RunFolder.append, after=5))
            interrupted = desk.collect()
        assert (interrupted.code, len(ratings())) == (130, 1 + 5)

        result = desk.collect()

        assert f"batch 1: {SENT - 5} scored\n" in result.err
        assert_whole()

    def test_what_was_done_before_a_cancellation_is_collected(self, desk: Desk) -> None:
        """It is paid for."""
        desk.server.done_at_cancel = 4
        desk.submit()

        cancelled = desk.batch("cancel")
        result = desk.collect()

        assert (cancelled.code, cancelled.err) == (0, "batch 1: cancelling\n")
        assert f"batch 1: 4 scored; {SENT - 4} to do again" in result.err
        self.assert_sends_exactly(desk, set(desk.keys()[4:]))

    def test_a_batch_that_is_over_keeps_no_other_from_being_cancelled(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It ended between two looks."""
        monkeypatch.setattr(desk.provider.api, "requests_most", 6)
        desk.submit()
        first, second = desk.server.batches
        desk.server.finish(first)

        assert desk.batch("cancel").code == 0

        assert desk.server.batches[second].status in {"cancelling", "canceling"}

    def test_a_batch_that_is_gone_keeps_no_other_from_being_collected(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Providers forget after a month."""
        monkeypatch.setattr(desk.provider.api, "requests_most", 6)
        desk.submit()
        del desk.server.batches[next(iter(desk.server.batches))]

        result = desk.collect()

        assert "batch 2: 5 scored" in result.err
        assert "batch 1" in result.err


def interrupting(step: Callable[..., Any], after: int) -> Callable[..., Any]:
    """Return a function that can be called so many times before the user presses Ctrl-C."""
    left = iter(range(after))

    def interrupted(*arguments: Any, **more: Any) -> Any:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return step(*arguments, **more)

    return interrupted


class TestExported:
    """Requests leave in a file, for a tool of the user's own."""

    @pytest.fixture
    def export(self, perm: Perm) -> Export:
        """Return a function that exports the dialogues and returns the requests of the newest file."""

        def run(*more: object) -> list[dict[str, Any]]:
            result = perm(
                "batch", "submit", "d.jsonl", "--judge", "hosted_vllm/q", "--out", RUN, "--export-only", *more
            )
            assert result.code == 0
            newest = max((RUN / "batches").glob("*.requests.jsonl"))
            return [json.loads(line) for line in newest.read_text().splitlines()]

        return run

    @staticmethod
    def answered(requests: list[dict[str, Any]], outcome: Callable[[dict[str, Any]], Answer] = verdict) -> list[bytes]:
        """Return what `vllm run-batch` writes."""
        lines = []
        for number, request in enumerate(requests):
            answer = outcome(request["body"])
            choice = {"message": {"content": answer.text}, "finish_reason": "stop"}
            body = {"model": "q", "choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 10}}
            response = {"status_code": answer.status, "request_id": f"vllm-{number}", "body": body}
            if answer.status >= 400:
                response["body"] = json.loads(answer.body or b"{}")
            line = {"id": f"vllm-{number}", "custom_id": request["custom_id"], "response": response, "error": None}
            lines.append(json.dumps(line).encode())
        return lines

    def test_the_file_is_what_vllm_reads(self, export: Export) -> None:
        """OpenAI's lines, all to one path and one model, each with a name of its own."""
        requests = export()

        assert {frozenset(each) for each in requests} == {frozenset({"custom_id", "method", "url", "body"})}
        assert {(each["method"], each["url"]) for each in requests} == {("POST", "/v1/chat/completions")}
        assert {each["body"]["model"] for each in requests} == {"q"}
        assert len({each["custom_id"] for each in requests}) == len(requests) == CALLS
        assert {role["role"] for each in requests for role in each["body"]["messages"]} == {"system", "user"}

    def test_answers_come_in_any_order_between_lines_of_junk(self, perm: Perm, export: Export) -> None:
        """A file from elsewhere is read for what can be read."""
        lines = [*self.answered(export()), *HOSTILE]
        random.Random(0).shuffle(lines)  # noqa: S311 - no secret
        Path("a.jsonl").write_bytes(b"\n".join(lines[:9]))
        Path("b.jsonl").write_bytes(b"\r\n".join(lines[9:]))

        result = perm("batch", "collect", RUN, "--from", "a.jsonl", "--from", "b.jsonl")

        assert (result.code, states()) == (0, [("collected", "")])
        assert f"batch 1: {CALLS} scored\n" in result.err
        assert_whole()

    def test_the_scores_are_those_of_live_calls(
        self, perm: Perm, export: Export, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same requests, whichever way they go."""
        Path("a.jsonl").write_bytes(b"\n".join(self.answered(export(), the_same_verdict)))
        perm("batch", "collect", RUN, "--from", "a.jsonl")
        with batch_loopback(the_same_verdict) as server:
            monkeypatch.setenv("HOSTED_VLLM_API_BASE", server.url)
            perm("score", "d.jsonl", "--judge", "hosted_vllm/q", "--out", "live")

        assert {r["key"]: r["score"] for r in ratings()} == {r["key"]: r["score"] for r in ratings(Path("live"))}

    def test_exported_is_on_the_way(self, perm: Perm, export: Export) -> None:
        """It is not exported again until it is cancelled."""
        first = export()
        again = export()
        status = perm("batch", "status", RUN)
        perm("batch", "cancel", RUN)
        third = export()

        assert again == first == third
        assert status.out == f"batch 1: {CALLS} requests, exported\n"
        assert states() == [("cancelled", ""), ("exported", "")]

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            pytest.param(None, "a.jsonl: the answers cannot be read: No such file", id="missing"),
            pytest.param(b"", "a.jsonl: no answer found", id="empty"),
            pytest.param(b"\x00\xff\n<html>\n", "a.jsonl: no answer found", id="junk"),
        ],
    )
    def test_a_file_without_answers_is_a_line(
        self, perm: Perm, export: Export, content: bytes | None, said: str
    ) -> None:
        """And everything stays on the way."""
        export()
        if content is not None:
            Path("a.jsonl").write_bytes(content)

        assert_one_line(perm("batch", "collect", RUN, "--from", "a.jsonl"), said)

        assert states() == [("exported", "")]

    @at(of_openai())
    def test_answers_to_nothing_are_a_line(self, desk: Desk) -> None:
        """No batch of this run was exported."""
        desk.submit()
        Path("a.jsonl").write_bytes(b"{}")

        assert_one_line(desk.batch("collect", "--from", "a.jsonl"), "--from: no exported batch found in run")

    def test_answers_of_a_second_round_are_rated_once(self, perm: Perm, export: Export) -> None:
        """What failed in the first round stands in two batches; the files are given one by one."""
        _, second = self.two_rounds(perm, export)

        perm("batch", "collect", RUN, "--from", second)

        assert_whole()

    def test_answers_of_both_rounds_at_once_are_all_read(self, perm: Perm, export: Export) -> None:
        """A failure in one file does not hide the success in the other."""
        first, second = self.two_rounds(perm, export)

        perm("batch", "collect", RUN, "--from", first, "--from", second)

        assert_whole()

    def two_rounds(self, perm: Perm, export: Export) -> tuple[Path, Path]:
        """Export, collect answers that failed in part, export the rest; return the answers to both rounds."""
        first, second = Path("first.jsonl"), Path("second.jsonl")
        lines = self.answered(export())
        failed = self.answered([json.loads(line) for line in self.lines_of(1)[:3]], lambda _: refusal(500, "oops"))
        first.write_bytes(b"\n".join([*failed, *lines[3:]]))
        perm("batch", "collect", RUN, "--from", first)
        second.write_bytes(b"\n".join(self.answered(export())))
        return first, second

    @staticmethod
    def lines_of(number: int) -> list[str]:
        """Return the requests of a batch."""
        return (RUN / "batches" / f"{number:04}.requests.jsonl").read_text().splitlines()

    def test_a_batch_that_is_not_answered_yet_stays_on_the_way(
        self, perm: Perm, export: Export, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its answers are still being made, and not to be made again."""
        monkeypatch.setattr(OpenAIBatches, "requests_most", 6)
        export()
        first = [json.loads(line) for line in self.lines_of(1)]
        Path("a.jsonl").write_bytes(b"\n".join(self.answered(first)))

        perm("batch", "collect", RUN, "--from", "a.jsonl")

        assert [state for state, _ in states()] == ["collected", "exported"]


GOOD = {"choices": [{"message": {"content": '{"score": 1}'}}]}
HOSTILE = [
    line if isinstance(line, bytes) else json.dumps(line).encode()
    for line in (
        b"",
        b"\x00\xff\xfe",
        b"<html><body>502 Bad Gateway</body></html>",
        b"[" * 3000,
        b'{"custom_id": "k", "response": {"status_code": 1e999}}',
        b'{"custom_id": "k", "response": {"status_code": -1' + b"0" * 400 + b"}}",
        b'{"custom_id": NaN}',
        5,
        None,
        "text",
        [[[]]],
        {},
        {"custom_id": None},
        {"custom_id": "unknown", "response": {"status_code": 200, "body": GOOD}, "error": None},
        {"custom_id": ["unknown"], "response": {"status_code": 10**30, "body": GOOD}},
        {"custom_id": {}, "response": [[]], "error": [[1]]},
        {"custom_id": "x" * 10_000, "response": {"status_code": [200], "body": {"choices": {"0": 1}}}},
        {"custom_id": "y", "response": {"status_code": "many", "body": [[[[]]]]}, "error": "no"},
        {"custom_id": "z", "response": "gone", "error": {"code": [1], "message": {"a": [10**40]}}},
        {"custom_id": "z", "result": None},
        {"custom_id": "z", "result": {"type": "succeeded"}},
        {"custom_id": "z", "result": {"type": "succeeded", "message": {"content": 5, "usage": None}}},
        {"custom_id": "z", "result": {"type": "succeeded", "message": {"content": [5], "usage": {}}}},
        {"custom_id": "z", "result": {"type": "errored", "error": {"error": 5}}},
        {"custom_id": "z", "result": {"type": ["errored"], "error": []}},
    )
]
HOSTILE_BODIES: list[Any] = [
    {"choices": 5},
    {"choices": "text"},
    {"choices": [5]},
    {"choices": [{"message": [[]], "finish_reason": 5}]},
    {"choices": [{"message": {"content": '{"score": 1e300}'}}], "usage": {"prompt_tokens": 10**300}},
    {"choices": [{"message": {"content": "[" * 5000}}], "usage": {"prompt_tokens": -5, "completion_tokens": "1"}},
    {"choices": [{"message": {"content": "\ud800"}, "logprobs": {"content": [[]]}}], "model": [1]},
    {"choices": [{"message": {"content": None, "refusal": "no"}}], "usage": [[]]},
]
HOSTILE_MESSAGES: list[Any] = [
    {},
    {"content": 5, "usage": None},
    {"content": [5], "usage": {}, "model": 1},
    {"content": [{"type": "text"}], "usage": {"input_tokens": "many"}},
    {"content": [{"type": "tool_use", "input": [[]]}], "usage": {"input_tokens": 10**300, "output_tokens": 1}},
    {"content": [{"type": "text", "text": [[]]}], "usage": {"input_tokens": 1, "output_tokens": -5}},
    {"content": [{"type": "text", "text": "\ud800"}], "stop_reason": [], "usage": {"input_tokens": 1e30}},
]


class TestHostile:
    """What comes back is anything."""

    def test_lines_of_any_shape_keep_no_answer_back(self, desk: Desk) -> None:
        """What cannot be read is passed over, twice the same is once."""
        desk.submit()
        good = self.results(desk)
        lines = [*HOSTILE, *good, *HOSTILE, *good]
        desk.fail(desk.provider.results, Answer(body=b"\n".join(lines) + b"\n"))

        assert desk.collect().code == 0

        assert_whole()

    def test_answers_of_any_shape_are_no_scores(self, desk: Desk) -> None:
        """They fail, or are to do again."""
        desk.submit()
        bodies = HOSTILE_BODIES if desk.provider is OPENAI else HOSTILE_MESSAGES
        lines = []
        for key, body in zip(desk.keys(), bodies, strict=False):
            response = {"response": {"status_code": 200, "body": body}}
            result = {"result": {"type": "succeeded", "message": body}}
            lines.append(json.dumps({"custom_id": key} | (response if desk.provider is OPENAI else result)).encode())
        desk.fail(desk.provider.results, Answer(body=b"\n".join(lines) + b"\n"))

        desk.collect()
        desk.server.faults = []

        assert statuses()["scored"] == 1
        self.assert_goes_on(desk)

    def test_line_separators_within_an_answer_are_text(self, desk: Desk) -> None:
        """JSON allows them unescaped, and judges write them."""
        desk.submit()
        lines = [line.replace(b"Names what", "Names\u2028\x85what".encode()) for line in self.results(desk)]
        desk.fail(desk.provider.results, Answer(body=b"\n".join(lines) + b"\n"))

        desk.collect()

        assert_whole()

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(DROP, id="drop"),
            pytest.param(BROKEN, id="500"),
            pytest.param(refusal(404, "gone"), id="404"),
        ],
    )
    @pytest.mark.parametrize("call", ["show", "results"])
    def test_a_call_that_fails_is_a_line_and_can_be_repeated(self, desk: Desk, call: str, answer: Answer) -> None:
        """Nothing is lost by it."""
        desk.submit()
        desk.fail(getattr(desk.provider, call), answer)

        failed = desk.collect()

        assert_one_line(failed)
        self.assert_goes_on(desk)
        assert_paid_once(desk)

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(HTML, id="html"),
            pytest.param(HTML_AS_JSON, id="html-as-json"),
            pytest.param(Answer(body=b"[[]]"), id="list"),
            pytest.param(Answer(body=b'{"status": "completed", "request_counts": {"total": "x"}}'), id="counts"),
            pytest.param(Answer(body=b'{"processing_status": "ended", "request_counts": [1]}'), id="other-counts"),
        ],
    )
    def test_a_standing_of_any_shape_is_no_traceback(self, desk: Desk, answer: Answer) -> None:
        """A gateway says what it likes."""
        desk.submit()
        desk.fail(desk.provider.show, answer)

        result = desk.batch("status")

        if result.code:
            assert_one_line(result)

    def test_a_download_that_breaks_is_a_line_and_can_be_repeated(self, desk: Desk) -> None:
        """It breaks in the middle."""
        desk.submit()
        desk.fail(desk.provider.results, Answer(body=b"{}", headers={"Content-Encoding": "gzip"}))

        assert_one_line(desk.collect())
        self.assert_goes_on(desk)

    def test_a_redirect_is_a_line_and_not_followed(self, desk: Desk) -> None:
        """The dialogues go to the host they were meant for and to no other."""
        desk.submit()

        with batch_loopback() as elsewhere:
            location = {"Location": f"{elsewhere.url}{desk.provider.show.removeprefix('GET /v1').format(id='b')}"}
            desk.fail(desk.provider.show, Answer(status=307, body=b"", headers=location))
            result = desk.batch("status")

        assert_one_line(result)
        assert elsewhere.counts == {}

    def test_a_page_instead_of_lines_is_no_answer(self, desk: Desk) -> None:
        """It is no traceback either."""
        desk.submit()
        desk.fail(desk.provider.results, HTML)

        desk.collect()

        assert len(ratings()) == 1

    def assert_goes_on(self, desk: Desk) -> None:
        """Make sure that collecting again helps, after another submission if some are to do again."""
        desk.server.faults = []
        desk.collect()
        if len(ratings()) < CALLS:
            desk.submit()
            desk.collect()
        keys = Counter(each["key"] for each in ratings())
        assert (len(keys), keys.total()) == (CALLS, CALLS)

    @staticmethod
    def results(desk: Desk) -> list[bytes]:
        """Return what the provider has to give."""
        desk.server.finish()
        if desk.provider is ANTHROPIC:
            return [line for batch in desk.server.batches.values() for line in batch.results.splitlines()]
        files = [content for shown, content in desk.server.files.values() if shown["purpose"] == "batch_output"]
        return [line for content in files for line in content.splitlines()]


class TestKilled:
    """The process dies between any two steps that leave a trace: a call, a file, a rating."""

    def test_while_submitting(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same command and a collection bring every rating once, sent once."""
        written(Path("d.jsonl"), [row(0)])
        monkeypatch.setattr(desk.provider.api, "requests_most", 2)
        moments = 0
        while True:
            desk.server.batches.clear()
            desk.server.requests.clear()
            shutil.rmtree(RUN, ignore_errors=True)
            with dying(monkeypatch, moments) as is_dead:
                desk.submit()
            if not is_dead():
                break
            assert (desk.submit().code, desk.collect().code) == (0, 0), moments
            assert_whole(calls=4)
            assert_paid_once(desk, 4)
            moments += 1

        assert moments > 12

    def test_while_collecting(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another collection brings the rest."""
        written(Path("d.jsonl"), [row(0)])
        monkeypatch.setattr(desk.provider.api, "requests_most", 2)
        desk.submit()
        kept = RUN.rename("kept")
        moments = 0
        while True:
            shutil.rmtree(RUN, ignore_errors=True)
            shutil.copytree(kept, RUN)
            with dying(monkeypatch, moments, RunFolder.append) as is_dead:
                desk.collect()
            if not is_dead():
                break
            assert desk.collect().code == 0, moments
            assert_whole(calls=4)
            moments += 1

        assert moments > 12
        assert_paid_once(desk, 4)


@contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, steps: int, *more: Callable[..., Any]) -> Iterator[Callable[[], bool]]:
    """Let the process live for so many steps; yield a function that tells whether it has died."""
    taken = 0

    def mortal(step: Callable[..., Any]) -> Callable[..., Any]:
        def taking(*arguments: Any, **named: Any) -> Any:
            nonlocal taken
            taken += 1
            if taken > steps:
                raise KeyboardInterrupt
            return step(*arguments, **named)

        return taking

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", mortal(Path.replace))  # the moment at which a file that is written anew is there
        patch.setattr(httpx.Client, "send", mortal(httpx.Client.send))
        for step in more:
            patch.setattr(RunFolder, step.__name__, mortal(step))
        yield lambda: taken > steps


def test_a_line_without_an_end_is_no_answer() -> None:
    """It must not fill the memory before anybody looks at it."""
    with pytest.raises(ValueError, match="a line of more than 32 MB"):
        list(lines_of(b" " * 2**20 for _ in range(99)))
