"""
Batch APIs: half the price, an answer within a day.

They take requests by a `custom_id`, here the key of the rating, and give the answers back in any order. What is sent
and what comes back is OpenAI's chat completion on our side of the interface; whoever speaks otherwise translates.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from perm_cli.errors import JudgeUnusable
from perm_cli.judges.failures import raise_for_status
from perm_cli.text import one_line

SHOWN = 300
LOOKED_AT = 20_000  # characters of an error: what follows is never shown
_ENDED = frozenset({"completed", "failed", "expired", "cancelled", "ended"})


class BatchGone(JudgeUnusable):
    """The provider does not know what was asked for, or no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStanding:
    """How far a batch is; `problem` is why the provider would not have it."""

    status: str
    total: int = 0
    done: int = 0
    failed: int = 0
    problem: str = ""

    @property
    def is_over(self) -> bool:
        """Return whether nothing more will come."""
        return self.status in _ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    One answer: the body of a chat completion, or the HTTP status and the words of a failure.

    `redact` keeps the key that it was asked for with out of its texts.
    """

    key: str
    body: Mapping[str, Any] | None = None
    status: int = 0
    code: str = ""
    said: str = ""
    redact: Callable[[str], str] = str


class BatchApi(Protocol):
    """
    An API that takes batches; its methods raise `JudgeUnusable` with what to do if the provider says no.

    `params` are the parameters of a request beyond perm's own that it passes on as they are, None if it passes on all.
    """

    requests_most: int
    bytes_most: int
    params: frozenset[str] | None

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
        """Request cancellation; what is done stays done."""

    def close(self) -> None:
        """Close all connections."""


def failure_of(row: Row, where: str, model: str) -> NoReturn:
    """Raise what a failed row means, from the table that live calls use; what has no status of its own may pass."""
    said = one_line(row.redact(row.said[:LOOKED_AT]), SHOWN)
    raise_for_status(row.status or 503, row.code, said, where, model, None, None)
