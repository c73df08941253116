"""
The run folder: everything a command did, safe to be stopped anywhere.

    run.json         the settings ratings were made under, by id, and every command that worked on the folder
    dialogues.jsonl  the dialogues as they were read, in the native format
    ratings.jsonl    one rating per line, on disk as it arrives; never rewritten
    ratings/         ratings that many machines have made, in Parquet
    batches/         what was sent to a batch API, and what for
    rewards.jsonl    one line per supporter turn, judge and settings, written anew by every fusion
    summary.json, summary.csv

A last line cut by a crash is set aside in `ratings.damaged` (or `dialogues.damaged`), and made again.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from shutil import rmtree
from typing import Any, BinaryIO

import orjson
from filelock import FileLock, Timeout

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.rows import RowError
from perm_cli.dialogues.formats.native import ROLES, to_dialogue
from perm_cli.disk import naming, rewriting, scratch
from perm_cli.errors import AssetError, PermError, RunError, RunInUse
from perm_cli.prompts.rubrics import Pack, kept_pack
from perm_cli.ratings.ledger import Ask, Kept, Ledger, LineRanges, Outcome, is_among, ratings_of
from perm_cli.ratings.rating import Rating, rating_line, read_row
from perm_cli.ratings.run_record import CommandRecord, SettingsRecord, read_record, record_json
from perm_cli.ratings.shards import read_shard

_KNOWN = frozenset({"run.json", "dialogues.jsonl", "ratings.jsonl", "ratings"})
_FUSED = ("dialogues.jsonl", "ratings.jsonl", "rewards.jsonl", "summary.json", "summary.csv")
_ROUNDING = 1e-9  # of expectations
_APPENDING = os.O_WRONLY | os.O_APPEND | os.O_CREAT


class RunFolder:
    """The files of one run; `cut` names those whose last line was set aside."""

    def __init__(self, path: Path, cut: Sequence[str] = ()) -> None:
        self.path = path
        self.cut = cut
        self.record = read_record(path / "run.json")
        self.damaged = 0
        self._appending: int | None = None

    @cached_property
    def ledger(self) -> Ledger:
        """Return the ledger of the ratings, which are read for it when it is first asked for."""
        return Ledger(self.rows())

    def ratings(self) -> Iterator[Rating]:
        """Yield the ratings in the order they arrived; damaged lines are counted and passed over."""
        return (Rating(**row) for row in self.rows())

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the ratings as they are stored."""
        self.damaged = 0
        bounds = self._bounds()
        for row in chain(self._lines(), *map(read_shard, self.shards())):
            if row is None or not _is_within(row["score"], bounds.get(row["settings"], {}).get(row["dimension"])):
                self.damaged += 1
            else:
                yield row

    def packs(self) -> dict[str, Pack]:
        """Return the dimensions that ratings were made on, by settings; raise `RunError` if nobody can read them."""
        try:
            return {name: self._pack(name, settings) for name, settings in self.record.settings.items()}
        except AssetError as error:
            raise RunError(str(error)) from error

    def _pack(self, name: str, settings: SettingsRecord) -> Pack:
        texts = tuple(settings.rubrics.items())
        return kept_pack(settings.pack, texts, f"{self.path}/run.json: settings {name}")

    def _bounds(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Return between what scores lie, by settings and dimension, as far as it is known."""
        found: dict[str, dict[str, tuple[float, float]]] = {}
        for name, settings in self.record.settings.items():
            with suppress(AssetError):  # said where rewards are made of the scores
                found[name] = {each.name: each.bounds for each in self._pack(name, settings).dimensions.values()}
        return found

    def shards(self) -> list[Path]:
        """Return the files of ratings that many machines have written."""
        return sorted((self.path / "ratings").glob("*.parquet"))

    def _lines(self) -> Iterator[dict[str, Any] | None]:
        path = self.path / "ratings.jsonl"
        if path.exists():
            with path.open("rb") as stream:
                yield from map(read_row, stream)

    def open_ratings(self) -> int:
        """Open the file of ratings to append to it, which is best found impossible before the first call."""
        if self._appending is None:
            self._appending = os.open(self.path / "ratings.jsonl", _APPENDING, 0o644)
        return self._appending

    def append(self, rating: Rating) -> None:
        """
        Put a rating on disk, and into the ledger.

        It is one write, so that a crash loses at most the line being written.
        """
        line = rating_line(rating)
        try:
            stream = self.open_ratings()
            written = os.write(stream, line)
        except OSError as error:
            raise RunError(f"{self.path}/ratings.jsonl: {error.strerror}; what is rated so far is kept") from error
        if written != len(line):
            os.ftruncate(stream, os.fstat(stream).st_size - written)  # or the next line would be joined to it
            raise RunError(f"{self.path}/ratings.jsonl: a line was written in part only: is the disk full?")
        self.ledger.note(rating)

    @property
    def has_dialogues(self) -> bool:
        """Return whether dialogues were kept here."""
        return (self.path / "dialogues.jsonl").exists()

    def keep_dialogues(self, dialogues: Iterable[Dialogue]) -> LineRanges:
        """Add the dialogues that the folder does not hold yet; return the lines on which all of them stand."""
        path = self.path / "dialogues.jsonl"
        with naming(path), path.open("a+b") as stream, closing(scratch()) as held:
            stream.seek(0)
            held.execute("CREATE TABLE lines (digest BLOB PRIMARY KEY, number INTEGER) WITHOUT ROWID")
            lines = ((_digest(line), number) for number, line in enumerate(stream))
            held.executemany("INSERT OR IGNORE INTO lines VALUES (?, ?)", lines)
            (end,) = held.execute("SELECT ifnull(max(number), -1) + 1 FROM lines").fetchone()
            ranges: list[tuple[int, int]] = []
            for dialogue in dialogues:
                line = orjson.dumps(dialogue, option=orjson.OPT_APPEND_NEWLINE)
                if held.execute("INSERT OR IGNORE INTO lines VALUES (?, ?)", (_digest(line), end)).rowcount:
                    stream.write(line)
                    end += 1
                (number,) = held.execute("SELECT number FROM lines WHERE digest = ?", (_digest(line),)).fetchone()
                if ranges and ranges[-1][1] == number - 1:
                    ranges[-1] = (ranges[-1][0], number)
                else:
                    ranges.append((number, number))
        return sorted(ranges)

    def add_dialogues(self, dialogues: Iterable[Dialogue]) -> None:
        """Add dialogues that the folder is known not to hold."""
        path = self.path / "dialogues.jsonl"
        with naming(path), path.open("ab") as stream:
            stream.writelines(orjson.dumps(dialogue, option=orjson.OPT_APPEND_NEWLINE) for dialogue in dialogues)

    def dialogues(self, lines: LineRanges | None = None) -> Iterator[Dialogue]:
        """Yield the dialogues of the run, or those on some lines; the last text of one that was edited comes last."""
        for row in self._dialogue_rows(lines):
            try:
                yield to_dialogue(row, ROLES, "")
            except RowError as error:
                raise RunError(f"{self.path}/dialogues.jsonl: {row['id']!r}: {error}; remove the file") from error

    def texts(self) -> Iterator[Dialogue]:
        """Yield the dialogues that were asked about; of one that was edited, the text asked about last comes last."""
        asked = dict.fromkeys(_ranges(each.lines) for each in reversed(self.record.commands))
        return (dialogue for lines in reversed(asked or {None: None}) for dialogue in self.dialogues(lines))

    def edited(self, lines: LineRanges) -> Iterator[Dialogue]:
        """Yield those of the dialogues on these lines of which the folder holds another text too."""
        with closing(scratch()) as names:
            names.execute("CREATE TABLE names (id TEXT, system TEXT, line INTEGER)")
            rows = ((row["id"], row["system"], line) for line, row in enumerate(self._dialogue_rows()))
            if [tuple(each) for each in lines] != [(0, self._count() - 1)]:  # else each has been asked about once
                names.executemany("INSERT INTO names VALUES (?, ?, ?)", rows)
            names.execute("CREATE INDEX by_name ON names (id, system)")
            query = "SELECT line FROM names JOIN (SELECT id, system FROM names GROUP BY id, system HAVING count(*) > 1)"
            found = names.execute(f"{query} USING (id, system) ORDER BY line")
            yield from self.dialogues([(line, line) for (line,) in found if is_among(line, lines)])

    def _count(self) -> int:
        path = self.path / "dialogues.jsonl"
        if not path.exists():
            return 0
        with path.open("rb") as stream:
            return sum(1 for _ in stream)

    def dialogue_names(self) -> Iterator[tuple[str, str]]:
        """Yield id and system of the dialogues."""
        return ((row["id"], row["system"]) for row in self._dialogue_rows())

    def outcomes(self, commands: Sequence[CommandRecord] | None = None) -> Iterator[Outcome]:
        """
        Yield what came of the ratings that some commands on the folder asked for, or all of them.

        What stands together in this order is fused together; a rating that was not made is `skipped`.
        """
        commands = self.record.commands if commands is None else commands
        asks = list(dict.fromkeys(self._ask_of(command) for command in reversed(commands)))[::-1]
        return self.ledger.outcomes(asks, self._kept)

    def stopped(self, settings: str) -> str | None:
        """Return why the last command under these settings ended before all was rated, None if it did not."""
        last = next((each for each in reversed(self.record.commands) if each.settings == settings), None)
        if last is None or not last.lines:
            return None
        return last.stopped or (None if last.ended else "the command was killed, or still runs")

    def _ask_of(self, command: CommandRecord) -> Ask:
        settings = self.record.under(command.settings)
        ask = Ask(
            settings=command.settings,
            judge=settings.judge.name,
            dimensions=settings.dimensions,
            turns=command.asked.turns,
            samples=command.asked.samples,
            lines=_ranges(command.lines),
        )
        if ask.lines is not None or not ask.judge:
            return ask
        # Releases before did not keep the lines, which are all of them if that many ratings come of these.
        whole = replace(ask, lines=((0, self._count() - 1),))
        return whole if ratings_of(whole, self._kept()) == command.ratings else ask

    def _kept(self) -> Iterator[Kept]:
        for number, row in enumerate(self._dialogue_rows()):
            yield Kept(number, row["id"], row["system"], [turn["role"] for turn in row["turns"]])

    def _dialogue_rows(self, lines: LineRanges | None = None) -> Iterator[dict[str, Any]]:
        path = self.path / "dialogues.jsonl"
        if path.exists():
            with path.open("rb") as stream:
                numbered = enumerate(stream) if lines is None else _on_lines(stream, lines)
                for number, line in numbered:
                    try:
                        row = orjson.loads(line)
                        named = type(row["id"]) is type(row["system"]) is str
                        named = named and all(type(turn["role"]) is str for turn in row["turns"])
                    except (orjson.JSONDecodeError, KeyError, TypeError):
                        named = False
                    if not named:
                        what = f"{path}:{number + 1}: a damaged line found, expected a dialogue; remove the file"
                        raise RunError(f"{what} and run perm score again, which writes it anew")
                    yield row

    def digest(self) -> str:
        """Return a hash over dialogues and ratings, and over the rewards and summaries made of them."""
        made_of = blake2b(digest_size=16)
        for path in [*(self.path / name for name in _FUSED), *self.shards()]:
            if path.exists():
                with path.open("rb") as stream:
                    made_of.update(hashlib.file_digest(stream, blake2b).digest())
            made_of.update(path.name.encode())
        return made_of.hexdigest()

    def unrecorded_ratings(self) -> int:
        """Return how many ratings commands asked for of which no record tells more, the largest of each settings."""
        asked: dict[str, int] = {}
        for command in self.record.commands:
            if command.lines is None:
                asked[command.settings] = max(asked.get(command.settings, 0), command.ratings)
        return sum(asked.values())

    def write_record(self) -> None:
        """Write `run.json`."""
        self.write("run.json", record_json(self.record))

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all."""
        with self.rewriting(name) as stream:
            stream.write(content)

    def rewriting(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a file to write it anew, whole or not at all."""
        return rewriting(self.path / name)

    def close(self) -> None:
        """Bring the ratings safely to disk."""
        if "ledger" in vars(self):
            self.ledger.close()
        if self._appending is not None:
            with naming(self.path / "ratings.jsonl"):
                os.fsync(self._appending)
            os.close(self._appending)
            self._appending = None


@contextmanager
def open_run(path: Path, *, create: bool = True) -> Iterator[RunFolder]:
    """Open a run folder for one process; raise `RunError` if it is in use, unwritable or something else."""
    _check(path, create=create)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with FileLock(path / ".lock", timeout=0):
            take_away(path / "todo")  # of a driver on Ray that was killed, whose workers then write no more
            cut = [name for name in ("ratings", "dialogues") if _set_aside_cut_line(path / f"{name}.jsonl")]
            folder = RunFolder(path, cut)
            try:
                yield folder
            finally:
                folder.close()
    except Timeout as error:
        raise RunInUse(f"{path}: in use by another perm; wait for it or choose another --out") from error
    except OSError as error:
        if isinstance(error.__context__, PermError):  # closing has failed, too, after what the user has to know
            raise error.__context__ from None
        kept = "; the ratings on disk are kept" if (path / "ratings.jsonl").exists() else ""
        raise RunError(f"{error.filename or path}: {error.strerror or error}{kept}") from error


def take_away(work: Path) -> None:
    """Remove the shards of work, and the drafts beside them, at one moment for all who look."""
    aside = work.with_name(f".{work.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        work.rename(aside)
        rmtree(aside, ignore_errors=True)


def is_run(path: Path) -> bool:
    """Return whether this is a run folder, or the folder of a training run, which holds some."""
    return (path / "run.json").exists() or bool(workers_of(path))


def workers_of(path: Path) -> list[Path]:
    """Return the run folders of the processes in the folder of a training run, none if it is no such folder."""
    found = [each.parent for each in path.glob("worker-*/run.json")]
    return sorted(found, key=lambda each: (len(each.name), each.name))


def run_folders(runs: Iterable[Path]) -> list[Path]:
    """Return run folders, those of its processes in place of the folder of a training run."""
    return [each for run in runs for each in (workers_of(run) or [run])]


def _check(path: Path, *, create: bool) -> None:
    if path.exists() and not path.is_dir():
        raise RunError(f"{path}: a file found, expected a run folder")
    names = {each.name for each in path.iterdir()} - {".lock"} if path.is_dir() else set()
    if names and not names & _KNOWN:
        raise RunError(f"{path}: a folder with other files found, expected a run folder or an empty one")
    if not create and not names:
        raise RunError(f"{path}: no run found, expected a folder that perm score has written")


def _set_aside_cut_line(path: Path) -> bool:
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) == b"\n":
            return False
        stream.seek(0)
        whole = 0
        for line in stream:
            if line.endswith(b"\n"):
                whole += len(line)
        stream.seek(whole)
        cut = stream.read()
        with path.with_suffix(".damaged").open("ab") as aside:
            aside.write(cut + b"\n")
        stream.truncate(whole)
    return True


def _ranges(lines: Iterable[Sequence[int]] | None) -> LineRanges | None:
    return None if lines is None else tuple((first, last) for first, last in lines)


def _is_within(score: float | None, bounds: tuple[float, float] | None) -> bool:
    return score is None or bounds is None or bounds[0] - _ROUNDING <= score <= bounds[1] + _ROUNDING


def _on_lines(stream: BinaryIO, ranges: LineRanges) -> Iterator[tuple[int, bytes]]:
    """Yield number and text of some lines."""
    at = 0
    for first, last in ranges:
        yield from enumerate(islice(stream, first - at, last + 1 - at), first)
        at = last + 1


def _digest(line: bytes) -> bytes:
    return blake2b(line, digest_size=16).digest()
