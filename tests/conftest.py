"""What every test starts from: a clean environment, and the shipped rubrics and prompts."""

import gc
import os
from pathlib import Path

import pytest

from perm_cli.prompts.book import PromptBook
from perm_cli.prompts.rubrics import Pack, load_rubrics
from perm_cli.prompts.shipped import shipped

SHARED = Path(__file__).parents[2] / "shared"

# What is loaded and collected stays to the end, and looking through it for garbage takes a worker seconds.
gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage from here on, and only in what tests make."""
    gc.freeze()
    gc.enable()


def pytest_xdist_auto_num_workers() -> int:
    """Have one worker more than there are cores: many tests wait for a judge, a browser or a program."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep keys, addresses and proxies of this machine out, and stay in a folder of the test's own."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def pack() -> Pack:
    """Return the shipped rubrics."""
    return load_rubrics(shipped("rubrics") / "perm")


@pytest.fixture(scope="session")
def book(pack: Pack) -> PromptBook:
    """Return the shipped prompts."""
    return PromptBook(pack, shipped("prompts") / "en")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of data that stands beside the project, where there is one."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with real data is not here")
    return SHARED
