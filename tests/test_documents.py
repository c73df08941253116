"""The documents say what the program does, because it writes that part of them."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from perm_cli.cli import app
from tests.generated import COMMANDS, ROOT, documents, renewed


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_generated_parts_are_fresh(document: Path) -> None:
    """A changed option changes the documents in the same commit: run `make docs`."""
    assert document.read_text(encoding="utf-8") == renewed(document)


def test_every_command_is_in_the_reference() -> None:
    """A command nobody can look up might as well not be there."""
    commands = get_command(app).commands  # type: ignore[attr-defined]  # a group has them
    names = [
        *commands,
        *(f"{name} {each}" for name in ("batch", "rubrics", "judges") for each in commands[name].commands),
    ]

    assert [name for name in names if f"## perm {name}\n" not in COMMANDS.read_text()] == []


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """A dead link costs a reader more than a missing one."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8"))

    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_changelog_knows_this_version() -> None:
    """What is released is described."""
    version = re.search(r'__version__ = "(.+)"', (ROOT / "perm_cli" / "__init__.py").read_text())

    assert version
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text()
