"""The names of judges: which there are, as far as can be told without a call or an import of LiteLLM."""

import importlib.util
import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from perm_cli.errors import SettingsError
from perm_cli.judges.prices import price_list
from perm_cli.judges.route_baseline import BASELINE
from perm_cli.judges.route_embedded import is_local
from perm_cli.judges.settings import JudgeSettings
from perm_cli.text import one_line

_PROVIDERS = re.compile(r'^    [A-Z0-9_]+ = "([^"]+)"$', re.MULTILINE)
_TUNED = "ft:"  # OpenAI's models that were trained further are listed nowhere


def is_known(model: str, providers: Iterable[str] = ()) -> bool:
    """Tell whether a model, or the provider before its slash, is one that `perm` or LiteLLM knows."""
    if model == BASELINE or is_local(model) or model.startswith(_TUNED) or model in price_list():
        return True
    provider, slash, rest = model.partition("/")
    return bool(slash and rest) and (provider in providers or provider in _litellm_providers())


def unknown(judge: JudgeSettings, configured: Iterable[str], providers: Iterable[str]) -> SettingsError:
    """Return what to tell the user of a judge that nobody knows, with the names that may have been meant."""
    near = _nearest(judge.model, [*configured], {*providers, *_litellm_providers()})
    meant = f"; did you mean {', '.join(near)}?" if near else ""
    model = "" if judge.name == judge.model else f"model {judge.model}: "
    return SettingsError(
        one_line(
            f"--judge {judge.name}: {model}no such judge found, expected a name from perm.toml, a model such as "
            f"openai/gpt-5.4-mini, local, baseline, or --base-url with the address of a server{meant}",
            1000,
        )
    )


def _nearest(model: str, configured: list[str], providers: set[str]) -> list[str]:
    provider, slash, rest = model.partition("/")
    if not slash:
        listed = [each for each in price_list() if "/" not in each]
        return get_close_matches(model, [*configured, BASELINE, "local", *listed], 3)
    meant = get_close_matches(provider, providers - {provider}, 2) if rest else []
    return [*get_close_matches(model, configured, 2), *(f"{each}/{rest}" for each in meant)]


@cache
def _litellm_providers() -> frozenset[str]:
    """Return the providers that LiteLLM knows: those of its price list and of its own enumeration."""
    listed = {entry.get("litellm_provider", "") for entry in price_list().values()}
    prefixes = {name.partition("/")[0] for name in price_list() if "/" in name}
    return frozenset(listed | prefixes | _enumerated()) - {""}


def _enumerated() -> set[str]:
    found = importlib.util.find_spec("litellm")
    file = Path(found.origin).parent / "types" / "utils.py" if found and found.origin else None
    if file is None or not file.is_file():
        return set()
    _, _, enumeration = file.read_text(encoding="utf-8").partition("class LlmProviders")
    return set(_PROVIDERS.findall(enumeration.partition("\nclass ")[0]))
