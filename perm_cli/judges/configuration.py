"""Judges as `perm.toml` and `[tool.perm]` name them, and as the command line then changes them."""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import orjson
from pydantic import ConfigDict, TypeAdapter, ValidationError

from perm_cli.errors import SettingsError
from perm_cli.findings import expected_name, first_finding
from perm_cli.judges.settings import OPTIONS, SENT, JudgeSettings, Price, checked_url, checked_variable
from perm_cli.text import one_line

# What a request holds already; LiteLLM and OpenAI's SDK put the fields of `extra_body` beside it.
_RESERVED = SENT | {"messages", "model", "stream", "n", "response_format", "logprobs", "top_logprobs", "seed"}
# What would carry a secret into the record of a run, or a request to another host; in any spelling, at any depth.
_SECRETS = frozenset({
    "api_key", "x_api_key", "apikey", "authorization", "proxy_authorization", "headers", "extra_headers",
    "default_headers", "api_base", "base_url", "token", "access_token", "auth_token", "secret", "password",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _File:
    __pydantic_config__ = ConfigDict(extra="forbid")
    judge: str | None = None
    judges: dict[str, JudgeSettings] = field(default_factory=dict)
    reward: dict[str, Any] = field(default_factory=dict)


_NAMES = {
    _File: [each.name for each in fields(_File)],
    JudgeSettings: ["model", *OPTIONS, "price", "params"],
    Price: [each.name for each in fields(Price)],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a settings file says: the judge to take when none is named, judges by name, and training's reward."""

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
        checked = TypeAdapter(_File).validate_python(_with_names(table))
    except ValidationError as error:
        raise SettingsError(f"{file}: {first_finding(error)}") from error
    try:
        judges = {name: _checked(judge) for name, judge in checked.judges.items()}
    except SettingsError as error:
        raise SettingsError(f"{file}: {error}") from error
    return Configuration(path=file, judge=checked.judge, judges=judges, reward=checked.reward)


def _with_names(table: Any) -> Any:
    """Return the file's table with the names of judges in their own tables; what is none is found out later."""
    judges = table.get("judges") if isinstance(table, dict) else None
    if not isinstance(judges, dict):
        return table
    named = {name: {**judge, "name": name} if isinstance(judge, dict) else judge for name, judge in judges.items()}
    return table | {"judges": named}


def _check_names(file: Path, table: Any) -> None:
    """Raise `SettingsError` for a name that nobody knows, and for true or false, which would be read as 1 or 0."""
    for place, kind, found in _tables(table):
        known = _NAMES[kind]
        for name, value in found.items():
            where = f"{file}: {place}{one_line(name, 60)}"
            if name not in known:
                raise SettingsError(f"{where}: no such setting, expected {expected_name(name, known)}")
            if isinstance(value, bool):
                raise SettingsError(f"{where}: {str(value).lower()} found, expected a number or text")


def _tables(table: Any) -> Iterator[tuple[str, type[_File | JudgeSettings | Price], dict[str, Any]]]:
    """Yield the tables of a settings file that are tables, each with its place and with what its names are."""
    places: list[tuple[str, type[_File | JudgeSettings | Price], Any]] = [("", _File, table)]
    judges = table.get("judges") if isinstance(table, dict) else None
    for name, judge in judges.items() if isinstance(judges, dict) else ():
        place = f"judges.{one_line(name, 60)}."
        places.append((place, JudgeSettings, judge))
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


def _checked(judge: JudgeSettings) -> JudgeSettings:
    """Return a judge of the file with its address as we write it; raise `SettingsError` for what it must not say."""
    if reserved := sorted(set(_refused_in(judge.params, _RESERVED | _SECRETS))):
        raise SettingsError(
            f"judges.{judge.name}.params: {', '.join(reserved)} found, which perm sets itself or keeps secret"
        )
    try:
        orjson.dumps(judge.params)
    except orjson.JSONEncodeError as error:
        raise SettingsError(f"judges.{judge.name}.params: {error}, expected what JSON can hold") from error
    if judge.api_key_env:
        checked_variable(judge.api_key_env)
    return replace(judge, base_url=checked_url(judge.base_url)) if judge.base_url else judge


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
