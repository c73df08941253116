"""
The batch APIs of OpenAI (and whoever speaks it) and of Anthropic: half the price, an answer within a day.

Both take requests by a `custom_id`, here the key of the rating, and give the answers back in any order. What is
sent and what comes back is OpenAI's chat completion on our side of this module; Anthropic's is translated.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, Protocol

import httpx
import openai
import orjson
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from perm_cli.errors import JudgeUnusable
from perm_cli.judges.http import raise_for_status
from perm_cli.terminal import one_line

_MESSAGE_BATCHES = "/messages/batches"
_ANTHROPIC_VERSION = "2023-06-01"
_TIMEOUT_S = 600.0
_SHOWN = 300
_ENDED = frozenset({"completed", "failed", "expired", "cancelled", "ended"})
_FINISHES = {"max_tokens": "length", "refusal": "refusal"}
_FAILED = 400


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
    """Hold one answer: the body of a chat completion, or the HTTP status and the words of a failure."""

    key: str
    body: Mapping[str, Any] | None = None
    status: int = 0
    code: str = ""
    said: str = ""


class BatchApi(Protocol):
    """Submit, watch, read and cancel batches; raise `JudgeUnusable` with what to do if the provider says no."""

    requests_most: int
    bytes_most: int

    def request(self, key: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return one line of a batch."""

    def submit(self, lines: bytes, marker: str) -> str:
        """Send a batch and return its id; `marker` lets `find` know it again."""

    def find(self, marker: str, requests: int, since: float) -> str | None:
        """Return the id of a batch whose submission was cut short, if it came about."""

    def standing(self, batch: str) -> BatchStanding:
        """Return how far a batch is."""

    def rows(self, batch: str) -> Iterator[Row]:
        """Yield what a batch that is over has come to."""

    def cancel(self, batch: str) -> None:
        """Ask for an end; what is done stays done."""


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
    told = (body.get("error") if isinstance(body, dict) else None) or error
    told = told if isinstance(told, dict) else {"message": told}
    said = one_line(str(told.get("message") or "no answer"), _SHOWN)
    return Row(key=key, status=status, code=str(told.get("code") or told.get("type") or ""), said=said)


class OpenAIBatches:
    """Speak OpenAI's batch API through its SDK."""

    requests_most = 50_000
    bytes_most = 190_000_000

    def __init__(self, base_url: str, model: str, key: str | None) -> None:
        self._where, self._model = base_url, model
        self._client = openai.OpenAI(base_url=base_url, api_key=key or "none", timeout=_TIMEOUT_S)
        # Asked again after an answer was lost, the provider would make, and bill, a second batch.
        self._once = self._client.with_options(max_retries=0)

    def request(self, key: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return one line of a batch."""
        return openai_request(key, self._model, payload)

    def submit(self, lines: bytes, marker: str) -> str:
        """Upload the file and make a batch of it."""
        try:
            file = self._client.files.create(file=(f"perm-{marker}.jsonl", io.BytesIO(lines)), purpose="batch")
            batch = self._once.batches.create(
                input_file_id=file.id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={"perm": marker},
            )
        except openai.OpenAIError as error:
            raise self._unusable(error) from error
        return batch.id

    def find(self, marker: str, requests: int, since: float) -> str | None:  # noqa: ARG002 - the marker is enough
        """Look the marker up in the batches' metadata."""
        try:
            return next((b.id for b in self._client.batches.list(limit=100) if _marker(b.metadata) == marker), None)
        except openai.OpenAIError as error:
            raise self._unusable(error) from error

    def standing(self, batch: str) -> BatchStanding:
        """Return how far a batch is."""
        try:
            found = self._client.batches.retrieve(batch)
        except openai.OpenAIError as error:
            raise self._unusable(error) from error
        counts = found.request_counts
        problems = [f"{each.code}: {each.message}" for each in (found.errors and found.errors.data) or []]
        return BatchStanding(
            status=found.status,
            total=counts.total if counts else 0,
            done=counts.completed if counts else 0,
            failed=counts.failed if counts else 0,
            problem=one_line("; ".join(problems[:3]), _SHOWN),
        )

    def rows(self, batch: str) -> Iterator[Row]:
        """Yield the lines of the output file and of the error file."""
        try:
            found = self._client.batches.retrieve(batch)
            for file in filter(None, (found.output_file_id, found.error_file_id)):
                with self._client.files.with_streaming_response.content(file) as content:
                    for line in content.iter_lines():
                        if row := read_row(line.encode()):
                            yield row
        except openai.OpenAIError as error:
            raise self._unusable(error) from error

    def cancel(self, batch: str) -> None:
        """Ask for an end."""
        try:
            self._client.batches.cancel(batch)
        except openai.OpenAIError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: openai.OpenAIError) -> JudgeUnusable:
        status = getattr(error, "status_code", None)
        said = one_line(str(getattr(error, "message", error)), _SHOWN)
        return JudgeUnusable(f"{self._where}: the batch API says {said}" + (f" (HTTP {status})" if status else ""))


def openai_request(key: str, model: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return one line of an OpenAI batch file."""
    body = {"model": model, **payload}
    return {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}


class AnthropicBatches:
    """Speak Anthropic's message batches, plain HTTP; the schema becomes a tool that must be used."""

    requests_most = 100_000
    bytes_most = 240_000_000

    def __init__(self, base_url: str, model: str, key: str | None) -> None:
        self._where, self._model = base_url, model
        headers = {"x-api-key": key or "", "anthropic-version": _ANTHROPIC_VERSION}
        url = base_url.rstrip("/").removesuffix("/v1")
        self._client = httpx.Client(base_url=f"{url}/v1", headers=headers, timeout=_TIMEOUT_S)

    def request(self, key: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return one line of a batch."""
        return {"custom_id": key, "params": _to_anthropic(self._model, payload)}

    def submit(self, lines: bytes, marker: str) -> str:  # noqa: ARG002 - there is no place for it
        """Send all requests in one body."""
        body = b'{"requests":[' + b",".join(lines.splitlines()) + b"]}"
        return str(
            self._ask("POST", _MESSAGE_BATCHES, content=body, headers={"content-type": "application/json"})["id"]
        )

    def find(self, marker: str, requests: int, since: float) -> str | None:  # noqa: ARG002 - there is none to look for
        """Look for a batch of as many requests that was made since then."""
        for batch in self._again("GET", _MESSAGE_BATCHES, params={"limit": 100})["data"]:
            made = datetime.fromisoformat(batch["created_at"]).timestamp()
            if made >= since - 1 and sum(batch["request_counts"].values()) == requests:
                return str(batch["id"])
        return None

    def standing(self, batch: str) -> BatchStanding:
        """Return how far a batch is."""
        found = self._again("GET", f"{_MESSAGE_BATCHES}/{batch}")
        counts = found["request_counts"]
        return BatchStanding(
            status=found["processing_status"],
            total=sum(counts.values()),
            done=counts["succeeded"],
            failed=counts["errored"] + counts["expired"] + counts["canceled"],
        )

    def rows(self, batch: str) -> Iterator[Row]:
        """Yield the results."""
        try:
            with self._client.stream("GET", f"{_MESSAGE_BATCHES}/{batch}/results") as response:
                if response.is_error:
                    response.read()
                    raise self._unusable(response)
                yield from map(_from_anthropic, filter(None, response.iter_lines()))
        except httpx.HTTPError as error:
            raise JudgeUnusable(f"{self._where}: {one_line(str(error) or type(error).__name__, _SHOWN)}") from error

    def cancel(self, batch: str) -> None:
        """Ask for an end."""
        self._ask("POST", f"{_MESSAGE_BATCHES}/{batch}/cancel")

    @retry(
        retry=retry_if_exception_type(httpx.TransportError),
        stop=stop_after_attempt(3),
        wait=wait_random_exponential(max=5),
        reraise=True,
    )
    def _tried(self, method: str, path: str, **more: Any) -> httpx.Response:
        response = self._client.request(method, path, **more)
        if response.status_code >= 500:  # noqa: PLR2004 - HTTP
            raise httpx.TransportError(f"HTTP {response.status_code}: {response.text}")
        return response

    def _again(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Ask what may be asked twice."""
        try:
            return self._read(self._tried(method, path, **more))
        except httpx.HTTPError as error:
            raise JudgeUnusable(f"{self._where}: {one_line(str(error) or type(error).__name__, _SHOWN)}") from error

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            return self._read(self._client.request(method, path, **more))
        except httpx.HTTPError as error:
            raise JudgeUnusable(f"{self._where}: {one_line(str(error) or type(error).__name__, _SHOWN)}") from error

    def _read(self, response: httpx.Response) -> dict[str, Any]:
        if response.is_error:
            raise self._unusable(response)
        return dict(response.json())

    def _unusable(self, response: httpx.Response) -> JudgeUnusable:
        said = one_line(response.text, _SHOWN)
        return JudgeUnusable(f"{self._where}: the batch API says {said} (HTTP {response.status_code})")


def failure_of(row: Row, where: str, model: str) -> NoReturn:
    """Raise what a failed row means, from the table that live calls use; what has no status of its own may pass."""
    raise_for_status(row.status or 503, row.code, row.said, where, model, None, None)


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


def _from_anthropic(line: str) -> Row:
    row = orjson.loads(line)
    key, result = str(row["custom_id"]), row["result"]
    if result["type"] != "succeeded":
        told = (result.get("error") or {}).get("error") or {}
        code = str(told.get("type") or result["type"])
        status = _FAILED if code in {"invalid_request_error", "request_too_large"} else 0
        return Row(key=key, status=status, code=code, said=one_line(str(told.get("message") or code), _SHOWN))
    message = result["message"]
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
