"""What a server bears: how long, how many and how large."""

from dataclasses import dataclass

GRACE_S = 5.0  # beyond the deadline, to hand over what has come


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    Limits of the server.

    `deadline_s` is how long a trainer is made to wait for the judge, `most_waiting` how many replies may wait at
    `/score`, `most_bytes` how large a request may be, `most_head_bytes` how large its head. A client has `head_s` to
    send the head, and then `body_s` for the body.
    """

    deadline_s: float = 150.0
    most_waiting: int = 10_000
    most_bytes: int = 16_000_000
    most_head_bytes: int = 65_536
    head_s: float = 20.0
    body_s: float = 60.0
