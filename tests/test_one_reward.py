"""One reward: a reply is worth the same, bit for bit, whoever asks; or an offline figure says nothing of training."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from perm_cli.integrations import openrlhf, slime, trl, verl
from perm_cli.reward import Item, Perm, reward_settings
from perm_cli.serving.app import make_app
from perm_cli.serving.limits import Limits
from tests.commands import runner
from tests.loopback import Loopback, loopback
from tests.makers import written
from tests.rewarding import DIMENSIONS, JUDGE
from tests.serving import NO_TLS, listening

QUERY = "I failed my exam again, and my parents don't know yet."
ABOUT = {
    "scenario": "A student failed for the second time.",
    "persona": "Mira, 21, proud, hides when she is ashamed.",
}
ANALYSIS = "She is ashamed, and afraid of what they will say."
LONG = "That hurts, after all that work. " * 40
REPLIES = {
    "plain": ("That hurts, after all that work — и 你好 🙂.", None),
    "analysed": ("That hurts. Do you want to tell them together?", ANALYSIS),
    "long": (LONG.strip(), ANALYSIS),
}
SETTINGS = {
    "usual": {},
    "length": {"length_penalty": "0.001", "length_limit": "20"},
    "fused": {"fusion": "weighted-mean", "weights": "resonation=1,expression=2,reception=0.5", "bystander_coef": "0.3"},
    "samples": {"samples": "3", "score": "mean"},
}
CASES = [*(("analysed", recipe) for recipe in SETTINGS), ("plain", "usual"), ("long", "length")]


def written_by_policy(reply: str) -> str:
    """Return what the policy wrote: thinking, and the paper's headings where there is an analysis."""
    response, analysis = REPLIES[reply]
    if analysis is None:
        return response
    return f"<think>Hm.</think>\n# Analysis\n{analysis}\n\n# Response\n{response}"


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """Serve a judge that the environment names, and forget what adapters know of others."""
    defaults = (trl._default, slime._default, openrlhf._default, verl._perm)
    for each in defaults:
        each.cache_clear()
    with loopback() as server:
        monkeypatch.setenv("PERM_JUDGE", JUDGE)
        monkeypatch.setenv("PERM_BASE_URL", server.url)
        yield server
        Perm().close()  # all of them have the same engine
    for each in defaults:
        each.cache_clear()


def choose(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say in the environment how the reward is made."""
    for name, value in SETTINGS[recipe].items():
        monkeypatch.setenv(f"PERM_{name.upper()}", value)


def scored_offline(
    reply: str, recipe: str, server: Loopback, patch: pytest.MonkeyPatch, out: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    """Return the line of `rewards.jsonl` that `perm score` writes."""
    response, analysis = REPLIES[reply]
    turns = [{"role": "seeker", "text": QUERY}, {"role": "supporter", "text": response, "analysis": analysis}]
    files = written(Path("d.jsonl"), [{"id": "d", "turns": turns} | ABOUT])
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS[recipe].items()]
    result = runner(patch, out)("score", files, "--judge", JUDGE, "--base-url", server.url, "--out", "run", *options)
    assert result.code == 0, result.err
    found: dict[str, Any] = json.loads(Path("run/rewards.jsonl").read_text())
    return found


def as_row(row: Mapping[str, str]) -> dict[str, Any]:
    """Return a row of PERM's own shape."""
    return {"persona": {"identity": row["persona"]}, "scenario": row["scenario"], "dialogue": [QUERY, "Anything."]}


async def from_trl(text: str) -> list[float | None]:
    """Return what TRL gets for a chat, and for a prompt of plain text."""
    columns = {name: [value] for name, value in ABOUT.items()}
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": QUERY}]
    said = [{"role": "assistant", "content": text}]
    return [
        *await trl.perm_reward([chat], [said], **columns),
        *await trl.perm_reward([QUERY], [text], **columns),
        *await trl.make_reward()(["instructions"], [text], query=[QUERY], **columns),
    ]


async def from_slime(text: str) -> list[float]:
    """Return what slime gets: one by one and by the group, from a label and from metadata."""
    labelled = SimpleNamespace(prompt="p", response=f"{text}<|im_end|>", label=json.dumps(as_row(ABOUT)), metadata=None)
    beside = SimpleNamespace(prompt=QUERY, response=text, label="gold", metadata=dict(ABOUT))
    single: float = await slime.perm_reward(None, labelled)
    return [single, *await slime.perm_reward(None, [labelled, beside])]


async def from_verl(text: str) -> list[float]:
    """Return what verl gets, settings in the environment or as arguments."""
    about = {"query": QUERY, "prompt": "instructions", **ABOUT}
    found = [await verl.compute_score("d", text, None, about), await verl.compute_score("d", text, "", as_row(ABOUT))]
    return [each["score"] for each in found]


def from_server(text: str) -> list[float]:
    """Return what `perm serve` answers, to everybody, to OpenRLHF and to slime."""
    label = {"query": QUERY, **ABOUT}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/score", {"items": [{"reply": text, **label}]}),
        ("/get_reward", {"query": [f"P{text}</s>"], "prompts": ["P"], "labels": [json.dumps(label)]}),
        ("/remote_rm", {"prompt": "p", "response": text, "label": label}),
    ]
    with listening(make_app(reward_settings(), Limits())) as url, httpx.Client(base_url=url, verify=NO_TLS) as client:
        score, get_reward, remote_rm = (client.post(path, json=body).json() for path, body in asked)
    return [score["results"][0]["reward"], *get_reward["rewards"], remote_rm]


@pytest.mark.parametrize(("reply", "recipe"), CASES)
def test_a_reply_is_worth_the_same_in_every_trainer_and_offline(
    reply: str,
    recipe: str,
    judge: Loopback,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The most important promise: what was validated offline is what the policy is trained on."""
    choose(recipe, monkeypatch)
    offline = scored_offline(reply, recipe, judge, monkeypatch, capsys)
    text = written_by_policy(reply)
    perm, item = Perm(), Item(query=QUERY, reply=text, **ABOUT)

    own = [*asyncio.run(perm.score([item])), *perm.score_now([item])]
    label = json.dumps({"query": QUERY, **ABOUT})
    shaped = openrlhf.reward_func(["<s>P" + text + "<|im_end|>\n"], ["<s>P"], [label])
    trained = [*asyncio.run(from_trl(text)), *asyncio.run(from_slime(text)), *asyncio.run(from_verl(text))]

    assert [each.reward for each in own] == [offline["reward"]] * 2
    assert shaped["rewards"] == [offline["reward"]]
    assert trained == [offline["reward"]] * len(trained)
    assert from_server(text) == [offline["reward"]] * 3
    assert isinstance(offline["reward"], float)


@pytest.mark.parametrize("recipe", ["length", "samples"])
def test_the_parts_are_those_of_the_offline_reward(
    recipe: str, judge: Loopback, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scores, terms, bounds, tokens, judge and the id of its settings; only the names of the dialogues differ."""
    choose(recipe, monkeypatch)
    offline = scored_offline("analysed", recipe, judge, monkeypatch, capsys)

    (result,) = Perm().score_now([Item(query=QUERY, reply=written_by_policy("analysed"), **ABOUT)])

    named = ("dialogue_id", "system")
    parts = result.parts.record()
    assert {name: parts[name] for name in offline if name not in named} == {
        name: value for name, value in offline.items() if name not in named
    }


def test_both_send_the_judge_the_same_bytes(
    judge: Loopback, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal rewards could be luck; equal requests are not."""
    scored_offline("analysed", "usual", judge, monkeypatch, capsys)
    offline = sorted(map(json.dumps, judge.requests))

    Perm().score_now([Item(query=QUERY, reply=written_by_policy("analysed"), **ABOUT)])

    assert len(offline) == DIMENSIONS
    assert sorted(map(json.dumps, judge.requests[DIMENSIONS:])) == offline


def test_all_adapters_share_one_engine(judge: Loopback) -> None:
    """The same reply asked for by all of them is judged once."""
    text = written_by_policy("plain")

    Perm().score_now([Item(query=QUERY, reply=text, **ABOUT)])
    asyncio.run(from_trl(text))
    asyncio.run(from_slime(text))
    openrlhf.reward_func([f"P{text}"], ["P"], [{"query": QUERY, **ABOUT}])

    assert len(judge.requests) == DIMENSIONS


def test_a_talk_of_several_turns_is_worth_the_same(
    judge: Loopback, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trainers of many turns hand the talk over as a chat; its earlier analyses are nobody's words."""
    turns = [
        {"role": "seeker", "text": "I failed."},
        {"role": "supporter", "text": "What happened?", "analysis": "Brief."},
        {"role": "seeker", "text": QUERY},
        {"role": "supporter", "text": "That hurts."},
    ]
    files = written(Path("d.jsonl"), [{"id": "d", "turns": turns} | ABOUT])
    run = runner(monkeypatch, capsys)
    run("score", files, "--judge", JUDGE, "--base-url", judge.url, "--out", "run", "--turns", "last")
    offline = json.loads(Path("run/rewards.jsonl").read_text())["reward"]
    chat = [
        {"role": "user", "content": "I failed."},
        {"role": "assistant", "content": "# Analysis\nBrief.\n# Response\nWhat happened?"},
        {"role": "user", "content": QUERY},
    ]
    columns = {name: [value] for name, value in ABOUT.items()}

    rewards = asyncio.run(trl.perm_reward([chat], ["That hurts."], **columns))

    assert rewards == [offline]
    assert asyncio.run(trl.perm_reward(["p"], ["That hurts."], turns=[turns[:3]], **columns)) == [offline]
