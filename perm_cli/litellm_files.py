"""
What is read of LiteLLM's own files, without the import, which takes seconds and asks the network for the same.

They are no interface of LiteLLM's and may move with any release; where one is gone, nothing is known.
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
    """Return the price list by the names of models."""
    file = _place(_PRICES)
    return dict(orjson.loads(file.read_bytes())) if file else {}


@cache
def providers() -> frozenset[str]:
    """Return the providers that LiteLLM knows: those of its price list and of its own enumeration."""
    listed = {entry.get("litellm_provider", "") for entry in price_list().values()}
    prefixes = {name.partition("/")[0] for name in price_list() if "/" in name}
    return frozenset(listed | prefixes | enumerated_providers()) - {""}


def enumerated_providers() -> set[str]:
    """Return the providers of the enumeration in LiteLLM's source, some of which have no model in the list."""
    file = _place("types/utils.py")
    _, _, enumeration = file.read_text(encoding="utf-8").partition("class LlmProviders") if file else ("", "", "")
    return set(_PROVIDER.findall(enumeration.partition("\nclass ")[0]))


def tokenizer_folder() -> Path | None:
    """Return the folder in which LiteLLM keeps tiktoken's files, which would be downloaded otherwise."""
    return _place("litellm_core_utils/tokenizers")


def _place(path: str) -> Path | None:
    found = importlib.util.find_spec("litellm")
    place = Path(found.origin).parent / path if found and found.origin else None
    return place if place and place.exists() else None
