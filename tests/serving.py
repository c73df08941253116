"""The reward server for tests: the application in a real server, and a judge that answers when it is told to."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Self

import httpx
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from perm_cli.serving.app import make_app
from perm_cli.serving.connections import server_of
from perm_cli.serving.limits import Limits
from perm_cli.training.settings import reward_settings
from tests.loopback import Answer, verdict

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading all certificates takes longer than most of these tests


@contextmanager
def listening(app: FastAPI, limits: Limits | None = None) -> Iterator[str]:
    """Serve an application for the time of the `with` block, from a thread, and yield its address."""
    server = server_of(app, limits or Limits(deadline_s=5))
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def serving(
    at: str | None, limits: Limits | None = None, token: str | None = None, **wishes: Any
) -> Iterator[httpx.Client]:
    """
    Serve rewards by the judge at an address, the word counter if it is None, and yield a client.

    A call that fails is not tried for long.
    """
    settings = reward_settings(**{"judge": "m" if at else "baseline", "base_url": at, "patience_s": 0.01} | wishes)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with (
        listening(make_app(settings, limits or Limits(), token), limits) as url,
        httpx.Client(base_url=url, headers=headers, timeout=30, verify=NO_TLS) as client,
    ):
        yield client


def stranger_to(client: httpx.Client) -> httpx.Client:
    """Return a client of the same server that does not know its token."""
    return httpx.Client(base_url=client.base_url, timeout=30, verify=NO_TLS)


class Patient:
    """A judge that is stuck on prompts with some words until it may go on, and then has an answer for everybody."""

    def __init__(self, words: str) -> None:
        self.asked = threading.Event()
        self.may = threading.Event()
        self.answers = 0
        self._words = words

    def __call__(self, body: dict[str, Any]) -> Answer:
        """Answer, in the end; until then nobody else has an answer either."""
        if self._words in json.dumps(body):
            self.asked.set()
            assert self.may.wait(20)
        self.answers += 1
        return verdict(body)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.may.set()


def counted(client: httpx.Client) -> dict[str, float]:
    """Return the samples of `/metrics` by name, with the path where there is one."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").raise_for_status().text)
        for sample in family.samples
    }


def until(true: Callable[[], bool]) -> None:
    """Look again and again, for a change in another thread that nothing announces."""
    end = monotonic() + 20
    while not true():
        assert monotonic() < end
