"""What a shell offers when the tabulator is pressed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = '[judges.house]\nmodel = "m"\n[judges."house-large"]\nmodel = "m"\n[judges."h\\u001b[31m"]\nmodel = "m"\n'


def offered(*words: str) -> list[str]:
    """Return what bash is offered for the last of these words."""
    asked = {"_PERM_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(["perm", *words]), "COMP_CWORD": str(len(words))}
    environment = os.environ | asked | {"PYTHONPATH": str(Path(__file__).parents[1])}
    script = "import sys; sys.argv = ['perm']; from perm_cli.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["score", "d.jsonl", "--judge", "h"], id="score"),
        pytest.param(["compare", "d.jsonl", "--judge", "m", "--judge", "h"], id="one of several"),
        pytest.param(["judges", "check", "h"], id="check"),
    ],
)
def test_the_judges_of_perm_toml_are_offered(words: list[str]) -> None:
    """They were given names to be typed; one that could steer the terminal is none of them."""
    Path("perm.toml").write_text(SETTINGS)

    assert offered(*words) == ["house", "house-large"]


def test_judges_without_a_file_are_offered_too() -> None:
    """Those that perm brings along."""
    assert offered("score", "d.jsonl", "--judge", "") in (
        ["local", "baseline"],
        ["baseline", "local"],
    )


def test_a_named_settings_file_is_the_one_that_is_read() -> None:
    """As it will be when the command is run."""
    Path("other.toml").write_text(SETTINGS)

    assert offered("score", "--config", "other.toml", "--judge", "house-") == ["house-large"]


def test_a_broken_settings_file_is_silent() -> None:
    """A shell would print what is wrong into the middle of the command."""
    Path("perm.toml").write_text("judges = 3")

    assert offered("score", "d.jsonl", "--judge", "l") == ["local"]
