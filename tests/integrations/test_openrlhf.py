"""
OpenRLHF's own rollout, from a generated text to its reward: over HTTP to `perm serve`, and with a python file.

What generates and what turns texts into tokens are stand-ins for vLLM and a tokeniser, since neither is looked at.
"""

import asyncio
import importlib.util
import math
import os
import signal
import socket
import subprocess
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import httpx
import orjson
import pytest

from tests.integrations.worth import PERSONA, QUERY, REPLY, Breaking, failing, garbled, item, worth
from tests.loopback import Answering, Loopback, loopback


def _executor() -> Any:
    """Return the class that asks for rewards; the package around it is skipped, as it wants torch and vLLM."""
    found = importlib.util.find_spec("openrlhf")
    if found is None or found.submodule_search_locations is None:
        pytest.skip("openrlhf is not installed", allow_module_level=True)
    package = types.ModuleType("openrlhf.utils")
    package.__path__ = [str(Path(found.submodule_search_locations[0]) / "utils")]
    sys.modules["openrlhf.utils"] = package
    return pytest.importorskip("openrlhf.utils.agent").SingleTurnAgentExecutor


EXECUTOR = _executor()
END = 999
PROMPT = f"<|im_start|>user\n{QUERY}<|im_end|>\n<|im_start|>assistant\n"
LABEL = orjson.dumps({"query": QUERY, "persona": PERSONA}).decode()
SAMPLING = SimpleNamespace(max_tokens=64, logprobs=None)
LOGS = {
    "perm_resonation", "perm_expression", "perm_reception", "perm_bystander",
    "perm_judge_ok", "perm_empty", "perm_latency_s", "perm_rho_length", "perm_rho_questions", "perm_rho_sympathy",
    "perm_rho_overlap", "perm_tied", "perm_saturated", "perm_failures",
}  # fmt: skip
BROKEN = pytest.mark.parametrize("broken", [failing, garbled], ids=["failing", "garbled"])


class Ids(list[int]):
    """Hold tokens as a tensor would."""

    def tolist(self) -> list[int]:
        """Return them."""
        return list(self)


class Tokenizer:
    """Take bytes for tokens, and a token more for the end of a message."""

    def __call__(self, text: str, **_: object) -> dict[str, list[Ids]]:
        """Return the tokens of a text."""
        return {"input_ids": [Ids(text.encode())]}

    def decode(self, ids: list[int], **_: object) -> str:
        """Return the text of tokens."""
        return bytes(token for token in ids if token != END).decode() + ("<|im_end|>" if END in ids else "")


class Engine:
    """Generate what it was told to."""

    def __init__(self, reply: str) -> None:
        self.reply = reply

    async def generate(self, *_: object, **__: object) -> SimpleNamespace:
        """Return a generation as vLLM shapes it."""
        ids = [*self.reply.encode(), END]
        made = SimpleNamespace(token_ids=ids, finish_reason="stop", logprobs=None, text=self.reply)
        return SimpleNamespace(outputs=[made])


async def rollouts(executor: Any, *replies: str, label: str = LABEL, prompt: str = PROMPT) -> list[dict[str, Any]]:
    """Return what OpenRLHF makes of replies that are generated at the same time."""
    return await asyncio.gather(
        *(executor.execute(prompt, label, SAMPLING, 4096, Tokenizer(), Engine(reply)) for reply in replies)
    )


def rewards(outputs: list[dict[str, Any]]) -> list[float]:
    """Return the rewards, of which each output has a list of one."""
    return [reward for output in outputs for reward in output["reward"]]


@pytest.fixture
def reward_file(tmp_path: Path) -> str:
    """Return the file that a user of `--reward.remote_url reward_func.py` writes."""
    path = tmp_path / "reward_func.py"
    path.write_text("from perm_cli.integrations.openrlhf import reward_func\n", encoding="utf-8")
    return str(path)


@contextmanager
def serving(judge: Loopback, *options: str) -> Iterator[str]:
    """Run `perm serve` for the time of the `with` block, in a process of its own; return its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "perm_cli", "serve", "--port", str(port), "--judge", "openai/m"]
    process = subprocess.Popen(
        [*command, "--base-url", judge.url, *options], env=os.environ | {"PERM_PATIENCE_S": "0.2"}
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/healthz", process)
        yield f"http://127.0.0.1:{port}/get_reward"
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    assert code == 0


def _wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    """Ask until the server listens; importing it takes seconds on a busy machine."""
    started = monotonic()
    while process.poll() is None and monotonic() - started < 60:
        try:
            httpx.get(address, trust_env=False)
        except httpx.TransportError:
            continue
        return
    pytest.fail(f"perm serve ended with {process.poll()} before it listened")


async def test_the_reward_of_perm_serve_is_ours(judge: Loopback) -> None:
    """OpenRLHF's client must get through JSON and back the very number that `perm score` says."""
    replies = [REPLY, "Oh no. Do you want to talk about it?", "Study more."]
    with serving(judge) as address:
        outputs = await rollouts(EXECUTOR([address]), *replies)

    expected = worth(judge, *map(item, replies))
    assert rewards(outputs) == expected
    assert len(set(expected)) > 1
    assert [output["extra_logs"]["perm_judge_ok"] for output in outputs] == [[1.0]] * 3
    assert all(0 <= share <= 1 for output in outputs for share in output["scores"])


async def test_the_reward_of_a_python_file_is_ours(settings: Loopback, reward_file: str) -> None:
    """OpenRLHF calls the function of a file from threads, a reply each."""
    replies = [f"That hurts {place} times." for place in range(12)]

    outputs = await rollouts(EXECUTOR(reward_file), *replies)

    assert rewards(outputs) == worth(settings, *map(item, replies))
    assert {output["extra_logs"].keys() == LOGS for output in outputs} == {True}


async def test_both_ways_agree(settings: Loopback, reward_file: str) -> None:
    """Whoever changes from a file to a server must go on with the same training."""
    with serving(settings) as address:
        (served,) = await rollouts(EXECUTOR([address]), REPLY)
        (called,) = await rollouts(EXECUTOR(reward_file), REPLY)

    (expected,) = worth(settings, item())
    assert served["reward"] == called["reward"] == [expected]
    assert served["scores"] == called["scores"]
    assert served["extra_logs"].keys() == called["extra_logs"].keys() == LOGS


async def test_settings_come_from_the_file_in_the_folder(judge: Loopback, tmp_path: Path, reward_file: str) -> None:
    """OpenRLHF hands no settings over, so those in `perm.toml` are all that a user has beside the environment."""
    said = f'[reward]\njudge = "openai/m"\nbase_url = "{judge.url}"\nfusion = "mean"\n'
    (tmp_path / "perm.toml").write_text(said, encoding="utf-8")

    outputs = await rollouts(EXECUTOR(reward_file), REPLY)

    assert rewards(outputs) == worth(judge, item(), fusion="mean")


async def test_variables_count_before_the_file(
    settings: Loopback, tmp_path: Path, reward_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep over recipes changes variables, not files."""
    (tmp_path / "perm.toml").write_text('[reward]\nfusion = "mean"\nbystander_coef = 0.1\n', encoding="utf-8")
    monkeypatch.setenv("PERM_FUSION", "geometric")

    outputs = await rollouts(EXECUTOR(reward_file), REPLY)

    assert rewards(outputs) == worth(settings, item(), fusion="geometric", bystander_coef=0.1)


async def test_a_label_that_is_no_row_leaves_the_prompt_to_be_judged(settings: Loopback, reward_file: str) -> None:
    """Data that was made for another reward holds answers in its labels, which are nobody's persona."""
    outputs = await rollouts(EXECUTOR(reward_file), REPLY, label="42", prompt=QUERY)

    assert rewards(outputs) == worth(settings, item(persona=""))


@BROKEN
@pytest.mark.parametrize("way", ["served", "called"])
async def test_an_outage_is_lived_through(
    way: str, broken: Answering, reward_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenRLHF cannot go on without a number, and a judge that was restarted must be asked again."""
    answering = Breaking(broken)
    replies = [f"That hurts {place} times." for place in range(14)]
    with loopback(answering) as judge, serving(judge) as address:
        for name, value in {"JUDGE": "openai/m", "BASE_URL": judge.url, "PATIENCE_S": "0.2"}.items():
            monkeypatch.setenv(f"PERM_{name}", value)
        executor = EXECUTOR([address] if way == "served" else reward_file)
        before = await rollouts(executor, replies[0])
        answering.is_broken = True
        during = await rollouts(executor, *replies[1:13])
        answering.is_broken = False
        after = await rollouts(executor, replies[13])

        assert rewards(before + after) == worth(judge, item(replies[0]), item(replies[13]))
    assert rewards(during) == rewards(before) * 12  # the mean of all there was
    told = [output["extra_logs"]["perm_judge_ok"] for output in before + during + after]
    assert told == [[1.0], *[[0.0]] * 12, [1.0]]
    logs = [output["extra_logs"] for output in before + during + after]
    assert {each.keys() == LOGS for each in logs} == {True}
    assert all(math.isfinite(value) for each in logs for values in each.values() for value in values)


async def test_a_trainer_is_answered_even_without_a_judge() -> None:
    """A server whose judge is not there answers with flagged numbers, since five refusals would end the training."""
    with loopback() as gone:
        pass
    with serving(gone) as address:
        (output,) = await rollouts(EXECUTOR([address]), REPLY)

    assert output["extra_logs"]["perm_judge_ok"] == [0.0]
    assert all(map(math.isfinite, output["reward"] + output["scores"]))
