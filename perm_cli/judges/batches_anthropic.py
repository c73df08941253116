"""Anthropic's message batches, translated from and to OpenAI's chat completions."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import takewhile
from typing import Any

import httpx
import orjson
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random_exponential

from perm_cli.judges.batch_api import BatchStanding, Row
from perm_cli.judges.batches_shared import FAILED, MISSHAPEN, TIMEOUT_S, BatchProvider

_MESSAGE_BATCHES = "/messages/batches"
_ANTHROPIC_VERSION = "2023-06-01"
_LISTED = 1000  # batches per page, the most that the API lists
_SERVER_ERROR = 500
_FINISHES = {"max_tokens": "length", "refusal": "refusal"}
_OPENAI_ONLY = frozenset({"messages", "response_format", "seed", "logprobs", "top_logprobs"})


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= _SERVER_ERROR
    return isinstance(error, httpx.TransportError)


class AnthropicBatches(BatchProvider):
    """Anthropic's message batches over plain HTTP; a JSON schema becomes a tool that the model must call."""

    requests_most = 100_000
    bytes_most = 240_000_000
    # What LiteLLM, which makes the first call, passes on to Anthropic unchanged: the batch must ask the same.
    params: frozenset[str] | None = frozenset({"top_p", "top_k", "stop_sequences", "thinking", "service_tier"})

    def __init__(self, base_url: str, model: str, key: str | None) -> None:
        super().__init__(base_url, key)
        self._model = model
        headers = {"x-api-key": key or "", "anthropic-version": _ANTHROPIC_VERSION}
        url = base_url.rstrip("/").removesuffix("/v1")
        self._client = httpx.Client(base_url=f"{url}/v1", headers=headers, timeout=TIMEOUT_S)

    def request(self, key: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return one line of a batch."""
        return {"custom_id": key, "params": _to_anthropic(self._model, payload)}

    def submit(self, lines: bytes, marker: str) -> str:  # noqa: ARG002 - the API has no field for it
        """Send all requests in one body."""
        body = b'{"requests":[' + b",".join(lines.splitlines()) + b"]}"
        with self._guarded():
            made = self._ask("POST", _MESSAGE_BATCHES, content=body, headers={"content-type": "application/json"})
            return self._name(made["id"])

    def newest(self) -> str | None:
        """Return the id of the first batch in the list, which is the newest."""
        with self._guarded():
            return next(
                (self._name(batch["id"]) for batch in self._tried(_MESSAGE_BATCHES, params={"limit": 1})["data"]), None
            )

    def find(
        self,
        marker: str,  # noqa: ARG002 - batches carry no marker
        requests: int,
        after: str | None,
        known: Collection[str],
    ) -> str | None:
        """Return the first unknown batch with this number of requests that was created after batch `after`."""
        with self._guarded():
            newest_first = self._tried(_MESSAGE_BATCHES, params={"limit": _LISTED})["data"]
            newer = takewhile(lambda batch: batch["id"] != after, newest_first)
            found = [batch["id"] for batch in newer if sum(batch["request_counts"].values()) == requests]
            return next((self._name(batch) for batch in reversed(found) if batch not in known), None)

    def standing(self, batch: str) -> BatchStanding:
        """Return the progress of a batch."""
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
        """Yield the results of a batch."""
        with self._guarded(), self._client.stream("GET", f"{_MESSAGE_BATCHES}/{batch}/results") as response:
            if not response.is_success:
                response.read()  # a streamed response has no body to quote in the error until it is read
            response.raise_for_status()
            yield from self._rows(response.iter_bytes(), _from_anthropic)

    def cancel(self, batch: str) -> None:
        """Request cancellation."""
        with self._guarded():
            self._ask("POST", f"{_MESSAGE_BATCHES}/{batch}/cancel")

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    @retry(
        retry=retry_if_exception(_is_transient),
        stop=stop_after_attempt(3),
        wait=wait_random_exponential(max=5),
        reraise=True,
    )
    def _tried(self, path: str, **more: Any) -> Any:
        """Send a request that is safe to repeat, with retries."""
        return self._ask("GET", path, **more)

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        response = self._client.request(method, path, **more)
        response.raise_for_status()
        return orjson.loads(response.content)


def _to_anthropic(model: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    params = {name: value for name, value in payload.items() if name not in _OPENAI_ONLY}
    system, *turns = payload["messages"]
    params |= {"model": model, "system": system["content"], "messages": turns}
    form = payload.get("response_format") or {}
    if form.get("type") == "json_schema":
        params["tools"] = [{"name": "verdict", "input_schema": form["json_schema"]["schema"]}]
        params["tool_choice"] = {"type": "tool", "name": "verdict"}
    return params


def _from_anthropic(line: bytes) -> Row | None:
    """Return a line of results as a row, None if it is not one."""
    try:
        row = orjson.loads(line)
        key, result = str(row["custom_id"]), row["result"]
        return _answered(key, result["message"]) if result["type"] == "succeeded" else _unanswered(key, result)
    except MISSHAPEN:
        return None


def _unanswered(key: str, result: Mapping[str, Any]) -> Row:
    error = (result.get("error") or {}).get("error") or {}
    code = str(error.get("type") or result["type"])
    status = FAILED if code in {"invalid_request_error", "request_too_large"} else 0
    return Row(key=key, status=status, code=code, message=str(error.get("message") or code))


def _answered(key: str, message: Mapping[str, Any]) -> Row:
    parts: Iterable[Mapping[str, Any]] = message["content"]
    text = "".join(part["text"] for part in parts if part["type"] == "text")
    used = next((part["input"] for part in parts if part["type"] == "tool_use"), None)
    usage = message["usage"]
    # Anthropic counts cached and cache-writing tokens beside the input, OpenAI inside the prompt tokens.
    cached = usage.get("cache_read_input_tokens") or 0
    body = {
        "model": message["model"],
        "choices": [
            {
                "message": {"content": text if used is None else orjson.dumps(used).decode()},
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
