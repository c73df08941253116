"""
Show that memory does not grow with the input, and how long a finished run takes to resume.

    python benchmarks/scale.py [DIALOGUES ...]

Dialogues are generated, and the judge is one inside the process that answers at once: what remains is the
runner's own work. Each size runs in a process of its own, which is then resumed by another.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

HERE = Path(__file__)
SIZES = (1_000, 10_000, 25_000, 100_000)
VERDICT = (
    '{"rationale": "Names the loss and what it means to this person.", "score": 4, "effectiveness": 12,'
    ' "clarity": 15, "efficiency": 11, "objectivity": 14, "accuracy": 16}'
)


def write_dialogues(path: Path, count: int) -> None:
    """Write dialogues of one exchange, about 600 bytes each."""
    with path.open("w") as stream:
        for place in range(count):
            turns = [
                {"role": "seeker", "text": f"This is what happened, number {place}. " + "It went on and on. " * 12},
                {"role": "supporter", "text": f"Number {place} sounds heavy. " + "And you were alone with it. " * 8},
            ]
            row = {"id": f"d{place}", "scenario": "An evening.", "persona": "A neighbour.", "turns": turns}
            stream.write(json.dumps(row) + "\n")


def run(path: Path, out: Path) -> dict[str, float]:
    """Rate and fuse, as `perm score` does, without a network; return seconds and megabytes."""
    from rich.console import Console

    from perm_cli.cli.progress import shown_progress
    from perm_cli.dialogues.files.reading import Reading
    from perm_cli.dialogues.files.sources import source_of
    from perm_cli.judges.judge import Reply, Request
    from perm_cli.judges.settings import JudgeSettings
    from perm_cli.prompts.shipped import shipped
    from perm_cli.ratings.run_folder import open_run
    from perm_cli.rewards.formula import Recipe
    from perm_cli.rewards.fusing import fuse_once, fused_before
    from perm_cli.scoring.job import Order, entered, prepare
    from perm_cli.scoring.live import Stop, make_ratings

    class Instant:
        calls = 0

        async def ask(self, _: Request) -> Reply:
            self.calls += 1
            return Reply(text=VERDICT, tokens_in=700, tokens_out=40)

    started = perf_counter()
    judge = Instant()
    order = Order(
        sources=[source_of(str(path))],
        reading=Reading(),
        judge=JudgeSettings(name="instant", model="openai/instant", concurrency=64),
        rubrics=shipped("rubrics") / "perm",
        prompts=shipped("prompts") / "en",
    )
    job = prepare(order)
    phases = {"checked": peak_mb()}
    with open_run(out) as folder, shown_progress(Console(stderr=True), job.ratings) as progress:
        entered(job, folder, "bench")
        phases["kept"] = peak_mb()
        summary = fused_before(folder, job, Recipe())
        if summary is None:
            asyncio.run(make_ratings(job, judge, folder, progress, Stop()))
            phases["rated"] = peak_mb()
            summary = fuse_once(folder, job, Recipe())
    assert summary.spending.statuses["scored"] == job.ratings  # noqa: S101 - else the numbers mean nothing
    return {"calls": judge.calls, "wall_s": perf_counter() - started, **phases, "fused": peak_mb()}


def peak_mb() -> float:
    """Return the most memory this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _in_a_process(path: Path, out: Path) -> dict[str, float]:
    command = [sys.executable, str(HERE), "--run", str(path), str(out)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def rows(sizes: list[int]) -> Iterator[str]:
    """Measure each size, and yield a table in Markdown."""
    yield "| dialogues | ratings | first run | peak MB | resumed, no call | peak MB |"
    yield "|---|---|---|---|---|---|"
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path, out = Path(folder, "d.jsonl"), Path(folder, "run")
            write_dialogues(path, size)
            first, again = _in_a_process(path, out), _in_a_process(path, out)
        assert again["calls"] == 0  # noqa: S101 - else it was not resumed
        yield (
            f"| {size:,} | {size * 4:,} | {first['wall_s']:.1f} s | {first['fused']:.0f} "
            f"| {again['wall_s']:.1f} s | {again['fused']:.0f} |"
        )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sizes", nargs="*", type=int)
    parser.add_argument("--run", nargs=2, type=Path)
    given = parser.parse_args()
    if given.run:
        print(json.dumps(run(*given.run)))
        return
    for row in rows(given.sizes or list(SIZES)):
        print(row, flush=True)


if __name__ == "__main__":
    main()
