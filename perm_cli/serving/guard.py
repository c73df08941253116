"""What must not come in: requests without the token or for another host, and bodies that are too large or too slow."""

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
# A supervisor has no token, and a browser cannot send one; neither is told anything about a judge.
_OPEN = frozenset({("GET", "/healthz"), ("GET", "/docs")})
_NOT_OURS = (
    "another machine's name found in the Host header, expected the address that the server listens on, or a token"
)


class Guard:
    """
    Middleware (ASGI) that passes on requests with the token, as long as they are small enough.

    Where there is no token, requests must be for this machine by a name that no web page can give to another: a page
    whose own name comes to point here (DNS rebinding) could else spend the judge's money.
    """

    def __init__(self, app: _App, token: str | None, most_bytes: int, body_s: float, host: str) -> None:
        self._app = app
        self._body_s = body_s
        self._host = host
        self._expected = f"Bearer {token}".encode() if token else None
        self._most_bytes = most_bytes

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if self._expected and (scope["method"], scope["path"]) not in _OPEN:
            given = headers.get(b"authorization", b"")
            if not secrets.compare_digest(given, self._expected):
                await _say(send, 401, "no such token, expected Authorization: Bearer TOKEN", b"Bearer")
                return
        if not self._expected and not self._is_for_us(scope["headers"]):
            await _say(send, 403, _NOT_OURS)
            return
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._most_bytes:
            await _say(send, 413, self._too_large())
            return
        await self._counting(scope, receive, send)

    def _is_for_us(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
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
                what = f"no whole body found within {self._body_s:g} s"
                raise HTTPException(408, what, {"Connection": "close"}) from None
            goes_on = message.get("more_body", False)
            read += len(message.get("body", b""))
            if read > self._most_bytes:  # as the framework's own, since it takes any other for a body it cannot parse
                raise HTTPException(413, self._too_large(), {"Connection": "close"})
            return message

        await self._app(scope, counted, send)

    def _too_large(self) -> str:
        return f"a body of more than {self._most_bytes:,} bytes found"


def is_served(asked: str, listening: str) -> bool:
    """
    Tell whether a Host header names this machine, where the server listens on an address or a name.

    Every address will do where it listens on all: a name alone can be made to point to another machine.
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


async def _say(send: _Send, status: int, detail: str, scheme: bytes = b"") -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if scheme:
        headers.append((b"www-authenticate", scheme))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps({"detail": detail})})
