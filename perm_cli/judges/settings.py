"""
The settings of a judge: each option is written here once, with all that the ways of setting it need.

The command line, the `[judges.NAME]` tables of `perm.toml`, the arguments and variables of training, requests and the
identity of a judge are derived from `JudgeSettings`. Light to import: `perm --help` reads this module.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from perm_cli.errors import SettingsError
from perm_cli.text import one_line
from perm_cli.words import MOST, Structured

_URL = re.compile(r"[^\s\\#<>\x00-\x20\x7f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """
    What is known of an option beside its type and its value where nobody sets it.

    Its value is from `least` to `most`. `usual` is what `help` names as the default where the value does not say it,
    `flag` its name on the command line where that is not the field's. Ratings depend on a `rated` option, which is
    part of the judge's identity, and a `sent` one goes into every request under its own name.
    """

    help: str = ""
    usual: str = ""
    flag: str | None = None
    least: float | None = None
    most: float | None = None
    rated: bool = False
    sent: bool = False

    def __get_pydantic_core_schema__(self, kind: Any, schema_of: Callable[[Any], Any]) -> Any:
        """Return pydantic's schema of the type, within the bounds."""
        schema = schema_of(kind)
        if self.least is not None:
            schema["ge"] = self.least
        if self.most is not None:
            schema["le"] = self.most
        return schema | {"allow_inf_nan": False} if schema["type"] == "float" else schema


_Dollars = Annotated[float, Option(least=0, most=1e6)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a judge costs, in US dollars per million tokens; cached input costs as much as any unless said."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - what pydantic looks for

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
    Which model judges and how it is called.

    `concurrency` and `timeout_s` are None where the route's own default holds; `rpm` and `tpm`, the requests and
    tokens per minute, where there is no limit. A call is tried again for `patience_s` at most. `params` go into every
    request as they are.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - what pydantic looks for

    name: str
    model: str
    base_url: Annotated[str, Option(help="Address of an OpenAI-compatible server, up to /v1.", rated=True)] | None = (
        None
    )
    api_key_env: Annotated[str, Option(help="Environment variable that holds the API key.")] | None = None
    temperature: Annotated[float, Option(help="Sampling temperature.", least=0, most=10, rated=True, sent=True)] = 0.3
    max_tokens: Annotated[int, Option(help="Longest reply, in tokens.", least=1, most=MOST, rated=True)] = 1024
    concurrency: (
        Annotated[int, Option(help="Calls in flight, at most.", usual="32; 1 for local", least=1, most=MOST)] | None
    ) = None
    rpm: Annotated[float, Option(help="Requests a minute, at most.", least=0.001, most=1e9)] | None = None
    tpm: Annotated[float, Option(help="Tokens a minute, at most.", least=1, most=1e12)] | None = None
    timeout_s: (
        Annotated[
            float,
            Option(help="Seconds for a call.", usual="120; 900 for local", flag="--timeout", least=0.001, most=86_400),
        ]
        | None
    ) = None
    patience_s: Annotated[
        float, Option(help="Seconds a call is tried again for.", flag="--patience", least=0.001, most=86_400)
    ] = 300.0
    structured: Annotated[
        Structured, Option(help="Form of the verdict.", usual="auto, the best the endpoint takes", rated=True)
    ] = "auto"
    logprobs: bool = False
    price: Price | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def provider(self) -> str:
        """Return what stands before the first slash of the model's name, or nothing."""
        return self.model.partition("/")[0] if "/" in self.model else ""

    def identity(self) -> dict[str, Any]:
        """
        Return what a rating depends on besides its prompt: which model, asked how.

        An option that is None is left out, so that judges keep their identity, and runs their ratings, when there is
        one option more; a `base_url` has always been in it.
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
    """Return the options of a dataclass by their names, each with its type, which is that of a value that is set."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: found for name, hint in hints.items() if (found := _option_in(hint))}


def _option_in(hint: Any) -> tuple[Any, Option] | None:
    """Return the type and the option of a field that is one, which may also be None."""
    annotated = (each for each in (hint, *get_args(hint)) if get_origin(each) is Annotated)
    known = next(annotated, None)
    return (known, known.__metadata__[0]) if known else None


OPTIONS = options_of(JudgeSettings)
SENT = frozenset(name for name, (_, option) in OPTIONS.items() if option.sent)
_RATED = {"model", "logprobs", "params", *(name for name, (_, option) in OPTIONS.items() if option.rated)}


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
