"""
A loopback judge that costs hardly any processor time: a fixed latency, then always the same verdict.

    python benchmarks/judge.py LATENCY_S      prints the address it listens on

It parses only as much HTTP as the benchmark's clients use, so that the clients have the processor to themselves.
"""

import asyncio
import re
import sys
from typing import cast

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_VERDICT = (
    b'{\\"rationale\\": \\"Names the loss and what it means to this person.\\", \\"score\\": 4,'
    b' \\"effectiveness\\": 12, \\"clarity\\": 15, \\"efficiency\\": 11, \\"objectivity\\": 14, \\"accuracy\\": 16}'
)
_BODY = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"bench","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"' + _VERDICT + b'"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":700,"completion_tokens":40,"total_tokens":740}}'
)
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


class Connection(asyncio.Protocol):
    """A connection that answers every request after the latency."""

    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self.unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer the complete requests among the received bytes."""
        self.unread += data
        while (end := self.unread.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self.unread, 0, end)
            total = end + 4 + (int(found.group(1)) if found else 0)
            if len(self.unread) < total:
                return
            self.unread = self.unread[total:]
            asyncio.get_running_loop().call_later(self.latency_s, self._answer)

    def _answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_ANSWER)


async def serve(latency_s: float) -> None:
    """Listen until the process is ended."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(latency_s), "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(float(sys.argv[1])))
