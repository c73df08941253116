"""Files written whole or not at all: by two commands at once, by killed ones, and where somebody has set a trap."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from perm_cli.disk import rewriting, write_whole
from perm_cli.errors import SettingsError

_WRITER = """
import sys
from pathlib import Path
from perm_cli.disk import rewriting
with rewriting(Path("out")) as stream:
    stream.write(b"half")
    stream.flush()
    print("ready", flush=True)
    sys.stdin.read()
"""


def names() -> list[str]:
    """Return what lies in the folder."""
    return sorted(path.name for path in Path.cwd().iterdir())


def writer() -> subprocess.Popen[str]:
    """Return another command in the middle of writing the file."""
    command = [sys.executable, "-c", _WRITER]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def half_written(stream: BinaryIO) -> None:
    """Fail in the middle."""
    stream.write(b"half")
    raise ValueError("half")


def test_two_at_once_do_not_mix() -> None:
    """Whoever ends last has the file, all of it."""
    path = Path("out")

    with rewriting(path) as first:
        first.write(b"1")
        with rewriting(path) as second:
            second.write(b"22")
        first.write(b"1")

    assert path.read_bytes() == b"11"
    assert names() == ["out"]


def test_a_planted_link_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that others write to, somebody may have guessed the name of the draft."""
    Path("mine").write_text("mine")
    monkeypatch.setattr("perm_cli.disk.token_hex", lambda _: "0" * 16)
    Path(f".out.{'0' * 16}.part").symlink_to("mine")
    Path(".out.part").symlink_to("mine")

    with pytest.raises(SettingsError, match=r"out: cannot be written: File exists"):
        write_whole(Path("out"), b"x")

    assert Path("mine").read_text() == "mine"
    assert not Path("out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of Unix")
def test_a_killed_commands_draft_goes_when_the_file_is_written_again() -> None:
    """Nobody else would look for a hidden file."""
    with writer() as process:
        process.send_signal(signal.SIGKILL)
    left = names()

    write_whole(Path("out"), b"whole")

    assert len(left) == 1
    assert names() == ["out"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of Unix")
def test_a_living_commands_draft_stays() -> None:
    """What another command has written so far is not taken from it."""
    with writer() as process:
        write_whole(Path("out"), b"whole")
        process.communicate("")

    assert process.returncode == 0
    assert Path("out").read_bytes() == b"half"
    assert names() == ["out"]


def test_a_draft_of_another_file_stays() -> None:
    """A star in a name is a star."""
    other = Path(f".old.{'0' * 16}.part")
    other.touch()

    write_whole(Path("*"), b"x")

    assert names() == sorted(["*", other.name])


def test_what_ends_early_leaves_the_old_file_and_nothing_else() -> None:
    """Half a file looks like a whole one."""
    Path("out").write_text("old")

    with pytest.raises(ValueError, match="half"), rewriting(Path("out")) as stream:
        half_written(stream)

    assert Path("out").read_text() == "old"
    assert names() == ["out"]


def test_a_full_disk_names_the_file() -> None:
    """Of a folder one would not know what was not written."""
    with pytest.raises(OSError, match="No space left") as raised, rewriting(Path("out")):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert raised.value.filename == "out"


def test_a_folder_that_is_not_there_is_said_of_the_file() -> None:
    """The name of a draft says nothing to anybody."""
    with pytest.raises(FileNotFoundError) as raised, rewriting(Path("no/out")):
        raise AssertionError

    assert raised.value.filename == "no/out"
