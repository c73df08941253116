"""Connections to the reward server: one whose request head is too large or too slow is closed."""

import asyncio
from typing import Any, ClassVar

import uvicorn
from fastapi import FastAPI
from httptools import HttpParserError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from perm_cli.serving.limits import GRACE_S, Limits

_TOO_LARGE = b"431 Request Header Fields Too Large"
_TOO_SLOW = b"408 Request Timeout"


def server_of(app: FastAPI, limits: Limits) -> uvicorn.Server:
    """Return the server for the application, with limits on what arrives before the application sees a request."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=type("Connection", (_Connection,), {"limits": limits}),
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=int(limits.deadline_s + 2 * GRACE_S),  # by then every trainer has its answer
            server_header=False,
        )
    )


class _Connection(HttpToolsProtocol):
    """uvicorn's protocol with limits: by itself it waits for a head for ever, and keeps all of it in memory."""

    limits: ClassVar[Limits]

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._unread = 0  # bytes since the last complete head or part of a body
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # Only between requests: while one is being answered, the client may send the next one ahead without a timer.
        if self.cycle is None or self.cycle.response_complete:
            self._start_timer()
        self._unread += len(data)
        super().data_received(data)
        if self._unread > self.limits.most_head_bytes:
            self._refuse(_TOO_LARGE)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._unread = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if self._unread > self.limits.most_head_bytes:
            raise HttpParserError  # stops the parser, so that nothing else in this packet is read
        self._unread = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        # Called for the error raised above too, for which `_refuse` sends the 431 that a client can understand.
        if self._unread <= self.limits.most_head_bytes:
            super().send_400_response(msg)

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.limits.head_s, self._refuse, _TOO_SLOW)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % status)
            self.transport.close()
