"""The wheel: what people install works without the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.generated import ROOT
from tests.makers import row, written


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and unpack it as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def perm(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command line in a folder outside the checkout."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(installed), "COLUMNS": "100", "LANG": "C.UTF-8"}
    return subprocess.run(
        [sys.executable, "-m", "perm_cli", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_rubrics_and_prompts_travel_with_the_package(installed: Path, tmp_path: Path) -> None:
    """Installed, the shipped folders are the package's own and not the checkout's."""
    path = written(tmp_path / "d.jsonl", [row(0)])

    done = perm(installed, tmp_path, "prompts", str(path), "--dimension", "reception")

    assert done.returncode == 0, done.stderr
    assert "Put yourself in the seeker's place" in done.stdout
    for folder in ("prompts", "rubrics"):
        shipped = {each.relative_to(ROOT) for each in (ROOT / folder).rglob("*")}
        inside = installed / "perm_cli" / "shipped"
        assert shipped == {each.relative_to(inside) for each in (inside / folder).rglob("*")}


def test_the_installed_package_is_the_one_under_test(installed: Path, tmp_path: Path) -> None:
    """An error names files of the installed package, which proves that the checkout plays no part."""
    (installed / "perm_cli" / "shipped" / "rubrics" / "perm" / "reception.yaml").rename(installed / "gone.yaml")

    done = perm(installed, tmp_path, "rubrics", "list")
    (installed / "gone.yaml").rename(installed / "perm_cli" / "shipped" / "rubrics" / "perm" / "reception.yaml")

    assert str(installed / "perm_cli" / "shipped" / "rubrics" / "perm" / "reception.yaml") in done.stderr


def test_no_tests_and_no_samples_are_installed(installed: Path) -> None:
    """An installer gets the program."""
    tops = {each.name for each in installed.iterdir() if not each.name.endswith(".dist-info")}

    assert tops == {"perm_cli", "perm_judge.py"}
