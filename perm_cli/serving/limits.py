"""Limits of the reward server on waiting, queue length and request size."""

from dataclasses import dataclass

GRACE_S = 5.0  # after the deadline, to answer with the ratings that have arrived


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    Limits of the server.

    A trainer waits for the judge for at most `deadline_s` seconds. At most `most_waiting` replies may wait at `/score`.
    A request has at most `most_bytes` of body and `most_head_bytes` of head; a client has `head_s` seconds to send the
    head, and then `body_s` seconds for the body.
    """

    deadline_s: float = 150.0
    most_waiting: int = 10_000
    most_bytes: int = 16_000_000
    most_head_bytes: int = 65_536
    head_s: float = 20.0
    body_s: float = 60.0
