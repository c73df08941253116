"""Access control: requests need the token or a local host name, and bodies must be small and arrive in time."""

import asyncio
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.exceptions import HTTPException

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]
# Open without a token: a supervisor has none, and a browser cannot send one. Neither page says where the judge is.
_OPEN = frozenset({("GET", "/healthz"), ("GET", "/docs")})
_NOT_OURS = (
    "the Host header names another machine; use the address that the server listens on, or start it with a token"
)


class Guard:
    """
    ASGI middleware that admits requests with the right token, a small enough body and, without a token, a local host.

    Without a token, the Host header must name this machine by a name that no web page controls. Otherwise a page whose
    own name resolves to this address (DNS rebinding) could spend the judge's budget from a user's browser.
    """

    def __init__(self, app: _App, token: str | None, most_bytes: int, body_s: float, host: str) -> None:
        self._app = app
        self._body_s = body_s
        self._host = host
        self._expected = f"Bearer {token}".encode() if token else None
        self._most_bytes = most_bytes

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if self._expected and (scope["method"], scope["path"]) not in _OPEN:
            given = headers.get(b"authorization", b"")
            # In constant time, so that the time to a refusal does not reveal how much of a token is right.
            if not secrets.compare_digest(given, self._expected):
                await _refuse(send, 401, "wrong or no token found, expected Authorization: Bearer TOKEN", b"Bearer")
                return
        if not self._expected and not self._is_for_us(scope["headers"]):
            await _refuse(send, 403, _NOT_OURS)
            return
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._most_bytes:
            await _refuse(send, 413, self._too_large())
            return
        # The announced length may be missing or false, so what arrives is counted as well.
        await self._counting(scope, receive, send)

    def _is_for_us(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        # All of them: with two Host headers, a proxy and the framework might each believe another one.
        hosts = [value for name, value in headers if name == b"host"]
        return bool(hosts) and all(is_served(host.decode("latin-1"), self._host) for host in hosts)

    async def _counting(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        read, goes_on = 0, True
        late = asyncio.get_running_loop().time() + self._body_s

        async def counted() -> MutableMapping[str, Any]:
            nonlocal read, goes_on
            try:
                async with asyncio.timeout_at(late if goes_on else None):
                    message = await receive()
            except TimeoutError:
                what = f"the body did not arrive within {self._body_s:g} s"
                raise HTTPException(408, what, {"Connection": "close"}) from None
            goes_on = message.get("more_body", False)
            read += len(message.get("body", b""))
            if read > self._most_bytes:
                # An HTTPException, because FastAPI reports any other error as a body that it cannot parse.
                raise HTTPException(413, self._too_large(), {"Connection": "close"})
            return message

        await self._app(scope, counted, send)

    def _too_large(self) -> str:
        return f"the body is too large, expected at most {self._most_bytes:,} bytes"


def is_served(asked: str, listening: str) -> bool:
    """
    Return whether a Host header (`asked`) names this machine, which listens on an address or a name (`listening`).

    If the server listens on all addresses, any IP address is accepted: unlike a name, it cannot be made to resolve to
    another machine.
    """
    try:
        name = urlsplit(f"//{asked}").hostname or ""
    except ValueError:
        return False
    if name in {"localhost", listening.lower()}:
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(name).is_loopback or ipaddress.ip_address(listening).is_unspecified
    return False


async def _refuse(send: _Send, status: int, detail: str, scheme: bytes = b"") -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if scheme:
        headers.append((b"www-authenticate", scheme))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps({"detail": detail})})
