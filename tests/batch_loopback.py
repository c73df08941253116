"""
A real HTTP server on this machine's loopback that takes batches as OpenAI and Anthropic do.

It serves OpenAI's files, batches and chat completions, Anthropic's message batches and messages. One function says
what a request is answered, live and in a batch. Shapes follow the providers' SDKs and references; a comment marks
what they do not say.
"""

import asyncio
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any, Literal

from aiohttp import web

from tests.loopback import Answer, _anthropic, _openai, refusal, verdict

Fate = Literal["expired", "cancelled", "timed_out", "lost"]
Outcome = Answer | Fate

_OPENAI_LIMITS = (50_000, 200_000_000)
_ANTHROPIC_LIMITS = (100_000, 256_000_000)
_CHAT, _CHAT_FIELDS = "/v1/chat/completions", ("model", "messages")
_MESSAGES, _MESSAGE_FIELDS = "/v1/messages", ("model", "max_tokens", "messages")
_DAY_S = 86_400
_ERROR_STATUS = 400
_FATES = {
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "cancelled": ("batch_cancelled", "The batch was cancelled before this request executed."),
    "timed_out": ("request_timeout", "The underlying call to the model timed out."),
}
_ANTHROPIC_FATES = {"expired": "expired", "cancelled": "canceled"}
_ANTHROPIC_ERRORS = {
    401: "authentication_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large",
    429: "rate_limit_error", 500: "api_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Fault:
    """
    Answer the nth call (None: each) with something else, `after` it took effect or instead.

    A call is named as it is counted: `POST /v1/batches`, `GET /v1/batches/{id}`. `Answer(drop=True)` hangs up.
    """

    call: str
    nth: int | None = 1
    answer: Answer = field(default_factory=lambda: Answer(status=500))
    after: bool = False


@dataclass(kw_only=True)
class Batch:
    """Keep a batch as it was submitted (`rows`) and as it is `shown`."""

    shown: dict[str, Any]
    rows: list[dict[str, Any]]
    mistakes: list[dict[str, Any]] = field(default_factory=list)
    results: bytes = b""
    kept_s: int | None = None
    polls: int = 0

    @property
    def is_openai(self) -> bool:
        """Tell whose batch it is."""
        return "status" in self.shown

    @property
    def status(self) -> str:
        """Return the status in its provider's words."""
        return str(self.shown["status" if self.is_openai else "processing_status"])

    @property
    def is_over(self) -> bool:
        """Tell whether it has ended, well or not."""
        return self.status in {"completed", "failed", "expired", "cancelled", "ended"}


@dataclass(kw_only=True)
class BatchLoopback:
    """
    Steer the server, and see what it was sent.

    A batch moves one stage with every `polls`th GET of it, or by `advance` alone where `polls` is None. OpenAI's
    stages are validating, in_progress, finalizing, completed; Anthropic's in_progress, ended. `outcomes` goes by
    custom_id and before `answering`, which is given a request's body, Anthropic's schema put where OpenAI's is.
    Of a cancelled batch the first `done_at_cancel` requests are done. `max_enqueued` counts the requests OpenAI
    takes into unfinished batches, in place of its limit on tokens. Other limits are the provider's own unless set.
    """

    answering: Callable[[dict[str, Any]], Outcome] = verdict
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    polls: int | None = 1
    key: str | None = None
    max_requests: int | None = None
    max_bytes: int | None = None
    max_enqueued: int | None = None
    done_at_cancel: int = 1
    clock: Callable[[], float] = time.time
    url: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    batches: dict[str, Batch] = field(default_factory=dict)
    files: dict[str, tuple[dict[str, Any], bytes]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(1), repr=False)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def submitted(self) -> list[dict[str, Any]]:
        """Return every row of every batch as it was sent: what is sent twice is there twice."""
        return [row for batch in self.batches.values() for row in batch.rows]

    def advance(self, batch_id: str | None = None, stages: int = 1) -> None:
        """Move one batch, or all of them, on."""
        with self.lock:
            for batch in [self.batches[batch_id]] if batch_id else self.batches.values():
                for _ in range(stages):
                    if not batch.is_over:
                        (_move_openai if batch.is_openai else _move_anthropic)(self, batch)

    def finish(self, batch_id: str | None = None) -> None:
        """Move one batch, or all of them, to the end."""
        self.advance(batch_id, stages=3)

    def outcome(self, body: dict[str, Any], fields: tuple[str, ...], custom_id: str = "") -> Outcome:
        """Return what becomes of a request, live or in a batch."""
        absent = [name for name in fields if name not in body]
        if absent:
            return refusal(400, f"{absent[0]}: Field required")
        return self.outcomes.get(custom_id) or self.answering(_asked(body))

    def outcomes_of(self, batch: Batch, place: str, fields: tuple[str, ...]) -> Iterator[tuple[str, Any, Outcome]]:
        """Yield custom_id, body and outcome, in another order than they were sent in."""
        done = self.done_at_cancel if batch.status.startswith("cancel") else len(batch.rows)
        for number, row in reversed(list(enumerate(batch.rows))):
            outcome = self.outcome(row[place], fields, row["custom_id"]) if number < done else "cancelled"
            if outcome != "lost":
                yield row["custom_id"], row[place], outcome

    def add_file(self, content: bytes, purpose: str, filename: str, kept_s: int | None) -> dict[str, Any]:
        """Store a file and return what is shown of it."""
        name, now = f"file-{next(self.numbers)}", int(self.clock())
        shown = {"id": name, "object": "file", "bytes": len(content), "created_at": now, "filename": filename}
        shown |= {"purpose": purpose, "status": "processed", "expires_at": now + kept_s if kept_s else None}
        self.files[name] = (shown, content)
        return shown


class RefusedError(Exception):
    """A request is refused with an HTTP status; `_error` gives it its provider's shape."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param


@dataclass(frozen=True, kw_only=True)
class _Call:
    """A request whose body has been read."""

    request: web.Request
    body: bytes
    form: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.request.match_info["id"]

    def json(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.body))
        except (ValueError, TypeError):
            raise RefusedError(400, "We could not parse the JSON body of your request.") from None


@contextmanager
def batch_loopback(
    answering: Callable[[dict[str, Any]], Outcome] = verdict, **controls: Any
) -> Iterator[BatchLoopback]:
    """Serve for the time of the `with` block, from a thread with an event loop of its own."""
    server = BatchLoopback(answering=answering, **controls)
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=2**30)
        for name in _ROUTES:
            method, path = name.split()
            app.router.add_route(method, path, partial(_respond, server, name))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner

    def serve() -> None:
        runner = loop.run_until_complete(start())
        loop.call_soon(ready.set)  # in the loop that `stop` is to end, and not before it
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _respond(server: BatchLoopback, name: str, request: web.Request) -> web.StreamResponse:
    """Count a request, do what it asks unless a fault forbids, and answer."""
    form = await request.post() if request.content_type == "multipart/form-data" else {}
    call = _Call(request=request, body=b"" if form else await request.read(), form=form)
    server.counts[name] += 1
    server.headers.append(request.headers)
    nth = (server.counts[name], None)
    fault = next((fault for fault in server.faults if fault.call == name and fault.nth in nth), None)
    try:
        _check_headers(server, request)
        said = None if fault and not fault.after else _ROUTES[name](server, call)
    except RefusedError as refused:
        return web.json_response(_error(request.path, refused), status=refused.status)
    said = fault.answer if fault else said
    if isinstance(said, Answer):
        return _sent(request, said)
    return web.Response(body=said) if isinstance(said, bytes) else web.json_response(said)


def _sent(request: web.Request, answer: Answer) -> web.Response:
    if answer.drop and request.transport:
        request.transport.abort()
    error = _error(request.path, RefusedError(answer.status, "The server had an error.", "server_error"))
    body = _bytes(error) if answer.body is None else answer.body
    return web.Response(status=answer.status, body=body, headers={"Content-Type": "application/json", **answer.headers})


def _check_headers(server: BatchLoopback, request: web.Request) -> None:
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not request.path.startswith(_MESSAGES):
        if server.key and bearer != server.key:
            raise RefusedError(401, "Incorrect API key provided.", "invalid_api_key")
        return
    # The reference names x-api-key; Anthropic's own SDK 2 sends the key as a bearer.
    given = request.headers.get("x-api-key") or bearer
    if not given or (server.key and given != server.key):
        raise RefusedError(401, "invalid x-api-key" if given else "x-api-key header is required")
    if "anthropic-version" not in request.headers:
        raise RefusedError(400, "anthropic-version: header is required")


def _error(path: str, refused: RefusedError) -> dict[str, Any]:
    if path.startswith(_MESSAGES):
        kind = _ANTHROPIC_ERRORS.get(refused.status, "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": refused.message}, "request_id": "req_1"}
    kind = "invalid_request_error" if refused.status in range(400, 500) else "server_error"
    return {"error": {"message": refused.message, "type": kind, "param": refused.param, "code": refused.code}}


def _bytes(*values: Any) -> bytes:
    return b"\n".join(json.dumps(value).encode() for value in values)


def _content(path: str, body: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """Return what an endpoint says to a request, an error in its provider's shape."""
    if answer.status < _ERROR_STATUS and answer.body is None:
        return (_openai if path == _CHAT else _message)(body, answer)
    said: dict[str, Any] = json.loads(answer.body or b"{}")
    if answer.status < _ERROR_STATUS or "type" in said:
        return said
    error = {"message": "The server had an error.", **said.get("error", {})}
    return _error(path, RefusedError(answer.status, error["message"], error.get("code"), error.get("param")))


def _live(server: BatchLoopback, call: _Call) -> Answer:
    server.requests.append(body := call.json())
    path = call.request.path
    outcome = server.outcome(body, _CHAT_FIELDS if path == _CHAT else _MESSAGE_FIELDS)
    answer = outcome if isinstance(outcome, Answer) else refusal(503, outcome)
    return replace(answer, body=_bytes(_content(path, body, answer)))


def _batch(server: BatchLoopback, call: _Call) -> Batch:
    if call.name not in server.batches:
        raise RefusedError(404, f"No batch found with id '{call.name}'.")
    return server.batches[call.name]


def _show_batch(server: BatchLoopback, call: _Call) -> dict[str, Any]:
    batch = _batch(server, call)
    batch.polls += 1
    if server.polls and batch.polls % server.polls == 0:
        server.advance(call.name)
    return batch.shown


def _list_batches(server: BatchLoopback, call: _Call) -> dict[str, Any]:
    """Return a page of a provider's batches, newest first."""
    query, is_openai = call.request.query, call.request.path == "/v1/batches"
    newest = [batch.shown for batch in server.batches.values() if batch.is_openai == is_openai][::-1]
    after = query.get("after" if is_openai else "after_id")
    rest = newest[[shown["id"] for shown in newest].index(after) + 1 :] if after else newest
    page = rest[: int(query.get("limit", 20))]
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
    return ({"object": "list"} if is_openai else {}) | {"data": page, "has_more": len(rest) > len(page), **ends}


def _cancel(server: BatchLoopback, call: _Call) -> dict[str, Any]:
    batch = _batch(server, call)
    if batch.is_over:
        # Neither reference says what comes back; OpenAI's answer is as users report it, Anthropic's is a guess.
        status = 409 if batch.is_openai else 400
        raise RefusedError(status, f"Cannot cancel a batch with status '{batch.status}'.")
    if batch.is_openai:
        batch.shown |= {"status": "cancelling", "cancelling_at": int(server.clock())}
    else:
        batch.shown |= {"processing_status": "canceling", "cancel_initiated_at": _moment(server)}
    return batch.shown


# --- OpenAI ---


def _upload(server: BatchLoopback, call: _Call) -> dict[str, Any]:
    sent, purpose = call.form.get("file"), call.form.get("purpose")
    if not isinstance(sent, web.FileField) or not isinstance(purpose, str):
        raise RefusedError(400, "'file' and 'purpose' are required.", param="purpose")
    if purpose == "batch" and not sent.filename.endswith(".jsonl"):
        raise RefusedError(400, "Invalid file format for Batch API. Must be .jsonl")
    content = sent.file.read()
    if len(content) > (server.max_bytes or _OPENAI_LIMITS[1]):
        raise RefusedError(400, "File is too large.")
    return server.add_file(content, purpose, sent.filename, int(call.form.get("expires_after[seconds]", 0)))


def _file(server: BatchLoopback, call: _Call) -> tuple[dict[str, Any], bytes]:
    if call.name not in server.files:
        raise RefusedError(404, f"No such File object: {call.name}", param="id")
    return server.files[call.name]


def _delete_file(server: BatchLoopback, call: _Call) -> dict[str, Any]:
    del server.files[_file(server, call)[0]["id"]]
    return {"id": call.name, "object": "file", "deleted": True}


def _create_openai(server: BatchLoopback, call: _Call) -> dict[str, Any]:
    asked = call.json()
    metadata = asked.get("metadata") or {}
    if len(metadata) > 16 or any(len(name) > 64 or len(value) > 512 for name, value in metadata.items()):
        raise RefusedError(400, "Invalid 'metadata'.", param="metadata")
    for name, value in {"endpoint": _CHAT, "completion_window": "24h"}.items():
        if asked.get(name) != value:
            raise RefusedError(400, f"Invalid value: '{asked.get(name)}'. Supported values are: '{value}'.", param=name)
    rows, mistakes = _validated(server, str(asked.get("input_file_id")))
    now = int(server.clock())
    times = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    shown: dict[str, Any] = {
        "id": f"batch_{next(server.numbers)}", "object": "batch", "endpoint": _CHAT, "completion_window": "24h",
        "status": "validating", "input_file_id": asked.get("input_file_id"), "metadata": asked.get("metadata"),
        "errors": None, "output_file_id": None, "error_file_id": None, "created_at": now, "expires_at": now + _DAY_S,
        "request_counts": {"total": 0, "completed": 0, "failed": 0}, **{f"{name}_at": None for name in times},
    }  # fmt: skip
    kept_s = (asked.get("output_expires_after") or {}).get("seconds")
    server.batches[shown["id"]] = Batch(shown=shown, rows=rows, mistakes=mistakes, kept_s=kept_s)
    return shown


def _validated(server: BatchLoopback, file_id: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows that can be read, and what the validation will find."""
    if file_id not in server.files:
        # That the batch fails, and not its creation, is what users report; the code is not published.
        return [], [_mistake("invalid_input_file", f"No such File object: {file_id}", param="input_file_id")]
    lines = server.files[file_id][1].splitlines()
    limit = server.max_requests or _OPENAI_LIMITS[0]
    rows: list[dict[str, Any]] = []
    mistakes = [] if lines else [_mistake("empty_file", "The input file is empty.")]
    if len(lines) > limit:
        mistakes.append(_mistake("too_many_tasks", f"The input file has {len(lines)} requests, more than {limit}."))
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        try:
            rows.append(dict(json.loads(line)))
        except (ValueError, TypeError):
            mistakes.append(_mistake("invalid_json_line", "This line is not parseable as valid JSON.", number))
        else:
            mistakes += _mistakes_in(rows[-1], rows[0], seen, number)
    waiting = sum(len(batch.rows) for batch in server.batches.values() if batch.is_openai and not batch.is_over)
    if server.max_enqueued is not None and waiting + len(rows) > server.max_enqueued:
        again = "Enqueued token limit reached. Please try again once some in_progress batches have been completed."
        mistakes.append(_mistake("token_limit_exceeded", again))
    return rows, mistakes


def _mistake(code: str, message: str, line: int | None = None, param: str | None = None) -> dict[str, Any]:
    return {"code": code, "message": message, "line": line, "param": param}


def _mistakes_in(row: dict[str, Any], first: dict[str, Any], seen: set[str], line: int) -> Iterator[dict[str, Any]]:
    """Yield what is wrong with a row, given the first one and the custom_ids above it."""
    absent = [name for name in ("custom_id", "method", "url", "body") if not row.get(name)]
    if absent:
        yield _mistake("missing_required_parameter", f"Missing required parameter: '{absent[0]}'.", line, absent[0])
        return
    if (row["method"], row["url"]) != ("POST", _CHAT):
        yield _mistake("url_mismatch", "The URL does not match the endpoint of the batch.", line, "url")
    if row["custom_id"] in seen:
        yield _mistake("duplicate_custom_id", "The custom_id is not unique in the batch.", line, "custom_id")
    if row["body"].get("model") != (first.get("body") or {}).get("model"):
        yield _mistake("model_mismatch", "All requests of a batch go to one model.", line, "body.model")
    seen.add(row["custom_id"])


def _move_openai(server: BatchLoopback, batch: Batch) -> None:
    ways = {"validating": "in_progress", "in_progress": "finalizing", "finalizing": "completed"}
    status = "failed" if batch.mistakes else ways.get(batch.status, "cancelled")
    if status == "failed":
        batch.shown["errors"] = {"object": "list", "data": batch.mistakes}
    elif status == "in_progress":
        batch.shown["request_counts"]["total"] = len(batch.rows)
    elif status in {"completed", "cancelled"} and _write_files(server, batch):
        status = "expired"
    batch.shown |= {"status": status, f"{status}_at": int(server.clock())}


def _write_files(server: BatchLoopback, batch: Batch) -> bool:
    """Write the output and the error file, whichever has rows; tell whether the window closed on a request."""
    good: list[dict[str, Any]] = []
    bad: list[dict[str, Any]] = []
    for number, (custom_id, body, outcome) in enumerate(server.outcomes_of(batch, "body", _CHAT_FIELDS), 1):
        row: dict[str, Any] = {"id": f"batch_req_{number}", "custom_id": custom_id, "response": None, "error": None}
        if isinstance(outcome, Answer):
            content = _content(_CHAT, body, outcome)
            row["response"] = {"status_code": outcome.status, "request_id": f"req_{number}", "body": content}
        else:
            row["error"] = dict(zip(("code", "message"), _FATES[outcome], strict=True))
        (good if isinstance(outcome, Answer) and outcome.status < _ERROR_STATUS else bad).append(row)
    for name, rows in {"output": good, "error": bad}.items():
        if rows:
            filename = f"{batch.shown['id']}_{name}.jsonl"
            file = server.add_file(_bytes(*rows) + b"\n", "batch_output", filename, batch.kept_s)
            batch.shown[f"{name}_file_id"] = file["id"]
    batch.shown["request_counts"] = {"total": len(batch.rows), "completed": len(good), "failed": len(bad)}
    return any(row["error"] and row["error"]["code"] == "batch_expired" for row in bad)


# --- Anthropic ---


def _create_anthropic(server: BatchLoopback, call: _Call) -> dict[str, Any]:
    rows, limit = call.json().get("requests"), server.max_requests or _ANTHROPIC_LIMITS[0]
    if len(call.body) > (server.max_bytes or _ANTHROPIC_LIMITS[1]):
        raise RefusedError(413, "Request exceeds the maximum size")
    if not isinstance(rows, list) or not 1 <= len(rows) <= limit:
        raise RefusedError(400, f"requests: List should have 1 to {limit} items")
    for number, row in enumerate(rows):
        if set(row) != {"custom_id", "params"}:
            raise RefusedError(400, f"requests.{number}: custom_id and params are required, and nothing else")
        if not re.fullmatch("[a-zA-Z0-9_-]{1,64}", str(row["custom_id"])):
            raise RefusedError(400, f"requests.{number}.custom_id: String should match '^[a-zA-Z0-9_-]{{1,64}}$'")
    if len({row["custom_id"] for row in rows}) < len(rows):
        raise RefusedError(400, "requests: custom_id must be unique within a batch")
    shown: dict[str, Any] = {
        "id": f"msgbatch_{next(server.numbers)}", "type": "message_batch", "processing_status": "in_progress",
        "request_counts": {"processing": len(rows), "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
        "created_at": _moment(server), "expires_at": _moment(server, _DAY_S), "ended_at": None,
        "cancel_initiated_at": None, "archived_at": None, "results_url": None,
    }  # fmt: skip
    server.batches[shown["id"]] = Batch(shown=shown, rows=rows)
    return shown


def _moment(server: BatchLoopback, later_s: int = 0) -> str:
    return datetime.fromtimestamp(server.clock() + later_s, UTC).isoformat().replace("+00:00", "Z")


def _move_anthropic(server: BatchLoopback, batch: Batch) -> None:
    results: list[dict[str, Any]] = [
        {"custom_id": custom_id, "result": _result(params, outcome)}
        for custom_id, params, outcome in server.outcomes_of(batch, "params", _MESSAGE_FIELDS)
    ]
    batch.results = _bytes(*results) + b"\n"
    ends = Counter(row["result"]["type"] for row in results)
    batch.shown["request_counts"] = {name: ends[name] for name in batch.shown["request_counts"]}
    url = f"{server.url}/messages/batches/{batch.shown['id']}/results"
    batch.shown |= {"processing_status": "ended", "ended_at": _moment(server), "results_url": url}


def _result(params: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
    if not isinstance(outcome, Answer) and outcome in _ANTHROPIC_FATES:
        return {"type": _ANTHROPIC_FATES[outcome]}
    answer = outcome if isinstance(outcome, Answer) else refusal(504, "The request timed out.")
    content = _content(_MESSAGES, params, answer)
    is_message = answer.status < _ERROR_STATUS
    return {"type": "succeeded", "message": content} if is_message else {"type": "errored", "error": content}


def _results(server: BatchLoopback, call: _Call) -> bytes:
    batch = _batch(server, call)
    if not batch.is_over:
        raise RefusedError(404, "Results are available once the batch has ended.")
    return batch.results


def _forced(body: dict[str, Any]) -> dict[str, Any] | None:
    """Return the tool Anthropic's request forces the model to use."""
    choice = body.get("tool_choice") or {}
    tools = [tool for tool in body.get("tools") or [] if choice.get("name", tool["name"]) == tool["name"]]
    return tools[0] if tools and choice.get("type") in {"tool", "any"} else None


def _asked(body: dict[str, Any]) -> dict[str, Any]:
    """Return a request with the schema of its answer where OpenAI's has it."""
    tool = _forced(body)
    form = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    schema = tool["input_schema"] if tool else form.get("schema")
    return body | {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}} if schema else body


def _message(body: dict[str, Any], answer: Answer) -> dict[str, Any]:
    tool = _forced(body)
    if not _is_object(answer.text):
        # Prose takes the tool's place; a call cut off by max_tokens has lost its input.
        tool = tool if answer.finish_reason == "length" else None
        answer = replace(answer, text="{}") if tool else answer
    reasons = {"stop": "tool_use" if tool else "end_turn", "length": "max_tokens", "content_filter": "refusal"}
    message = _anthropic(body | {"tools": [tool] if tool else []}, answer)
    return message | {"stop_reason": reasons.get(answer.finish_reason, answer.finish_reason)}


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


_ROUTES: dict[str, Callable[[BatchLoopback, _Call], Any]] = {
    "POST /v1/files": _upload,
    "GET /v1/files/{id}": lambda server, call: _file(server, call)[0],
    "GET /v1/files/{id}/content": lambda server, call: _file(server, call)[1],
    "DELETE /v1/files/{id}": _delete_file,
    "POST /v1/batches": _create_openai,
    "GET /v1/batches": _list_batches,
    "GET /v1/batches/{id}": _show_batch,
    "POST /v1/batches/{id}/cancel": _cancel,
    f"POST {_CHAT}": _live,
    "POST /v1/messages/batches": _create_anthropic,
    "GET /v1/messages/batches": _list_batches,
    "GET /v1/messages/batches/{id}": _show_batch,
    "GET /v1/messages/batches/{id}/results": _results,
    "POST /v1/messages/batches/{id}/cancel": _cancel,
    f"POST {_MESSAGES}": _live,
}
