"""Connections to the reward server: who sends too much, or too slowly, is not waited for."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic

import httpx
import pytest

from perm_cli.serving.limits import Limits
from tests.serving import serving

HEAD = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = json.dumps({"items": [{"query": "I failed.", "reply": "That hurts."}]}).encode()
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


@contextmanager
def connected(client: httpx.Client) -> Iterator[socket.socket]:
    """Connect to the server of a client by hand."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as connection:
        yield connection


def status_of(connection: socket.socket) -> bytes:
    """Return the first line of what is answered until the connection ends."""
    said = b""
    while part := connection.recv(65_536):
        said += part
    return said.partition(b"\r\n")[0]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """Return a client of a server that waits for nobody."""
    with serving(None, Limits(head_s=0.3, body_s=0.3)) as found:
        yield found


@pytest.fixture(scope="module")
def patient() -> Iterator[httpx.Client]:
    """Return a client of a server as it is usually."""
    with serving(None) as found:
        yield found


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"", b"408 Request Timeout", id="nothing"),
        pytest.param(b"\r\n", b"408 Request Timeout", id="an empty line"),
        pytest.param(HEAD, b"408 Request Timeout", id="half a head"),
        pytest.param(HEAD + b"Content-Length: 9\r\n\r\n", b"408 Request Timeout", id="a head alone"),
        pytest.param(HEAD + b'Content-Length: 9\r\n\r\n{"ite', b"408 Request Timeout", id="half a body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"408 Request Timeout", id="a chunk"),
    ],
)
def test_what_does_not_come_is_not_waited_for(client: httpx.Client, sent: bytes, status: bytes) -> None:
    """Whoever opens connections and says nothing could else take all there are."""
    begun = monotonic()

    with connected(client) as connection:
        connection.sendall(sent)
        said = status_of(connection)

    assert said == b"HTTP/1.1 " + status
    assert monotonic() - begun < 10


def test_trickling_does_not_help(client: httpx.Client) -> None:
    """The time is that for all of it, not since the last byte."""
    said = b""

    with connected(client) as connection:
        connection.settimeout(0.05)
        for piece in (HEAD, *[b"X: y\r\n"] * 200):
            connection.sendall(piece)
            with suppress(TimeoutError):
                said = connection.recv(65_536)
                break

    assert said.startswith(b"HTTP/1.1 408 Request Timeout\r\n")


@pytest.mark.parametrize(
    "large",
    [
        pytest.param(b"X: " + b"y" * 10_000_000, id="one header"),
        pytest.param(b"X: yyy\r\n" * 100_000, id="many headers"),
        pytest.param(b"X: " + b"y" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n", id="little more than what is taken"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"y" * 10_000_000, id="a trailer"),
    ],
)
def test_a_head_that_is_too_large_is_refused(patient: httpx.Client, large: bytes) -> None:
    """It is kept in memory until it is whole."""
    with connected(patient) as connection:
        try:
            connection.sendall(HEAD + large)
            said = status_of(connection)
        except ConnectionError:  # it has ended before all was sent
            said = b""

    assert said in {b"HTTP/1.1 431 Request Header Fields Too Large", b""}


def test_a_large_path_is_refused(patient: httpx.Client) -> None:
    """It comes before the headers, and is kept with them."""
    with connected(patient) as connection:
        connection.sendall(b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = status_of(connection)

    assert said == b"HTTP/1.1 431 Request Header Fields Too Large"


def test_a_head_of_what_is_taken_is_served(patient: httpx.Client) -> None:
    """Proxies and clients add headers of some kilobytes."""
    answer = patient.get("/healthz", headers={"X-Long": "y" * 60_000})

    assert answer.status_code == 200


def test_large_bodies_in_one_piece_and_in_small_chunks_are_served(patient: httpx.Client) -> None:
    """Only what is no body counts for the head."""
    body = json.dumps({"items": [{"query": "I failed.", "reply": "x" * 199_000}] * 5}).encode()
    headers = {"Content-Type": "application/json"}
    pieces = [body[at : at + 100] for at in range(0, len(body), 100)]

    answers = [patient.post("/score", content=content, headers=headers) for content in (body, iter(pieces))]

    assert [answer.status_code for answer in answers] == [200, 200]


def test_a_connection_is_used_again(client: httpx.Client) -> None:
    """The time for a head begins anew with each request, and not while a connection rests."""
    with connected(client) as connection:
        for _ in range(2):
            connection.sendall(WHOLE)
            head, _, rest = connection.recv(65_536).partition(b"\r\n\r\n")
            connection.settimeout(0.5)
            with pytest.raises(TimeoutError):  # nobody ends it, though it rests for longer than a head may take
                connection.recv(1)
            connection.settimeout(20)

    assert head.startswith(b"HTTP/1.1 200")
    assert b'"reward"' in head + rest
