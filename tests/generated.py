"""
The parts of the documents that the program itself writes.

A block between `<!-- run: COMMAND -->` and `<!-- end -->` has the command and its real output, one that begins with
`<!-- file: PATH -->` the text of a YAML file; `docs/commands.md` is written whole. `make docs` renews them, and a test
fails while one is stale.
"""

import os
import re
import shlex
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from perm_cli.cli import app
from tests.programs import perm

ROOT = Path(__file__).parents[1]
COMMANDS = ROOT / "docs" / "commands.md"
_BLOCK = re.compile(r"(<!-- (?P<what>run|file): (?P<name>[^\n]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_PAGES = (
    "perm",
    "perm score",
    "perm plan",
    "perm reward",
    "perm grade",
    "perm compare",
    "perm validate",
    "perm calibrate",
    "perm report",
    "perm convert",
    "perm pairs",
    "perm best-of-n",
    "perm serve",
    "perm watch",
    "perm batch",
    "perm batch submit",
    "perm batch status",
    "perm batch collect",
    "perm batch cancel",
    "perm prompts",
    "perm rubrics",
    "perm rubrics list",
    "perm rubrics show",
    "perm judges",
    "perm judges check",
)


def output_of(command: str) -> str:
    """Return what a command prints, run in the checkout at a fixed width and without anybody's keys."""
    program, *arguments = shlex.split(command)
    printed = _help(program, arguments) if arguments[-1] == "--help" else _printed(arguments)
    return "\n".join(line.rstrip() for line in printed.splitlines()).strip("\n")


def _help(program: str, arguments: list[str]) -> str:
    """Return a page of help, which needs no process of its own."""
    before, printed = os.environ.get("COLUMNS"), StringIO()
    os.environ["COLUMNS"] = "100"
    try:
        with redirect_stdout(printed):
            app(arguments, prog_name=program, standalone_mode=False)
    finally:
        os.environ.pop("COLUMNS")
        os.environ |= {"COLUMNS": before} if before else {}
    return printed.getvalue()


def _printed(arguments: list[str]) -> str:
    done = perm(*arguments, cwd=ROOT, HOME="/nonexistent", LANG="C.UTF-8")
    assert done.code == 0, done.err
    return done.out


def renewed(document: Path) -> str:
    """Return a document with its generated blocks as they should be."""
    if document == COMMANDS:
        pages = (f"## {page}\n\n```console\n$ {page} --help\n{output_of(f'{page} --help')}\n```\n" for page in _PAGES)
        return "# Commands\n\nWritten by `make docs` from the program's own help.\n\n" + "\n".join(pages)
    text = document.read_text(encoding="utf-8")
    return _BLOCK.sub(lambda block: f"{block[1]}{_content(block['what'], block['name'])}\n```\n{block[4]}", text)


def _content(what: str, name: str) -> str:
    """Return the fence that opens a block, and what stands in it."""
    if what == "file":
        return f"```yaml\n{(ROOT / name).read_text(encoding='utf-8').rstrip()}"
    return f"```console\n$ {name}\n{output_of(name)}"


def documents() -> list[Path]:
    """Return the documents with generated parts."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


if __name__ == "__main__":
    COMMANDS.touch()
    for each in documents():
        each.write_text(renewed(each), encoding="utf-8")
        print(each.relative_to(ROOT))
