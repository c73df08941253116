"""
Compare the embedded judge as `perm` drives it with the engine driven directly, on the same prompts in the same order.

    python benchmarks/local.py [DIALOGUES]

Both read the prompts of the first sample dialogues dimension by dimension, each in its own process with its own
engine. Tokens per second are prompt tokens, including those served by the prefix cache.

Then the engine alone, with each number of threads and with the one that `perm` chooses, on an idle machine and next to
a process that uses a core. There, tokens per second are those that were read or written.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from time import perf_counter
from typing import Any

HERE = Path(__file__)
SAMPLES = HERE.parents[1] / "data" / "samples" / "dialogues.jsonl"


def job_of(path: Path) -> Any:
    """Return the job of rating some dialogues with the embedded judge."""
    from perm_cli.dialogues.files.reading import Reading
    from perm_cli.dialogues.files.sources import source_of
    from perm_cli.judges.settings import JudgeSettings
    from perm_cli.prompts.shipped import shipped
    from perm_cli.scoring.job import Order, prepare

    judge = JudgeSettings(name="local", model="local", temperature=0.0)
    return prepare(
        Order(
            sources=[source_of(str(path))],
            reading=Reading(turns="last"),
            judge=judge,
            rubrics=shipped("rubrics") / "perm",
            prompts=shipped("prompts") / "en",
        )
    )


async def run_perm(path: Path) -> dict[str, float]:
    """Measure rating as `perm score` does it."""
    from rich.console import Console

    from perm_cli.cli.progress import shown_progress
    from perm_cli.judges.routes import open_judge
    from perm_cli.ratings.run_folder import open_run
    from perm_cli.scoring.job import entered
    from perm_cli.scoring.live import Stop, make_ratings

    job = job_of(path)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_run(Path(folder, "run")) as run,
        shown_progress(Console(file=StringIO()), job.ratings) as progress,
    ):
        async with open_judge(job.order.judge) as judge:
            started = perf_counter()
            entered(job, run, "bench")
            await make_ratings(job, judge, run, progress, Stop())
            taken = perf_counter() - started
    tokens = progress.spending.tokens
    return {"calls": tokens["calls"], "in": tokens["in"], "cached": tokens["cached"], "out": tokens["out"], "s": taken}


async def run_engine(path: Path, threads: int | None = None) -> dict[str, float]:
    """Measure the engine with the same requests one by one, on `threads` threads or as many as `perm` chooses."""
    import xllamacpp

    from perm_cli.judges.dialects import opening_dialect, payload_of
    from perm_cli.judges.judge import Request
    from perm_cli.judges.route_embedded import _parameters, _with_short_rationale, weights_of
    from perm_cli.ratings.rating import schema_of
    from perm_cli.scoring.job import calls_of

    job = job_of(path)
    parameters = _parameters(xllamacpp.CommonParams(), weights_of("local").path)
    for each in (parameters.cpuparams, parameters.cpuparams_batch):
        each.n_threads = threads or each.n_threads
    server = xllamacpp.Server(parameters)
    total = {"calls": 0.0, "in": 0.0, "cached": 0.0, "out": 0.0}
    started = perf_counter()
    for call in calls_of(job):
        request = Request(prompt=job.book.prompt(call.question), schema=schema_of(call.question.dimension))
        payload = payload_of(request, job.order.judge, opening_dialect(job.order.judge))
        payload["response_format"] = _with_short_rationale(payload["response_format"])
        answer = server.handle_chat_completions(payload)
        usage = answer["usage"]
        total["calls"] += 1
        total["in"] += usage["prompt_tokens"]
        total["out"] += usage["completion_tokens"]
        total["cached"] += usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
    return total | {"s": perf_counter() - started, "threads": float(parameters.cpuparams.n_threads)}


RUNS = {"perm": run_perm, "engine": run_engine}


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dialogues", nargs="?", type=int, default=6)
    parser.add_argument("--run", choices=RUNS)
    parser.add_argument("--path", type=Path)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    if given.run:
        named = {"threads": given.threads} if given.threads else {}
        print(json.dumps(asyncio.run(RUNS[given.run](given.path, **named))))
        return
    print("| driven by | calls | prompt tokens | from cache | completion tokens | prompt tokens/s |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "d.jsonl")
        path.write_text("".join(SAMPLES.read_text().splitlines(keepends=True)[: given.dialogues]))
        for name in RUNS:
            found = measured(name, path)
            print(
                f"| {name} | {found['calls']:.0f} | {found['in']:,.0f} | {found['cached'] / found['in']:.0%} "
                f"| {found['out']:,.0f} | {found['in'] / found['s']:,.0f} |",
                flush=True,
            )
        print("\n| beside it | threads | tokens/s |\n|---|---|---|")
        for others in (0, 1):
            with busy(others):
                for threads in (*range(1, (os.cpu_count() or 1) + 1), None):
                    found = measured("engine", path, threads)
                    speed = (found["in"] - found["cached"] + found["out"]) / found["s"]
                    chosen = " (chosen)" if threads is None else ""
                    print(f"| {others} busy processes | {found['threads']:.0f}{chosen} | {speed:,.0f} |", flush=True)


def measured(name: str, path: Path, threads: int | None = None) -> dict[str, float]:
    """Return the measurement of a run in a process of its own."""
    command = [sys.executable, str(HERE), "--run", name, "--path", str(path)]
    command += ["--threads", str(threads)] if threads else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Run `count` processes that use a core each, for the `with` block."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for each in others:
            each.kill()
            each.wait()


if __name__ == "__main__":
    main()
