"""The formats that are known: every name in `words.FormatName` is a module here, and its `FORMAT` the format."""

from collections.abc import Mapping
from importlib import import_module
from typing import get_args

from perm_cli.dialogues.format import Format
from perm_cli.words import FormatName

# Only the names are written down, in a module that is light to import, so that help names them and loads none.
FORMATS: Mapping[str, Format] = {
    name: import_module(f"{__package__}.{name}").FORMAT for name in get_args(FormatName) if name != "auto"
}
TABLES = tuple(name for name, known in FORMATS.items() if known.container == "table")
JOINED = tuple(name for name, known in FORMATS.items() if known.is_joined)
