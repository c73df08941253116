"""Check all dialogues before the first call, then read them again, one at a time."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from sqlite3 import Connection

from perm_cli.dialogues.dialogue import Dialogue, judged_turns
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.sources import Remark, Source, kind_of
from perm_cli.dialogues.files.steps import Found, Made
from perm_cli.dialogues.recognition import batches, read_made
from perm_cli.disk import scratch_database
from perm_cli.errors import SHOWN_PROBLEMS, InputChanged, InputError, Problem
from perm_cli.findings import shown

_NUMBER = re.compile(r"\d+")
_HOLDS = {
    "table": "a header and rows below it",
    "json": "a list of objects, or one object",
    "log": "at least one sample",
    "text": "lines such as `user: …` and `agent: …`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """The counts of one source, the format it was read in, and a SHA-256 digest of its bytes."""

    source: Source
    format: str
    digest: str
    dialogues: int
    supporter_turns: int
    remarks: tuple[Remark, ...]


def check_dialogues(sources: Sequence[Source], reading: Reading) -> list[Census]:
    """
    Return the counts of all sources after reading each to its end; raise `InputError` with everything wrong in them.

    Repeated ids are found with a table on disk, so that memory does not grow with the files.
    """
    # Hashed before reading: a file that has the same hash later holds what was checked.
    digests = {source.name: source.digest() for source in sources}
    with closing(scratch_database()) as seen:
        seen.execute("CREATE TABLE ids (id TEXT, system TEXT, place TEXT, PRIMARY KEY (id, system))")
        check = _Check(reading, seen)
        tallies = {source.name: tally for batch in batches(sources, reading) for source, tally in check.tallied(batch)}
    if check.count:
        raise InputError(check.problems(), check.count)
    return [tallies[source.name].census(source, digests[source.name]) for source in sources]


def read_dialogues(sources: Sequence[Source], reading: Reading) -> Iterator[Dialogue]:
    """Yield the dialogues of sources that `check_dialogues` has passed, one at a time."""
    for batch in batches(sources, reading):
        for _, made in read_made(batch, reading):
            if isinstance(made, Problem):
                raise InputChanged(f"{made} (the file changed while it was read)")
            if isinstance(made, Found):
                yield made.dialogue


@dataclass(slots=True)
class _Tally:
    format: str
    dialogues: int = 0
    turns: int = 0
    remarks: list[Remark] = field(default_factory=list)

    def census(self, source: Source, digest: str) -> Census:
        return Census(
            source=source,
            format=self.format,
            digest=digest,
            dialogues=self.dialogues,
            supporter_turns=self.turns,
            remarks=tuple(self.remarks),
        )


class _Check:
    """The problems over all sources: their number, and the first of each kind, which differ in more than the place."""

    def __init__(self, reading: Reading, seen: Connection) -> None:
        self._reading = reading
        self._seen = seen
        self._kinds: dict[Problem, tuple[Problem, int]] = {}
        self.count = 0

    def tallied(self, batch: Sequence[Source]) -> Iterator[tuple[Source, _Tally]]:
        """Yield the sources of a batch with their counts."""
        tallies = {source.name: _Tally(self._reading.format) for source in batch}
        before = self.count
        for name, made in read_made(batch, self._reading):
            self._note(made, name, tallies)
        if self.count == before and not any(tally.dialogues for tally in tallies.values()):
            holds = _HOLDS.get(kind_of(batch[0]), "one JSON object per line")
            self._report(Problem(batch[0].name, 0, "", f"an empty file found, expected {holds}"))
        for source in batch[1:]:
            tallies[source.name].format = tallies[batch[0].name].format
            tallies[source.name].remarks.append(Remark(source.name, 0, f"joined with {batch[0].name}"))
        yield from ((source, tallies[source.name]) for source in batch)

    def _note(self, made: Made, name: str, tallies: dict[str, _Tally]) -> None:
        match made:
            case Remark():
                tallies[made.source].remarks.append(made)
            case Problem():
                self._report(made)
            case Found():
                tally = tallies[made.row.source]
                tally.format = name
                tally.dialogues += 1
                tally.turns += sum(1 for _ in judged_turns(made.dialogue, self._reading.turns))
                self._report(_repeated(made, self._seen))

    def _report(self, problem: Problem | None) -> None:
        if not problem:
            return
        self.count += 1
        # A systematic mistake is in every line: it is shown once with its count, so that other mistakes are shown too.
        kind = replace(problem, line=0, field=_NUMBER.sub("#", problem.field))
        first, count = self._kinds.get(kind, (problem, 0))
        if count or len(self._kinds) < SHOWN_PROBLEMS:
            self._kinds[kind] = first, count + 1

    def problems(self) -> Mapping[Problem, int]:
        """Return the first problem of each kind, and how often it was found."""
        return dict(self._kinds.values())


def _repeated(found: Found, seen: Connection) -> Problem | None:
    own = (found.dialogue.id, found.dialogue.system)
    try:
        if seen.execute("INSERT OR IGNORE INTO ids VALUES (?, ?, ?)", (*own, found.row.place)).rowcount:
            return None
    except UnicodeEncodeError:
        return found.row.problem("id", f"{shown(found.dialogue.id)} found, expected UTF-8")
    (place,) = seen.execute("SELECT place FROM ids WHERE id = ? AND system = ?", own).fetchone()
    return found.row.problem(
        "id", f"{shown(found.dialogue.id)} found again (first at {place}), expected each id once per system"
    )
