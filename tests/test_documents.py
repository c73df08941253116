"""The documents say what the program does, because it writes that part of them."""

import re
from pathlib import Path

import pytest

from perm_cli.cli import app
from tests.generated import COMMANDS, ROOT, documents, renewed


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_generated_parts_are_fresh(document: Path) -> None:
    """A changed option changes the documents in the same commit: run `make docs`."""
    assert document.read_text(encoding="utf-8") == renewed(document)


def test_every_command_is_in_the_reference() -> None:
    """A command nobody can look up might as well not be there."""
    names = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}

    assert names
    assert all(f"## perm {name}\n" in COMMANDS.read_text() for name in names)


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


def test_the_tree_names_every_folder_and_module_of_the_package() -> None:
    """A newcomer guesses the file from it."""
    tree = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8").partition("## The way")[0]
    package = ROOT / "perm_cli"
    names = [each.name for each in package.glob("*.py") if not each.name.startswith("__")]
    names += [f"{each.parent.name}/" for each in package.glob("*/__init__.py")]

    assert [name for name in names if f"      {name} " not in tree] == []


def test_every_file_that_the_tree_names_is_there() -> None:
    """And where a change is made."""
    text = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([a-z_/]+\.py)`", text) if "/" in name}

    assert named
    assert [name for name in named if not (ROOT / "perm_cli" / name).exists() and not (ROOT / name).exists()] == []
