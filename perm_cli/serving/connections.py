"""Connections to the reward server: a head that is too large or too slow ends its connection."""

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
    """Return the server of the application, which bounds what comes before a request reaches it."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=type("Connection", (_Connection,), {"limits": limits}),
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=int(limits.deadline_s + 2 * GRACE_S),  # trainers have an answer by then
            server_header=False,
        )
    )


class _Connection(HttpToolsProtocol):
    """uvicorn's protocol, which by itself waits for a head for ever and keeps all of it in memory."""

    limits: ClassVar[Limits]

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._unread = 0  # bytes since there was last a whole head, or some of a body
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._await_head()
        self._unread += len(data)
        super().data_received(data)
        if self._unread > self.limits.most_head_bytes:
            self._refuse(_TOO_LARGE)

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self._unread = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if self._unread > self.limits.most_head_bytes:
            raise HttpParserError  # which ends the reading of what else has come
        self._unread = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        if self._unread <= self.limits.most_head_bytes:
            super().send_400_response(msg)

    def _await_head(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(self.limits.head_s, self._refuse, _TOO_SLOW)

    def _stop_waiting(self) -> None:
        if self._patience:
            self._patience.cancel()
            self._patience = None

    def _refuse(self, status: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % status)
            self.transport.close()
