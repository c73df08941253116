"""The registry of formats: a module and its name are all that a format is made of."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from perm_cli.dialogues import formats
from perm_cli.dialogues.format import Format
from perm_cli.dialogues.formats.registry import FORMATS
from perm_cli.words import FormatName


def test_every_module_is_a_format_that_the_command_line_names() -> None:
    """A module that is not named would never be asked, and a name without a module would end every command."""
    modules = {path.stem for path in Path(formats.__path__[0]).glob("*.py")} - {"__init__", "registry"}

    assert modules == set(get_args(FormatName)) - {"auto"} == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_says_what_its_files_look_like(name: str) -> None:
    """Whoever has a file that is in no format is told what would be read."""
    known = FORMATS[name]

    assert isinstance(known, Format)
    assert known.description
    assert known.container in {"lines", "table", "text"}


@pytest.mark.parametrize("name", FORMATS)
def test_a_row_without_fields_is_in_no_format(name: str) -> None:
    """Every format is asked about every first row, whatever stands in it."""
    assert not FORMATS[name].recognises({})


def test_the_names_of_formats_load_none() -> None:
    """Help names every format, and must cost nothing."""
    code = "import sys, perm_cli.words; print([name for name in sys.modules if 'dialogues' in name])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
