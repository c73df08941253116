"""
The LiteLLM route: every provider whose API is not OpenAI-shaped.

LiteLLM is imported on first use: it takes seconds, and asks the network for a price list unless told not to
before the import. Its own retries stay off, since with tenacity installed one failing call would be five.
"""

import importlib.metadata
import os
from typing import Any

import httpx
import orjson

from perm_cli.errors import CallFailed, JudgeUnusable, SettingsError
from perm_cli.judges.failures import raise_for_status
from perm_cli.judges.headers import retry_after_s
from perm_cli.judges.judge import Answer
from perm_cli.judges.redaction import Redaction
from perm_cli.text import one_line

_MALICIOUS = frozenset({"1.82.7", "1.82.8", "1.107.0"})
_SHOWN = 300
_LOOKED_AT = 20_000  # characters of an error: what follows is never shown


class LiteLLMTransport:
    """Send payloads through LiteLLM; `dropped` names parameters the provider has no word for."""

    def __init__(self, model: str, base_url: str | None, key: str | None, timeout_s: float) -> None:
        self.where = base_url or model
        self._litellm = _imported()
        self._known = frozenset(self._litellm.get_supported_openai_params(model=model) or ())
        self.dropped: frozenset[str] = frozenset()
        self.redact = Redaction(key)
        self._model = model
        # With an address of one's own, LiteLLM must not look for the provider's usual key, which is for another host.
        usual = f"{model.partition('/')[0].upper()}_API_KEY"
        placeholder = "none" if base_url and usual in os.environ else None
        given = {"api_base": base_url, "api_key": key or placeholder}
        self._access = {name: value for name, value in given.items() if value}
        self._timeout_s = timeout_s

    async def close(self) -> None:
        """Close LiteLLM's connections."""
        await self._litellm.close_litellm_async_clients()

    async def send(self, payload: dict[str, Any]) -> Answer:
        """Return the answer; raise `CallFailed` or `JudgeUnusable`."""
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
            raise CallFailed(self._said(error), kind="refused", transient=False) from error
        except litellm.exceptions.ContextWindowExceededError as error:
            raise CallFailed(self._said(error), kind="too_long", transient=False) from error
        except litellm.exceptions.APIConnectionError as error:
            raise CallFailed(self._said(error), kind="connection", transient=True) from error
        except litellm.exceptions.UnsupportedParamsError as error:
            raise CallFailed(self._said(error), kind="rejected", transient=False) from error
        except tuple(litellm.LITELLM_EXCEPTION_TYPES) as error:
            if cause := _lost_connection(error):
                raise CallFailed(f"no connection: {self._said(cause)}", kind="connection", transient=True) from error
            self._refuse(error)
        headers = getattr(answer, "_hidden_params", {}).get("additional_headers") or {}
        return dict(orjson.loads(answer.model_dump_json())), {name: str(value) for name, value in headers.items()}

    def _refuse(self, error: Any) -> None:
        headers = getattr(error, "litellm_response_headers", None) or {}
        status = int(getattr(error, "status_code", None) or 500)
        if "LLM Provider NOT provided" in str(error):
            message = (
                f"{self._model!r} names no provider LiteLLM knows, expected a name such as anthropic/claude-sonnet-4-6"
            )
            raise JudgeUnusable(message) from error
        try:
            raise_for_status(status, "", self._said(error), self.where, self._model, None, retry_after_s(headers))
        except (CallFailed, JudgeUnusable) as failure:
            raise failure from error

    def _said(self, error: BaseException) -> str:
        return one_line(self.redact(str(error)[:_LOOKED_AT]), _SHOWN)


def _lost_connection(error: BaseException) -> BaseException | None:
    """Return the failure of a connection behind what LiteLLM raises for it, which with many is a server's error."""
    cause: BaseException | None = error
    while cause and not isinstance(cause, httpx.TransportError | OSError):
        cause = cause.__cause__ or cause.__context__
    return cause


def supports_logprobs(model: str) -> bool:
    """Return whether LiteLLM asks a model's provider for log-probabilities, or does not know."""
    known = _imported().get_supported_openai_params(model=model)
    return not known or "logprobs" in known


def missing_variables(model: str) -> list[str]:
    """Return the environment variables LiteLLM wants for `model` and does not find."""
    answer = _imported().validate_environment(model=model)
    return [] if answer["keys_in_environment"] else list(answer["missing_keys"])


def _imported() -> Any:
    version = importlib.metadata.version("litellm")
    if version in _MALICIOUS:
        raise SettingsError(
            f"litellm {version} found, a release with malicious code; expected another: pip install -U litellm"
        )
    for data in ("MODEL_COST_MAP", "ANTHROPIC_BETA_HEADERS", "BLOG_POSTS"):
        os.environ[f"LITELLM_LOCAL_{data}"] = "True"
    import litellm  # noqa: PLC0415 - seconds, and only this route needs it

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    return litellm
