"""The inputs that names on the command line stand for: files, the files of folders and patterns, and run folders."""

import os
from collections.abc import Iterable, Sequence
from glob import glob
from pathlib import Path

from perm_cli.cli.console import messages, say
from perm_cli.dialogues.files.packing import bare_name
from perm_cli.dialogues.files.sources import ENDINGS
from perm_cli.errors import SettingsError
from perm_cli.ratings.run_folder import is_run
from perm_cli.text import one_line


def files_of(names: Iterable[str]) -> list[str]:
    """
    Return the files that names, folders and patterns stand for, each once; run folders stay what they are.

    A folder stands for all files below it whose names are those of dialogues, hidden ones and those of runs left out;
    where it holds nothing but runs, it stands for these.
    """
    found: dict[str, str] = {}
    for name in names:
        for each in _stood_for(name):
            found.setdefault(os.path.abspath(each) if each else "", each)  # noqa: PTH100 - `..` counts as well
    return list(found.values())


def runs_of(names: Iterable[Path]) -> list[Path]:
    """Return the run folders that names, folders above them and patterns stand for; other names are kept."""
    matches = (Path(each) for name in names for each in _matches(str(name)) or [str(name)])
    return list(dict.fromkeys(run for each in matches for run in _runs(each)))


def _runs(path: Path) -> Sequence[Path]:
    return [path] if is_run(path) or not path.is_dir() else sorted(_walked(path)[1]) or [path]


def _stood_for(name: str) -> Sequence[str]:
    path = Path(name)
    if name and path.is_dir() and not is_run(path):
        found = _below(path)
    elif not path.exists() and any(sign in name for sign in "*?["):
        found = [each for match in _matches(name) for each in _stood_for(match)]
    else:
        return [name]
    if not found:
        raise SettingsError(f"{one_line(name)}: no files found, expected dialogues in {', '.join(ENDINGS)}")
    return found


def _matches(name: str) -> list[str]:
    return sorted(glob(name, recursive=True))  # noqa: PTH207 - takes every pattern


def _below(folder: Path) -> Sequence[str]:
    files, runs = _walked(folder)
    read = sorted(each for each in files if _is_named_so(each)) or sorted(runs)
    passed = sorted({*files, *runs} - {*read})
    if read and passed:
        more = f" and {len(passed) - 1:,} more" if len(passed) > 1 else ""
        what = f"{one_line(passed[0].name, 60)}{more} passed over: not named like a file of dialogues"
        say(messages(), f"{one_line(str(folder))}: {what}")
    return list(map(str, read))


def _walked(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the files below a folder and the runs, hidden ones and what is inside of runs left out."""
    files: list[Path] = []
    runs: list[Path] = []
    for root, folders, names in os.walk(folder, onerror=_refuse):
        shown = [Path(root, name) for name in folders if not name.startswith(".")]
        found = {each.name for each in shown if is_run(each)}
        runs += (each for each in shown if each.name in found)
        folders[:] = [each.name for each in shown if each.name not in found]
        files += (Path(root, name) for name in names if not name.startswith("."))
    return files, runs


def _refuse(error: OSError) -> None:
    """Raise an error that `os.walk` would otherwise ignore together with the folder."""
    raise error


def _is_named_so(path: Path) -> bool:
    return bare_name(path.name).lower().endswith(ENDINGS)
