"""Judges as they are asked for: on the command line and under names in `perm.toml` or `[tool.perm]`."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from perm_cli.errors import SettingsError
from perm_cli.findings import expected_name, first_finding
from perm_cli.text import one_line
from perm_cli.words import MOST, Structured

# What a request holds already; LiteLLM and OpenAI's SDK put the fields of `extra_body` beside it.
_RESERVED = frozenset({
    "messages", "model", "stream", "n", "response_format", "temperature", "logprobs", "top_logprobs", "seed",
})  # fmt: skip
# What would carry a secret into the record of a run, or a request to another host; in any spelling, at any depth.
_SECRETS = frozenset({
    "api_key", "x_api_key", "apikey", "authorization", "proxy_authorization", "headers", "extra_headers",
    "default_headers", "api_base", "base_url", "token", "access_token", "auth_token", "secret", "password",
})  # fmt: skip


_URL = re.compile(r"[^\s\\#<>\x00-\x20\x7f]+")
_Dollars = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Hold what a judge costs, in US dollars a million tokens; cached input costs as much as any unless said."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    input: _Dollars
    output: _Dollars
    cached: _Dollars | None = None

    def cost_usd(self, tokens_in: int, tokens_out: int, cached_tokens: int = 0) -> float:
        """Return the price of a call."""
        cached = self.input if self.cached is None else self.cached
        fresh = max(tokens_in - cached_tokens, 0)
        return (fresh * self.input + cached_tokens * cached + tokens_out * self.output) / 1e6

    def halved(self) -> "Price":
        """Return what the same costs in a batch, with OpenAI and Anthropic alike."""
        return Price(
            input=self.input / 2, output=self.output / 2, cached=None if self.cached is None else self.cached / 2
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSettings:
    """
    Say which model judges and how it is called.

    `concurrency` and `timeout_s` are None where the route's own default holds; `rpm` and `tpm`, the requests and
    tokens a minute, where there is no limit. A call is
    tried again for `patience_s` at most. `params` go into every request as they are, as do `temperature` and
    `max_tokens`.
    """

    name: str
    model: str
    base_url: str | None = None
    api_key_env: str | None = None
    temperature: float = 0.3
    max_tokens: int = 1024
    concurrency: int | None = None
    rpm: float | None = None
    tpm: float | None = None
    timeout_s: float | None = None
    patience_s: float = 300.0
    structured: Structured = "auto"
    logprobs: bool = False
    price: Price | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def provider(self) -> str:
        """Return what stands before the first slash of the model's name, or nothing."""
        return self.model.partition("/")[0] if "/" in self.model else ""

    def identity(self) -> dict[str, Any]:
        """Return what a rating depends on besides its prompt: which model, asked how."""
        names = ("model", "base_url", "temperature", "max_tokens", "structured", "logprobs", "params")
        return {name: value for name, value in asdict(self).items() if name in names}


@dataclass(frozen=True, kw_only=True)
class _JudgeTable:
    __pydantic_config__ = ConfigDict(extra="forbid")
    model: str
    base_url: str | None = None
    api_key_env: str | None = None
    temperature: float | None = None
    max_tokens: Annotated[int, Field(gt=0, le=MOST)] | None = None
    concurrency: Annotated[int, Field(gt=0, le=MOST)] | None = None
    rpm: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    tpm: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    timeout_s: Annotated[float, Field(gt=0)] | None = None
    patience_s: Annotated[float, Field(gt=0)] | None = None
    structured: Structured | None = None
    price: Price | None = None
    params: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class _File:
    __pydantic_config__ = ConfigDict(extra="forbid")
    judge: str | None = None
    judges: dict[str, _JudgeTable] | None = None
    reward: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Hold what a settings file says: the judge to take when none is named, judges by name, and training's reward."""

    path: Path | None = None
    judge: str | None = None
    judges: Mapping[str, JudgeSettings] = field(default_factory=dict)
    reward: Mapping[str, Any] = field(default_factory=dict)


def load_configuration(path: Path | None = None) -> Configuration:
    """
    Read `path`, or the nearest `perm.toml` or `[tool.perm]` from here upwards; raise `SettingsError`.

    A file that was found and not named must be the user's own or root's: it says where keys are sent.
    """
    found = (path, _table(path)) if path else _nearest()
    if found is None:
        return Configuration()
    file, table = found
    _check_names(file, table)
    try:
        checked = TypeAdapter(_File).validate_python(table)
    except ValidationError as error:
        raise SettingsError(f"{file}: {first_finding(error)}") from error
    try:
        judges = {name: _named(name, judge) for name, judge in (checked.judges or {}).items()}
    except SettingsError as error:
        raise SettingsError(f"{file}: {error}") from error
    return Configuration(path=file, judge=checked.judge, judges=judges, reward=checked.reward or {})


def _check_names(file: Path, table: Any) -> None:
    """Raise `SettingsError` for a name that nobody knows, and for true or false, which would be read as 1 or 0."""
    for place, kind, found in _tables(table):
        known = [each.name for each in fields(kind)]
        for name, value in found.items():
            where = f"{file}: {place}{one_line(name, 60)}"
            if name not in known:
                raise SettingsError(f"{where}: no such setting, expected {expected_name(name, known)}")
            if isinstance(value, bool):
                raise SettingsError(f"{where}: {str(value).lower()} found, expected a number or text")


def _tables(table: Any) -> Iterator[tuple[str, type[_File | _JudgeTable | Price], dict[str, Any]]]:
    """Yield the tables of a settings file that are tables, each with its place and with what its names are."""
    places: list[tuple[str, type[_File | _JudgeTable | Price], Any]] = [("", _File, table)]
    judges = table.get("judges") if isinstance(table, dict) else None
    for name, judge in judges.items() if isinstance(judges, dict) else ():
        place = f"judges.{one_line(name, 60)}."
        places.append((place, _JudgeTable, judge))
        places.append((f"{place}price.", Price, judge.get("price") if isinstance(judge, dict) else None))
    yield from ((place, kind, found) for place, kind, found in places if isinstance(found, dict))


def judge_settings(name: str | None, configuration: Configuration, **overrides: Any) -> JudgeSettings:
    """Return the judge called `name`, a configured one or any model; overrides that are None say nothing."""
    name = name or configuration.judge
    if not name:
        raise SettingsError(
            "--judge: nothing found, expected a model such as openai/gpt-5.4-mini, `local`, or judge = … in perm.toml"
        )
    known = configuration.judges.get(name) or JudgeSettings(name=name, model=name)
    given = {key: value for key, value in overrides.items() if value is not None}
    if "api_key_env" in given:
        checked_variable(given["api_key_env"])
    if "base_url" in given:
        given["base_url"] = checked_url(given["base_url"])
        if given["base_url"] != known.base_url:  # the configured key is for the configured host
            given.setdefault("api_key_env", None)
    return replace(known, **given)


def checked_url(base_url: str) -> str:
    """Return a base URL without its last slash; raise `SettingsError` if it is none or holds a password."""
    try:
        parts = urlsplit(base_url)
        host = (parts.hostname or "").encode("idna")
        is_address = bool(parts.scheme in {"http", "https"} and host and parts.port != 0)
    except ValueError:
        is_address = False
    else:
        if parts.username or parts.password or parts.query:
            raise SettingsError("the base URL: a user, password or query found in it, expected a key in --api-key-env")
    if not is_address or not _URL.fullmatch(base_url):
        shown = one_line(base_url)
        raise SettingsError(f"the base URL: {shown!r} found, expected one such as http://127.0.0.1:8000/v1")
    return base_url.rstrip("/")


def checked_variable(name: str) -> str:
    """Return the name of a variable; raise `SettingsError` if it is none, without what may be the key itself."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or re.match(r"sk[-_]|AIza|gsk_|hf_", name):
        raise SettingsError("the API key's variable: what is no name of one found, expected one such as MY_API_KEY")
    return name


def read_key(variable: str) -> str | None:
    """Return the API key in an environment variable, without the line end that copying adds."""
    return os.environ.get(variable, "").strip() or None


def _named(name: str, table: _JudgeTable) -> JudgeSettings:
    given = {each.name: getattr(table, each.name) for each in fields(table)}
    if reserved := sorted(set(_refused_in(table.params or {}, _RESERVED | _SECRETS))):
        raise SettingsError(
            f"judges.{name}.params: {', '.join(reserved)} found, which perm sets itself or keeps secret"
        )
    try:
        orjson.dumps(table.params)
    except orjson.JSONEncodeError as error:
        raise SettingsError(f"judges.{name}.params: {error}, expected what JSON can hold") from error
    if table.api_key_env:
        checked_variable(table.api_key_env)
    if table.base_url:
        given["base_url"] = checked_url(table.base_url)
    return JudgeSettings(name=name, **{key: value for key, value in given.items() if value is not None})


def _refused_in(value: object, names: frozenset[str]) -> Iterator[str]:
    """Yield the keys of parameters that may not be there, however deep they stand."""
    if isinstance(value, list):
        for each in value:
            yield from _refused_in(each, _SECRETS)
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.lower().replace("-", "_") in names:
                yield key
            yield from _refused_in(inner, names if key == "extra_body" else _SECRETS)


def _nearest() -> tuple[Path, Any] | None:
    for folder in (Path.cwd(), *Path.cwd().parents):
        for file in (folder / "perm.toml", folder / "pyproject.toml"):
            if file.is_file() and (table := _table(file, found=True)) is not None:
                return file, table
    return None


def _table(file: Path, *, found: bool = False) -> Any:
    try:
        with file.open("rb") as stream:
            table: Any = tomllib.load(stream)
            owner = os.fstat(stream.fileno()).st_uid
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror} found, expected a settings file") from error
    except RecursionError as error:
        raise SettingsError(f"{file}: lists or tables nested too deeply found, expected TOML") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: {one_line(str(error))}, expected TOML") from error
    except ValueError as error:  # Python reads no such number
        raise SettingsError(f"{file}: a number of thousands of digits found, expected TOML") from error
    if file.name == "pyproject.toml":
        tool = table.get("tool")
        table = tool.get("perm") if isinstance(tool, dict) else None
    if found and table is not None:
        _check_owner(file, owner)
    return table


def _check_owner(file: Path, owner: int) -> None:
    if hasattr(os, "geteuid") and owner not in {os.geteuid(), 0}:
        raise SettingsError(
            f"{file}: owned by another user (uid {owner}), expected a settings file of your own; "
            f"if you trust it, name it: --config {file}; to go on without it: --config {os.devnull}"
        )
