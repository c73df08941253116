"""
The LiteLLM route: every provider whose API is not OpenAI-compatible.

LiteLLM is imported on first use: the import takes seconds, and downloads a price list unless told not to
beforehand. Its own retries are off: with tenacity installed they would make five requests of one failing call.
"""

import importlib.metadata
import os
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from perm_cli import litellm_files
from perm_cli.errors import CallFailed, JudgeUnusable, SettingsError
from perm_cli.judges.batch_api import BatchApi
from perm_cli.judges.chat import ChatJudge, chatting
from perm_cli.judges.failures import raise_for_status
from perm_cli.judges.headers import retry_after_s
from perm_cli.judges.judge import Response
from perm_cli.judges.prices import listed_price
from perm_cli.judges.redaction import Redaction
from perm_cli.judges.route import Route, Terms
from perm_cli.judges.settings import JudgeSettings, checked_url, read_key
from perm_cli.text import one_line

# Even with --base-url, these providers use their own API; any other name is assumed to be OpenAI-compatible.
OWN_API = frozenset({
    "ai21", "anthropic", "azure", "azure_ai", "bedrock", "bedrock_converse", "cloudflare", "cohere", "cohere_chat",
    "databricks", "gemini", "gigachat", "huggingface", "oci", "predibase", "replicate", "sagemaker", "sagemaker_chat",
    "snowflake", "triton", "vertex_ai", "watsonx",
})  # fmt: skip
_TUNED = "ft:"  # OpenAI's fine-tuned models, which no list contains
_ANTHROPIC_URL = "https://api.anthropic.com"
# Excluded in `pyproject.toml` too, but an environment may have been made without it.
_MALICIOUS = frozenset({"1.82.7", "1.82.8", "1.107.0"})
_SHOWN = 300
_ERROR_CHARS = 20_000  # characters of an error that are read; it may be megabytes, and only the start is ever shown


class LiteLLMTransport:
    """A client that calls LiteLLM; `dropped` are the parameters that the provider does not support."""

    def __init__(self, model: str, base_url: str | None, key: str | None, timeout_s: float) -> None:
        self.where = base_url or model
        self._litellm = _imported()
        self._known = frozenset(self._litellm.get_supported_openai_params(model=model) or ())
        self.dropped: frozenset[str] = frozenset()
        self.redact = Redaction(key)
        self._model = model
        # With a custom base URL, LiteLLM must not fall back to the provider's usual key, which is for another host.
        usual = f"{model.partition('/')[0].upper()}_API_KEY"
        placeholder = "none" if base_url and usual in os.environ else None
        given = {"api_base": base_url, "api_key": key or placeholder}
        self._access = {name: value for name, value in given.items() if value}
        self._timeout_s = timeout_s

    async def close(self) -> None:
        """Close LiteLLM's connections."""
        await self._litellm.close_litellm_async_clients()

    async def send(self, payload: dict[str, Any]) -> Response:
        """Return the response; raise `CallFailed` or `JudgeUnusable`."""
        litellm = self._litellm
        if self._known:
            self.dropped |= payload.keys() - self._known - {"messages"}
        try:
            answer = await litellm.acompletion(
                model=self._model,
                **payload,
                **self._access,
                timeout=self._timeout_s,
                num_retries=0,
                max_retries=0,
                drop_params=True,
            )
        except litellm.exceptions.Timeout as error:
            raise CallFailed(f"no answer within {self._timeout_s:g} s", kind="timeout", transient=True) from error
        except litellm.exceptions.ContentPolicyViolationError as error:
            raise CallFailed(self._redacted(error), kind="refused", transient=False) from error
        except litellm.exceptions.ContextWindowExceededError as error:
            raise CallFailed(self._redacted(error), kind="too_long", transient=False) from error
        except litellm.exceptions.APIConnectionError as error:
            raise CallFailed(self._redacted(error), kind="connection", transient=True) from error
        except litellm.exceptions.UnsupportedParamsError as error:
            raise CallFailed(self._redacted(error), kind="rejected", transient=False) from error
        except tuple(litellm.LITELLM_EXCEPTION_TYPES) as error:
            if cause := _lost_connection(error):
                raise CallFailed(
                    f"no connection: {self._redacted(cause)}", kind="connection", transient=True
                ) from error
            self._refuse(error)
        headers = getattr(answer, "_hidden_params", {}).get("additional_headers") or {}
        return dict(orjson.loads(answer.model_dump_json())), {name: str(value) for name, value in headers.items()}

    def _refuse(self, error: Any) -> None:
        headers = getattr(error, "litellm_response_headers", None) or {}
        status = int(getattr(error, "status_code", None) or 500)
        if "LLM Provider NOT provided" in str(error):
            example = "anthropic/claude-sonnet-4-6"
            message = f"{self._model!r} names no provider that LiteLLM knows, expected one such as {example}"
            raise JudgeUnusable(message) from error
        try:
            raise_for_status(status, "", self._redacted(error), self.where, self._model, None, retry_after_s(headers))
        except (CallFailed, JudgeUnusable) as failure:
            raise failure from error

    def _redacted(self, error: BaseException) -> str:
        return one_line(self.redact(str(error)[:_ERROR_CHARS]), _SHOWN)


def _lost_connection(error: BaseException) -> BaseException | None:
    """Return the connection failure behind an error of LiteLLM, which reports many of them as server errors."""
    import httpx  # noqa: PLC0415 - LiteLLM, whose import takes seconds, has imported it by now

    cause: BaseException | None = error
    while cause and not isinstance(cause, httpx.TransportError | OSError):
        cause = cause.__cause__ or cause.__context__
    return cause


def _imported() -> Any:
    version = importlib.metadata.version("litellm")
    if version in _MALICIOUS:
        raise SettingsError(
            f"litellm {version} is a release with malicious code; install another one: pip install -U litellm"
        )
    for data in ("MODEL_COST_MAP", "ANTHROPIC_BETA_HEADERS", "BLOG_POSTS"):
        os.environ[f"LITELLM_LOCAL_{data}"] = "True"
    import litellm  # noqa: PLC0415 - seconds, and only this route needs it

    # What LiteLLM imports at its first failing call makes pydantic warn of LiteLLM's own types.
    warnings.filterwarnings("ignore", message=".*`ReadOnly` qualifier", category=UserWarning)
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    return litellm


def _providers() -> frozenset[str]:
    return OWN_API | litellm_files.providers()


def _is_known(judge: JudgeSettings) -> bool:
    """Return whether LiteLLM lists the model or knows its provider."""
    if judge.model.startswith(_TUNED) or judge.model in litellm_files.price_list():
        return True
    provider, _, model = judge.model.partition("/")
    return bool(model) and provider in _providers()


def _missing(judge: JudgeSettings) -> list[str]:
    variables: list[str] = []
    if judge.api_key_env:
        variables = [] if read_key(judge.api_key_env) else [judge.api_key_env]
    elif not judge.base_url:
        answer = _imported().validate_environment(model=judge.model)
        variables = [] if answer["keys_in_environment"] else list(answer["missing_keys"])
    return [f"the API key: export {name}=…" for name in variables]


def _gives_logprobs(judge: JudgeSettings) -> bool:
    """Return whether the model supports log-probabilities according to LiteLLM, or LiteLLM does not know."""
    known = _imported().get_supported_openai_params(model=judge.model)
    return not known or "logprobs" in known


def _variables(judge: JudgeSettings) -> frozenset[str]:
    """Return the environment variables that LiteLLM may read: those that begin with the provider's name."""
    return frozenset(name for name in os.environ if name.startswith(f"{judge.provider.upper()}_"))


def _batch_url(judge: JudgeSettings) -> str | None:
    if judge.provider != "anthropic":
        return None
    return judge.base_url or os.environ.get("ANTHROPIC_API_BASE") or _ANTHROPIC_URL


def _batch_api(judge: JudgeSettings) -> BatchApi | None:
    from perm_cli.judges.batches_anthropic import AnthropicBatches  # noqa: PLC0415 - HTTPX is for batches only

    url = _batch_url(judge)
    if url is None:
        return None
    variable = judge.api_key_env or ("" if judge.base_url else "ANTHROPIC_API_KEY")
    return AnthropicBatches(checked_url(url), judge.model.partition("/")[2], read_key(variable))


@asynccontextmanager
async def _opened(judge: JudgeSettings, terms: Terms) -> AsyncIterator[ChatJudge]:
    key = read_key(judge.api_key_env) if judge.api_key_env else None
    transport = LiteLLMTransport(judge.model, judge.base_url, key, terms.timeout_s)
    async with chatting(judge, transport, terms) as opened:
        yield opened


ROUTE = Route(
    takes=lambda _: True,  # whatever no other route takes; LiteLLM knows a hundred providers
    opened=_opened,
    is_known=_is_known,
    providers=_providers,
    missing=_missing,
    where=lambda judge: checked_url(judge.base_url) if judge.base_url else "the provider's address, by LiteLLM",
    gives_logprobs=_gives_logprobs,
    price=listed_price,
    variables=_variables,
    exports=True,
    batch_url=_batch_url,
    batch_api=_batch_api,
)
