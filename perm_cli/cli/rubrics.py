"""`perm rubrics`: the dimensions, and what their levels mean."""

from rich import box
from rich.table import Table

from perm_cli.cli.console import output, say
from perm_cli.cli.from_options import rubrics_folder
from perm_cli.errors import SettingsError
from perm_cli.findings import expected_name
from perm_cli.prompts.rubrics import Dimension, Pack, load_rubrics


def list_dimensions(chosen: str | None) -> None:
    """Print one line per dimension of a pack."""
    pack = load_rubrics(rubrics_folder(chosen))
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


def show_dimension(name: str, chosen: str | None) -> None:
    """Print the rubric as it stands in its file."""
    say(output(), checked_dimension(load_rubrics(rubrics_folder(chosen)), name, "DIMENSION").text.rstrip())


def checked_dimension(pack: Pack, name: str, option: str) -> Dimension:
    """Return a dimension of a pack; raise `SettingsError` if it has none of that name."""
    if name not in pack.dimensions:
        raise SettingsError(f"{option}: {name!r} found, expected {expected_name(name, pack.dimensions)}")
    return pack.dimensions[name]
