"""The documents say what the program does, because it writes that part of them."""

import json
import re
from pathlib import Path

import pytest
import yaml

from perm_cli.cli import app
from perm_cli.prompts.rubrics import load_rubrics
from tests.commands import runner
from tests.generated import COMMANDS, ROOT, documents, renewed

RUBRICS = ROOT / "docs" / "rubrics.md"


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


def test_the_pack_in_the_page_can_be_copied_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands in the page is a whole pack: it loads, and a judge scores with it by the page's formula."""
    blocks = re.findall(r"<!-- file: (\S+) -->\n```yaml\n(.*?)```\n", RUBRICS.read_text(encoding="utf-8"), re.DOTALL)
    for name, text in blocks:
        (tmp_path / Path(name).name).write_text(text, encoding="utf-8")
    pack = load_rubrics(tmp_path)
    files, out = ROOT / "data" / "samples" / "demo.jsonl", tmp_path / "run"
    result = runner(monkeypatch, capsys)("score", files, "--judge", "baseline", "--rubrics", tmp_path, "--out", out)
    rewards = [json.loads(line) for line in (out / "rewards.jsonl").read_text(encoding="utf-8").splitlines()]

    assert list(pack.dimensions) == ["invitation", "autonomy", "wording"]
    assert len(blocks) == 1 + len(pack.dimensions)
    assert (result.code, len(rewards)) == (0, 6), result.err
    for each in rewards:
        empathy = (each["invitation"] / 3 + (each["autonomy"] + 1) / 2) / 2
        assert each["reward"] == pytest.approx(empathy + 0.2 * (each["wording"] / 3 - 1), abs=1e-12)


def test_every_field_of_a_pack_is_in_the_page() -> None:
    """A field that no page names is found by nobody."""
    page = RUBRICS.read_text(encoding="utf-8")
    packs = [ROOT / "rubrics" / "perm", *sorted((ROOT / "tests" / "packs").iterdir())]
    fields = {
        field for pack in packs for path in pack.glob("*.yaml") for field in yaml.safe_load(path.read_text("utf-8"))
    }

    assert len(fields) > 15
    assert [field for field in sorted(fields) if f"`{field}`" not in page] == []


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
