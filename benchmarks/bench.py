"""
Measure the runner against other clients, on the same calls and the same loopback judge.

    python benchmarks/bench.py

Each client runs in a process of its own, one after the other; all numbers of a table come from one run.
`wall / ideal` is the time taken over calls x latency / concurrency; processor time is that of the calls, without
what it takes to import a client.
"""

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from time import perf_counter, process_time

import scale

HERE = Path(__file__)
LATENCY_S = 0.2
STARTS = 7


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The time and memory that one client took."""

    client: str
    concurrency: int
    calls: int
    wall_s: float
    cpu_s: float
    peak_mb: float

    @property
    def over_ideal(self) -> float:
        """Return the wall time divided by the ideal one."""
        return self.wall_s / (self.calls * LATENCY_S / self.concurrency)

    def row(self) -> str:
        """Return a row of the table in Markdown."""
        rate, cpu_ms = self.calls / self.wall_s, 1000 * self.cpu_s / self.calls
        return (
            f"| {self.client} | {self.concurrency} | {self.calls:,} | {self.over_ideal:.2f} | {rate:,.0f} "
            f"| {cpu_ms:.2f} | {self.peak_mb:.0f} |"
        )


# --- the clients ---


@dataclass(frozen=True)
class Taken:
    """Wall and processor time in seconds."""

    wall_s: float
    cpu_s: float


def stopwatch() -> Callable[[], Taken]:
    """Start a clock; calling the result reads it."""
    wall, cpu = perf_counter(), process_time()
    return lambda: Taken(perf_counter() - wall, process_time() - cpu)


async def run_perm(url: str, calls: int, concurrency: int) -> Taken:
    """Measure `perm` with everything a run does: render, send, read, store, show progress."""
    from rich.console import Console

    from perm_cli.cli.progress import shown_progress
    from perm_cli.dialogues.files.reading import Reading
    from perm_cli.dialogues.files.sources import source_of
    from perm_cli.judges.routes import open_judge
    from perm_cli.judges.settings import JudgeSettings
    from perm_cli.prompts.shipped import shipped
    from perm_cli.ratings.run_folder import open_run
    from perm_cli.scoring.job import Order, entered, prepare
    from perm_cli.scoring.live import Stop, make_ratings

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "d.jsonl")
        scale.write_dialogues(path, calls // 4)
        settings = JudgeSettings(name="bench", model="openai/bench", base_url=url, concurrency=concurrency)
        order = Order(
            sources=[source_of(str(path))],
            reading=Reading(),
            judge=settings,
            rubrics=shipped("rubrics") / "perm",
            prompts=shipped("prompts") / "en",
        )
        job = prepare(order)
        with (
            open_run(Path(folder, "run")) as run,
            shown_progress(Console(file=StringIO(), force_terminal=True), job.ratings) as progress,
        ):
            async with open_judge(settings) as judge:
                taken = stopwatch()
                entered(job, run, "bench")
                await make_ratings(job, judge, run, progress, Stop())
                done = taken()
        assert progress.spending.statuses["scored"] == calls  # noqa: S101 - else the numbers mean nothing
    return done


def body(place: int) -> dict[str, object]:
    """Return the body of a request of typical length."""
    case = f"[turn 1] This is what happened, number {place}. " + "It went on and on. " * 40
    messages = [{"role": "system", "content": "Judge. " * 400}, {"role": "user", "content": case}]
    return {"model": "bench", "messages": messages, "temperature": 0.3, "max_tokens": 1024}


async def _fan_out(calls: int, concurrency: int, one: Callable[[int], Awaitable[object]]) -> Taken:
    places = iter(range(calls))

    async def work() -> None:
        for place in places:
            await one(place)

    taken = stopwatch()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return taken()


async def run_aiohttp(url: str, calls: int, concurrency: int) -> Taken:
    """Measure a bare aiohttp loop, the lower limit."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(place: int) -> None:
            async with session.post(f"{url}/chat/completions", json=body(place)) as response:
                await response.json()

        return await _fan_out(calls, concurrency, one)


async def run_openai(url: str, calls: int, concurrency: int) -> Taken:
    """Measure the openai SDK's default client under a semaphore, as the method's released code uses it."""
    import openai

    client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    semaphore = asyncio.Semaphore(concurrency)

    async def one(place: int) -> None:
        async with semaphore:
            await client.chat.completions.create(**body(place))

    taken = stopwatch()
    await asyncio.gather(*(one(place) for place in range(calls)))
    done = taken()
    await client.close()
    return done


async def run_litellm(url: str, calls: int, concurrency: int) -> Taken:
    """Measure LiteLLM's completion call under a semaphore."""
    import os

    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.suppress_debug_info = True
    semaphore = asyncio.Semaphore(concurrency)

    async def one(place: int) -> None:
        request = body(place) | {"model": "openai/bench"}
        async with semaphore:
            await litellm.acompletion(**request, api_base=url, api_key="none", num_retries=0, timeout=120)

    taken = stopwatch()
    await asyncio.gather(*(one(place) for place in range(calls)))
    return taken()


CLIENTS = {"perm": run_perm, "bare aiohttp": run_aiohttp, "LiteLLM": run_litellm, "openai SDK": run_openai}
SLOW = frozenset({"LiteLLM", "openai SDK"})


def _work(client: str, url: str, calls: int, concurrency: int) -> Measured:
    import uvloop

    # The SDKs are measured as people run them, on asyncio's own loop.
    run = asyncio.run if client in SLOW else uvloop.run
    taken = run(CLIENTS[client](url, calls, concurrency))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Measured(client=client, concurrency=concurrency, calls=calls, peak_mb=peak_mb, **asdict(taken))


# --- the run ---


@contextmanager
def judge(latency_s: float) -> Iterator[str]:
    """Run the loopback judge and yield its address."""
    command = [sys.executable, str(HERE.with_name("judge.py")), str(latency_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout  # noqa: S101 - it is piped
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def measure(client: str, url: str, calls: int, concurrency: int) -> Measured:
    """Return the measurement of a client in a process of its own."""
    command = [sys.executable, str(HERE), "--client", client, "--url", url]
    done = subprocess.run(
        [*command, "--calls", str(calls), "--concurrency", str(concurrency)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def start_up() -> list[str]:
    """Return rows with the start-up times of the program."""
    help_s = [_taken([sys.executable, "-m", "perm_cli", "--help"]) for _ in range(STARTS)]
    with judge(0.0) as url, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "d.jsonl")
        scale.write_dialogues(path, 1)
        whole = [sys.executable, "-m", "perm_cli", "score", str(path), "--judge", "openai/bench", "--base-url", url]
        first_s = [
            _first_rating([*whole, "--out", str(Path(folder, f"run{place}"))], Path(folder, f"run{place}"))
            for place in range(STARTS)
        ]
    return [
        f"| `perm --help` | {statistics.median(help_s):.2f} s |",
        f"| `perm score` to its first rating | {statistics.median(first_s):.2f} s |",
    ]


def _taken(command: Sequence[str]) -> float:
    started = perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return perf_counter() - started


def _first_rating(command: Sequence[str], run: Path) -> float:
    started = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ratings = run / "ratings.jsonl"
    while not (ratings.exists() and ratings.stat().st_size) and process.poll() is None:
        pass
    taken = perf_counter() - started
    process.wait()
    return taken


def main() -> None:
    """Measure all clients and print tables in Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--client", choices=CLIENTS)
    parser.add_argument("--url")
    parser.add_argument("--calls", type=int)
    parser.add_argument("--concurrency", type=int)
    given = parser.parse_args()
    if given.client:
        print(json.dumps(asdict(_work(given.client, given.url, given.calls, given.concurrency))))
        return
    print("| client | concurrent | calls | wall / ideal | calls/s | CPU ms/call | peak MB |")
    print("|---|---|---|---|---|---|---|")
    found = {}
    with judge(LATENCY_S) as url:
        for concurrency, calls in ((64, 3200), (256, 10240)):
            for client in CLIENTS:
                if client in SLOW and concurrency == 64:
                    continue
                fewer = calls // 4 if client in SLOW else calls
                found[client, concurrency] = measure(client, url, fewer, concurrency)
                print(found[client, concurrency].row(), flush=True)
    ours, theirs = found["perm", 256], found["openai SDK", 256]
    print(f"\nperm is {theirs.over_ideal / ours.over_ideal:.1f} times as fast as the openai SDK at 256 concurrent\n")
    print("| start | median of 7 |\n|---|---|")
    print("\n".join(start_up()))
    print()
    for row in scale.rows([1_000, 10_000, 25_000, 100_000]):
        print(row, flush=True)


if __name__ == "__main__":
    main()
