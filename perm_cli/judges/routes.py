"""Routes: how each judge is reached, what it lacks, and how it is opened."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from perm_cli.errors import SettingsError
from perm_cli.judges.budget import Budget
from perm_cli.judges.chat import ChatJudge
from perm_cli.judges.limiter import Limiter
from perm_cli.judges.names import is_known, unknown
from perm_cli.judges.pace import Pace
from perm_cli.judges.prices import price_of
from perm_cli.judges.route_baseline import BASELINE, CAVEAT, VERSION, BaselineJudge
from perm_cli.judges.route_compatible import HttpTransport
from perm_cli.judges.route_embedded import EngineTransport, is_local, missing_parts, running_engine, weights_of
from perm_cli.judges.route_litellm import LiteLLMTransport, missing_variables, supports_logprobs
from perm_cli.judges.settings import Configuration, JudgeSettings, judge_settings, read_key
from perm_cli.text import one_line

_TIMEOUT_S = 120.0
_LOCAL_TIMEOUT_S = 900.0
_CONCURRENCY = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class _Provider:
    """Say where an OpenAI-compatible provider is, and which variables hold its address and its key."""

    url: str
    url_env: str
    key_env: str
    needs_key: bool = True


_COMPATIBLE = {
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
_COMPATIBLE["ollama_chat"] = _COMPATIBLE["ollama"]

# With --base-url, these still speak their own language; any other name is taken for an OpenAI-compatible server's.
_OWN_LANGUAGE = frozenset({
    "ai21", "anthropic", "azure", "azure_ai", "bedrock", "bedrock_converse", "cloudflare", "cohere", "cohere_chat",
    "databricks", "gemini", "gigachat", "huggingface", "oci", "predibase", "replicate", "sagemaker", "sagemaker_chat",
    "snowflake", "triton", "vertex_ai", "watsonx",
})  # fmt: skip
_PROVIDERS = _COMPATIBLE.keys() | _OWN_LANGUAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Say how a judge is reached: over LiteLLM if there is no `url`."""

    model: str
    url: str | None
    key_env: str | None
    needs_key: bool


def route_of(settings: JudgeSettings) -> Route:
    """
    Work out how to reach a judge that is not local.

    A key meant for one host is not sent to another: with a base URL of one's own, only the variable named by
    `api_key_env` is read.
    """
    provider, _, rest = settings.model.partition("/")
    known = _COMPATIBLE.get(provider)
    if settings.base_url and provider not in _OWN_LANGUAGE:
        model = rest if known else settings.model
        return Route(model=model, url=settings.base_url, key_env=settings.api_key_env, needs_key=False)
    if known and rest:
        url = os.environ.get(known.url_env) or known.url
        if known is _COMPATIBLE["ollama"] and not url.rstrip("/").endswith("/v1"):
            url = f"{url.rstrip('/')}/v1"
        return Route(model=rest, url=url, key_env=settings.api_key_env or known.key_env, needs_key=known.needs_key)
    return Route(model=settings.model, url=None, key_env=settings.api_key_env, needs_key=bool(settings.api_key_env))


def named_judge(name: str | None, configuration: Configuration, **overrides: Any) -> JudgeSettings:
    """Return the judge called `name`, as `judge_settings` does; raise `SettingsError` if nobody knows it."""
    judge = judge_settings(name, configuration, **overrides)
    if (judge.base_url and judge.provider not in _OWN_LANGUAGE) or is_known(judge.model, _PROVIDERS):
        return judge
    raise unknown(judge, configuration.judges, _PROVIDERS)


def detour_of(judge: JudgeSettings, configuration: Configuration) -> str | None:
    """Return what to tell the user where a settings file sends elsewhere what a provider's model name asks for."""
    named = configuration.judges.get(judge.name)
    if named is None or named.base_url != judge.base_url or not is_known(judge.name, _PROVIDERS):
        return None
    if not judge.base_url and judge.provider == judge.name.partition("/")[0]:
        return None
    key = f" with the key in {judge.api_key_env}" if judge.api_key_env else ""
    place = judge.base_url or judge.model
    return one_line(f"{configuration.path}: judge {judge.name!r} goes to {place}{key}, not to its provider", 1000)


def missing(settings: JudgeSettings) -> list[str]:
    """Return what this judge lacks before it can be called: a key, an extra, weights."""
    if settings.model == BASELINE:
        return []
    if is_local(settings.model):
        return missing_parts(settings.model)
    route = route_of(settings)
    named = route.key_env if route.needs_key or settings.api_key_env else None
    if named and not read_key(named):
        return [f"the API key: export {named}=…"]
    if route.url is None and not settings.api_key_env and not settings.base_url:
        return [f"the API key: export {name}=…" for name in missing_variables(settings.model)]
    return []


def check_judge(settings: JudgeSettings) -> None:
    """Raise `SettingsError` if the judge lacks something before it can be called."""
    lacking = missing(settings)
    if lacking:
        raise SettingsError(f"--judge {settings.name}: missing {'; '.join(lacking)}")


def default_concurrency(settings: JudgeSettings) -> int:
    """Return how many calls may be in flight."""
    return settings.concurrency or (1 if is_local(settings.model) else _CONCURRENCY)


def gives_logprobs(settings: JudgeSettings) -> bool:
    """Return whether the judge may give log-probabilities, which of an OpenAI-compatible server only a call shows."""
    if settings.model == BASELINE:
        return False
    if is_local(settings.model) or route_of(settings).url:
        return True
    return supports_logprobs(settings.model)


def caveat_of(settings: JudgeSettings) -> str | None:
    """Return what this judge's verdicts are known not to be worth."""
    if settings.model == BASELINE:
        return CAVEAT
    return weights_of(settings.model).caveat if is_local(settings.model) else None


def identity_of(settings: JudgeSettings) -> dict[str, object]:
    """Return what a rating depends on besides its prompt; of local weights their content, not their place."""
    identity = settings.identity()
    if settings.model == BASELINE:
        return {"model": f"{BASELINE}:{VERSION}"}
    return identity | {"model": f"local:{weights_of(settings.model).sha256}"} if is_local(settings.model) else identity


@asynccontextmanager
async def open_judge(
    settings: JudgeSettings, budget: Budget | None = None, *, lasting: Callable[[str], None] | None = None
) -> AsyncIterator[ChatJudge | BaselineJudge]:
    """
    Open the judge for the time of the `with` block; raise `SettingsError` for what it lacks.

    A `lasting` one outlives its endpoint's outages and tells of them, where any other is given up.
    """
    check_judge(settings)
    if settings.model == BASELINE:
        yield BaselineJudge(settings)
        return
    async with AsyncExitStack() as stack:
        transport: HttpTransport | LiteLLMTransport
        if is_local(settings.model):
            weights = weights_of(settings.model)
            url = stack.enter_context(running_engine(weights))
            transport = EngineTransport(url, weights.path.stem, None, settings.timeout_s or _LOCAL_TIMEOUT_S)
        else:
            route = route_of(settings)
            key = read_key(route.key_env) if route.key_env else None
            timeout_s = settings.timeout_s or _TIMEOUT_S
            if route.url:
                transport = HttpTransport(route.url, route.model, key, timeout_s)
            else:
                transport = LiteLLMTransport(route.model, settings.base_url, key, timeout_s)
        stack.push_async_callback(transport.close)
        limiter = Limiter(Pace(default_concurrency(settings), settings.rpm, settings.tpm), budget)
        yield ChatJudge(settings, transport, limiter, price_of(settings), lasting=lasting)
