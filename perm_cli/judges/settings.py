"""
The settings of a judge; each option is defined here once, for all the ways of setting it.

The command line, the `[judges.NAME]` tables of `perm.toml`, the arguments and variables of training, requests and the
identity of a judge are derived from `JudgeSettings`. Cheap to import, because `perm --help` reads this module.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from perm_cli.errors import SettingsError
from perm_cli.text import one_line
from perm_cli.words import LARGEST_INTEGER, Structured

_URL = re.compile(r"[^\s\\#<>\x00-\x20\x7f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """
    The metadata of an option, besides its type and default.

    Its value is from `least` to `most`. `usual` is the default shown in the help if the value itself does not tell,
    and `flag` the name on the command line if it is not the field's. A `rated` option changes ratings, so it is part of
    the judge's identity; a `sent` option goes into every request under its own name.
    """

    help: str = ""
    usual: str = ""
    flag: str | None = None
    least: float | None = None
    most: float | None = None
    rated: bool = False
    sent: bool = False

    def __get_pydantic_core_schema__(self, kind: Any, schema_of: Callable[[Any], Any]) -> Any:
        """Return pydantic's schema of the type with the option's bounds."""
        schema = schema_of(kind)
        if self.least is not None:
            schema["ge"] = self.least
        if self.most is not None:
            schema["le"] = self.most
        return schema | {"allow_inf_nan": False} if schema["type"] == "float" else schema


_Dollars = Annotated[float, Option(least=0, most=1e6)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of a judge in US dollars per million tokens; `cached` input costs as much as other `input` if None."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - what pydantic looks for

    input: _Dollars
    output: _Dollars
    cached: _Dollars | None = None

    def cost_usd(self, tokens_in: int, tokens_out: int, cached_tokens: int = 0) -> float:
        """Return the price of a call in US dollars."""
        cached = self.input if self.cached is None else self.cached
        fresh = max(tokens_in - cached_tokens, 0)
        return (fresh * self.input + cached_tokens * cached + tokens_out * self.output) / 1e6

    def halved(self) -> "Price":
        """Return the price in a batch, which is half with both OpenAI and Anthropic."""
        return Price(
            input=self.input / 2, output=self.output / 2, cached=None if self.cached is None else self.cached / 2
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSettings:
    """
    Which model judges and how it is called.

    `concurrency` and `timeout_s` are None for the route's default; `rpm` and `tpm`, the requests and tokens per
    minute, are None for no limit. A call is retried for at most `patience_s` seconds. `params` go into every request
    unchanged.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - what pydantic looks for

    name: str
    model: str
    base_url: Annotated[str, Option(help="Address of an OpenAI-compatible server, up to /v1.", rated=True)] | None = (
        None
    )
    api_key_env: Annotated[str, Option(help="Environment variable that holds the API key.")] | None = None
    temperature: Annotated[float, Option(help="Sampling temperature.", least=0, most=10, rated=True, sent=True)] = 0.3
    max_tokens: Annotated[
        int, Option(help="Maximum length of a reply in tokens.", least=1, most=LARGEST_INTEGER, rated=True)
    ] = 1024
    concurrency: (
        Annotated[
            int,
            Option(help="Maximum number of calls in flight.", usual="32; 1 for local", least=1, most=LARGEST_INTEGER),
        ]
        | None
    ) = None
    rpm: Annotated[float, Option(help="Maximum requests per minute.", least=0.001, most=1e9)] | None = None
    tpm: Annotated[float, Option(help="Maximum tokens per minute.", least=1, most=1e12)] | None = None
    timeout_s: (
        Annotated[
            float,
            Option(
                help="Time limit of a call in seconds.",
                usual="120; 900 for local",
                flag="--timeout",
                least=0.001,
                most=86_400,
            ),
        ]
        | None
    ) = None
    patience_s: Annotated[
        float,
        Option(help="How long a failing call is retried, in seconds.", flag="--patience", least=0.001, most=86_400),
    ] = 300.0
    structured: Annotated[
        Structured, Option(help="Form of the verdict.", usual="auto, the best that the endpoint accepts", rated=True)
    ] = "auto"
    logprobs: bool = False
    price: Price | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def provider(self) -> str:
        """Return the part of the model's name before the first slash, empty if there is none."""
        return self.model.partition("/")[0] if "/" in self.model else ""

    def identity(self) -> dict[str, Any]:
        """
        Return what a rating depends on besides its prompt: the model and the options that change its ratings.

        An option that is None is left out, so that judges keep their identity, and runs their ratings, when a release
        adds an option; `base_url` is included in any case, as it always has been.
        """
        return {
            name: value
            for name, value in asdict(self).items()
            if name in _RATED and (value is not None or name == "base_url")
        }

    def sent(self) -> dict[str, Any]:
        """Return the options that go into every request under their own names."""
        return {name: value for name in SENT if (value := getattr(self, name)) is not None}


def options_of(kind: type) -> dict[str, tuple[Any, Option]]:
    """Return the options of a dataclass by name, each with its type, None excluded."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: found for name, hint in hints.items() if (found := _option_in(hint))}


def _option_in(hint: Any) -> tuple[Any, Option] | None:
    """Return the type and metadata of an option from its type hint, None if the field is not an option."""
    annotated = (each for each in (hint, *get_args(hint)) if get_origin(each) is Annotated)
    known = next(annotated, None)
    return (known, known.__metadata__[0]) if known else None


OPTIONS = options_of(JudgeSettings)
SENT = frozenset(name for name, (_, option) in OPTIONS.items() if option.sent)
_RATED = {"model", "logprobs", "params", *(name for name, (_, option) in OPTIONS.items() if option.rated)}


def checked_url(base_url: str) -> str:
    """Return a base URL without a trailing slash; raise `SettingsError` if it is invalid or contains a password."""
    try:
        parts = urlsplit(base_url)
        host = (parts.hostname or "").encode("idna")
        is_address = bool(parts.scheme in {"http", "https"} and host and parts.port != 0)
    except ValueError:
        is_address = False
    else:
        if parts.username or parts.password or parts.query:
            raise SettingsError(
                "the base URL must not contain a user, password or query; name a variable with the key as --api-key-env"
            )
    if not is_address or not _URL.fullmatch(base_url):
        shown = one_line(base_url)
        raise SettingsError(f"the base URL: {shown!r} found, expected one such as http://127.0.0.1:8000/v1")
    return base_url.rstrip("/")


def checked_variable(name: str) -> str:
    """Return the name of an environment variable; raise `SettingsError`, without quoting it, if it may be the key."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or re.match(r"sk[-_]|AIza|gsk_|hf_", name):
        raise SettingsError("--api-key-env: expected the name of a variable such as MY_API_KEY, not the key itself")
    return name


def read_key(variable: str) -> str | None:
    """Return the API key in an environment variable, without a newline from copying; None if it is not set."""
    return os.environ.get(variable, "").strip() or None
