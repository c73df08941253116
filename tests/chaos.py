"""
What the chaos suite is made of: a judge that falls ill, dies and comes back, and what is in a run folder afterwards.

With `PERM_SOAK=N` in the environment the suite runs longer, with faults and moments drawn anew from the seed N.
"""

import asyncio
import json
import os
import random
import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import md5
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, Self

from aiohttp import web

from tests.loopback import Answer, Answering, verdict

SEED = int(os.environ.get("PERM_SOAK") or 0)
SOAK = bool(SEED)
KEY = "sk-never-to-be-seen"

# What a run of these faults costs: one more request each. A call needs 1 / (1 - their sum) = 1.68 requests on average.
FAULTS = {"429": 0.2, "500": 0.1, "drop": 0.05, "garbage": 0.03, "cut": 0.02, "hang": 0.005}
# How a rating says which of them was the last.
REASONS = {
    "rate_limited": "429",
    "server": "500",
    "connection": "drop",
    "unparseable": "garbage",
    "truncated": "cut",
    "timeout": "hang",
}


def sized(usual: int, soak: int) -> int:
    """Return how many of something a test takes, by the length of the suite."""
    return soak if SOAK else usual


def free_port() -> int:
    """
    Return a port that nobody listens on.

    It lies below those that the system gives to clients, which could otherwise take it while a judge is away, or
    even connect to themselves.
    """
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no free port found")


def dice(name: str) -> random.Random:
    """Return a source of random numbers that is the same for the same test and seed."""
    return random.Random(f"{SEED}/{name}")  # noqa: S311 - a game of chance, no secret


class Asked(NamedTuple):
    """Hold what reached a server: the target of its request line, and its headers."""

    target: str
    headers: Mapping[str, str]


@dataclass(kw_only=True)
class Judge:
    """
    Serve verdicts on the loopback, with faults that follow from a request's hash and the number of its attempt.

    `dealt` has for every prompt what each of its attempts got: the name of a fault, or nothing.
    """

    answering: Answering = verdict
    latency_s: float = 0.0
    faults: Mapping[str, float] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    port: int = field(default_factory=free_port)
    asked: list[Asked] = field(default_factory=list)
    dealt: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def url(self) -> str:
        """Return the address to give as --base-url."""
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()

    def start(self) -> None:
        """Listen, always on the same port."""
        up = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=[self._serve(up)])
        self._thread.start()
        assert up.wait(10)

    def die(self) -> None:
        """Drop every connection and listen no more, as a killed process does."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()

    def restart(self) -> None:
        """Die, if alive, and come back."""
        self.die()
        self.start()

    async def _serve(self, up: threading.Event) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = web.Server(self._respond, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=0.05)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=self.tls, reuse_address=True)
        await site.start()
        up.set()
        await self._over.wait()
        await site.stop()
        for connection in server.connections:
            if connection.transport:
                connection.transport.abort()
        await runner.cleanup()

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(Asked(request.raw_path, request.headers))
        fault = self._fault(body)
        await asyncio.sleep(3600 if fault == "hang" else self.latency_s)
        answer = self._answer(body, fault)
        if answer.drop and request.transport:
            request.transport.abort()
        content = json.dumps(_envelope(body, answer)).encode() if answer.body is None else answer.body
        return web.Response(
            status=answer.status, body=content, headers={"Content-Type": "application/json", **answer.headers}
        )

    def _fault(self, body: Mapping[str, Any]) -> str:
        prompt = md5(json.dumps([body["messages"], body.get("seed")]).encode(), usedforsecurity=False).hexdigest()
        attempts = self.dealt[prompt]
        roll = dice(f"{prompt}/{len(attempts)}").random()
        edges = accumulate(self.faults.values())
        fault = next((name for name, edge in zip(self.faults, edges, strict=True) if roll < edge), "")
        attempts.append(fault)
        return fault

    def _answer(self, body: dict[str, Any], fault: str) -> Answer:
        if fault.isdecimal():
            message = json.dumps({"error": {"message": f"fault {fault}"}}).encode()
            return Answer(status=int(fault), body=message, headers={"Retry-After": "0"} if fault == "429" else {})
        if fault == "drop":
            return Answer(drop=True)
        if fault == "garbage":
            return Answer(text="I would rather talk about the weather.")
        answer = self.answering(body)
        return Answer(text=answer.text[:12], finish_reason="length") if fault == "cut" else answer


def _envelope(body: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer.text}
    return {
        "model": f"{body['model']}-served",
        "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }


def lines_of(run: Path) -> list[bytes]:
    """Return the whole lines of a run's ratings."""
    path = run / "ratings.jsonl"
    return (
        [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")] if path.exists() else []
    )


def ratings_of(run: Path) -> list[dict[str, Any]]:
    """Return the ratings of a run in the order they arrived, without the lines that hold none."""
    ratings = []
    for line in lines_of(run):
        try:
            rating = json.loads(line)
        except ValueError:
            continue
        if isinstance(rating, dict) and isinstance(rating.get("key"), str):
            ratings.append(rating)
    return ratings


def outcome_of(run: Path) -> dict[tuple[str, str], tuple[str, float | None]]:
    """Return what each question came to in the end; judges on other ports have other keys, so not by key."""
    return {(r["dialogue_id"], r["dimension"]): (r["status"], r["score"]) for r in ratings_of(run)}
