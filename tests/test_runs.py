"""The run folder: nothing lost, nothing twice, whatever happens to the process."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.errors import RunError
from perm_cli.ratings.rating import rating_line
from perm_cli.ratings.run_folder import open_run
from tests.makers import rating

DIALOGUE = Dialogue(id="d", turns=(Turn(role="seeker", text="é"), Turn(role="supporter", text="b", analysis="c")))


def test_a_rating_is_on_disk_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    """A process that is killed the next moment has lost nothing that was paid for."""
    with open_run(tmp_path / "run") as folder:
        folder.append(rating(key="a"))

        assert (tmp_path / "run" / "ratings.jsonl").read_bytes() == rating_line(rating(key="a"))


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    """A resumed run starts from the same ratings."""
    made = [rating(key=str(place), raw="line\u2028end\n", items={"clarity": 3}) for place in range(3)]
    with open_run(tmp_path) as folder:
        for each in made:
            folder.append(each)

    with open_run(tmp_path) as folder:
        assert list(folder.ratings()) == made


def test_a_line_cut_by_a_crash_is_set_aside(tmp_path: Path) -> None:
    """The rest of the file stays good, and the cut rating is made again."""
    with open_run(tmp_path) as folder:
        folder.append(rating(key="a"))
    with (tmp_path / "ratings.jsonl").open("ab") as stream:
        stream.write(rating_line(rating(key="b"))[:20])

    with open_run(tmp_path) as folder:
        folder.append(rating(key="c"))

        assert [each.key for each in folder.ratings()] == ["a", "c"]
        assert folder.damaged == 0
    assert (tmp_path / "ratings.damaged").read_bytes() == rating_line(rating(key="b"))[:20] + b"\n"


def test_a_dialogue_cut_by_a_crash_is_kept_again(tmp_path: Path) -> None:
    """A process killed while it copied the input must not spoil the folder for every later command."""
    with open_run(tmp_path) as folder:
        folder.write_record()
        folder.keep_dialogues([DIALOGUE])
    whole = (tmp_path / "dialogues.jsonl").read_bytes()
    (tmp_path / "dialogues.jsonl").write_bytes(whole[:30])

    with open_run(tmp_path) as folder:
        folder.keep_dialogues([DIALOGUE])

        assert list(folder.dialogues()) == [DIALOGUE]
    assert (tmp_path / "dialogues.damaged").read_bytes() == whole[:30] + b"\n"


def test_a_damaged_line_in_the_middle_is_passed_over_and_counted(tmp_path: Path) -> None:
    """One bad sector must not cost the ratings behind it."""
    lines = [
        rating_line(rating(key="a")),
        b'{"key": 1\n',
        b"\xff\xfe\n",
        b'{"other": true}\n',
        rating_line(rating(key="b")),
    ]
    (tmp_path / "ratings.jsonl").write_bytes(b"".join(lines))

    with open_run(tmp_path) as folder:
        assert [each.key for each in folder.ratings()] == ["a", "b"]
        assert folder.damaged == 3


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """Two writers would pay for everything twice."""
    with FileLock(tmp_path / ".lock"), pytest.raises(RunError, match="in use by another perm"), open_run(tmp_path):
        pass


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("notes.txt", "other files found", id="somebody-else's-folder"),
        pytest.param(None, "no run found", id="empty"),
    ],
)
def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, name: str | None, said: str) -> None:
    """A mistyped path must not be filled with files or taken for a run."""
    if name:
        (tmp_path / name).write_text("mine")

    with pytest.raises(RunError, match=said), open_run(tmp_path, create=name is not None):
        pass


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    """The most likely slip: naming the input as the output."""
    (tmp_path / "d.jsonl").write_text("{}")

    with pytest.raises(RunError, match="a file found, expected a run folder"), open_run(tmp_path / "d.jsonl"):
        pass


@pytest.mark.parametrize("content", [b"{", b'{"perm_run": 99}', b"[]"])
def test_a_record_nobody_can_read_is_named(tmp_path: Path, content: bytes) -> None:
    """A folder of another version is not overwritten."""
    (tmp_path / "run.json").write_bytes(content)

    with pytest.raises(RunError, match=r"run\.json"), open_run(tmp_path):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The line says which folder, before anything was paid for."""
    tmp_path.chmod(0o500)

    with pytest.raises(RunError, match="Permission denied"), open_run(tmp_path / "run"):
        pass


def test_dialogues_are_kept_once_and_read_as_they_were(tmp_path: Path) -> None:
    """A run can be fused again, lengths included, without its input files."""
    with open_run(tmp_path) as folder:
        folder.keep_dialogues([DIALOGUE])
        folder.keep_dialogues([DIALOGUE])

        assert list(folder.dialogues()) == [DIALOGUE]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """No reader ever sees half a summary, and no draft is left behind."""
    with open_run(tmp_path) as folder:
        folder.write("summary.json", b"one")
        folder.write("summary.json", b"two")

    assert (tmp_path / "summary.json").read_bytes() == b"two"
    assert {each.name for each in tmp_path.iterdir()} <= {"summary.json", ".lock"}
