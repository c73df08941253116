"""`perm rubrics`: the dimensions, and what their levels mean."""

from typing import Annotated

import typer

from perm_cli.cli.options import Rubrics

app = typer.Typer(help="Show the rubrics.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_rubrics(rubrics: Rubrics = None) -> None:
    """List the dimensions, and the question that each one asks."""
    from rich import box
    from rich.table import Table

    from perm_cli.cli.console import output, say
    from perm_cli.cli.from_options import rubrics_folder
    from perm_cli.prompts.rubrics import load_rubrics

    pack = load_rubrics(rubrics_folder(rubrics))
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


@app.command("show")
def show_rubric(
    dimension: Annotated[str, typer.Argument(help="The dimension to show.")],
    rubrics: Rubrics = None,
) -> None:
    """Print a dimension's rubric."""
    from perm_cli.cli.console import output, say
    from perm_cli.cli.from_options import checked_dimension, rubrics_folder
    from perm_cli.prompts.rubrics import load_rubrics

    pack = load_rubrics(rubrics_folder(rubrics))
    say(output(), checked_dimension(pack, dimension, "DIMENSION").text.rstrip())
