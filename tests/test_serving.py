"""The reward server: numbers for trainers whatever happens, the truth for everybody else, and nothing let in or out."""

import json
import logging
import math
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from typing import Any

import httpx
import pytest

from perm_cli.errors import PermError
from perm_cli.serving.app import make_app
from perm_cli.serving.guard import is_served
from perm_cli.serving.limits import Limits
from perm_cli.training import engine
from perm_cli.training.settings import reward_settings
from tests.loopback import Answer, Answering, Loopback, loopback, refusal, verdict
from tests.makers import DIMENSIONS
from tests.serving import Patient, counted, serving, stranger_to, until

KEY = "sk-never-to-be-seen"
TOKEN = "token-never-to-be-seen"  # noqa: S105 - the point of it
SIGNS = ("rho_length", "rho_questions", "rho_sympathy", "rho_overlap", "tied", "saturated", "failures")
LOGGED = {f"perm_{name}" for name in (*DIMENSIONS, "judge_ok", "empty", "latency_s", *SIGNS)}
SEEKER = "I failed the exam and nobody knows."


def asked(*replies: str, **more: Any) -> dict[str, Any]:
    """Return what is posted to `/score`."""
    return {"items": [{"query": SEEKER, "reply": reply} for reply in replies]} | more


def rollouts(*replies: str, **more: Any) -> dict[str, Any]:
    """Return what OpenRLHF posts: the prompt and what follows it, with a special token at its end."""
    prompt = f"<|user|>{SEEKER}<|assistant|>"
    return {
        "query": [f"{prompt}{reply}<|im_end|>" for reply in replies],
        "prompts": [prompt] * len(replies),
        "labels": [None] * len(replies),
    } | more


def finite_in(answer: httpx.Response) -> Any:
    """Return what an answer says, and fail on the numbers that JSON does not have."""
    assert answer.status_code == 200, answer.text

    def none_such(found: str) -> float:
        raise AssertionError(found)

    return json.loads(answer.text, parse_constant=none_such)


@contextmanager
def slow_about(words: str, limits: Limits | None = None) -> Iterator[tuple[Patient, httpx.Client]]:
    """Serve with a judge that is stuck on a prompt with these words, until it may go on or the `with` block ends."""
    patient = Patient(words)
    with loopback(patient) as judge, serving(judge.url, limits) as client, patient:
        yield patient, client


@pytest.fixture
def judge() -> Iterator[Loopback]:
    """Return a judge that is well."""
    with loopback() as seen:
        yield seen


@pytest.fixture
def client(judge: Loopback) -> Iterator[httpx.Client]:
    """Return a client of a server whose judge is well."""
    with serving(judge.url) as found:
        yield found


@pytest.fixture(scope="module")
def counting() -> Iterator[httpx.Client]:
    """Return a client of a server whose judge counts words, for requests that do not get that far."""
    with serving(None) as found:
        yield found


@pytest.fixture(scope="module")
def guarded() -> Iterator[httpx.Client]:
    """Return a client, which sends its token, of a server that wants one."""
    with serving(None, token=TOKEN) as found:
        yield found


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """Return threads for requests that wait."""
    with ThreadPoolExecutor(16) as pool:
        yield pool


class TestAnswers:
    """What is said while the judge is well."""

    def test_score_says_what_a_reward_is_made_of(self, client: httpx.Client, judge: Loopback) -> None:
        """Four judgements a reply, and the parts of the reward in the order of the items."""
        said = finite_in(client.post("/score", json=asked("I am sorry.", "So what?", step=3)))

        first, second = said["results"]
        assert (first["index"], second["index"]) == (0, 1)
        assert set(first["scores"]) == set(DIMENSIONS) == set(first["rationales"])
        assert first["reward"] == first["reward_low"] == first["reward_high"]
        assert (first["missing"], first["empty"], first["filled"], first["caveat"]) == ({}, False, False, None)
        assert len(judge.requests) == 8
        assert client.post("/score", json=asked("So what?")).json()["results"][0]["reward"] == second["reward"]
        assert len(judge.requests) == 8

    def test_only_the_very_first_judgement_is_waited_for(self) -> None:
        """One call shows whether the key is good; were all of the first batch made alone, it would take hours."""
        with loopback(latency_s=0.02) as judge, serving(judge.url) as client:
            finite_in(client.post("/score", json=asked("a", "b", "c", "d")))

        assert judge.peak > 8

    def test_score_takes_a_whole_talk(self, client: httpx.Client, judge: Loopback) -> None:
        """What the judge sees is what was said, by whom, and who the seeker is."""
        turns = [
            {"role": "seeker", "text": "Hello there."},
            {"role": "supporter", "text": "Good evening.", "analysis": "Polite."},
            {"role": "seeker", "text": SEEKER},
        ]
        item = {"reply": "Ah.", "turns": turns, "persona": "A nurse.", "scenario": "At night.", "group": "g"}

        answer = client.post("/score", json={"items": [item]})

        assert answer.status_code == 200
        prompts = json.dumps(judge.requests)
        assert all(text in prompts for text in ("Hello there.", "Good evening.", "A nurse.", "At night.", SEEKER))

    def test_nothing_asked_is_nothing_said(self, client: httpx.Client, judge: Loopback) -> None:
        """A step in which every rollout was filtered out is no error."""
        assert finite_in(client.post("/score", json={"items": []})) == {"results": []}
        assert client.post("/score/stream", json={"items": []}).text == ""
        assert finite_in(client.post("/get_reward", json=rollouts()))["rewards"] == []
        assert judge.requests == []

    def test_a_reply_that_says_nothing_has_the_lowest_reward_and_is_not_judged(
        self, client: httpx.Client, judge: Loopback
    ) -> None:
        """Silence must not pay, and costs nothing to see."""
        (said,) = finite_in(client.post("/score", json=asked("<think>hm")))["results"]

        assert (said["empty"], said["reward"], judge.requests) == (True, said["reward_low"], [])

    def test_the_stream_gives_each_line_when_it_is_ready(self) -> None:
        """Who asks about many replies goes on with the first while the judge still reads the last."""
        with slow_about("the slow one") as (patient, client):
            client.post("/score", json=asked("known", "known too"))
            with client.stream("POST", "/score/stream", json=asked("the slow one", "known", "known too")) as answer:
                lines = answer.iter_lines()
                early = [json.loads(next(lines)) for _ in range(2)]
                assert not patient.may.is_set()
                patient.may.set()
                late = [json.loads(line) for line in lines]

        assert answer.headers["content-type"] == "application/x-ndjson"
        assert {each["index"] for each in early} == {1, 2}
        assert [each["index"] for each in late] == [0]
        assert all(each["reward"] is not None for each in early + late)

    def test_openrlhf_gets_numbers_under_names_that_never_change(self, client: httpx.Client) -> None:
        """OpenRLHF makes a tensor of every list, and stacks the logs of all batches."""
        said = finite_in(client.post("/get_reward", json=rollouts("I am sorry.", "So what?", "")))
        direct = client.post("/score", json=asked("I am sorry.", "So what?")).json()["results"]

        assert said.keys() == {"rewards", "scores", "extra_logs"}
        assert said["extra_logs"].keys() == LOGGED
        assert all(isinstance(number, float) for numbers in said["extra_logs"].values() for number in numbers)
        assert all(0 <= share <= 1 for share in said["scores"])
        assert (said["extra_logs"]["perm_judge_ok"], said["extra_logs"]["perm_empty"]) == ([1, 1, 1], [0, 0, 1])
        assert len(direct) == 2

    def test_openrlhf_may_leave_labels_out_and_send_more(self, client: httpx.Client) -> None:
        """Versions differ in what they send, and a field of theirs that says nothing to us is no mistake."""
        body = rollouts("I am sorry.", model="x", images=None)
        del body["labels"]

        assert finite_in(client.post("/get_reward", json=body))["extra_logs"]["perm_judge_ok"] == [1.0]

    @pytest.mark.parametrize(
        ("prompt", "label", "seen"),
        [
            pytest.param(SEEKER, None, SEEKER, id="text"),
            pytest.param([{"role": "user", "content": SEEKER}], None, SEEKER, id="messages"),
            pytest.param("template", {"query": SEEKER, "persona": "A nurse."}, "A nurse.", id="label-object"),
            pytest.param("template", json.dumps({"query": SEEKER, "scenario": "At night."}), "At night.", id="json"),
            pytest.param(SEEKER, "no object", SEEKER, id="label-text"),
            pytest.param(SEEKER, [1, {"query": 2}], SEEKER, id="label-list"),
            pytest.param(SEEKER, {"query": {"a": 1}, "turns": 7, "persona": [None]}, SEEKER, id="label-wrong-types"),
            pytest.param([{"role": 1}, {"content": SEEKER, "role": "user"}], 1e300, SEEKER, id="message-garbage"),
            pytest.param(SEEKER, {"n": 10**40}, SEEKER, id="label-huge-number"),
        ],
    )
    def test_slime_gets_one_number(
        self, client: httpx.Client, judge: Loopback, prompt: object, label: object, seen: str
    ) -> None:
        """Slime takes the whole answer for the reward; what its label says about the seeker reaches the judge."""
        said = finite_in(
            client.post("/remote_rm", json={"prompt": prompt, "response": "I am sorry.</s>", "label": label})
        )

        assert isinstance(said, float)
        assert len(judge.requests) == 4
        assert seen in json.dumps(judge.requests)
        assert "</s>" not in json.dumps(judge.requests)

    def test_a_label_of_garbled_json_is_refused(self, client: httpx.Client, judge: Loopback) -> None:
        """Passed over, a reply would be judged without what it answers."""
        answer = client.post("/remote_rm", json={"prompt": SEEKER, "response": "I am sorry.", "label": "{no json"})

        assert (answer.status_code, judge.requests) == (422, [])
        assert "label: invalid JSON found" in answer.json()["detail"]

    @pytest.mark.parametrize("about", [{}, {"query": " "}, {"turns": []}], ids=["nothing", "blank", "no-turns"])
    def test_a_reply_to_nothing_is_refused(
        self, client: httpx.Client, judge: Loopback, about: dict[str, object]
    ) -> None:
        """A misspelt program would have every reply judged as if it were said into the void."""
        answer = client.post("/score", json={"items": [{"reply": "I am sorry.", **about}]})

        assert (answer.status_code, judge.requests) == (422, [])
        assert "query and turns are missing; send one of them, for what the reply answers" in answer.text

    def test_health_names_the_judge(self, client: httpx.Client) -> None:
        """A supervisor asks before anybody has asked for a reward."""
        assert finite_in(client.get("/healthz")) == {"status": "ok", "judge": "m", "caveat": None}

    def test_a_judge_of_no_worth_is_said_to_be_none(self) -> None:
        """Rewards of the word counter must not be taken for empathy."""
        with serving(None) as client:
            assert client.get("/healthz").json()["caveat"]
            assert finite_in(client.post("/score", json=asked("I am sorry.")))["results"][0]["caveat"]

    def test_metrics_count_what_happened(self, client: httpx.Client) -> None:
        """A dashboard shows what training cannot: how much was asked, how much is missing, how long it took."""
        client.post("/score", json=asked("a", "b"))
        client.post("/score/stream", json=asked("c", "d", "e"))
        client.post("/get_reward", json=rollouts("f"))
        client.post("/remote_rm", json={"prompt": SEEKER, "response": "g"})

        found = counted(client)

        paths = {"/score": 2, "/score/stream": 3, "/get_reward": 1, "/remote_rm": 1}
        assert {path: found[f"perm_replies_total {path}"] for path in paths} == paths
        assert [found[f"perm_missing_total {path}"] for path in paths] == [0] * 4
        assert found["perm_latency_seconds_count /score"] == 1
        assert (found["perm_waiting"], found["perm_refused_total"]) == (0, 0)

    def test_it_describes_itself(self, client: httpx.Client) -> None:
        """Clients are made of the description, and people read it."""
        said = client.get("/openapi.json").json()

        assert set(said["paths"]) == {"/score", "/score/stream", "/get_reward", "/remote_rm", "/healthz", "/metrics"}
        assert set(said["paths"]["/score"]["post"]["responses"]) == {
            "200",
            "401",
            "403",
            "408",
            "413",
            "422",
            "502",
            "503",
        }

    def test_the_description_is_read_without_a_network(self, client: httpx.Client) -> None:
        """Servers of trainers often reach nothing else, and a script from elsewhere could read the answers."""
        page = client.get("/docs")

        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert all(f"<h2>POST {path}</h2>" in page.text for path in ("/score", "/get_reward", "/remote_rm"))
        assert "<details id='ScoreRequest'>" in page.text
        assert not re.findall(r"<script|https?:|src=|@import", page.text)


ILL: dict[str, Answering] = {
    "wrong-key": lambda _: refusal(401, "no such key"),
    "unknown-model": lambda _: refusal(404, "no such model"),
    "no-credit": lambda _: refusal(402, "pay first"),
    "error": lambda _: refusal(500, "oops"),
    "too-many": lambda _: refusal(429, "slow down", **{"Retry-After": "9000"}),
    "dropped": lambda _: Answer(drop=True),
    "page": lambda _: Answer(body=b"<html>"),
    "no-choices": lambda _: Answer(body=b'{"choices": []}'),
    "no-json": lambda _: Answer(text="I would rather not say."),
    "nan": lambda _: Answer(text='{"rationale": "", "score": NaN}'),
    "infinite": lambda _: Answer(text='{"rationale": "", "score": 1e999}'),
    "off-the-scale": lambda _: Answer(text='{"rationale": "", "score": 6}'),
    "half-a-character": lambda _: Answer(text='{"rationale": "\ud800", "score": "\ud800"}'),
    "nothing": lambda _: Answer(text=""),
}


class TestIll:
    """What is said when the judge is not well."""

    @pytest.mark.parametrize("ill", ILL)
    def test_trainers_get_finite_numbers_flagged(self, ill: str) -> None:
        """A run of days must not end of its judge, nor learn from it unawares."""
        with loopback(ILL[ill]) as judge, serving(judge.url) as client:
            said = finite_in(client.post("/get_reward", json=rollouts("I am sorry.", "So what?")))
            one = finite_in(client.post("/remote_rm", json={"prompt": SEEKER, "response": "Ah."}))
            missing = counted(client)

        assert [math.isfinite(number) for number in (*said["rewards"], *said["scores"], one)] == [True] * 5
        assert said["extra_logs"].keys() == LOGGED
        assert said["extra_logs"]["perm_judge_ok"] == [0.0, 0.0]
        assert (missing["perm_missing_total /get_reward"], missing["perm_missing_total /remote_rm"]) == (2, 1)

    def test_trainers_get_finite_numbers_without_a_judge(self) -> None:
        """The judge's server may be started later, or never."""
        with loopback() as gone:
            pass
        with serving(gone.url) as client:
            said = finite_in(client.post("/get_reward", json=rollouts("I am sorry.")))
            health = client.get("/healthz")

        assert said["extra_logs"]["perm_judge_ok"] == [0.0]
        assert health.status_code == 503
        assert "no connection" in health.json()["status"]

    def test_what_came_within_the_deadline_counts_and_the_rest_is_flagged(self) -> None:
        """One slow judgement in a batch must not cost the step all the others."""
        with slow_about("the slow one", Limits(deadline_s=0.5)) as (_, client):
            quick = finite_in(client.post("/get_reward", json=rollouts("quick")))
            said = finite_in(client.post("/get_reward", json=rollouts("quick", "the slow one")))
            missing = counted(client)["perm_missing_total /get_reward"]

        assert said["extra_logs"]["perm_judge_ok"] == [1.0, 0.0]
        assert said["rewards"] == quick["rewards"] * 2  # the mean of the latest stands in
        assert missing == 1

    def test_nothing_within_the_deadline_is_a_stand_in_too(self) -> None:
        """A judge that hangs must not hang the trainer."""
        with slow_about("", Limits(deadline_s=0.05)) as (_, client):
            said = finite_in(client.post("/get_reward", json=rollouts("a", "b")))
            one = finite_in(client.post("/remote_rm", json={"prompt": SEEKER, "response": "c"}))

        assert said["extra_logs"]["perm_judge_ok"] == [0.0, 0.0]
        assert math.isfinite(one)

    @pytest.mark.parametrize("on_missing", ["none", "mean", "floor", "raise"])
    def test_trainers_get_numbers_whatever_is_to_be_done_with_the_missing(self, on_missing: str) -> None:
        """`on_missing` says what `/score` does; the other two have to answer."""
        with loopback(ILL["no-json"]) as judge, serving(judge.url, on_missing=on_missing) as client:
            said = finite_in(client.post("/get_reward", json=rollouts("a")))

        assert said["extra_logs"]["perm_judge_ok"] == [0.0]

    def test_score_says_what_is_missing(self) -> None:
        """A number that nobody gave would be taken for one that somebody did."""

        def answering(body: dict[str, Any]) -> Answer:
            return Answer(text="Hm.") if "bystander" in json.dumps(body).lower() else verdict(body)

        with loopback(answering) as judge, serving(judge.url) as client:
            (said,) = finite_in(client.post("/score", json=asked("I am sorry.")))["results"]

        assert said["reward"] is None
        assert said["missing"] == {"bystander": "unparseable"}
        assert said["reward_low"] < said["reward_high"]
        assert said["scores"]["bystander"] is None
        assert said["scores"]["reception"] is not None

    def test_score_is_refused_where_no_call_can_succeed(self) -> None:
        """The one who asks reads why, and a supervisor sees it."""
        with loopback(ILL["wrong-key"]) as judge, serving(judge.url) as client:
            answer, health = client.post("/score", json=asked("a", "b")), client.get("/healthz")
            (line,) = client.post("/score/stream", json=asked("a")).text.splitlines()

        assert (answer.status_code, health.status_code) == (502, 503)
        assert "does not accept the API key" in answer.json()["detail"]
        assert "does not accept the API key" in health.json()["status"]
        assert json.loads(line) == {"index": 0, "error": answer.json()["detail"]}
        assert len(judge.requests) == 1  # a wrong key costs one call

    def test_a_judge_that_comes_back_is_asked_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A judge that let nobody in for a minute of the night must not cost the rest of it."""
        monkeypatch.setattr(engine, "_PAUSE_S", 0.0)
        well = threading.Event()

        with (
            loopback(lambda body: verdict(body) if well.is_set() else refusal(403, "not tonight")) as judge,
            serving(judge.url) as client,
        ):
            ill = [client.post("/score", json=asked(f"{place}", f"so {place}")) for place in range(4)]
            well.set()
            again = [finite_in(client.post("/score", json=asked(f"then {place}"))) for place in range(2)]
            health = client.get("/healthz")

        assert ill[-1].status_code == 502  # given up
        assert [each["results"][0]["missing"] for each in again] == [{}, {}]
        assert health.status_code == 200


class TestBusy:
    """What happens when more is asked than the judge can do."""

    def test_score_is_refused_for_a_while_and_nobody_is_lost(self, aside: ThreadPoolExecutor) -> None:
        """A client that is told to come back does; one whose answer never comes does not know what to do."""
        with slow_about("", Limits(most_waiting=4)) as (patient, client):
            waiting = aside.submit(client.post, "/score", json=asked("a", "b", "c"))
            assert patient.asked.wait(20)
            refused = [client.post(path, json=asked("d", "e")) for path in ("/score", "/score/stream")]
            fits = aside.submit(client.post, "/score", json=asked("f"))
            until(lambda: counted(client)["perm_waiting"] == 4)
            trainer = aside.submit(client.post, "/get_reward", json=rollouts(*"ghijkl"))
            until(lambda: counted(client)["perm_waiting"] == 10)
            patient.may.set()
            answers = [each.result() for each in (waiting, fits, trainer)]
            later, found = client.post("/score", json=asked("d", "e")), counted(client)

        assert [(each.status_code, each.headers["Retry-After"]) for each in refused] == [(503, "1")] * 2
        assert [each.status_code for each in (*answers, later)] == [200] * 4
        assert finite_in(answers[2])["extra_logs"]["perm_judge_ok"] == [1.0] * 6
        assert (found["perm_refused_total"], found["perm_waiting"]) == (2, 0)

    def test_one_request_larger_than_all_that_may_wait_is_answered(self, judge: Loopback) -> None:
        """Refusing it would be refusing it for ever."""
        with serving(judge.url, Limits(most_waiting=1)) as client:
            assert client.post("/score", json=asked("a", "b", "c")).status_code == 200

    def test_of_many_at_once_each_has_its_own_answer(self, judge: Loopback, aside: ThreadPoolExecutor) -> None:
        """A trainer sends one request a rollout; a swap of two would reward the wrong words."""
        with serving(judge.url) as client:
            alone = [client.post("/get_reward", json=rollouts(f"reply {place}")).json() for place in range(16)]
        with serving(judge.url) as client:
            bodies = [rollouts(f"reply {place}") for place in range(16)]
            together = [each.json() for each in aside.map(lambda body: client.post("/get_reward", json=body), bodies)]

        assert len({each["rewards"][0] for each in alone}) > 8
        assert [each["rewards"] for each in together] == [each["rewards"] for each in alone]

    @pytest.mark.parametrize("path", ["/score", "/score/stream", "/get_reward"])
    def test_a_client_that_goes_away_costs_nothing_but_its_own_answer(
        self, aside: ThreadPoolExecutor, path: str
    ) -> None:
        """What others wait for goes on, what was being judged is kept, and no place stays taken."""
        body = rollouts("a", "b") if path == "/get_reward" else asked("a", "b")
        with slow_about("") as (patient, client):
            gone = raw(client, path, json.dumps(body).encode())
            assert patient.asked.wait(20)
            gone.close()
            other = aside.submit(client.post, path, json=body)
            until(lambda: counted(client)[f"perm_replies_total {path}"] == 4)
            patient.may.set()
            answer = other.result()
            until(lambda: counted(client)["perm_waiting"] == 0)

        assert answer.status_code == 200
        assert patient.answers == 8  # nobody paid twice


def raw(client: httpx.Client, path: str, body: bytes, framing: str = "") -> socket.socket:
    """Send a request by hand, and leave its connection open."""
    connection = socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20)
    framing = framing or f"Content-Length: {len(body)}"
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


SECRET = "what she told nobody"  # noqa: S105 - no password
GOOD_ITEM = {"query": SEEKER, "reply": SECRET}
REFUSED: dict[str, tuple[str, bytes]] = {
    name: (path, body if isinstance(body, bytes) else json.dumps(body).encode())
    for name, path, body in (
        ("nothing", "/score", b""),
        ("no-json", "/score", f"{{{SECRET}".encode()),
        ("cut", "/get_reward", f'{{"query": ["{SECRET}'.encode()),
        ("no-unicode", "/remote_rm", b'{"prompt": "what she told nobody \xff", "response": ""}'),
        ("no-object", "/score", [SECRET]),
        ("unknown-field", "/score", {"items": [GOOD_ITEM | {"replies": SECRET}]}),
        ("unknown-field-at-the-top", "/score", {"items": [GOOD_ITEM], "steps": SECRET}),
        ("missing-field", "/score", {"items": [{"query": SECRET}]}),
        ("wrong-type", "/score", {"items": [GOOD_ITEM | {"reply": {"said": SECRET}}]}),
        ("wrong-role", "/score", {"items": [GOOD_ITEM | {"turns": [{"role": SECRET, "text": SECRET}]}]}),
        ("no-step", "/score", {"items": [GOOD_ITEM], "step": SECRET}),
        ("step-of-text", "/score", {"items": [GOOD_ITEM], "step": "1"}),
        ("step-before-the-first", "/score", {"items": [GOOD_ITEM], "step": -1}),
        ("nan-step", "/score", f'{{"items": [{json.dumps(GOOD_ITEM)}], "step": NaN}}'.encode()),
        ("stream-wrong-type", "/score/stream", {"items": SECRET}),
        ("lengths", "/get_reward", {"query": [SECRET, SECRET], "prompts": [SECRET], "labels": [SECRET]}),
        ("label-lengths", "/get_reward", {"query": [SECRET], "prompts": [SECRET], "labels": []}),
        ("null-query", "/get_reward", {"query": [None, SECRET], "prompts": [SECRET, SECRET]}),
        ("half-a-character", "/score", {"items": [GOOD_ITEM | {"reply": SECRET + "\ud800"}]}),
        ("half-a-character-in-a-label", "/get_reward", rollouts(SECRET, labels=[{"persona": "\ud800"}])),
        ("half-a-character-in-a-message", "/remote_rm", {"prompt": [{"role": "user", "\udfff": ""}], "response": ""}),
        ("nan-label", "/remote_rm", f'{{"prompt": "{SECRET}", "response": "", "label": NaN}}'.encode()),
        ("infinite-label", "/remote_rm", f'{{"prompt": "{SECRET}", "response": "", "label": 1e999}}'.encode()),
        ("deep", "/score", b'{"items":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        ("deep-label", "/remote_rm", b'{"prompt":"","response":"","label":' + b"[" * 900 + b"]" * 900 + b"}"),
        ("deep-message", "/remote_rm", b'{"prompt":[' + b'{"a":' * 500 + b"1" + b"}" * 500 + b'],"response":""}'),
        ("long-text", "/score", {"items": [{"reply": SECRET * 20_000}]}),
        ("many-items", "/score", {"items": [{"reply": ""}] * 4097}),
        ("many-messages", "/remote_rm", {"prompt": [{}] * 1001, "response": SECRET}),
    )
}


class TestRefused:
    """What does not come in."""

    @pytest.mark.parametrize("wrong", REFUSED)
    def test_a_malformed_request_is_refused_without_repeating_it(self, counting: httpx.Client, wrong: str) -> None:
        """The answer ends in logs that are read by others than those who were spoken of."""
        path, body = REFUSED[wrong]

        answer = counting.post(path, content=body, headers={"Content-Type": "application/json"})

        assert answer.status_code == 422, answer.text
        assert [each.keys() for each in answer.json()["detail"]] == [{"type", "loc", "msg"}] * len(
            answer.json()["detail"]
        )
        assert SECRET not in answer.text
        assert SEEKER not in answer.text
        assert finite_in(counting.post("/score", json=asked("I am sorry.")))["results"][0]["reward"] is not None

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param({"items": []} | dict.fromkeys(map(str, range(300_000))), id="unknown fields"),
            pytest.param({"items": [dict.fromkeys(map(str, range(300_000)))]}, id="unknown fields of an item"),
            pytest.param({"items": [{"turns": [{}] * 500}] * 4096}, id="turns of items"),
            pytest.param({"query": [1] * 4096, "prompts": [1] * 4096}, id="texts"),
        ],
    )
    def test_the_first_mistakes_are_told_and_nobody_waits_for_the_rest(
        self, counting: httpx.Client, body: dict[str, Any]
    ) -> None:
        """A supervisor that asks after the server's health meanwhile would take it for dead."""
        begun = monotonic()

        answer = counting.post("/score" if "items" in body else "/get_reward", json=body)

        assert answer.status_code == 422
        assert len(answer.json()["detail"]) == 20
        assert len(answer.content) < 5_000
        assert monotonic() - begun < 5  # it was up to a minute; as it should be, it is a second

    def test_a_long_unknown_name_is_shortened(self, counting: httpx.Client) -> None:
        """It is repeated so that it is found, not sent back."""
        answer = counting.post("/score", json={"items": [], "x" * 1_000_000: 1})

        (problem,) = answer.json()["detail"]
        assert problem["loc"] == ["body", "x" * 59 + "…"]

    def test_what_is_wrong_is_told_by_its_type(self, counting: httpx.Client) -> None:
        """The words are those of the command line, without the values."""
        wrong = {"items": [{"reply": 5, "query": SECRET * 20_000, "mood": SECRET}], "step": -1}

        problems = counting.post("/score", json=wrong).json()["detail"]

        assert {problem["loc"][-1]: problem["msg"] for problem in problems} == {
            "reply": "a number found, expected text",
            "query": "text of 400,000 characters found, expected at most 200,000 characters",
            "mood": "unknown field; remove it",
            "step": "a number found, expected at least 0",
        }

    @pytest.mark.parametrize(
        "kind", [None, "", "text/plain", "application/x-www-form-urlencoded", "application/xml", "text/plain; a/json"]
    )
    @pytest.mark.parametrize("path", ["/score", "/score/stream", "/get_reward", "/remote_rm"])
    def test_a_body_that_does_not_say_it_is_json_is_refused(
        self, counting: httpx.Client, path: str, kind: str | None
    ) -> None:
        """A page in somebody's browser can send those to a server on this machine without being asked."""
        headers = {} if kind is None else {"Content-Type": kind}

        answer = counting.post(path, content=json.dumps(asked("a")), headers=headers)

        assert answer.status_code == 422
        (problem,) = answer.json()["detail"]
        assert (problem["loc"], problem["msg"]) == (["header", "content-type"], "expected application/json")

    @pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON ;x=y"])
    def test_a_body_that_says_more_than_json_is_taken(self, counting: httpx.Client, kind: str) -> None:
        """Many clients name the encoding, too."""
        answer = counting.post("/score", content=json.dumps(asked("a")), headers={"Content-Type": kind})

        assert answer.status_code == 200

    def test_an_unknown_path_and_method_are_refused(self, counting: httpx.Client) -> None:
        """A trainer with a wrong address sees so at once."""
        assert counting.post("/rewards", json={}).status_code == 404
        assert counting.get("/get_reward").status_code == 405

    @pytest.mark.parametrize("framing", ["announced", "chunked"])
    @pytest.mark.parametrize("path", ["/score", "/get_reward"])
    def test_a_body_that_is_too_large_is_refused(self, path: str, framing: str) -> None:
        """Whatever it says of its length, it does not fill the memory."""
        body = b'{"items": "' + b"x" * 3000 + b'"}'
        content: Any = body if framing == "announced" else iter([body[:1000], body[1000:]])

        with serving(None, Limits(most_bytes=2000)) as client:
            answer = client.post(path, content=content, headers={"Content-Type": "application/json"})
            after = client.post("/score", json=asked("a"))

        assert (answer.status_code, after.status_code) == (413, 200)
        assert answer.json() == {"detail": "the body is too large, expected at most 2,000 bytes"}

    def test_a_body_of_just_the_limit_is_not_too_large(self) -> None:
        """The limit is the largest that is taken."""
        body = json.dumps(asked("a")).encode()

        with serving(None, Limits(most_bytes=len(body))) as client:
            found = [client.post("/score", content=each, headers={"Content-Type": "application/json"}).status_code
                     for each in (body, body + b" ")]  # fmt: skip

        assert found == [200, 413]

    def test_whoever_announces_too_much_need_not_send_it(self, counting: httpx.Client) -> None:
        """The answer is there before the body."""
        with raw(counting, "/score", b"", "Content-Length: 16000001") as connection:
            assert connection.recv(12) == b"HTTP/1.1 413"

    def test_a_reply_of_nothing_but_spaces_is_read_at_once(self, counting: httpx.Client) -> None:
        """A policy that has degenerated writes those, and everybody waits while they are read."""
        bad = [" " * 199_000 + "x", "\n" * 199_000 + "x", "</s>" * 49_000 + "x", "<think>" * 28_000]
        begun = monotonic()

        finite_in(counting.post("/get_reward", json=rollouts(*bad)))

        assert monotonic() - begun < 5  # it was minutes; as it should be, it is a fraction of a second


class TestHost:
    """Whom a request must be for, where there is no token."""

    @pytest.mark.parametrize(
        "host",
        ["attacker.test", "attacker.test:80", "localhost.attacker.test", "10.0.0.5", "[::2]:80", "[::1", "x@y", ""],
    )
    @pytest.mark.parametrize("path", ["/score", "/get_reward", "/healthz", "/metrics", "/openapi.json", "/docs"])
    def test_a_request_for_another_machine_is_refused(self, counting: httpx.Client, path: str, host: str) -> None:
        """A web page whose own name comes to point here reads the answers as its own."""
        answers = [
            counting.post(path, json=asked("a"), headers={"Host": host}),
            counting.get(path, headers={"Host": host}),
        ]

        assert [answer.status_code for answer in answers] == [403, 403]
        assert "Host" in answers[0].json()["detail"]

    @pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:5000"])
    def test_every_name_of_loopback_is_served(self, counting: httpx.Client, host: str) -> None:
        """Clients call this machine as they like, and come through forwarded ports."""
        assert counting.post("/score", json=asked("a"), headers={"Host": host}).status_code == 200

    def test_with_the_token_every_host_is_served(self, guarded: httpx.Client) -> None:
        """No web page knows it."""
        assert guarded.post("/score", json=asked("a"), headers={"Host": "attacker.test"}).status_code == 200

    @pytest.mark.parametrize(
        ("asked_for", "listening", "served"),
        [
            ("node7:5000", "node7", True),
            ("10.0.0.5:5000", "10.0.0.5", True),
            ("10.0.0.6:5000", "10.0.0.5", False),
            ("node8", "node7", False),
            ("10.0.0.6:5000", "0.0.0.0", True),  # noqa: S104 - only compared
            ("[fd00::7]:5000", "::", True),
            ("node7:5000", "0.0.0.0", False),  # noqa: S104 - the same
        ],
    )
    def test_elsewhere_the_address_listened_on_is_served(self, asked_for: str, listening: str, served: bool) -> None:
        """Where it listens on all, every address is; a name may be made to point anywhere."""
        assert is_served(asked_for, listening) == served


class TestToken:
    """Who may ask, and what nobody is told."""

    @pytest.mark.parametrize(
        "given",
        [None, "", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer", "Bearer \xe9"],
    )
    def test_without_the_token_nothing_is_said(self, guarded: httpx.Client, given: str | None) -> None:
        """Whoever reaches the server could else spend the judge's money."""
        headers = {} if given is None else {"Authorization": given.encode("latin-1")}

        with stranger_to(guarded) as stranger:
            for path in ("/score", "/score/stream", "/get_reward", "/remote_rm", "/metrics", "/openapi.json", "/docs"):
                answer = stranger.post(path, json=asked("a"), headers=headers)

                assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
                assert answer.json() == {"detail": "wrong or no token found, expected Authorization: Bearer TOKEN"}

    @pytest.mark.parametrize("path", ["/healthz", "/docs"])
    def test_health_and_description_are_open(self, guarded: httpx.Client, path: str) -> None:
        """A supervisor has no token, and a browser cannot send it."""
        with stranger_to(guarded) as stranger:
            assert stranger.get(path).status_code == 200

    def test_with_the_token_all_is_as_without_one(self, guarded: httpx.Client) -> None:
        """The client of this fixture sends it."""
        assert guarded.post("/score", json=asked("a")).status_code == 200
        assert guarded.get("/metrics").status_code == 200

    @pytest.mark.parametrize("status", [200, 401, 500])
    def test_key_and_token_are_in_no_answer_no_log_and_no_metric(
        self, status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: Any
    ) -> None:
        """A provider may repeat the key it does not like, and logs are read by many."""
        monkeypatch.setenv("JUDGE_KEY", KEY)
        caplog.set_level(logging.DEBUG)

        def answering(body: dict[str, Any]) -> Answer:
            return verdict(body) if status == 200 else refusal(status, f"Incorrect API key provided: {KEY}")

        with (
            loopback(answering) as judge,
            serving(judge.url, token=TOKEN, api_key_env="JUDGE_KEY") as client,
        ):
            said = [client.post(path, json=asked("a", "b")) for path in ("/score", "/score/stream")]
            said += [client.post("/get_reward", json=rollouts("c")), client.post("/score", content=b"{")]
            said += [client.get(path) for path in ("/healthz", "/metrics", "/openapi.json", "/docs")]
            said += [client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}x"})]

        assert judge.headers[0]["Authorization"] == f"Bearer {KEY}"
        everything = [each.text + str(each.headers) for each in said] + [caplog.text, *capfd.readouterr()]
        assert not [each for each in everything if KEY in each or TOKEN in each]


class TestOperator:
    """Mistakes that are no request's are said before the server listens."""

    @pytest.mark.parametrize(
        "wishes",
        [
            pytest.param({"length_penalty": 0.001, "tokenizer": "policy"}, id="nobody counts"),
            pytest.param({"run": __file__}, id="a run that is a file"),
        ],
    )
    def test_settings_that_cannot_serve_are_refused(self, wishes: dict[str, Any]) -> None:
        """Else trainers would get stand-ins for ever."""
        with pytest.raises(PermError):
            make_app(reward_settings(judge="baseline", **wishes), Limits())
