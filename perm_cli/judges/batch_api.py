"""
Batch APIs: half the price, an answer within a day.

Each request has a `custom_id`, which is the key of its rating; answers come back in any order. On our side of the
interface, requests and answers are OpenAI chat completions; a provider with another API translates.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from perm_cli.errors import JudgeUnusable
from perm_cli.judges.failures import raise_for_status
from perm_cli.text import one_line

SHOWN = 300
ERROR_CHARS = 20_000  # characters of an error that are read; it may be megabytes, and only the start is ever shown
_ENDED = frozenset({"completed", "failed", "expired", "cancelled", "ended"})


class BatchGone(JudgeUnusable):
    """A batch that the provider does not know, or no longer knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStanding:
    """The progress of a batch; `problem` is why the provider rejected it."""

    status: str
    total: int = 0
    done: int = 0
    failed: int = 0
    problem: str = ""

    @property
    def is_over(self) -> bool:
        """Return whether no more answers will come."""
        return self.status in _ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    One answer of a batch: the body of a chat completion, or the HTTP status, code and message of a failure.

    `redact` removes from texts the API key that the batch was sent with.
    """

    key: str
    body: Mapping[str, Any] | None = None
    status: int = 0
    code: str = ""
    message: str = ""
    redact: Callable[[str], str] = str


class BatchApi(Protocol):
    """
    A batch API; its methods raise `JudgeUnusable` with what to do if the provider refuses.

    A batch has at most `requests_most` requests and `bytes_most` bytes. `params` are the request parameters beyond
    perm's own that it passes on unchanged, None if it passes on all.
    """

    requests_most: int
    bytes_most: int
    params: frozenset[str] | None

    def request(self, key: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return one line of a batch."""

    def submit(self, lines: bytes, marker: str) -> str:
        """Send a batch and return its id; `marker` lets `find` recognise it."""

    def newest(self) -> str | None:
        """Return the id of the newest batch, if `find` needs it to tell later batches from earlier ones."""

    def find(self, marker: str, requests: int, after: str | None, known: Collection[str]) -> str | None:
        """Return the id of a batch whose submission was interrupted, if it was created; never one of those `known`."""

    def standing(self, batch: str) -> BatchStanding:
        """Return the progress of a batch."""

    def rows(self, batch: str) -> Iterator[Row]:
        """Yield the answers of a finished batch."""

    def cancel(self, batch: str) -> None:
        """Request cancellation; answers that exist remain available."""

    def close(self) -> None:
        """Close all connections."""


def failure_of(row: Row, where: str, model: str) -> NoReturn:
    """Raise the error of a failed row, as for a live call; one without a status is transient."""
    message = one_line(row.redact(row.message[:ERROR_CHARS]), SHOWN)
    raise_for_status(row.status or 503, row.code, message, where, model, None, None)
