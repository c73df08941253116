"""
The run folder: everything that commands did, consistent wherever a command is killed.

    run.json         the settings that ratings were made under, by id, and every command that worked on the folder
    dialogues.jsonl  the dialogues as they were read, in the native format
    ratings.jsonl    one rating per line, written as it arrives; never rewritten
    ratings/         ratings made by Ray workers, in Parquet
    batches/         the requests sent to a batch API, and the ratings they are for
    rewards.jsonl    one line per supporter turn, judge and settings, rewritten by every fusion
    summary.json, summary.csv

A last line cut off by a crash is moved to `ratings.damaged` (or `dialogues.damaged`), and its rating is made again.
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
from perm_cli.disk import naming_errors, rewriting, scratch_database
from perm_cli.errors import AssetError, PermError, RunError, RunInUse
from perm_cli.prompts.rubrics import Pack, recorded_pack
from perm_cli.ratings.ledger import Ask, Ledger, LineRanges, Outcome, StoredDialogue, is_among, ratings_of
from perm_cli.ratings.rating import Rating, rating_line, read_row
from perm_cli.ratings.run_record import CommandRecord, SettingsRecord, read_record, record_json
from perm_cli.ratings.shards import read_shard

_KNOWN = frozenset({"run.json", "dialogues.jsonl", "ratings.jsonl", "ratings"})
_FUSED = ("dialogues.jsonl", "ratings.jsonl", "rewards.jsonl", "summary.json", "summary.csv")
_ROUNDING = 1e-9  # by which the rounding of an expectation may exceed the scale
_APPENDING = os.O_WRONLY | os.O_APPEND | os.O_CREAT


class RunFolder:
    """The files of one run; `cut` names those whose incomplete last line was moved away."""

    def __init__(self, path: Path, cut: Sequence[str] = ()) -> None:
        self.path = path
        self.cut = cut
        self.record = read_record(path / "run.json")
        self.damaged = 0
        self._appending: int | None = None

    @cached_property
    def ledger(self) -> Ledger:
        """Return the ledger of the ratings, built on first use."""
        return Ledger(self.rows())

    def ratings(self) -> Iterator[Rating]:
        """Yield the ratings in the order in which they arrived; damaged lines are counted and skipped."""
        return (Rating(**row) for row in self.rows())

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the ratings as stored rows; damaged lines are counted and skipped."""
        self.damaged = 0
        bounds = self._bounds()
        for row in chain(self._lines(), *map(read_shard, self.shards())):
            if row is None or not _is_within(row["score"], bounds.get(row["settings"], {}).get(row["dimension"])):
                self.damaged += 1
            else:
                yield row

    def packs(self) -> dict[str, Pack]:
        """Return the packs that ratings were made with, by settings id; raise `RunError` if one cannot be read."""
        try:
            return {name: self._pack(name, settings) for name, settings in self.record.settings.items()}
        except AssetError as error:
            raise RunError(str(error)) from error

    def _pack(self, name: str, settings: SettingsRecord) -> Pack:
        texts = tuple(settings.rubrics.items())
        return recorded_pack(settings.pack, texts, f"{self.path}/run.json: settings {name}")

    def _bounds(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Return the lowest and highest score by settings id and dimension, as far as known."""
        found: dict[str, dict[str, tuple[float, float]]] = {}
        for name, settings in self.record.settings.items():
            with suppress(AssetError):  # reported when rewards are made from the scores
                found[name] = {each.name: each.bounds for each in self._pack(name, settings).dimensions.values()}
        return found

    def shards(self) -> list[Path]:
        """Return the Parquet files of ratings."""
        return sorted((self.path / "ratings").glob("*.parquet"))

    def _lines(self) -> Iterator[dict[str, Any] | None]:
        path = self.path / "ratings.jsonl"
        if path.exists():
            with path.open("rb") as stream:
                yield from map(read_row, stream)

    def open_ratings(self) -> int:
        """Open `ratings.jsonl` for appending and return its descriptor; done before the first call costs money."""
        if self._appending is None:
            self._appending = os.open(self.path / "ratings.jsonl", _APPENDING, 0o644)
        return self._appending

    def append(self, rating: Rating) -> None:
        """
        Write a rating to disk and add it to the ledger; raise `RunError` if it cannot be written.

        It is a single write, so that a crash loses at most the line being written.
        """
        line = rating_line(rating)
        try:
            stream = self.open_ratings()
            written = os.write(stream, line)
        except OSError as error:
            raise RunError(f"{self.path}/ratings.jsonl: {error.strerror}; ratings so far are kept") from error
        if written != len(line):
            os.ftruncate(
                stream, os.fstat(stream).st_size - written
            )  # or the next line would be appended to the fragment
            raise RunError(f"{self.path}/ratings.jsonl: only part of a line was written: is the disk full?")
        self.ledger.note(rating)

    @property
    def has_dialogues(self) -> bool:
        """Return whether the folder has dialogues."""
        return (self.path / "dialogues.jsonl").exists()

    def keep_dialogues(self, dialogues: Iterable[Dialogue]) -> LineRanges:
        """Append the dialogues that the folder does not have yet; return the lines of all of them."""
        path = self.path / "dialogues.jsonl"
        with naming_errors(path), path.open("a+b") as stream, closing(scratch_database()) as held:
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
        """Append dialogues that the folder is known not to have."""
        path = self.path / "dialogues.jsonl"
        with naming_errors(path), path.open("ab") as stream:
            stream.writelines(orjson.dumps(dialogue, option=orjson.OPT_APPEND_NEWLINE) for dialogue in dialogues)

    def dialogues(self, lines: LineRanges | None = None) -> Iterator[Dialogue]:
        """Yield the dialogues of the run, or those on some lines; the latest text of an edited dialogue comes last."""
        for row in self._dialogue_rows(lines):
            try:
                yield to_dialogue(row, ROLES, "")
            except RowError as error:
                raise RunError(f"{self.path}/dialogues.jsonl: {row['id']!r}: {error}; remove the file") from error

    def texts(self) -> Iterator[Dialogue]:
        """Yield the dialogues that commands were about; for an edited one, the text asked about last comes last."""
        asked = dict.fromkeys(_ranges(each.lines) for each in reversed(self.record.commands))
        return (dialogue for lines in reversed(asked or {None: None}) for dialogue in self.dialogues(lines))

    def edited(self, lines: LineRanges) -> Iterator[Dialogue]:
        """Yield the dialogues on these lines that the folder also has with another text."""
        with closing(scratch_database()) as names:
            names.execute("CREATE TABLE names (id TEXT, system TEXT, line INTEGER)")
            rows = ((row["id"], row["system"], line) for line, row in enumerate(self._dialogue_rows()))
            if [tuple(each) for each in lines] != [(0, self._count() - 1)]:  # else no dialogue can have two texts
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
        """Yield the id and system of each dialogue."""
        return ((row["id"], row["system"]) for row in self._dialogue_rows())

    def outcomes(self, commands: Sequence[CommandRecord] | None = None) -> Iterator[Outcome]:
        """
        Yield the outcomes of the ratings that these commands asked for, or all commands if None.

        Ratings that are fused together are adjacent; a rating that was not made is `skipped`.
        """
        commands = self.record.commands if commands is None else commands
        asks = list(dict.fromkeys(self._ask_of(command) for command in reversed(commands)))[::-1]
        return self.ledger.outcomes(asks, self._kept)

    def stopped(self, settings: str) -> str | None:
        """Return why the last command under these settings left ratings unmade, None if it did not."""
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
        # Older releases did not record the lines; if all lines give the recorded number of ratings, it was all of them.
        whole = replace(ask, lines=((0, self._count() - 1),))
        return whole if ratings_of(whole, self._kept()) == command.ratings else ask

    def _kept(self) -> Iterator[StoredDialogue]:
        for number, row in enumerate(self._dialogue_rows()):
            yield StoredDialogue(number, row["id"], row["system"], [turn["role"] for turn in row["turns"]])

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
                        what = f"{path}:{number + 1}: the line is damaged; remove the file"
                        raise RunError(f"{what} and run perm score again, which rewrites it")
                    yield row

    def digest(self) -> str:
        """Return a hash over the dialogues, the ratings, and the rewards and summaries made from them."""
        made_of = blake2b(digest_size=16)
        for path in [*(self.path / name for name in _FUSED), *self.shards()]:
            if path.exists():
                with path.open("rb") as stream:
                    made_of.update(hashlib.file_digest(stream, blake2b).digest())
            made_of.update(path.name.encode())
        return made_of.hexdigest()

    def unrecorded_ratings(self) -> int:
        """Return the number of ratings asked for by commands without recorded lines, the maximum per settings."""
        asked: dict[str, int] = {}
        for command in self.record.commands:
            if command.lines is None:
                asked[command.settings] = max(asked.get(command.settings, 0), command.ratings)
        return sum(asked.values())

    def write_record(self) -> None:
        """Write `run.json`."""
        self.write("run.json", record_json(self.record))

    def write(self, name: str, content: bytes) -> None:
        """Write a file completely or not at all."""
        with self.rewriting(name) as stream:
            stream.write(content)

    def rewriting(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a temporary file that replaces file `name` when the `with` block succeeds."""
        return rewriting(self.path / name)

    def close(self) -> None:
        """Flush the ratings to disk and release the files."""
        if "ledger" in vars(self):
            self.ledger.close()
        if self._appending is not None:
            with naming_errors(self.path / "ratings.jsonl"):
                os.fsync(self._appending)
            os.close(self._appending)
            self._appending = None


@contextmanager
def open_run(path: Path, *, create: bool = True) -> Iterator[RunFolder]:
    """Open a run folder for this process alone; raise `RunError` if it is in use, unwritable or not a run folder."""
    _check(path, create=create)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with FileLock(path / ".lock", timeout=0):
            remove_work(path / "todo")  # left by a killed Ray driver; its workers stop when it is gone
            cut = [name for name in ("ratings", "dialogues") if _set_aside_cut_line(path / f"{name}.jsonl")]
            folder = RunFolder(path, cut)
            try:
                yield folder
            finally:
                folder.close()
    except Timeout as error:
        raise RunInUse(f"{path}: in use by another perm; wait for it or choose another --out") from error
    except OSError as error:
        if isinstance(error.__context__, PermError):  # closing failed as well, but the first error is the one to report
            raise error.__context__ from None
        kept = "; the ratings on disk are kept" if (path / "ratings.jsonl").exists() else ""
        raise RunError(f"{error.filename or path}: {error.strerror or error}{kept}") from error


def remove_work(work: Path) -> None:
    """Remove a folder of shards and drafts, atomically for the processes that use it."""
    aside = work.with_name(f".{work.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        work.rename(aside)
        rmtree(aside, ignore_errors=True)


def is_run(path: Path) -> bool:
    """Return whether this is a run folder, or a training run's folder that contains some."""
    return (path / "run.json").exists() or bool(workers_of(path))


def workers_of(path: Path) -> list[Path]:
    """Return the run folders of the worker processes in a training run's folder, empty if it is not one."""
    found = [each.parent for each in path.glob("worker-*/run.json")]
    return sorted(found, key=lambda each: (len(each.name), each.name))


def run_folders(runs: Iterable[Path]) -> list[Path]:
    """Return run folders, with a training run's folder replaced by those of its worker processes."""
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
        complete = 0
        for line in stream:
            if line.endswith(b"\n"):
                complete += len(line)
        stream.seek(complete)
        cut = stream.read()
        with path.with_suffix(".damaged").open("ab") as aside:
            aside.write(cut + b"\n")
        stream.truncate(complete)
    return True


def _ranges(lines: Iterable[Sequence[int]] | None) -> LineRanges | None:
    return None if lines is None else tuple((first, last) for first, last in lines)


def _is_within(score: float | None, bounds: tuple[float, float] | None) -> bool:
    return score is None or bounds is None or bounds[0] - _ROUNDING <= score <= bounds[1] + _ROUNDING


def _on_lines(stream: BinaryIO, ranges: LineRanges) -> Iterator[tuple[int, bytes]]:
    """Yield the number and content of the lines in `ranges`."""
    at = 0
    for first, last in ranges:
        yield from enumerate(islice(stream, first - at, last + 1 - at), first)
        at = last + 1


def _digest(line: bytes) -> bytes:
    return blake2b(line, digest_size=16).digest()
