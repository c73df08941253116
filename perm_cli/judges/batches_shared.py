"""Code shared by both batch APIs: turning failures into messages, and splitting an answer into lines."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import orjson

from perm_cli.errors import JudgeUnusable
from perm_cli.judges.batch_api import ERROR_CHARS, SHOWN, BatchGone, Row
from perm_cli.judges.redaction import Redaction
from perm_cli.text import one_line

FAILED = 400
MISSHAPEN = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError)
TIMEOUT_S = 600.0
_LONGEST_LINE = 32 * 2**20
_GONE = 404


class BatchProvider:
    """The base of a batch API; all its failures become `JudgeUnusable`, with messages free of the API key."""

    _refusals: tuple[type[Any], ...] = (httpx.HTTPStatusError,)  # errors with a response
    _failures: tuple[type[Exception], ...] = (httpx.HTTPError,)

    def __init__(self, where: str, key: str | None) -> None:
        self.redact = Redaction(key)
        self._where = where

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except self._refusals as error:
            raise self._refused(error.response) from error
        except self._failures as error:
            raise JudgeUnusable(f"{self._where}: {self._redacted(str(error) or type(error).__name__)}") from error
        except MISSHAPEN as error:
            raise JudgeUnusable(
                f"{self._where}: the answer is not one of a batch API: {self._redacted(repr(error))}"
            ) from error

    def _refused(self, response: httpx.Response) -> JudgeUnusable:
        if response.is_redirect:
            host = one_line(self.redact.host_of(response.headers.get("Location", "")))
            return JudgeUnusable(f"{self._where} redirects to {host}: give the final address as --base-url")
        unusable = BatchGone if response.status_code == _GONE else JudgeUnusable
        message = self._redacted(_error_message(response))
        remedy = "; check --api-key-env" if response.status_code in {401, 403} else ""
        return unusable(f"{self._where}: the batch API says {message} (HTTP {response.status_code}){remedy}")

    def _redacted(self, text: str) -> str:
        return one_line(self.redact(text[:ERROR_CHARS]), SHOWN)

    def _name(self, value: object) -> str:
        """Return an id or a status, redacted; raise `TypeError` for anything else."""
        if not isinstance(value, str) or not value:
            raise TypeError(f"{value!r} found, expected a name")
        return self._redacted(value)

    def _rows(self, chunks: Iterable[bytes], read: Callable[[bytes], Row | None]) -> Iterator[Row]:
        for row in filter(None, map(read, lines_of(chunks))):
            yield replace(row, redact=self.redact)


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines split at line feeds only: JSON may contain other line breaks; `ValueError` if too long."""
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


def _error_message(response: httpx.Response) -> str:
    """Return why a request was refused; both providers use the same error object."""
    try:
        return str(orjson.loads(response.content)["error"]["message"])
    except MISSHAPEN:
        return response.text
