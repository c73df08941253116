"""`perm rubrics`: the dimensions, and what their levels mean."""

from pathlib import Path

from rich import box
from rich.table import Table

from perm_cli.cli.console import output, say
from perm_cli.prompts.rubrics import load_rubrics
from perm_cli.prompts.shipped import shipped
from perm_cli.words import DimensionName


def list_dimensions(folder: Path | None) -> None:
    """Print a line a dimension."""
    pack = load_rubrics(folder or shipped("rubrics"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("dimension", "perspective", "sees", "question"):
        table.add_column(name)
    for dimension in pack.dimensions.values():
        sees = ", ".join(("conversation", *sorted(dimension.sees)))
        table.add_row(dimension.name, dimension.perspective, sees, dimension.question)
    console = output()
    say(console, f"{pack.name}: {pack.title} ({pack.digest})")
    console.print(table)
    say(console, pack.note)


def show_dimension(name: DimensionName, folder: Path | None) -> None:
    """Print the rubric as it stands in its file."""
    say(output(), load_rubrics(folder or shipped("rubrics")).dimensions[name].text.rstrip())
