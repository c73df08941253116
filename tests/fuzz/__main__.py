"""
Fuzz a reader of hostile input, guided by coverage (atheris).

    python -m tests.fuzz READER [--keep-going] [libFuzzer's options, as -max_total_time=150]

READER is dialogues, verdicts, replies or runs. What reached new code is kept in `.cache/fuzz/READER`. The first
failure ends the process and leaves its input in a `crash-…` file, which is run again by naming it behind READER.
With `--keep-going` failures are told apart by their place, each is printed once, and fuzzing goes on.
"""

import gzip
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any, get_args

import atheris

with atheris.instrument_imports(include=["perm_cli"]):
    from perm_cli.dialogues.files.reading import Reading
    from perm_cli.words import FormatName
    from tests.fuzz import claims
from tests import test_fuzz, test_verdicts
from tests.fuzz.mutations import TEXTS, json_line, mutated, spliced
from tests.makers import DIMENSIONS

ROOT = Path(__file__).parents[2]
PIECES = [*test_verdicts.PIECES, *TEXTS]
TABLES = (test_verdicts.TEXT, test_verdicts.JSON, test_verdicts.THINKING, test_verdicts.SILENT, test_verdicts.BYSTANDER)
READINGS = [
    Reading(format=name, roles=roles)
    for name in get_args(FormatName)
    for roles in (None, {"user": "seeker", "tool": "supporter"})
]
NAMES = ("d.jsonl", "d.json", "d.csv", "d", "d.jsonl.gz")
FILES = ("ratings.jsonl", "run.json", "dialogues.jsonl")
RUN = {
    "ratings.jsonl": b"".join(json_line(each) + b"\n" for each in test_fuzz.RATINGS),
    "run.json": json_line(test_fuzz.RECORD),
}

# The first byte of an input chooses the options, the others are what is read.


def dialogues(choice: int, content: bytes) -> None:
    """Read a file of dialogues, gzipped or said to be, in any format and container."""
    name = NAMES[choice % len(NAMES)]
    is_packed = name.endswith(".gz") and len(content) % 8
    claims.dialogues_are_read_or_refused(
        gzip.compress(content, 1) if is_packed else content, name, READINGS[choice // len(NAMES) % len(READINGS)]
    )


def verdicts(choice: int, content: bytes) -> None:
    """Read a judge's reply on any dimension, cut or not."""
    reply = content.decode(errors="surrogateescape")
    claims.verdict_is_sound(
        reply, test_fuzz.PACK.dimensions[DIMENSIONS[choice & 3]], "length" if choice & 4 else "stop"
    )


def replies(choice: int, content: bytes) -> None:
    """Read an endpoint's answer."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return
    if isinstance(body, dict):
        claims.reply_is_read_or_failed(body, test_fuzz.PACK.dimensions[DIMENSIONS[choice & 3]])


def runs(choice: int, content: bytes) -> None:
    """Open a run folder one of whose files holds anything, and read each of its lines as a rating."""
    for line in content.split(b"\n"):
        claims.rating_is_typed_or_none(line)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        claims.run_opens_or_is_refused(Path(folder), RUN | {FILES[choice % 3]: content})


def seeds(reader: str) -> Iterable[bytes]:
    """Yield the first inputs: the samples, and the tables of the tests."""
    rows = (ROOT / "data" / "samples" / "dialogues.jsonl").read_bytes().splitlines()[:6]
    match reader:
        case "dialogues":
            contents = [*rows, b"\n".join(rows[:2]), *map(json_line, [*test_fuzz.ROWS, *test_fuzz.FOREIGN])]
        case "verdicts":
            replies = [case.values[0] for table in TABLES for case in table]
            contents = [reply.encode(errors="surrogatepass") for reply in [*replies, *test_fuzz.REPLIES]]
        case "replies":
            contents = list(map(json_line, test_fuzz.BODIES))
        case _:
            contents = [*map(json_line, test_fuzz.RATINGS), *RUN.values(), rows[0] + b"\n"]
    for place, content in enumerate(contents):
        yield bytes([0 if reader == "dialogues" else place]) + content


# libFuzzer drops from its inputs whatever only orjson and pydantic, which it cannot see into, tell apart.
_AFRESH = 0.2


def mutate(data: bytes, limit: int, seed: int, first: Sequence[bytes]) -> bytes:
    """Change bytes as libFuzzer does, or a line of JSON, or text by a piece that means something."""
    random = Random(seed)  # noqa: S311 - no secret hangs on it
    if random.random() < _AFRESH:
        data = random.choice(first)
    lines = data[1:].split(b"\n")
    place = random.randrange(len(lines))
    way = random.randrange(3)
    if way == 0:
        return bytes(atheris.Mutate(data, limit))
    try:
        lines[place] = json_line(mutated(json.loads(lines[place]), random)) if way == 1 else lines[place]
    except (ValueError, RecursionError):
        way = 2
    body = b"\n".join(lines)
    if way == 2:
        body = spliced(body.decode(errors="surrogateescape"), PIECES, random).encode(errors="surrogatepass")
    choice = bytes([random.randrange(256)]) if random.random() < _AFRESH else data[:1]
    return (choice + body)[:limit]


def kept_going(read: Callable[[int, bytes], None]) -> Callable[[int, bytes], None]:
    """Return a reader that prints every failure once, with its input, instead of raising it."""
    known: set[Any] = set()

    def reads(choice: int, content: bytes) -> None:
        try:
            read(choice, content)
        except Exception as error:  # noqa: BLE001 - every kind of failure is a finding
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if str(ROOT) in frame.filename]
            place = (type(error).__name__, frames[-1].filename, frames[-1].lineno)
            if place not in known:
                known.add(place)
                print(f"FOUND {place}: {choice} {content!a}\n{ascii(str(error))[:500]}", flush=True)

    return reads


def main() -> None:
    """Fuzz until the options say that it is enough."""
    reader, *options = sys.argv[1:] or [""]
    readers: dict[str, Callable[[int, bytes], None]] = {
        each.__name__: each for each in (dialogues, verdicts, replies, runs)
    }
    if reader not in readers:
        sys.exit(__doc__)
    first = list(seeds(reader))
    read = kept_going(readers[reader]) if "--keep-going" in options else readers[reader]
    options = [
        each if each.startswith("-") else str(Path(each).resolve()) for each in options if each != "--keep-going"
    ]
    if all(each.startswith("-") for each in options):
        corpus, start = (ROOT / ".cache" / "fuzz" / name for name in (reader, f"{reader}-seeds"))
        corpus.mkdir(parents=True, exist_ok=True)
        start.mkdir(exist_ok=True)
        for place, seed in enumerate(first):
            (start / str(place)).write_bytes(seed)
        options += [f"-artifact_prefix={corpus.parent}/", "-max_len=8192", "-timeout=10", str(corpus), str(start)]
    # libFuzzer leaves without a word to Python, so that nothing would be tidied up behind it.
    desk = ROOT / ".cache" / "fuzz" / "desk"
    desk.mkdir(parents=True, exist_ok=True)
    os.chdir(desk)
    atheris.Setup(
        [sys.argv[0], *options],
        lambda data: read(data[0], data[1:]) if data else None,
        custom_mutator=lambda data, limit, seed: mutate(data, limit, seed, first),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
