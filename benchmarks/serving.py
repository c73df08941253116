"""
Measure what the reward server adds to a reward: a thousand requests at once, against the engine asked directly.

    python benchmarks/serving.py

Every request holds one item that was never seen, which is four judgements by a loopback judge that takes 0.2 s. The
server, its client and the judge are processes of their own; the direct calls are one process, an item a call. A first
batch, which is not counted, opens the connections and the engine's window.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from bench import LATENCY_S, judge

HERE = Path(__file__)
REQUESTS = 1_000
CONCURRENCY = 1_024
ROUNDS = 5

One = Callable[[int], Awaitable[bool]]


async def measured(one: One, start: int) -> dict[str, float]:
    """Return the latencies of a batch of concurrent requests, and the number without a reward."""

    async def timed(place: int) -> float | None:
        started = perf_counter()
        return perf_counter() - started if await one(place) else None

    started = perf_counter()
    taken = await asyncio.gather(*(timed(start + place) for place in range(REQUESTS)))
    wall_s = perf_counter() - started
    came = [each for each in taken if each is not None]
    cuts = statistics.quantiles(came, n=100)
    return {"lost": REQUESTS - len(came), "p50": cuts[49], "p99": cuts[98], "wall_s": wall_s}


async def rounds(one: One) -> list[dict[str, float]]:
    """Return the batches after the first."""
    await measured(one, 0)
    return [await measured(one, REQUESTS * (each + 1)) for each in range(ROUNDS)]


def said(place: int) -> tuple[str, str]:
    """Return a seeker's turn and a reply."""
    seeker = f"This is what happened, number {place}. " + "It went on and on. " * 12
    return seeker, f"Number {place} sounds heavy. " + "And you were alone with it. " * 8


async def run_server(url: str) -> list[dict[str, float]]:
    """Measure the server at an address, asked as OpenRLHF asks it."""
    import aiohttp

    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(place: int) -> bool:
            seeker, reply = said(place)
            body = {"query": [seeker + reply], "prompts": [seeker], "labels": [None]}
            try:
                async with session.post("/get_reward", json=body) as response:
                    answer = await response.json()
            except (aiohttp.ClientError, ValueError):
                return False
            return response.status == 200 and answer["extra_logs"]["perm_judge_ok"] == [1.0]

        return await rounds(one)


async def run_direct(url: str) -> list[dict[str, float]]:
    """Measure the engine of this process, asked directly."""
    from perm_cli.reward import Item, Perm

    perm = Perm(judge="openai/bench", base_url=url, concurrency=CONCURRENCY)

    async def one(place: int) -> bool:
        seeker, reply = said(place)
        (result,) = await perm.score([Item(query=seeker, reply=reply)])
        return result.reward is not None

    done = await rounds(one)
    perm.close()
    return done


RUNS = {"direct": run_direct, "server": run_server}


@contextmanager
def server(url: str) -> Iterator[str]:
    """Run `perm serve` with a judge, and yield its address."""
    command = [sys.executable, "-m", "perm_cli", "serve", "--judge", "openai/bench", "--base-url", url, "--port", "0"]
    environment = os.environ | {"PERM_CONCURRENCY": str(CONCURRENCY)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr  # noqa: S101 - it is piped
        where = re.match(r"listening on (\S+),", process.stderr.readline())
        assert where  # noqa: S101 - else nothing can be measured
        try:
            yield where[1]
        finally:
            process.terminate()
            process.communicate()


def measure(name: str, url: str) -> list[dict[str, float]]:
    """Run one of the clients in a process of its own."""
    command = [sys.executable, str(HERE), "--run", name, "--url", url]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return list(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure, and print a table in Markdown."""
    import uvloop

    parser = argparse.ArgumentParser()
    parser.add_argument("--run", choices=RUNS)
    parser.add_argument("--url")
    given = parser.parse_args()
    if given.run:
        print(json.dumps(uvloop.run(RUNS[given.run](given.url))))
        return
    found = {}
    print(
        f"{REQUESTS:,} requests at once, concurrency {CONCURRENCY:,}, judge {LATENCY_S} s, median of {ROUNDS} rounds\n"
    )
    print("| asked | requests | lost | p50 s | p99 s | all s |\n|---|---|---|---|---|---|")
    with judge(LATENCY_S) as url, server(url) as served:
        for name, address in (("direct", url), ("server", served)):
            batches = measure(name, address)
            lost = sum(each["lost"] for each in batches)
            found[name] = {part: statistics.median(each[part] for each in batches) for part in ("p50", "p99", "wall_s")}
            numbers = " | ".join(f"{number:.2f}" for number in found[name].values())
            print(f"| {name} | {REQUESTS * ROUNDS:,} | {lost:.0f} | {numbers} |", flush=True)
    added = (f"{found['server'][part] - found['direct'][part]:+.2f}" for part in ("p50", "p99", "wall_s"))
    print(f"| added by the server | | | {' | '.join(added)} |")


if __name__ == "__main__":
    main()
