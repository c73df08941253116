"""OpenAI's batch API, and compatible ones."""

import io
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import httpx
import openai
import orjson

from perm_cli.judges.batch_api import BatchStanding, Row
from perm_cli.judges.batches_shared import FAILED, TIMEOUT_S, BatchProvider
from perm_cli.judges.failures import error_of, message_of


def read_row(line: bytes) -> Row | None:
    """Return a line of an OpenAI batch's output, which `vllm run-batch` writes too, as a row; None if it is not one."""
    try:
        row = orjson.loads(line)
        response, error = row.get("response") or {}, row.get("error") or {}
        key, status = str(row["custom_id"]), int(response.get("status_code") or 0)
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        return None
    body = response.get("body")
    if isinstance(body, dict) and status < FAILED and body.get("choices"):
        return Row(key=key, body=body)
    details = error_of({"error": (body.get("error") if isinstance(body, dict) else None) or error})
    message = message_of(details)[0] or "no answer"
    # A success without choices means that a router's upstream failed, so its status says nothing.
    status = status if status >= FAILED else 0
    return Row(key=key, status=status, code=str(details.get("code") or details.get("type") or ""), message=message)


class OpenAIBatches(BatchProvider):
    """OpenAI's batch API through its SDK."""

    requests_most = 50_000
    bytes_most = 190_000_000
    params: frozenset[str] | None = None
    _refusals = (openai.APIStatusError, httpx.HTTPStatusError)
    _failures = (openai.OpenAIError, httpx.HTTPError)

    def __init__(self, base_url: str, model: str, key: str | None) -> None:
        super().__init__(base_url, key)
        self._model = model
        self._client = openai.OpenAI(
            base_url=base_url,
            api_key=key or "none",
            timeout=TIMEOUT_S,
            # Without redirects, the dialogues and the key reach only the host they are meant for.
            http_client=openai.DefaultHttpxClient(base_url=base_url, timeout=TIMEOUT_S, follow_redirects=False),
        )
        # If the answer to this request is lost, repeating it would create, and bill, a second batch.
        self._once = self._client.with_options(max_retries=0)

    def request(self, key: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return one line of a batch."""
        return openai_request(key, self._model, payload)

    def submit(self, lines: bytes, marker: str) -> str:
        """Upload the requests as a file and create a batch from it."""
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
        """Return None, since `find` needs only the marker."""
        return None

    def find(
        self,
        marker: str,
        requests: int,  # noqa: ARG002 - the marker is enough
        after: str | None,  # noqa: ARG002
        known: Collection[str],  # noqa: ARG002
    ) -> str | None:
        """Return the id of the batch with this marker in its metadata."""
        with self._guarded():
            batches = self._client.batches.list(limit=100)
            return next((self._name(batch.id) for batch in batches if _marker(batch.metadata) == marker), None)

    def standing(self, batch: str) -> BatchStanding:
        """Return the progress of a batch."""
        with self._guarded():
            found = self._client.batches.retrieve(batch)
            counts = found.request_counts
            problems = [f"{each.code}: {each.message}" for each in (found.errors and found.errors.data) or []]
            return BatchStanding(
                status=self._name(found.status),
                total=int(counts.total) if counts else 0,
                done=int(counts.completed) if counts else 0,
                failed=int(counts.failed) if counts else 0,
                problem=self._redacted("; ".join(problems[:3])),
            )

    def rows(self, batch: str) -> Iterator[Row]:
        """Yield the lines of the output file and of the error file."""
        with self._guarded():
            found = self._client.batches.retrieve(batch)
            for file in filter(None, (found.output_file_id, found.error_file_id)):
                with self._client.files.with_streaming_response.content(file) as content:
                    yield from self._rows(content.iter_bytes(), read_row)

    def cancel(self, batch: str) -> None:
        """Request cancellation."""
        with self._guarded():
            self._client.batches.cancel(batch)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


def openai_request(key: str, model: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return one line of an OpenAI batch file."""
    body = {"model": model, **payload}
    return {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}


def _marker(metadata: object) -> object:
    return metadata.get("perm") if isinstance(metadata, Mapping) else None
