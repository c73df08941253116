"""
Measure the reward of a training step: 512 completions, four judgements each, at 0.2 s a call and 256 in flight.

    python benchmarks/training.py

Each way runs in a process of its own, one after the other. Steps after the first find the judge's pace known, as
nearly all steps of a training run do. "Four passes" is how the method's released code asks: one dimension after the
other, each with a new client of the openai SDK and a semaphore.
"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from time import perf_counter
from typing import Any

import bench

COMPLETIONS = 512
PASSES = 4
CONCURRENCY = 256
STEPS = 4
IDEAL_S = COMPLETIONS * PASSES * bench.LATENCY_S / CONCURRENCY


def completions_of(step: int) -> dict[str, Any]:
    """Return the arguments of a reward function: eight completions to each prompt, none of them seen before."""
    said = "It hurts that all this work came to nothing, and it is hard to tell them. " * 6
    places = range(COMPLETIONS)
    return {
        "prompts": [f"I failed exam {step}/{place // 8}, and cannot tell my parents." for place in places],
        "completions": [f"# Analysis\nAshamed, {place}.\n\n# Response\n{said}({step}/{place})" for place in places],
    }


async def step_with_trl_adapter(url: str) -> Callable[[int], Coroutine[Any, Any, None]]:
    """Return the function that scores a step as TRL does."""
    from perm_cli.integrations.trl import make_reward

    reward = make_reward(judge="openai/bench", base_url=url, concurrency=CONCURRENCY)

    async def step(number: int) -> None:
        rewards = await reward(**completions_of(number))
        assert None not in rewards  # noqa: S101 - else the numbers mean nothing

    return step


async def step_in_four_passes(url: str) -> Callable[[int], Coroutine[Any, Any, None]]:
    """Return the function that scores a step in four passes, with prompts of the same length."""
    import openai

    async def step(number: int) -> None:
        for each in range(PASSES):
            client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
            semaphore = asyncio.Semaphore(CONCURRENCY)

            async def one(place: int, client: Any = client, semaphore: Any = semaphore) -> None:
                async with semaphore:
                    await client.chat.completions.create(**bench.body(place))

            offset = (number * PASSES + each) * COMPLETIONS
            await asyncio.gather(*(one(offset + place) for place in range(COMPLETIONS)))
            await client.close()

    return step


WAYS = {"perm, TRL adapter": step_with_trl_adapter, "four passes": step_in_four_passes}


async def timed(way: str, url: str) -> list[float]:
    """Return the seconds that each step took."""
    step = await WAYS[way](url)
    taken = []
    for number in range(STEPS):
        started = perf_counter()
        await step(number)
        taken.append(perf_counter() - started)
    return taken


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--url")
    given = parser.parse_args()
    if given.way:
        print(json.dumps(asyncio.run(timed(given.way, given.url))))
        return
    print(f"ideal: {IDEAL_S:.1f} s a step\n")
    print("| way | first step / ideal | later steps / ideal (median of three) |\n|---|---|---|")
    with bench.judge(bench.LATENCY_S) as url:
        for way in WAYS:
            command = [sys.executable, str(Path(__file__)), "--way", way, "--url", url]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            first, *later = json.loads(done.stdout.splitlines()[-1])
            print(f"| {way} | {first / IDEAL_S:.2f} | {sorted(later)[1] / IDEAL_S:.2f} |", flush=True)


if __name__ == "__main__":
    main()
