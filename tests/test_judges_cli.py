"""Judges as `perm` meets them: what they cost, what they are sent, and what stops a run."""

from pathlib import Path

import pytest

from tests.commands import Perm, runner
from tests.loopback import loopback
from tests.makers import row, written

KEY = "sk-never-to-be-seen"


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line."""
    return runner(monkeypatch, capsys)


def test_a_redirected_judge_is_named_with_its_address(perm: Perm, tmp_path: Path) -> None:
    """The user asked for a provider's model, so the line comes before the first call."""
    path = written(tmp_path / "d.jsonl", [row()])

    with loopback() as server:
        Path("perm.toml").write_text(f'[judges."openai/m"]\nmodel = "openai/m"\nbase_url = "{server.url}"\n')
        results = [perm("score", path, "--judge", "openai/m"), perm("judges", "check", "openai/m")]

    said = f"perm.toml: judge 'openai/m' goes to {server.url}, not to its provider"
    assert [said in result.err.splitlines()[0] for result in results] == [True, True]
