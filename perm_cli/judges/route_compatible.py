"""
The OpenAI-compatible route: providers and servers that speak OpenAI's chat completion API.

The client is built on aiohttp and needs a tenth of the processor time per call of the usual clients.
"""

import ipaddress
import os
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson
from yarl import URL

from perm_cli.errors import CallFailed, JudgeUnusable
from perm_cli.judges.batch_api import BatchApi
from perm_cli.judges.chat import ChatJudge, chatting
from perm_cli.judges.failures import error_of, message_of, raise_for_status, status_within
from perm_cli.judges.headers import retry_after_s
from perm_cli.judges.judge import Response
from perm_cli.judges.prices import listed_price
from perm_cli.judges.redaction import Redaction
from perm_cli.judges.route import Route, Terms
from perm_cli.judges.route_litellm import OWN_API
from perm_cli.judges.settings import JudgeSettings, checked_url, read_key
from perm_cli.text import one_line

_SHOWN = 300
_ERROR_CHARS = 20_000  # characters of an error that are read; it may be megabytes, and only the start is ever shown
_MOST_BYTES = 4 * 2**20
_MOST_BYTES_WITH_LOGPROBS = 16 * 2**20  # each token comes with twenty alternatives
_OK = 200
_GZIP = 47  # zlib's window bits for "gzip or zlib header, detected automatically"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Provider:
    """A provider's address, and the environment variables that override it and hold the key."""

    url: str
    url_env: str
    key_env: str
    needs_key: bool = True


_PROVIDERS = {
    "openai": _Provider(url="https://api.openai.com/v1", url_env="OPENAI_BASE_URL", key_env="OPENAI_API_KEY"),
    "openrouter": _Provider(
        url="https://openrouter.ai/api/v1", url_env="OPENROUTER_API_BASE", key_env="OPENROUTER_API_KEY"
    ),
    "deepseek": _Provider(url="https://api.deepseek.com/v1", url_env="DEEPSEEK_API_BASE", key_env="DEEPSEEK_API_KEY"),
    "hosted_vllm": _Provider(
        url="http://127.0.0.1:8000/v1",
        url_env="HOSTED_VLLM_API_BASE",
        key_env="HOSTED_VLLM_API_KEY",
        needs_key=False,
    ),
    "ollama": _Provider(
        url="http://127.0.0.1:11434/v1", url_env="OLLAMA_API_BASE", key_env="OLLAMA_API_KEY", needs_key=False
    ),
    "lm_studio": _Provider(
        url="http://127.0.0.1:1234/v1",
        url_env="LM_STUDIO_API_BASE",
        key_env="LM_STUDIO_API_KEY",
        needs_key=False,
    ),
}
_PROVIDERS["ollama_chat"] = _PROVIDERS["ollama"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a judge is asked: the address, the model's name there, and the variable that holds the key."""

    url: str
    model: str
    key_env: str | None
    needs_key: bool = False

    @property
    def key(self) -> str | None:
        """Return the key, None if there is none."""
        return read_key(self.key_env) if self.key_env else None


def endpoint_of(judge: JudgeSettings) -> Endpoint:
    """
    Return the endpoint of a judge.

    A key meant for one host is never sent to another: with a custom base URL, only the variable named by
    `api_key_env` is read.
    """
    known = _PROVIDERS.get(judge.provider)
    served = judge.model.partition("/")[2] if known else judge.model
    if judge.base_url:
        return Endpoint(url=judge.base_url, model=served, key_env=judge.api_key_env, needs_key=bool(judge.api_key_env))
    provider = _PROVIDERS[judge.provider]
    url = os.environ.get(provider.url_env) or provider.url
    if provider is _PROVIDERS["ollama"] and not url.rstrip("/").endswith("/v1"):
        url = f"{url.rstrip('/')}/v1"
    return Endpoint(
        url=url,
        model=served,
        key_env=judge.api_key_env or provider.key_env,
        needs_key=provider.needs_key or bool(judge.api_key_env),
    )


class HttpTransport:
    """
    A client of `<base_url>/chat/completions` that keeps its connections open.

    Redirects are not followed, so the key reaches only the host it is meant for. The proxy settings of the
    environment apply, except to loopback addresses.
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
            auto_decompress=False,  # aiohttp would unpack a small answer into gigabytes before anybody can stop it
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(self, payload: dict[str, Any]) -> Response:
        """Return the response; raise `CallFailed` or `JudgeUnusable`."""
        data = orjson.dumps({"model": self._model, **payload})
        try:
            async with self._session.post(self._url, data=data, proxy=self._proxy, allow_redirects=False) as response:
                raw = await _read(response, _MOST_BYTES_WITH_LOGPROBS if payload.get("logprobs") else _MOST_BYTES)
        except TimeoutError as error:
            raise CallFailed(f"no answer within {self._timeout_s:g} s", kind="timeout", transient=True) from error
        except (aiohttp.ClientConnectorCertificateError, ssl.SSLError) as error:
            raise JudgeUnusable(
                f"{self.where}: its certificate does not verify: {self._redacted(str(error))}"
            ) from error
        except zlib.error as error:
            raise CallFailed(f"an answer that is not valid gzip: {error}", kind="not_json", transient=True) from error
        except (aiohttp.ClientError, OSError) as error:
            reason = self._redacted(str(error) or type(error).__name__)
            raise CallFailed(f"no connection: {reason}", kind="connection", transient=True) from error
        return self._body(response.status, response.headers, raw), response.headers

    def _body(self, status: int, headers: Mapping[str, str], raw: bytes) -> Mapping[str, Any]:
        body = _json(raw)
        if status == _OK and body and not body.get("error"):
            return body
        return self._refuse(status, headers, raw, body)

    def _refuse(self, status: int, headers: Mapping[str, str], raw: bytes, body: dict[str, Any] | None) -> NoReturn:
        error = error_of(body) if body else {}
        told, parameter = message_of(error)
        message = self._redacted(told or raw[:_ERROR_CHARS].decode(errors="replace"))
        if status == _OK:  # some routers report an upstream's failure with status 200
            status = status_within(error)
            if body is None:
                raise CallFailed(f"something other than JSON came back: {message}", kind="not_json", transient=True)
        elif 300 <= status < 400:  # noqa: PLR2004 - HTTP
            host = one_line(self.redact.host_of(headers.get("Location", "")))
            raise JudgeUnusable(f"{self.where} redirects to {host}: give the final address as --base-url")
        code = str(error.get("code") or error.get("type") or "")[:_SHOWN]
        raise_for_status(status, code, message, self.where, self._model, parameter, retry_after_s(headers))

    def _redacted(self, text: str) -> str:
        """Return a provider's message on one line and without the key, which some providers repeat."""
        return one_line(self.redact(text[:_ERROR_CHARS]), _SHOWN)


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body, decompressed as it arrives; raise `CallFailed` as soon as it exceeds `most` bytes."""
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
    """Return whether a URL is a loopback address."""
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


def _takes(judge: JudgeSettings) -> bool:
    """Return whether a judge takes this route; with a custom base URL, any name may be a model's."""
    if judge.base_url:
        return judge.provider not in OWN_API
    return judge.provider in _PROVIDERS and bool(judge.model.partition("/")[2])


def _missing(judge: JudgeSettings) -> list[str]:
    endpoint = endpoint_of(judge)
    return [f"the API key: export {endpoint.key_env}=…"] if endpoint.needs_key and not endpoint.key else []


def _pinned(judge: JudgeSettings) -> JudgeSettings:
    endpoint = endpoint_of(judge)
    return replace(judge, base_url=endpoint.url, api_key_env=endpoint.key_env if endpoint.key else None)


def _batch_api(judge: JudgeSettings) -> BatchApi:
    from perm_cli.judges.batches_openai import OpenAIBatches  # noqa: PLC0415 - OpenAI's SDK is for batches only

    endpoint = endpoint_of(judge)
    return OpenAIBatches(checked_url(endpoint.url), endpoint.model, endpoint.key)


@asynccontextmanager
async def _opened(judge: JudgeSettings, terms: Terms) -> AsyncIterator[ChatJudge]:
    endpoint = endpoint_of(judge)
    transport = HttpTransport(endpoint.url, endpoint.model, endpoint.key, terms.timeout_s)
    async with chatting(judge, transport, terms) as opened:
        yield opened


ROUTE = Route(
    takes=_takes,
    opened=_opened,
    providers=lambda: frozenset(_PROVIDERS),
    missing=_missing,
    where=lambda judge: checked_url(endpoint_of(judge).url),
    gives_logprobs=lambda _: True,  # only a call can show whether it does
    price=listed_price,
    pinned=_pinned,
    served_as=lambda judge: endpoint_of(judge).model,
    exports=True,
    batch_url=lambda judge: endpoint_of(judge).url,
    batch_api=_batch_api,
)
