"""`perm serve` as typed: it starts, loses no answer when it is stopped, and says in a line what is wrong."""

import os
import re
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.commands import Perm, runner
from tests.loopback import loopback, refusal
from tests.programs import Program, started
from tests.serving import NO_TLS, Patient, until

ITEM = {"items": [{"query": "I failed.", "reply": "That hurts."}]}
TOKEN = "token-never-to-be-seen"  # noqa: S105 - the point of it
KEY = "sk-never-to-be-seen"


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line."""
    return runner(monkeypatch, capsys)


@contextmanager
def served(url: str, *more: str, variables: Mapping[str, str] | None = None) -> Iterator[tuple[Program, httpx.Client]]:
    """Start the server on a free port, and yield it with a client as soon as it says that it listens."""
    command = ("serve", "--judge", "m", "--base-url", url, "--port", 0, *more)
    with started(*command, **variables or {}) as program:
        program.until(lambda: "\n" in program.err)
        where = re.fullmatch(r"listening on (http://127.0.0.1:\d+), judged by m; see /docs\n", program.err)
        assert where, program.err
        with httpx.Client(base_url=where[1], timeout=30, verify=NO_TLS) as client:
            yield program, client


@contextmanager
def taken() -> Iterator[int]:
    """Take a port, and yield its number."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


@pytest.mark.skipif(os.name == "nt", reason="signals are those of Unix")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_whoever_waits_when_it_is_told_to_stop_gets_an_answer(number: signal.Signals) -> None:
    """A rollout of the server must not cost a training step, and a supervisor reads the exit code."""
    with (
        Patient("") as patient,
        loopback(patient) as judge,
        ThreadPoolExecutor(1) as aside,
        served(judge.url) as (program, client),
        patient,
    ):
        waiting = aside.submit(client.post, "/score", json=ITEM)
        assert patient.asked.wait(20)
        program.process.send_signal(number)
        until(lambda: is_closed(client))
        patient.may.set()
        answer = waiting.result()
        ended = program.ended(20)

    assert answer.status_code == 200
    assert answer.json()["results"][0]["missing"] == {}
    assert (ended.code, ended.err.splitlines()[1:]) == (0, ["stopped"])


def is_closed(client: httpx.Client) -> bool:
    """Tell whether nobody is let in any more."""
    with suppress(ConnectionError):
        socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=5).close()
        return False
    return True


@pytest.mark.skipif(os.name == "nt", reason="signals are those of Unix")
def test_key_and_token_are_not_in_what_it_says() -> None:
    """What a server says is kept in logs, and a judge may repeat the key it does not like."""
    secrets = {"JUDGE_KEY": KEY, "TOKEN": TOKEN, "PERM_API_KEY_ENV": "JUDGE_KEY"}

    with (
        loopback(lambda _: refusal(401, f"Incorrect API key provided: {KEY}")) as judge,
        served(judge.url, "--token-env", "TOKEN", variables=secrets) as (program, client),
    ):
        refused = client.post("/score", json=ITEM)
        answer = client.post(
            "/get_reward", json={"query": ["a"], "prompts": [""]}, headers={"Authorization": f"Bearer {TOKEN}"}
        )
        health = client.get("/healthz")
        program.process.send_signal(signal.SIGTERM)
        err = program.ended(20).err

    assert [each.status_code for each in (refused, answer, health)] == [401, 200, 503]
    assert judge.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert "does not accept the API key" in err
    assert not [each for each in (err, refused.text, answer.text, health.text) if KEY in each or TOKEN in each]


def test_a_port_in_use_is_said_in_a_line(perm: Perm) -> None:
    """The usual mistake: the last server still runs."""
    with taken() as port:
        done = perm("serve", "--judge", "baseline", "--port", port)

    assert done.code == 1
    assert done.err == f"perm: --host 127.0.0.1 --port {port}: cannot listen there: Address already in use\n"


def test_an_address_that_is_not_this_machines_is_said_in_a_line(perm: Perm) -> None:
    """A name that resolves to nothing, or to another machine."""
    done = perm("serve", "--judge", "baseline", "--host", "192.0.2.1", "--port", 0)

    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        "perm: --host 192.0.2.1 --port 0: cannot listen there: Cannot assign requested address"
    )


EVERYWHERE = "0.0.0.0"  # noqa: S104 - the port is taken


@pytest.mark.parametrize(
    ("host", "warned"), [(EVERYWHERE, True), ("127.0.0.1", False), ("localhost", False), ("127.9.9.9", False)]
)
def test_listening_to_others_without_a_token_is_warned_of(
    perm: Perm, host: str, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reaches it may spend the judge's money. The port is taken, so that it never does listen."""
    monkeypatch.setenv("TOKEN", TOKEN)
    with taken() as port, socket.create_server((host, port) if host == "127.9.9.9" else ("127.0.0.1", 0)):
        bare = perm("serve", "--judge", "baseline", "--host", host, "--port", port)
        with_token = perm("serve", "--judge", "baseline", "--host", host, "--port", port, "--token-env", "TOKEN")

    assert ("anyone who can reach it can use your judge" in bare.err) == warned
    assert "anyone who can reach it" not in with_token.err
    assert (bare.code, with_token.code) == (1, 1)
    assert TOKEN not in with_token.err


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_token_that_is_not_there_stops_it(perm: Perm, value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable must not open the server to everybody."""
    monkeypatch.delenv("TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("TOKEN", value)

    done = perm("serve", "--judge", "baseline", "--token-env", "TOKEN")

    assert (done.code, done.err) == (1, "perm: --token-env: no token found in TOKEN, expected one\n")


@pytest.mark.parametrize("module", ["uvicorn", "fastapi", "prometheus_client"])
def test_a_missing_extra_is_said_in_a_line(perm: Perm, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is an extra, and who has not installed it reads how to."""
    monkeypatch.setitem(sys.modules, module, None)
    for ours in ("app", "connections"):
        monkeypatch.delitem(sys.modules, f"perm_cli.serving.{ours}", raising=False)

    done = perm("serve", "--judge", "baseline")

    assert (done.code, done.err) == (1, f"perm: {module} not found; install it with pip install 'perm-cli[serve]'\n")


def test_no_judge_stops_it(perm: Perm) -> None:
    """A trainer that gets stand-ins only learns nothing, and would not say so."""
    done = perm("serve")

    assert done.code == 1
    assert "no judge is named; pass judge with a model such as" in done.err


def test_broken_rubrics_stop_it(perm: Perm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would else be found by the first request, hours later."""
    monkeypatch.setenv("PERM_RUBRICS", str(tmp_path / "none"))

    done = perm("serve", "--judge", "baseline", "--port", 0)

    assert done.code == 1
    assert str(tmp_path / "none") in done.err
    assert "listening" not in done.err
