"""Messages that several commands give: what was found in the input, that an interrupt came, what coverage lacks."""

from collections.abc import Iterator, Sequence

from rich.console import Console

from perm_cli.cli.console import messages, say
from perm_cli.dialogues.check import Census

_MANY = 20


def announce(censuses: Sequence[Census], console: Console, *, turns: bool = True) -> None:
    """Print a line for each file and remark, or for all files of one format where there are many."""
    for line in (_of_files if len(censuses) <= _MANY else _of_formats)(censuses, turns=turns):
        say(console, line)


def announce_interrupt(console: Console, again: bool) -> None:
    """Confirm an interrupt, and a second one."""
    first = "finishing the calls in flight; press Ctrl-C again to drop them"
    say(console, "dropping the calls in flight" if again else first)


def announce_coverage(coverage: float, min_coverage: float) -> bool:
    """Return whether the coverage is high enough, and print a message if it is not."""
    if coverage < min_coverage:
        say(messages(), f"coverage {coverage:.1%} is below --min-coverage {min_coverage:.0%}")
    return coverage >= min_coverage


def _of_files(censuses: Sequence[Census], *, turns: bool) -> Iterator[str]:
    for census in censuses:
        yield f"{census.source.name}: {_counted([census], turns=turns)}"
        yield from map(str, census.remarks)


def _of_formats(censuses: Sequence[Census], *, turns: bool) -> Iterator[str]:
    for name in dict.fromkeys(census.format for census in censuses):
        alike = [census for census in censuses if census.format == name]
        files = "1 file" if len(alike) == 1 else f"{len(alike):,} files, the first"
        yield f"{files} {alike[0].source.name}: {_counted(alike, turns=turns)}"
    remarks = [str(remark) for census in censuses for remark in census.remarks]
    yield from remarks[:_MANY]
    if len(remarks) > _MANY:
        yield f"… and {len(remarks) - _MANY:,} more remarks on other files"


def _counted(censuses: Sequence[Census], *, turns: bool) -> str:
    said = f"{censuses[0].format} format, {_number(sum(census.dialogues for census in censuses), 'dialogue')}"
    judged = sum(census.supporter_turns for census in censuses)
    return f"{said}, {_number(judged, 'supporter turn')}" if turns else said


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
