"""
Read dialogues from files of any known format.

    sources ─► containers ─► rows ─► a format ─► dialogues
               (what a file is)     (what its rows mean)

A format is a module with `SAYS` (what its files look like), `ROLES` (its role names), `recognises` and `read`;
adding one means writing that module, of the steps in `records`, and naming it in `registry.FORMATS` and `words`.
"""

from perm_cli.formats.census import Census, check_dialogues, read_dialogues
from perm_cli.formats.columns import Columns, read_columns
from perm_cli.formats.reading import Reading, read_roles
from perm_cli.formats.registry import FORMATS, Format

__all__ = [
    "FORMATS",
    "Census",
    "Columns",
    "Format",
    "Reading",
    "check_dialogues",
    "read_columns",
    "read_dialogues",
    "read_roles",
]
