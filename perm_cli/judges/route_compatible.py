"""The OpenAI-compatible route: a lean client on aiohttp, which costs a tenth of the usual ones a call."""

import ipaddress
import ssl
import zlib
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson
from yarl import URL

from perm_cli.errors import CallFailed, JudgeUnusable
from perm_cli.judges.failures import error_of, raise_for_status, status_within, told_by
from perm_cli.judges.headers import retry_after_s
from perm_cli.judges.judge import Answer
from perm_cli.judges.redaction import Redaction
from perm_cli.judges.settings import checked_url
from perm_cli.text import one_line

_SHOWN = 300
_LOOKED_AT = 20_000  # characters of an error: what follows is never shown
_MOST_BYTES = 4 * 2**20
_MOST_BYTES_WITH_LOGPROBS = 16 * 2**20  # twenty alternatives to each token
_OK = 200
_GZIP = 47  # what zlib calls a gzip or zlib header, whichever is there


class HttpTransport:
    """
    Send payloads to `<base_url>/chat/completions`, over connections that stay open.

    Redirects are not followed: the key goes to the host it was meant for and to no other. The proxy settings of
    the environment hold, except for this machine's own addresses.
    """

    def __init__(self, base_url: str, model: str, key: str | None, timeout_s: float) -> None:
        self.where = base_url
        self.dropped: frozenset[str] = frozenset()
        self.redact = Redaction(key)
        self._model = model
        url = f"{checked_url(base_url)}/chat/completions"
        self._url = URL(url)
        self._proxy = _proxy_for(url)
        headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
        headers |= {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout_s = timeout_s
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(timeout_s, 30)),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # which would make gigabytes of a small answer before anybody can stop it
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(self, payload: dict[str, Any]) -> Answer:
        """Return the answer; raise `CallFailed` or `JudgeUnusable`."""
        data = orjson.dumps({"model": self._model, **payload})
        try:
            async with self._session.post(self._url, data=data, proxy=self._proxy, allow_redirects=False) as response:
                raw = await _read(response, _MOST_BYTES_WITH_LOGPROBS if payload.get("logprobs") else _MOST_BYTES)
        except TimeoutError as error:
            raise CallFailed(f"no answer within {self._timeout_s:g} s", kind="timeout", transient=True) from error
        except (aiohttp.ClientConnectorCertificateError, ssl.SSLError) as error:
            raise JudgeUnusable(f"{self.where}: its certificate does not verify: {self._said(str(error))}") from error
        except zlib.error as error:
            raise CallFailed(f"an answer that is no gzip: {error}", kind="not_json", transient=True) from error
        except (aiohttp.ClientError, OSError) as error:
            reason = self._said(str(error) or type(error).__name__)
            raise CallFailed(f"no connection: {reason}", kind="connection", transient=True) from error
        return self._body(response.status, response.headers, raw), response.headers

    def _body(self, status: int, headers: Mapping[str, str], raw: bytes) -> Mapping[str, Any]:
        body = _json(raw)
        if status == _OK and body and not body.get("error"):
            return body
        return self._refuse(status, headers, raw, body)

    def _refuse(self, status: int, headers: Mapping[str, str], raw: bytes, body: dict[str, Any] | None) -> NoReturn:
        error = error_of(body) if body else {}
        told, parameter = told_by(error)
        said = self._said(told or raw[:_LOOKED_AT].decode(errors="replace"))
        if status == _OK:  # some routers put an upstream's failure into a success
            status = status_within(error)
            if body is None:
                raise CallFailed(f"something other than JSON came back: {said}", kind="not_json", transient=True)
        elif 300 <= status < 400:  # noqa: PLR2004 - HTTP
            host = one_line(self.redact.host_of(headers.get("Location", "")))
            raise JudgeUnusable(f"{self.where} redirects to {host}: give the final address as --base-url")
        code = str(error.get("code") or error.get("type") or "")[:_SHOWN]
        raise_for_status(status, code, said, self.where, self._model, parameter, retry_after_s(headers))

    def _said(self, text: str) -> str:
        """Return a provider's words on one line, without the key should they repeat it."""
        return one_line(self.redact(text[:_LOOKED_AT]), _SHOWN)


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body, unpacked as it streams; raise `CallFailed` as soon as it is larger than any answer."""
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding not in {"identity", "gzip", "x-gzip", "deflate"}:
        raise CallFailed(f"an answer encoded as {one_line(encoding, 20)}", kind="not_json", transient=True)
    unpacker = None if encoding == "identity" else zlib.decompressobj(_GZIP)
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += unpacker.decompress(chunk, most + 1 - len(body)) if unpacker else chunk
        if len(body) > most:
            raise CallFailed(f"an answer of more than {most // 2**20} MB", kind="too_large", transient=False)
    return bytes(body)


def is_loopback(url: str) -> bool:
    """Tell whether a URL names this machine itself."""
    host = ""
    try:
        host = urlsplit(url).hostname or ""
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _proxy_for(url: str) -> str | None:
    parts = urlsplit(url)
    if is_loopback(url) or proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)


def _json(raw: bytes) -> dict[str, Any] | None:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None
