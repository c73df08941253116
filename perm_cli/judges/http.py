"""The OpenAI-compatible route: a lean client on aiohttp, which costs a tenth of the usual ones a call."""

import ipaddress
import ssl
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson
from yarl import URL

from perm_cli.errors import CallFailed, JudgeUnusable
from perm_cli.judges.headers import retry_after_s
from perm_cli.judges.seam import Answer
from perm_cli.judges.settings import checked_url
from perm_cli.terminal import one_line

_TRANSIENT = frozenset({408, 409, 425, 429})
_SHOWN = 300


class HttpTransport:
    """
    Send payloads to `<base_url>/chat/completions`, over connections that stay open.

    Redirects are not followed: the key goes to the host it was meant for and to no other. The proxy settings of
    the environment hold, except for this machine's own addresses.
    """

    def __init__(self, base_url: str, model: str, key: str | None, timeout_s: float) -> None:
        self.where = base_url
        self.dropped: frozenset[str] = frozenset()
        self._model = model
        self._key = key
        self._secret = (key or "").encode()
        url = f"{checked_url(base_url)}/chat/completions"
        self._url = URL(url)
        self._proxy = _proxy_for(url)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._timeout_s = timeout_s
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(timeout_s, 30)),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(self, payload: dict[str, Any]) -> Answer:
        """Return the answer; raise `CallFailed` or `JudgeUnusable`."""
        data = orjson.dumps({"model": self._model, **payload})
        try:
            async with self._session.post(self._url, data=data, proxy=self._proxy, allow_redirects=False) as response:
                raw = await response.read()
                if self._key and self._secret in raw:  # a judge that repeats it must not get it into the run folder
                    raw = raw.replace(self._secret, b"***")
        except TimeoutError as error:
            raise CallFailed(f"no answer within {self._timeout_s:g} s", kind="timeout", transient=True) from error
        except (aiohttp.ClientConnectorCertificateError, ssl.SSLError) as error:
            raise JudgeUnusable(f"{self.where}: its certificate does not verify: {self._said(str(error))}") from error
        except (aiohttp.ClientError, OSError) as error:
            reason = self._said(str(error) or type(error).__name__)
            raise CallFailed(f"no connection: {reason}", kind="connection", transient=True) from error
        return self._body(response.status, response.headers, raw), response.headers

    def _body(self, status: int, headers: Mapping[str, str], raw: bytes) -> Mapping[str, Any]:
        body = _json(raw)
        if status == 200 and body and not body.get("error"):  # noqa: PLR2004 - HTTP
            return body
        error = body.get("error", body) if body else {}
        error = error if isinstance(error, Mapping) else {"message": error}
        said = self._said(str(error.get("message") or error.get("detail") or "") or raw.decode(errors="replace"))
        if status == 200:  # noqa: PLR2004 - some routers put an upstream's failure into a success
            status = error["code"] if isinstance(error.get("code"), int) else 502
            if body is None:
                raise CallFailed(f"something other than JSON came back: {said}", kind="not_json", transient=True)
        return self._refuse(status, headers, error, said)

    def _refuse(self, status: int, headers: Mapping[str, str], error: Mapping[str, Any], said: str) -> NoReturn:
        code = str(error.get("code") or error.get("type") or "")
        if 300 <= status < 400:  # noqa: PLR2004 - HTTP
            host = urlsplit(headers.get("Location", "")).netloc or "elsewhere"
            raise JudgeUnusable(f"{self.where} redirects to {one_line(host)}: give the final address as --base-url")
        raise_for_status(status, code, said, self.where, self._model, error.get("param"), retry_after_s(headers))

    def _said(self, text: str) -> str:
        """Return a provider's words on one line, with the key blotted out should they repeat it."""
        return one_line(text.replace(self._key, "***") if self._key else text, _SHOWN)


def raise_for_status(  # one table for both routes
    status: int, code: str, said: str, where: str, model: str, parameter: object, wait_s: float | None
) -> NoReturn:
    """Turn an HTTP failure into `JudgeUnusable` if it will not pass, else into `CallFailed`."""
    hint = f"{said} (HTTP {status})"
    lowered = f"{code} {said}".lower()
    if status == 402 or "insufficient_quota" in lowered:  # noqa: PLR2004 - HTTP
        raise JudgeUnusable(f"{where}: the account has no credit left: {hint}")
    if any(words in lowered for words in _REFUSALS):
        raise CallFailed(hint, kind="refused", transient=False, status=status)
    if status in {401, 403}:
        raise JudgeUnusable(
            f"{where} does not accept the API key: {hint}; check the variable that holds it (--api-key-env)"
        )
    if status in {404, 405}:
        raise JudgeUnusable(f"{where} knows no such model or path: {model!r}: {hint}; check --judge and --base-url")
    if any(words in lowered for words in _TOO_LONG):
        raise CallFailed(hint, kind="too_long", transient=False, status=status)
    transient = status in _TRANSIENT or status >= 500  # noqa: PLR2004 - HTTP
    raise CallFailed(
        hint,
        kind="rate_limited" if status == 429 else "server" if transient else "rejected",  # noqa: PLR2004 - HTTP
        transient=transient,
        status=status,
        retry_after_s=wait_s,
        parameter=parameter if isinstance(parameter, str) else None,
    )


_REFUSALS = ("content_filter", "content management policy", "content_policy", "moderation")
_TOO_LONG = (
    "context_length",
    "context length",
    "maximum context",
    "exceed_context",
    "context size",
    "prompt is too long",
    "too many tokens",
)


def is_loopback(url: str) -> bool:
    """Tell whether a URL names this machine itself."""
    host = urlsplit(url).hostname or ""
    try:
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
