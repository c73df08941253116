"""
A real HTTP server on this machine's loopback that answers as a judge's endpoint would.

What it answers is a function from a request to an `Answer`; without one, it gives deterministic verdicts that fit
the schema asked for. It speaks OpenAI's chat completions and Anthropic's messages.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any

from aiohttp import web


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Say what to answer: a text in the usual envelope, or a body of its own."""

    text: str = ""
    finish_reason: str = "stop"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    message: Mapping[str, Any] = field(default_factory=dict)
    logprobs: Any = None
    drop: bool = False


@dataclass(kw_only=True)
class Loopback:
    """Count and keep what was asked."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    in_flight: int = 0
    peak: int = 0


Answering = Callable[[dict[str, Any]], Answer]


def refusal(status: int, message: str, **headers: str) -> Answer:
    """Return an error as OpenAI shapes it."""
    return Answer(status=status, body=json.dumps({"error": {"message": message}}).encode(), headers=headers)


def verdict(body: Mapping[str, Any]) -> Answer:
    """Return a verdict that fits the request, always the same for the same request."""
    seed = md5(json.dumps(body["messages"]).encode(), usedforsecurity=False).digest()
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        properties = form["json_schema"]["schema"]["properties"]
        values = {
            name: rule["enum"][seed[place] % len(rule["enum"])] if "enum" in rule else "Names what it means."
            for place, (name, rule) in enumerate(properties.items())
        }
        return Answer(text=json.dumps(values))
    return Answer(text=json.dumps({"rationale": "Names what it means.", "score": seed[0] % 5 + 1}))


@contextmanager
def loopback(answering: Answering = verdict, latency_s: float = 0.0) -> Iterator[Loopback]:
    """Serve for the time of the `with` block, from a thread with an event loop of its own."""
    seen = Loopback()
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    runner: list[web.AppRunner] = []

    async def chat(request: web.Request) -> web.StreamResponse:
        return await _respond(request, _openai)

    async def messages(request: web.Request) -> web.StreamResponse:
        return await _respond(request, _anthropic)

    async def _respond(
        request: web.Request, envelope: Callable[[dict[str, Any], Answer], dict[str, Any]]
    ) -> web.StreamResponse:
        body = await request.json()
        seen.requests.append(body)
        seen.headers.append(request.headers)
        seen.in_flight += 1
        seen.peak = max(seen.peak, seen.in_flight)
        if latency_s:
            await asyncio.sleep(latency_s)
        seen.in_flight -= 1
        answer = answering(body)
        if answer.drop and request.transport:
            request.transport.abort()
        content = json.dumps(envelope(body, answer)).encode() if answer.body is None else answer.body
        headers = {"Content-Type": "application/json", **answer.headers}
        return web.Response(status=answer.status, body=content, headers=headers)

    async def start() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", chat)
        app.router.add_post("/v1/messages", messages)
        runner.append(web.AppRunner(app, access_log=None))
        await runner[0].setup()
        site = web.TCPSite(runner[0], "127.0.0.1", 0)
        await site.start()
        seen.url = f"http://127.0.0.1:{runner[0].addresses[0][1]}/v1"

    def serve() -> None:
        loop.run_until_complete(start())
        loop.call_soon(ready.set)  # in the loop that `stop` is to end, and not before it
        loop.run_forever()
        loop.run_until_complete(runner[0].cleanup())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait()
    try:
        yield seen
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _openai(body: dict[str, Any], answer: Answer) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": f"{body['model']}-served",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer.text, **answer.message},
                "finish_reason": answer.finish_reason,
                "logprobs": answer.logprobs,
            }
        ],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "total_tokens": 110,
            "prompt_tokens_details": {"cached_tokens": 60},
        },
    }


def _anthropic(body: dict[str, Any], answer: Answer) -> dict[str, Any]:
    tools = body.get("tools") or []
    content: list[dict[str, Any]] = [{"type": "text", "text": answer.text}]
    if tools:
        content = [{"type": "tool_use", "id": "toolu_1", "name": tools[0]["name"], "input": json.loads(answer.text)}]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 10},
    }
