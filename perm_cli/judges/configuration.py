"""Judges as configured in `perm.toml` or `[tool.perm]` and overridden on the command line."""

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

# Fields that perm sets in every request; LiteLLM and OpenAI's SDK merge the fields of `extra_body` into it.
_RESERVED = SENT | {"messages", "model", "stream", "n", "response_format", "logprobs", "top_logprobs", "seed"}
# Keys that would put a secret into the record of a run or send a request to another host, at any depth; compared in
# lower case and with underscores for hyphens.
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
    """The content of a settings file: the default judge, judges by name, and the settings of the training reward."""

    path: Path | None = None
    judge: str | None = None
    judges: Mapping[str, JudgeSettings] = field(default_factory=dict)
    reward: Mapping[str, Any] = field(default_factory=dict)


def load_configuration(path: Path | None = None) -> Configuration:
    """
    Read `path`, or the nearest `perm.toml` or `[tool.perm]` in this folder or above; raise `SettingsError`.

    A file that was found rather than named must belong to the user or root, because it decides where keys are sent.
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
    """Return the file's table with each judge's name inside its own table; wrong types are left for validation."""
    judges = table.get("judges") if isinstance(table, dict) else None
    if not isinstance(judges, dict):
        return table
    named = {name: {**judge, "name": name} if isinstance(judge, dict) else judge for name, judge in judges.items()}
    return table | {"judges": named}


def _check_names(file: Path, table: Any) -> None:
    """Raise `SettingsError` for an unknown name, and for a boolean, which pydantic would read as 1 or 0."""
    for place, kind, found in _tables(table):
        known = _NAMES[kind]
        for name, value in found.items():
            where = f"{file}: {place}{one_line(name, 60)}"
            if name not in known:
                raise SettingsError(f"{where}: no such setting, expected {expected_name(name, known)}")
            if isinstance(value, bool):
                raise SettingsError(f"{where}: {str(value).lower()} found, expected a number or text")


def _tables(table: Any) -> Iterator[tuple[str, type[_File | JudgeSettings | Price], dict[str, Any]]]:
    """Yield the known tables of a settings file, each with its path and the dataclass of its names."""
    places: list[tuple[str, type[_File | JudgeSettings | Price], Any]] = [("", _File, table)]
    judges = table.get("judges") if isinstance(table, dict) else None
    for name, judge in judges.items() if isinstance(judges, dict) else ():
        place = f"judges.{one_line(name, 60)}."
        places.append((place, JudgeSettings, judge))
        places.append((f"{place}price.", Price, judge.get("price") if isinstance(judge, dict) else None))
    yield from ((place, kind, found) for place, kind, found in places if isinstance(found, dict))


def judge_settings(name: str | None, configuration: Configuration, **overrides: Any) -> JudgeSettings:
    """Return the judge called `name`, a configured one or any model; overrides that are None are ignored."""
    name = name or configuration.judge
    if not name:
        raise SettingsError(
            "no judge is named; pass --judge with a model such as openai/gpt-5.4-mini or `local`, "
            "or set judge = … in perm.toml"
        )
    known = configuration.judges.get(name) or JudgeSettings(name=name, model=name)
    given = {key: value for key, value in overrides.items() if value is not None}
    if "api_key_env" in given:
        checked_variable(given["api_key_env"])
    if "base_url" in given:
        given["base_url"] = checked_url(given["base_url"])
        if given["base_url"] != known.base_url:  # the configured key is meant for the configured host only
            given.setdefault("api_key_env", None)
    return replace(known, **given)


def _checked(judge: JudgeSettings) -> JudgeSettings:
    """Return a judge of the file with its URL normalised; raise `SettingsError` for a setting that is not allowed."""
    if reserved := sorted(set(_refused_in(judge.params, _RESERVED | _SECRETS))):
        raise SettingsError(
            f"judges.{judge.name}.params: {', '.join(reserved)} cannot be set here: reserved for perm or secret"
        )
    try:
        orjson.dumps(judge.params)
    except orjson.JSONEncodeError as error:
        raise SettingsError(f"judges.{judge.name}.params: {error}; use only values that JSON can represent") from error
    if judge.api_key_env:
        checked_variable(judge.api_key_env)
    return replace(judge, base_url=checked_url(judge.base_url)) if judge.base_url else judge


def _refused_in(value: object, names: frozenset[str]) -> Iterator[str]:
    """Yield the forbidden keys in parameters, at any depth."""
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
        raise SettingsError(f"{file}: the settings file cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise SettingsError(f"{file}: lists or tables are nested too deeply") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: invalid TOML: {one_line(str(error))}") from error
    except ValueError as error:  # Python refuses to parse integers that long
        raise SettingsError(f"{file}: invalid TOML: a number of thousands of digits") from error
    if file.name == "pyproject.toml":
        tool = table.get("tool")
        table = tool.get("perm") if isinstance(tool, dict) else None
    if found and table is not None:
        _check_owner(file, owner)
    return table


def _check_owner(file: Path, owner: int) -> None:
    if hasattr(os, "geteuid") and owner not in {os.geteuid(), 0}:
        raise SettingsError(
            f"{file}: owned by another user (uid {owner}), so it is not used; "
            f"if you trust it, pass --config {file}; to run without it, pass --config {os.devnull}"
        )
