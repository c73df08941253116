"""What must not come in: bodies that are too large, and requests without the token."""

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
from starlette.exceptions import HTTPException

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]
_OPEN = frozenset({"/healthz"})


class Guard:
    """Stand before an application (ASGI) and let through requests with the token, as long as they are small enough."""

    def __init__(self, app: _App, token: str | None, most_bytes: int) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode() if token else None
        self._most_bytes = most_bytes

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if self._expected and scope["path"] not in _OPEN:
            given = headers.get(b"authorization", b"")
            if not secrets.compare_digest(given, self._expected):
                await _say(send, 401, "no such token, expected Authorization: Bearer TOKEN", b"Bearer")
                return
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._most_bytes:
            await _say(send, 413, self._too_large())
            return
        await self._counting(scope, receive, send)

    async def _counting(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        read = 0

        async def counted() -> MutableMapping[str, Any]:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most_bytes:  # as the framework's own, since it takes any other for a body it cannot parse
                raise HTTPException(413, self._too_large(), {"Connection": "close"})
            return message

        await self._app(scope, counted, send)

    def _too_large(self) -> str:
        return f"a body of more than {self._most_bytes:,} bytes found"


async def _say(send: _Send, status: int, detail: str, scheme: bytes = b"") -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if scheme:
        headers.append((b"www-authenticate", scheme))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps({"detail": detail})})
