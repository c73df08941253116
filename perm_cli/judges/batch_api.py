"""
The batch APIs of OpenAI (and whoever speaks it) and of Anthropic: half the price, an answer within a day.

Both take requests by a `custom_id`, here the key of the rating, and give the answers back in any order. What is
sent and what comes back is OpenAI's chat completion on our side of this module; Anthropic's is translated.
"""

import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, NoReturn, Protocol

import httpx
import openai
import orjson
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random_exponential

from perm_cli.errors import JudgeUnusable
from perm_cli.judges.failures import error_of, raise_for_status, told_by
from perm_cli.judges.redaction import Redaction
from perm_cli.text import one_line

_MESSAGE_BATCHES = "/messages/batches"
_ANTHROPIC_VERSION = "2023-06-01"
_TIMEOUT_S = 600.0
_SHOWN = 300
_LOOKED_AT = 20_000
_LONGEST_LINE = 32 * 2**20
_LISTED = 1000
_ENDED = frozenset({"completed", "failed", "expired", "cancelled", "ended"})
_FINISHES = {"max_tokens": "length", "refusal": "refusal"}
_FAILED = 400
_BROKEN = 500
_GONE = 404
_MISSHAPEN = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError)


class BatchGone(JudgeUnusable):
    """Say that the provider does not know what was asked for, or no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStanding:
    """Hold how far a batch is; `problem` is why the provider would not have it."""

    status: str
    total: int = 0
    done: int = 0
    failed: int = 0
    problem: str = ""

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more will come."""
        return self.status in _ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    Hold one answer: the body of a chat completion, or the HTTP status and the words of a failure.

    `redact` keeps the key that it was asked for with out of its texts.
    """

    key: str
    body: Mapping[str, Any] | None = None
    status: int = 0
    code: str = ""
    said: str = ""
    redact: Callable[[str], str] = str


class BatchApi(Protocol):
    """Submit, watch, read and cancel batches; raise `JudgeUnusable` with what to do if the provider says no."""

    requests_most: int
    bytes_most: int

    def request(self, key: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return one line of a batch."""

    def submit(self, lines: bytes, marker: str) -> str:
        """Send a batch and return its id; `marker` lets `find` know it again."""

    def newest(self) -> str | None:
        """Return the id of the newest batch there is, where `find` needs it to know which are newer."""

    def find(self, marker: str, requests: int, after: str | None, known: Collection[str]) -> str | None:
        """Return the id of a batch whose submission was cut short, if it came about; none of those `known`."""

    def standing(self, batch: str) -> BatchStanding:
        """Return how far a batch is."""

    def rows(self, batch: str) -> Iterator[Row]:
        """Yield what a batch that is over has come to."""

    def cancel(self, batch: str) -> None:
        """Ask for an end; what is done stays done."""

    def close(self) -> None:
        """Close all connections."""


def read_row(line: bytes) -> Row | None:
    """Return a line of an OpenAI batch's output, which `vllm run-batch` writes too; None if it is none."""
    try:
        row = orjson.loads(line)
        response, error = row.get("response") or {}, row.get("error") or {}
        key, status = str(row["custom_id"]), int(response.get("status_code") or 0)
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        return None
    body = response.get("body")
    if isinstance(body, dict) and status < _FAILED and body.get("choices"):
        return Row(key=key, body=body)
    told = error_of({"error": (body.get("error") if isinstance(body, dict) else None) or error})
    said = told_by(told)[0] or "no answer"
    # A success without an answer is a router's upstream failing: it has no status of its own.
    status = status if status >= _FAILED else 0
    return Row(key=key, status=status, code=str(told.get("code") or told.get("type") or ""), said=said)


class _Provider:
    """Say what goes wrong at an address, whatever comes back from it, and never with the key in it."""

    def __init__(self, where: str, key: str | None) -> None:
        self.redact = Redaction(key)
        self._where = where

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (openai.APIStatusError, httpx.HTTPStatusError) as error:
            raise self._refused(error.response) from error
        except (openai.OpenAIError, httpx.HTTPError) as error:
            raise JudgeUnusable(f"{self._where}: {self._said(str(error) or type(error).__name__)}") from error
        except _MISSHAPEN as error:
            raise JudgeUnusable(
                f"{self._where}: something else than a batch API's answer came back: {self._said(repr(error))}"
            ) from error

    def _refused(self, response: httpx.Response) -> JudgeUnusable:
        if response.is_redirect:
            host = one_line(self.redact.host_of(response.headers.get("Location", "")))
            return JudgeUnusable(f"{self._where} redirects to {host}: give the final address as --base-url")
        unusable = BatchGone if response.status_code == _GONE else JudgeUnusable
        said = self._said(_words_of(response))
        cure = "; check --api-key-env" if response.status_code in {401, 403} else ""
        return unusable(f"{self._where}: the batch API says {said} (HTTP {response.status_code}){cure}")

    def _said(self, text: str) -> str:
        return one_line(self.redact(text[:_LOOKED_AT]), _SHOWN)

    def _name(self, value: object) -> str:
        """Return an id or a status; raise `TypeError` for anything else."""
        if not isinstance(value, str) or not value:
            raise TypeError(f"{value!r} found, expected a name")
        return self._said(value)

    def _rows(self, chunks: Iterable[bytes], read: Callable[[bytes], Row | None]) -> Iterator[Row]:
        for row in filter(None, map(read, _lines(chunks))):
            yield replace(row, redact=self.redact)


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut at line feeds only: JSON may hold everything else that ends a line; raise `ValueError` at an endless one."""
    parts: list[bytes] = []
    for chunk in chunks:
        for place, piece in enumerate(chunk.split(b"\n")):
            if place:
                yield b"".join(parts)
                parts.clear()
            parts.append(piece)
        if sum(map(len, parts)) > _LONGEST_LINE:
            raise ValueError(f"a line of more than {_LONGEST_LINE // 2**20} MB")
    yield b"".join(parts)


class OpenAIBatches(_Provider):
    """Speak OpenAI's batch API through its SDK."""

    requests_most = 50_000
    bytes_most = 190_000_000

    def __init__(self, base_url: str, model: str, key: str | None) -> None:
        super().__init__(base_url, key)
        self._model = model
        self._client = openai.OpenAI(
            base_url=base_url,
            api_key=key or "none",
            timeout=_TIMEOUT_S,
            # The dialogues and the key go to the host they are meant for and to no other.
            http_client=openai.DefaultHttpxClient(base_url=base_url, timeout=_TIMEOUT_S, follow_redirects=False),
        )
        # Asked again after an answer was lost, the provider would make, and bill, a second batch.
        self._once = self._client.with_options(max_retries=0)

    def request(self, key: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return one line of a batch."""
        return openai_request(key, self._model, payload)

    def submit(self, lines: bytes, marker: str) -> str:
        """Upload the file and make a batch of it."""
        with self._guarded():
            file = self._client.files.create(file=(f"perm-{marker}.jsonl", io.BytesIO(lines)), purpose="batch")
            batch = self._once.batches.create(
                input_file_id=self._name(file.id),
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={"perm": marker},
            )
            return self._name(batch.id)

    def newest(self) -> str | None:
        """Return None: the marker is enough."""
        return None

    def find(
        self,
        marker: str,
        requests: int,  # noqa: ARG002 - the marker is enough
        after: str | None,  # noqa: ARG002
        known: Collection[str],  # noqa: ARG002
    ) -> str | None:
        """Look the marker up in the batches' metadata."""
        with self._guarded():
            batches = self._client.batches.list(limit=100)
            return next((self._name(batch.id) for batch in batches if _marker(batch.metadata) == marker), None)

    def standing(self, batch: str) -> BatchStanding:
        """Return how far a batch is."""
        with self._guarded():
            found = self._client.batches.retrieve(batch)
            counts = found.request_counts
            problems = [f"{each.code}: {each.message}" for each in (found.errors and found.errors.data) or []]
            return BatchStanding(
                status=self._name(found.status),
                total=int(counts.total) if counts else 0,
                done=int(counts.completed) if counts else 0,
                failed=int(counts.failed) if counts else 0,
                problem=self._said("; ".join(problems[:3])),
            )

    def rows(self, batch: str) -> Iterator[Row]:
        """Yield the lines of the output file and of the error file."""
        with self._guarded():
            found = self._client.batches.retrieve(batch)
            for file in filter(None, (found.output_file_id, found.error_file_id)):
                with self._client.files.with_streaming_response.content(file) as content:
                    yield from self._rows(content.iter_bytes(), read_row)

    def cancel(self, batch: str) -> None:
        """Ask for an end."""
        with self._guarded():
            self._client.batches.cancel(batch)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


def openai_request(key: str, model: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return one line of an OpenAI batch file."""
    body = {"model": model, **payload}
    return {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= _BROKEN
    return isinstance(error, httpx.TransportError)


class AnthropicBatches(_Provider):
    """Speak Anthropic's message batches, plain HTTP; the schema becomes a tool that must be used."""

    requests_most = 100_000
    bytes_most = 240_000_000

    def __init__(self, base_url: str, model: str, key: str | None) -> None:
        super().__init__(base_url, key)
        self._model = model
        headers = {"x-api-key": key or "", "anthropic-version": _ANTHROPIC_VERSION}
        url = base_url.rstrip("/").removesuffix("/v1")
        self._client = httpx.Client(base_url=f"{url}/v1", headers=headers, timeout=_TIMEOUT_S)

    def request(self, key: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return one line of a batch."""
        return {"custom_id": key, "params": _to_anthropic(self._model, payload)}

    def submit(self, lines: bytes, marker: str) -> str:  # noqa: ARG002 - there is no place for it
        """Send all requests in one body."""
        body = b'{"requests":[' + b",".join(lines.splitlines()) + b"]}"
        with self._guarded():
            made = self._ask("POST", _MESSAGE_BATCHES, content=body, headers={"content-type": "application/json"})
            return self._name(made["id"])

    def newest(self) -> str | None:
        """Return the id of the first in the list."""
        with self._guarded():
            return next(
                (self._name(batch["id"]) for batch in self._tried(_MESSAGE_BATCHES, params={"limit": 1})["data"]), None
            )

    def find(
        self,
        marker: str,  # noqa: ARG002 - there is none to look for
        requests: int,
        after: str | None,
        known: Collection[str],
    ) -> str | None:
        """Look for the first batch of as many requests that was made after another one."""
        with self._guarded():
            newest_first = self._tried(_MESSAGE_BATCHES, params={"limit": _LISTED})["data"]
            newer = takewhile(lambda batch: batch["id"] != after, newest_first)
            found = [batch["id"] for batch in newer if sum(batch["request_counts"].values()) == requests]
            return next((self._name(batch) for batch in reversed(found) if batch not in known), None)

    def standing(self, batch: str) -> BatchStanding:
        """Return how far a batch is."""
        with self._guarded():
            found = self._tried(f"{_MESSAGE_BATCHES}/{batch}")
            counts = {name: int(count) for name, count in found["request_counts"].items()}
            return BatchStanding(
                status=self._name(found["processing_status"]),
                total=sum(counts.values()),
                done=counts["succeeded"],
                failed=counts["errored"] + counts["expired"] + counts["canceled"],
            )

    def rows(self, batch: str) -> Iterator[Row]:
        """Yield the results."""
        with self._guarded(), self._client.stream("GET", f"{_MESSAGE_BATCHES}/{batch}/results") as response:
            if not response.is_success:
                response.read()
            response.raise_for_status()
            yield from self._rows(response.iter_bytes(), _from_anthropic)

    def cancel(self, batch: str) -> None:
        """Ask for an end."""
        with self._guarded():
            self._ask("POST", f"{_MESSAGE_BATCHES}/{batch}/cancel")

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    @retry(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_attempt(3),
        wait=wait_random_exponential(max=5),
        reraise=True,
    )
    def _tried(self, path: str, **more: Any) -> Any:
        """Ask what may be asked twice."""
        return self._ask("GET", path, **more)

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        response = self._client.request(method, path, **more)
        response.raise_for_status()
        return orjson.loads(response.content)


def failure_of(row: Row, where: str, model: str) -> NoReturn:
    """Raise what a failed row means, from the table that live calls use; what has no status of its own may pass."""
    said = one_line(row.redact(row.said[:_LOOKED_AT]), _SHOWN)
    raise_for_status(row.status or 503, row.code, said, where, model, None, None)


def _words_of(response: httpx.Response) -> str:
    """Return why a request was refused: what both providers say is an object of one shape."""
    try:
        return str(orjson.loads(response.content)["error"]["message"])
    except _MISSHAPEN:
        return response.text


def _marker(metadata: object) -> object:
    return metadata.get("perm") if isinstance(metadata, Mapping) else None


def _to_anthropic(model: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    params = {name: value for name, value in payload.items() if name not in _OPENAI_ONLY}
    system, *turns = payload["messages"]
    params |= {"model": model, "system": system["content"], "messages": turns}
    form = payload.get("response_format") or {}
    if form.get("type") == "json_schema":
        params["tools"] = [{"name": "verdict", "input_schema": form["json_schema"]["schema"]}]
        params["tool_choice"] = {"type": "tool", "name": "verdict"}
    return params


_OPENAI_ONLY = frozenset({"messages", "response_format", "seed", "logprobs", "top_logprobs"})


def _from_anthropic(line: bytes) -> Row | None:
    """Return a line of results, None if it is none."""
    try:
        row = orjson.loads(line)
        key, result = str(row["custom_id"]), row["result"]
        return _answered(key, result["message"]) if result["type"] == "succeeded" else _unanswered(key, result)
    except _MISSHAPEN:
        return None


def _unanswered(key: str, result: Mapping[str, Any]) -> Row:
    told = (result.get("error") or {}).get("error") or {}
    code = str(told.get("type") or result["type"])
    status = _FAILED if code in {"invalid_request_error", "request_too_large"} else 0
    return Row(key=key, status=status, code=code, said=str(told.get("message") or code))


def _answered(key: str, message: Mapping[str, Any]) -> Row:
    parts: Iterable[Mapping[str, Any]] = message["content"]
    said = "".join(part["text"] for part in parts if part["type"] == "text")
    used = next((part["input"] for part in parts if part["type"] == "tool_use"), None)
    usage = message["usage"]
    cached = usage.get("cache_read_input_tokens") or 0
    body = {
        "model": message["model"],
        "choices": [
            {
                "message": {"content": said if used is None else orjson.dumps(used).decode()},
                "finish_reason": _FINISHES.get(message["stop_reason"], "stop"),
            }
        ],
        "usage": {
            "prompt_tokens": usage["input_tokens"] + cached + (usage.get("cache_creation_input_tokens") or 0),
            "completion_tokens": usage["output_tokens"],
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }
    return Row(key=key, body=body)
