"""What tests of trainers start from: adapters that have read no settings yet, and a judge that answers."""

import os
from collections.abc import Iterator

import pytest

from perm_cli.integrations import openrlhf, slime, verifiers, verl
from perm_cli.training.settings import NAMES
from tests.loopback import Loopback, loopback

# Read when trainers are imported: they would look for a hub, and tell it of themselves from a thread.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


@pytest.fixture(autouse=True)
def fresh_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let adapters read their settings anew, as in a process of their own, and find none of this machine's."""
    for name in ("config", *NAMES):
        monkeypatch.delenv(f"PERM_{name.upper()}", raising=False)
    for known in (openrlhf._default, slime._default, verifiers._perm, verl._perm):
        known.cache_clear()


@pytest.fixture
def judge() -> Iterator[Loopback]:
    """Return a judge that answers always the same to the same prompt."""
    with loopback() as server:
        yield server


@pytest.fixture
def settings(judge: Loopback, monkeypatch: pytest.MonkeyPatch) -> Loopback:
    """Return the same judge, named in the environment."""
    monkeypatch.setenv("PERM_JUDGE", "openai/m")
    monkeypatch.setenv("PERM_BASE_URL", judge.url)
    return judge
