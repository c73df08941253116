"""
Data files of LiteLLM, read without importing it: the import takes seconds and downloads the same data.

They are not part of LiteLLM's interface and may move in any release; without them nothing is known.
"""

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Any

import orjson

_PRICES = "model_prices_and_context_window_backup.json"
_PROVIDER = re.compile(r'^    [A-Z0-9_]+ = "([^"]+)"$', re.MULTILINE)


@cache
def price_list() -> dict[str, Any]:
    """Return LiteLLM's price list by model name, empty if it cannot be found."""
    file = _place(_PRICES)
    return dict(orjson.loads(file.read_bytes())) if file else {}


@cache
def providers() -> frozenset[str]:
    """Return the providers that LiteLLM knows, from its price list and its own enumeration."""
    listed = {entry.get("litellm_provider", "") for entry in price_list().values()}
    prefixes = {name.partition("/")[0] for name in price_list() if "/" in name}
    return frozenset(listed | prefixes | enumerated_providers()) - {""}


def enumerated_providers() -> set[str]:
    """Return the providers enumerated in LiteLLM's source, some of which have no model in the price list."""
    file = _place("types/utils.py")
    _, _, enumeration = file.read_text(encoding="utf-8").partition("class LlmProviders") if file else ("", "", "")
    return set(_PROVIDER.findall(enumeration.partition("\nclass ")[0]))


def tokenizer_folder() -> Path | None:
    """Return the folder of LiteLLM's copies of tiktoken's files, so that they need not be downloaded."""
    return _place("litellm_core_utils/tokenizers")


def _place(path: str) -> Path | None:
    # The spec gives the folder without running the package, which is what the import's seconds are spent on.
    found = importlib.util.find_spec("litellm")
    place = Path(found.origin).parent / path if found and found.origin else None
    return place if place and place.exists() else None
