"""The registry of formats: every name in `words.FormatName` is a module here with a `FORMAT`."""

from collections.abc import Mapping
from importlib import import_module
from typing import get_args

from perm_cli.dialogues.format import Format
from perm_cli.words import FormatName

# The names are listed in a light module, so that `--help` can show them without importing the formats.
FORMATS: Mapping[str, Format] = {
    name: import_module(f"{__package__}.{name}").FORMAT for name in get_args(FormatName) if name != "auto"
}
TABLES = tuple(name for name, known in FORMATS.items() if known.container == "table")
JOINED = tuple(name for name, known in FORMATS.items() if known.is_joined)
