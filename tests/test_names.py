"""Names on the command line: files, folders and patterns mean the same in every command."""

from pathlib import Path
from shutil import rmtree

import pytest

from tests.commands import Perm, a_run, by_habit, judges, runner, tickets
from tests.loopback import loopback
from tests.makers import row, written


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line."""
    return runner(monkeypatch, capsys)


@pytest.fixture
def answers() -> None:
    """Write the answers of two systems into folders of their own, with other things beside."""
    for folder in ("in/a", "in/b/deep", "in/.git"):
        Path(folder).mkdir(parents=True)
    for path in ("in/a/m.jsonl", "in/b/deep/m.jsonl"):
        written(Path(path), [row(system=""), row(1, system="")])
    Path("in/notes.md").write_text("# Notes")
    Path("in/.git/x.jsonl").write_text("nonsense")
    Path("in/b/.hidden.jsonl").write_text("nonsense")
    a_run(Path("in/run"), {("d", "s"): (3, 3, 3, 50)})


COMMANDS = {
    "plan": ("plan", "--judge", "baseline"),
    "prompts": ("prompts",),
    "convert": ("convert", "--out", "-"),
    "prompt sets": ("convert", "--out", "-", "--to", "trl"),
    "compare": ("compare", "--judge", "baseline"),
    "grade": ("grade", "--judge", "baseline"),
}


SHAPES = {"a folder": ["in"], "a pattern": ["in/*"], "two folders": ["in/a", "in/b"], "any depth": ["in/**/m.jsonl"]}


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize(
    ("command", "names"),
    [
        *(pytest.param(COMMANDS["plan"], names, id=f"plan-{shape}") for shape, names in SHAPES.items()),
        *(pytest.param(command, ["in"], id=name) for name, command in COMMANDS.items() if name != "plan"),
    ],
)
def test_folders_and_patterns_stand_for_the_files_below_them(
    perm: Perm, command: tuple[str, ...], names: list[str]
) -> None:
    """Whatever the command, and however deep the files are."""
    if names == ["in/*"]:
        Path("in/notes.md").unlink()
        rmtree("in/run")

    spelled = perm(*command, "in/a/m.jsonl", "in/b/deep/m.jsonl")
    found = perm(*command, *names)

    assert (spelled.code, found.code) == (0, 0)
    assert (found.out or found.err) == (spelled.out or spelled.err)


@pytest.mark.usefixtures("answers")
def test_what_a_folder_holds_besides_is_passed_over_with_a_word(perm: Perm) -> None:
    """Nothing is left out in silence, and runs are no dialogues."""
    result = perm("convert", "in", "--out", "-")

    assert "in: notes.md and 1 more passed over: not named like a file of dialogues\n" in result.err


def test_many_files_are_announced_by_their_format(perm: Perm) -> None:
    """A benchmark may have thousands, a dialogue each, and each may be remarked upon."""
    Path("in").mkdir()
    for number in range(25):
        Path(f"in/{number:02}.txt").write_text("\ufeffuser: Hm.\nagent: Yes?\nuser: Oh.\nagent:\n")
    written(Path("in/z.jsonl"), [row(system="")])

    *lines, last = perm("convert", "in", "--out", "out.jsonl").err.splitlines()

    assert lines[0] == "25 files, the first in/00.txt: transcript format, 25 dialogues"
    assert lines[1] == "1 file in/z.jsonl: native format, 1 dialogue"
    assert lines[2].startswith("in/00.txt: 1 empty reply passed over")
    assert (len(lines), lines[-1], last) == (23, "… and 5 more remarks on other files", "written: out.jsonl")


def test_a_folder_of_runs_stands_for_the_runs(perm: Perm) -> None:
    """That is where `perm compare` itself puts them."""
    for judge in "jk":
        a_run(Path("runs/compare") / judge, {("d", "s"): (3, 3, 3, 50), ("e", "s"): (4, 4, 2, 60)}, judge)

    folder, spelled = perm("compare", "runs"), perm("compare", "runs/compare/j", "runs/compare/k")

    assert folder.code == 0
    assert folder == spelled


@pytest.mark.parametrize("command", [["pairs"], ["best-of-n"], ["report", "--out"]], ids=lambda command: command[0])
def test_runs_are_found_below_a_folder_and_by_a_pattern(perm: Perm, command: list[str]) -> None:
    """Whoever has rated with several judges names the folder of them all."""
    for judge in "jk":
        a_run(Path("runs/deep") / judge, {("d", "s"): (3, 3, 3, 50), ("d", "t"): (4, 4, 2, 60)}, judge)
    ways = [["runs"], ["runs/*/[jk]"], ["runs/deep/j", "runs/deep/k"]]

    results = [perm(*command, *([f"{n}.html"] if "--out" in command else []), *way) for n, way in enumerate(ways)]

    assert [result.code for result in results] == [0, 0, 0]
    assert results[0].out == results[1].out == results[2].out


@pytest.mark.parametrize("command", ["score", "plan", "prompts", "batch submit"])
def test_a_run_is_no_file_of_dialogues(perm: Perm, command: str) -> None:
    """The line says where those of the run are."""
    a_run(Path("run"), {("d", "s"): (3, 3, 3, 50)})
    options = () if command == "prompts" else ("--judge", "openai/x", *(("--out", "o") if "batch" in command else ()))

    result = perm(*command.split(), "run", *options)

    told = "perm: run: a run folder found, expected dialogues; those of the run: run/dialogues.jsonl\n"
    assert (result.code, result.err) == (1, told)


@pytest.mark.usefixtures("answers")
def test_a_file_is_a_system_in_every_command(perm: Perm) -> None:
    """Two models that are saved under one name in two folders stay two."""
    with loopback(by_habit) as server:
        tickets(Path("in/a/m.jsonl"), 2, [""])
        tickets(Path("in/b/deep/m.jsonl"), 2, [""])
        scored = perm("score", "in", "--out", "run", *judges(server, "fair"))
        graded = perm("grade", "in", *judges(server, "fair"))

    assert (scored.code, graded.code) == (0, 0)
    for out in (scored.out, graded.out):
        assert "a/m" in out
        assert "deep/m" in out


def test_the_same_file_by_two_names_is_read_once(perm: Perm) -> None:
    """Else each of its ids would be there twice."""
    written(Path("d.jsonl"), [row(0)])

    result = perm("convert", "d.jsonl", "./d.jsonl", f"{Path.cwd()}/d.jsonl", "--out", "-")

    assert (result.code, result.out.count("\n")) == (0, 1)


@pytest.mark.parametrize("command", ["score", "grade"])
def test_a_file_of_the_same_name_does_not_replace_another_in_a_run(perm: Perm, command: str) -> None:
    """Both would be answers of one system, and the first would be lost without a word."""
    for folder, count in (("a", 2), ("b", 3)):
        Path(folder).mkdir()
        tickets(Path(folder, "m.jsonl"), count, [""])
    options = ("--out", "run", "--judge", "baseline")

    first, second = (perm(command, f"{folder}/m.jsonl", *options) for folder in "ab")
    tickets(Path("a/m.jsonl"), 4, [""])
    edited = perm(command, "./a/m.jsonl", *options)

    assert (first.code, second.code, edited.code) == (0, 1, 0)
    assert "has a system 'm' from a/m.jsonl, and b/m.jsonl gives the same name; choose another folder" in second.err


@pytest.mark.parametrize("command", ["grade", "compare", "plan"])
def test_a_table_is_one_of_dialogues_where_its_columns_are_named(perm: Perm, command: str) -> None:
    """By its header alone it could be one of ratings."""
    Path("t.csv").write_text("id,q,a\n" + "".join(f"{n},I lost it {n}.,That hurts.\n" for n in range(3)))

    result = perm(command, "t.csv", "--columns", "seeker=q,supporter=a", "--judge", "baseline")

    assert result.code == 0, result.err
