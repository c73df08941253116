"""The engine: any thread, any loop, any process may ask; what is known is not paid for twice, and nothing hangs."""

import asyncio
import inspect
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import socket
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from perm_cli.dialogues.dialogue import Turn
from perm_cli.errors import JudgeUnusable
from perm_cli.prompts.shipped import shipped
from perm_cli.ratings.reserve import Reserve
from perm_cli.reward import Item, Perm, Result, reward_settings
from perm_cli.training.engine import engine_of
from tests.commands import runner
from tests.loopback import Answer, Loopback, loopback, refusal, verdict
from tests.rewarding import DIMENSIONS, asking, garbled, items

LOWEST = -0.3  # 0.2, three scores of 1, and all of the bystander's 0.5


def rewards(results: Sequence[Result]) -> list[float | None]:
    """Return the rewards alone."""
    return [each.reward for each in results]


# --- who may ask ---


def test_many_threads_ask_at_once_and_get_what_one_would() -> None:
    """Trainers have pools of reward workers, and all share one judge."""
    asked = items(16)
    with loopback() as server, asking(server) as perm:
        with ThreadPoolExecutor(16) as pool:
            together = list(pool.map(lambda item: perm.score_now([item])[0].reward, asked))
        alone = rewards(perm.score_now(asked))

    assert together == alone
    assert len(set(alone)) > 1
    assert len(server.requests) == 16 * DIMENSIONS


def test_every_step_may_have_an_event_loop_of_its_own() -> None:
    """Trainers call `asyncio.run` once a step; connections must outlive it."""
    with loopback() as server, asking(server) as perm:
        steps = [asyncio.run(perm.score(items(2, start=2 * step), step)) for step in range(10)]
        at_once = perm.score_now(items(20))

    assert [reward for step in steps for reward in rewards(step)] == rewards(at_once)
    assert len(server.requests) == 20 * DIMENSIONS


async def test_it_can_be_awaited_beside_others() -> None:
    """The trainer's loop is not held up: hundreds of replies are asked for one by one."""
    with loopback() as server, asking(server) as perm:
        found = await asyncio.gather(*(perm.score([item]) for item in items(50)))

        assert [each.reward for (each,) in found] == rewards(await perm.score(items(50)))


def test_results_have_the_order_of_the_items() -> None:
    """Whatever order the judge answers in, and whether a reply is asked for or not."""
    asked = [*items(3), Item(query="Hello.", reply=""), *items(3), *items(2, start=7)]
    with loopback() as server, asking(server) as perm:
        found = rewards(perm.score_now(asked))
        single = [perm.score_now([item])[0].reward for item in asked]

    assert found == single
    assert found[:3] == found[4:7]


def test_nothing_to_score_is_no_result() -> None:
    """An empty batch asks nobody."""
    with loopback() as server, asking(server) as perm:
        assert perm.score_now([]) == []

    assert server.requests == []


def in_child(job: Callable[[], bool]) -> int:
    """Run a job in a forked child; return its exit code: 0 if the job was true."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of forks beside threads
        child = os.fork()
    if not child:
        signal.alarm(30)  # rather than to hang
        code = 1
        try:
            code = 0 if job() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_child_has_a_judge_of_its_own() -> None:
    """Threads do not survive a fork, and trainers fork after the first step."""
    with loopback() as server, asking(server) as perm:
        before = rewards(perm.score_now(items(2)))

        code = in_child(lambda: rewards(perm.score_now(items(2))) == before)

        assert (code, len(server.requests)) == (0, 2 * 2 * DIMENSIONS)
        assert rewards(perm.score_now(items(2))) == before  # and the parent's goes on, from what it knows
        assert len(server.requests) == 2 * 2 * DIMENSIONS


def test_a_fork_before_the_first_call_and_one_of_a_fork_work_too() -> None:
    """Data loaders and pools fork in any order."""
    with loopback() as server, asking(server) as perm:

        def grandchild() -> bool:
            return rewards(perm.score_now(items(1))) != [None] and in_child(lambda: bool(perm.score_now(items(1)))) == 0

        assert in_child(grandchild) == 0
        assert perm.score_now(items(1))[0].reward is not None


def test_it_can_be_pickled_and_is_the_same_engine() -> None:
    """Ray and TRL pickle reward functions."""
    with loopback() as server, asking(server, length_penalty=0.001, on_missing="floor") as perm:
        copy: Perm = pickle.loads(pickle.dumps(perm))  # noqa: S301 - our own

        assert copy.settings == perm.settings
        assert engine_of(copy.settings) is engine_of(perm.settings)
        assert rewards(copy.score_now(items(2))) == rewards(perm.score_now(items(2)))
        assert len(server.requests) == 2 * DIMENSIONS


def test_a_spawned_process_gets_the_same_rewards() -> None:
    """Results travel back as well."""
    with loopback() as server, asking(server) as perm:
        here = perm.score_now(items(2))
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            there = pool.submit(perm.score_now, items(2)).result(60)

    assert rewards(there) == rewards(here)
    assert [each.rationales for each in there] == [each.rationales for each in here]


# --- what is asked ---


def test_the_first_call_goes_alone_and_the_rest_of_the_first_batch_together() -> None:
    """A first step that asked one by one would last hours."""
    asked: list[int] = []

    def answering(body: Mapping[str, Any]) -> Answer:
        asked.append(len(server.requests))
        return verdict(body)

    with loopback(answering, latency_s=0.02) as server, asking(server) as perm:
        perm.score_now(items(16))

        assert asked[0] == 1
        assert server.peak > DIMENSIONS


def test_identical_replies_in_flight_are_judged_once() -> None:
    """A policy that has collapsed writes the same words again and again."""
    with loopback(latency_s=0.02) as server, asking(server) as perm, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: rewards(perm.score_now(items(1) * 4)), range(8)))

        assert len(server.requests) == DIMENSIONS
        assert len({reward for each in found for reward in each}) == 1


def test_what_is_known_is_not_asked_again() -> None:
    """Nor is what was asked on another day of the same process; what differs in anything is."""
    asked = Item(query="I failed.", reply="That hurts.")
    other = [
        Item(query="I failed!", reply="That hurts."),
        Item(query="I failed.", reply="That hurts!"),
        Item(query="I failed.", reply="That hurts.", scenario="An exam."),
        Item(query="I failed.", reply="That hurts.", persona="Proud."),
        Item(query="I failed.", reply="# Analysis\nShame.\n# Response\nThat hurts."),
    ]
    with loopback() as server, asking(server) as perm:
        first = perm.score_now([asked])
        again = perm.score_now([asked, Item(turns=[Turn(role="seeker", text="I failed.")], reply="That hurts.")])
        calls = len(server.requests)
        perm.score_now(other)

    assert calls == DIMENSIONS
    assert rewards(again) == rewards(first) * 2
    assert again[0].rationales == first[0].rationales
    assert len(server.requests) == calls + len(other) * DIMENSIONS


def test_groups_and_tokens_do_not_make_another_question() -> None:
    """They are the trainer's, and the judge sees neither."""
    with loopback() as server, asking(server) as perm:
        perm.score_now([Item(query="q", reply="r", group=name, tokens=3) for name in "abc"])

    assert len(server.requests) == DIMENSIONS


def test_a_failure_that_may_pass_is_asked_again_later() -> None:
    """A bad minute of the judge must not cost a reply its reward for the whole training."""
    weather = {"bad": True}

    def answering(body: Mapping[str, Any]) -> Answer:
        return refusal(500, "overloaded") if weather["bad"] else verdict(body)

    with loopback(answering) as server, asking(server, patience_s=0.01) as perm:
        (failed,) = perm.score_now(items(1))
        weather["bad"] = False
        (made,) = perm.score_now(items(1))

    assert (failed.reward, failed.parts.missing) == (
        None,
        dict.fromkeys(("resonation", "expression", "reception", "bystander"), "failed"),
    )
    assert made.reward is not None


def test_a_failure_that_stays_is_not_asked_again() -> None:
    """A judge that refuses to judge a reply refuses it again, and is paid again."""
    with loopback(garbled) as server, asking(server, reask=2) as perm:
        (first,) = perm.score_now(items(1))
        calls = len(server.requests)
        (again,) = perm.score_now(items(1))

    assert (first.reward, first.parts.missing) == (None, {"resonation": "unparseable"})
    assert first.parts.reward_low < first.parts.reward_high
    assert again.parts == first.parts
    assert (calls, len(server.requests)) == (DIMENSIONS + 2, DIMENSIONS + 2)


def test_samples_are_asked_for_each_and_are_one_score() -> None:
    """The mean of three, each with a seed of its own."""
    scores = {0: 2, 1: 3, 2: 5}

    def answering(body: Mapping[str, Any]) -> Answer:
        names = body["response_format"]["json_schema"]["schema"]["properties"]
        score = scores[body["seed"]] if "score" in names else 20
        return Answer(text=json.dumps({name: "Because." if name == "rationale" else score for name in names}))

    with loopback(answering) as server, asking(server, samples=3, score="mean") as perm:
        (result,) = perm.score_now(items(1))

    assert len(server.requests) == 3 * DIMENSIONS
    assert sorted(body["seed"] for body in server.requests) == sorted([0, 1, 2] * DIMENSIONS)
    # (2 + 3 + 5) / 3 on each of the three, and five items of 20 are a bystander of 100.
    assert result.scores == {"bystander": 100.0, **dict.fromkeys(("resonation", "expression", "reception"), 10 / 3)}
    assert result.reward == pytest.approx(2 / 3)


# --- a judge that cannot be used ---


def wrong_key(_: object) -> Answer:
    """Refuse the key."""
    return refusal(401, "no such key")


def test_a_wrong_key_costs_one_call_and_is_told_to_all() -> None:
    """Sixteen callers with four questions each, one call; and while it rests, none."""
    with loopback(wrong_key) as server, asking(server) as perm:
        with ThreadPoolExecutor(16) as pool:
            futures = [pool.submit(perm.score_now, [item]) for item in items(16)]
        for future in futures:
            with pytest.raises(JudgeUnusable, match="does not accept the API key"):
                future.result(0)
        with pytest.raises(JudgeUnusable, match="does not accept the API key"):
            perm.score_now(items(3, start=20))

    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(refusal(401, "no such key"), id="a key that is mended"),
        pytest.param(refusal(429, "tomorrow", **{"Retry-After": "3600"}), id="a limit a day"),
        pytest.param(refusal(404, "loading"), id="a server that is being set up"),
    ],
)
def test_after_its_rest_it_is_asked_again(trouble: Answer) -> None:
    """A reward server must not have to be started anew, and the call that finds out is one."""
    weather = {"bad": True}

    def answering(body: Mapping[str, Any]) -> Answer:
        return trouble if weather["bad"] else verdict(body)

    with loopback(answering) as server, asking(server) as perm:
        for calls in (1, 2):
            refused(perm, 1)
            assert len(server.requests) == calls
            rest_over(perm)
        weather["bad"] = False

        assert perm.score_now(items(1))[0].reward is not None
        assert len(server.requests) == 2 + DIMENSIONS


def refused(perm: Perm, count: int) -> None:
    """Ask twice, so that all calls have been made or given up, and be refused."""
    for _ in range(2):
        with pytest.raises(JudgeUnusable):
            perm.score_now(items(count))


def rest_over(perm: Perm) -> None:
    """Let the time of rest have passed."""
    own = engine_of(perm.settings)
    assert own._unusable
    own._unusable = (0.0, own._unusable[1])


def test_a_budget_outlives_a_rest() -> None:
    """What was spent stays spent, however often the judge is taken up again."""
    with loopback() as server, asking(server, budget="6calls") as perm:
        for _ in range(3):
            with pytest.raises(JudgeUnusable, match=r"6 calls.*raise budget to go on"):
                perm.score_now(items(2))
            refused(perm, 2)
            rest_over(perm)

    assert len(server.requests) == 6


def test_a_judge_that_became_unusable_spares_what_is_known() -> None:
    """Rewards that are known are given whatever happens to the judge."""
    with loopback() as server, asking(server, budget="4calls") as perm:
        first = rewards(perm.score_now(items(1)))
        with pytest.raises(JudgeUnusable, match="4 calls"):
            perm.score_now(items(1, start=1))

        assert rewards(perm.score_now(items(1))) == first


def test_nobody_there_is_said() -> None:
    """An address with nobody behind it is no failure of single calls."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        gone = Loopback(url=f"http://127.0.0.1:{listening.getsockname()[1]}/v1")

    with asking(gone, patience_s=0.1) as perm, pytest.raises(JudgeUnusable, match=r"127\.0\.0\.1"):
        perm.score_now(items(2))


def test_stand_ins_need_no_judge() -> None:
    """A reward server that met a deadline answers with what is possible at worst, and says why."""
    with loopback(wrong_key) as server, asking(server, on_missing="mean") as perm:
        (result,) = perm.stand_ins(items(1), "too late")

    assert (result.reward, result.filled, server.requests) == (pytest.approx(LOWEST), True, [])
    assert set(result.parts.missing.values()) == {"too late"}


# --- ends ---


async def test_a_caller_that_is_cancelled_takes_nothing_from_another() -> None:
    """A step that timed out may have asked for what the next one needs."""
    with loopback(latency_s=0.1) as server, asking(server) as perm:
        first = asyncio.create_task(asyncio.wait_for(perm.score(items(2)), 0.05))
        second = asyncio.create_task(perm.score(items(2)))

        with pytest.raises(TimeoutError):
            await first
        assert None not in rewards(await second)
        assert len(server.requests) == 2 * DIMENSIONS


async def test_what_a_cancelled_caller_asked_for_is_known_afterwards() -> None:
    """It was paid for."""
    with loopback(latency_s=0.05) as server, asking(server) as perm:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(perm.score(items(1)), 0.02)

        assert None not in rewards(await perm.score(items(1)))
        assert len(server.requests) == DIMENSIONS


def test_at_the_deadline_some_of_the_samples_are_not_the_score() -> None:
    """Else a trainer would optimise, unflagged, another number than `perm score` gives."""
    may = threading.Event()

    def first_alone(body: dict[str, Any]) -> Answer:
        if body["seed"]:
            may.wait(20)
        return verdict(body)

    wishes = {"samples": 3, "score": "mean", "on_missing": "floor"}
    with loopback(first_alone) as server, asking(server, **wishes) as perm:
        (late,) = perm.score_now(items(1), within_s=1.0)
        may.set()
        (whole,) = perm.score_now(items(1))

    assert (late.filled, set(late.parts.missing)) == (True, set(late.scores))
    assert (whole.filled, whole.parts.missing) == (False, {})


def test_an_error_does_not_grow_with_those_who_raise_it() -> None:
    """A thousand replies without a judge are one line for the log."""
    with loopback(lambda _: refusal(401, "no such key")) as server, asking(server) as perm:
        lengths = []
        for _ in range(3):
            try:
                perm.score_now(items(50))
            except JudgeUnusable:
                lengths.append(len(traceback.format_exc().splitlines()))

    assert len(set(lengths[1:])) == 1
    assert max(lengths) < 100


def test_after_close_it_scores_again() -> None:
    """Whoever calls next starts another judge."""
    with loopback() as server, asking(server) as perm:
        before = rewards(perm.score_now(items(1)))
        perm.close()
        perm.close()

        assert rewards(perm.score_now(items(1))) == before
        assert len(server.requests) == 2 * DIMENSIONS


def test_close_leaves_no_caller_waiting() -> None:
    """Who waits is answered or told that the judge was closed, be it one reply or a thousand."""
    with loopback(latency_s=0.05) as server, asking(server) as perm:
        perm.score_now(items(40))
        own = engine_of(perm.settings)
        asked = [own.submit(batch, None, None, watched=False) for batch in (items(40) * 40, items(40, start=40))]

        perm.close()

        done, late = wait(asked, timeout=5)
        assert (len(done), len(late)) == (2, 0)
        assert all(each.exception() is None or "closed" in str(each.exception()) for each in done)


def test_who_comes_after_close_does_not_wait_for_ever() -> None:
    """Another thread may have closed it a moment ago."""
    with loopback() as server, asking(server) as perm:
        own = engine_of(perm.settings)
        perm.close()

        with pytest.raises(JudgeUnusable, match="closed"):
            own.submit(items(1), None, None, watched=False).result(5)


# --- what a reply may look like ---


@pytest.mark.parametrize(
    ("reply", "same"),
    [
        pytest.param("  That hurts.\n", "That hurts.", id="white space"),
        pytest.param("# Response\nThat hurts.", "That hurts.", id="a response only"),
        pytest.param("<think>Sad.</think>That hurts.", "That hurts.", id="thinking"),
        pytest.param("Sad.</think>\n\nThat hurts.", "That hurts.", id="thinking begun in the template"),
        pytest.param(
            "analysisShe is sad.assistantfinalThat hurts.", "That hurts.", id="harmony as a trainer decodes it"
        ),
        pytest.param("[THINK]Sad.[/THINK]That hurts.", "That hurts.", id="thinking in brackets"),
        pytest.param("**Response:** That hurts.", "That hurts.", id="a response in bold"),
        pytest.param(
            "<think># Response\nNo.</think># Analysis\nA.\n# Response\nThat hurts.",
            "# Analysis\nA.\n# Response\nThat hurts.",
            id="thinking about headings",
        ),
        pytest.param(
            "## analysis:\nA.\n\n## RESPONSE\nThat hurts.", "# Analysis\nA.\n# Response\nThat hurts.", id="headings"
        ),
        pytest.param("That hurts \ud83d.", "That hurts ?.", id="half a character"),
    ],
)
def test_forms_of_the_same_reply_are_worth_the_same(reply: str, same: str) -> None:
    """And are one question to the judge."""
    with loopback() as server, asking(server) as perm:
        found, wanted = perm.score_now([Item(query="I failed.", reply=reply), Item(query="I failed.", reply=same)])

        assert (found.reward, found.empty) == (wanted.reward, False)
        assert len(server.requests) == DIMENSIONS


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param("", id="nothing"),
        pytest.param(" \n\t", id="white space"),
        pytest.param("# Analysis\nShe is sad.", id="an analysis only"),
        pytest.param("# Analysis\nShe is sad.\n# Response\n", id="an empty response"),
        pytest.param("<think>She is sad. What do I say", id="thinking without end"),
        pytest.param("<think>Sad.</think>", id="thinking only"),
        pytest.param("[THINK]She is sad. That hurts.", id="thinking in brackets without end"),
        pytest.param("<|channel|>analysis<|message|>She is sad.<|end|>", id="thinking in harmony, nothing final"),
        pytest.param("analysisShe is sad. That hurts.", id="thinking in harmony as a trainer decodes it"),
        pytest.param("◁think▷She is sad. That hurts.", id="thinking in triangles without end"),
        pytest.param("**Analysis**\nShe is sad.", id="an analysis in bold only"),
    ],
)
def test_a_reply_that_says_nothing_has_the_lowest_reward_and_costs_nothing(reply: str) -> None:
    """There is nothing to judge, and saying nothing must not pay."""
    with loopback() as server, asking(server, on_missing="raise") as perm:
        (result,) = perm.score_now([Item(query="I failed.", reply=reply)])

    assert (result.reward, result.empty, result.filled) == (pytest.approx(LOWEST), True, False)
    assert (result.rationales, server.requests) == ({}, [])


def test_what_says_nothing_still_pays_for_its_length() -> None:
    """Else thinking without end would be cheaper than a long answer."""
    with (
        loopback() as server,
        asking(server, length_penalty=0.001, length_limit=10, tokenizer="policy") as perm,
    ):
        (result,) = perm.score_now([Item(reply="<think>Hm", query="q", tokens=110)])

    assert result.reward == pytest.approx(LOWEST - 0.1)
    assert (result.parts.completion_tokens, result.parts.length_term) == (110, pytest.approx(-0.1))


def test_half_characters_anywhere_are_no_crash() -> None:
    """Tokenisers cut emoji in two, and data sets hold what they hold."""
    half = "\udc00"
    broken = Item(
        reply=f"{half}# Analysis\n{half}\n# Response\nYes{half}",
        turns=[Turn(role="supporter", text=half, analysis=half), Turn(role="seeker", text=half)],
        scenario=half,
        persona=half,
        group=half,
    )
    with loopback() as server, asking(server, length_penalty=0.001, run=Path("run")) as perm:
        results = perm.score_now([broken, Item(query=half, reply=half), Item(query="", reply=f"<think>{half}")])

    assert [each.reward is not None for each in results] == [True, True, True]
    assert len(Path("run/worker-1/ratings.jsonl").read_bytes().splitlines()) == 2 * DIMENSIONS


# --- what is kept ---


def kept(name: str) -> list[Any]:
    """Return the lines of files in the run."""
    return [json.loads(line) for path in sorted(Path("train").glob(name)) for line in path.read_text().splitlines()]


def test_every_process_keeps_a_run_that_all_commands_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two engines at a time have a folder each, and what training paid for can be looked at."""
    command = runner(monkeypatch, capsys)
    with (
        loopback() as server,
        asking(server, run="train") as one,
        asking(server, run="train", concurrency=7) as two,
    ):
        one.score_now(items(6), 1)
        two.score_now(items(6, start=3), 1)
        folders = sorted(path.name for path in Path("train").glob("worker-*"))
    made = json.loads(Path("train/worker-1/run.json").read_text())
    report = command("report", "train/worker-1", "--out", "r.html")
    compared = command("compare", "train/worker-1", "train/worker-2")

    assert folders == ["worker-1", "worker-2"]
    assert (report.code, compared.code) == (0, 0), report.err + compared.err
    assert Path("r.html").stat().st_size > 10_000
    assert made["commands"][0]["ratings"] == 6 * DIMENSIONS
    assert made["commands"][0]["ended"]
    assert len(kept("worker-*/ratings.jsonl")) == len(server.requests) == 9 * DIMENSIONS  # 3 were known


COMMANDS = [
    ["report", "train", "--out", "r.html"],
    ["compare", "train"],
    ["grade", "train", "--json"],
    ["pairs", "train", "--format", "kto"],
    ["best-of-n", "train"],
    ["convert", "train", "--out", "out.csv"],
    ["reward", "train"],
]


def test_all_commands_take_the_folder_that_training_was_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which folders the processes keep in it is nothing a user has to know."""
    command = runner(monkeypatch, capsys)
    replies = [Item(query="I failed.", reply=f"Reply {number}, and {'why? ' * number}") for number in range(4)]
    with asked_of_the_counter(run="train") as one, asked_of_the_counter(run="train", patience_s=6) as two:
        one.score_now(replies[:2])
        two.score_now(replies)

    answers = {each[0]: command(*each) for each in COMMANDS}

    assert [(name, each.err) for name, each in answers.items() if each.code] == []
    assert json.loads(answers["best-of-n"].out)["n"] == 4
    with closing(Reserve([Path("train")])) as reserve:
        assert all(reserve.get(row["key"]) for row in kept("worker-*/ratings.jsonl"))


def test_dialogues_are_kept_once_and_ratings_as_they_are_made() -> None:
    """However often a reply comes back, and in whatever session."""
    with loopback() as server, asking(server, run="train") as perm:
        for _ in range(3):
            perm.score_now(items(2))
        perm.score_now([Item(query="Hello.", reply="")])
        perm.close()
        perm.score_now(items(3))
    run = Path("train")

    assert [path.name for path in run.glob("worker-*")] == ["worker-1"]
    assert len(kept("worker-*/dialogues.jsonl")) == len({row["id"] for row in kept("worker-*/dialogues.jsonl")}) == 3
    assert len(kept("worker-*/ratings.jsonl")) == len(server.requests)
    assert len(json.loads((run / "worker-1/run.json").read_text())["commands"]) == 2


def test_what_another_training_run_has_judged_is_not_paid_again() -> None:
    """It is started again from a checkpoint, with other workers on the same replies."""
    with loopback() as server:
        with asking(server, run="train") as one:
            (first, *_) = one.score_now(items(4))
        with asking(server, run="train") as one, asking(server, run="train", patience_s=6) as two:
            (again, *_) = one.score_now(items(5))
            two.score_now(items(5))
        made = json.loads(Path("train/worker-1/run.json").read_text())

    assert again.parts == first.parts
    assert (again.rationales, again.latency_s, again.retries) == (first.rationales, 0.0, 0)
    assert len(kept("worker-*/ratings.jsonl")) == len(server.requests) == 5 * DIMENSIONS
    assert len(kept("worker-*/dialogues.jsonl")) == 5
    assert [command["ratings"] for command in made["commands"]] == [4 * DIMENSIONS, 5 * DIMENSIONS]


def test_what_failed_in_another_training_run_is_asked_again() -> None:
    """Its reason may be gone."""
    asked, broken = count(), True

    def failing(body: dict[str, Any]) -> Answer:
        return refusal(500, "out of memory") if next(asked) and broken else verdict(body)

    with loopback(failing) as server:
        with asking(server, run="train", patience_s=0.01) as perm:
            (first,) = perm.score_now(items(1))
        broken = False
        with asking(server, run="train") as perm:
            (again,) = perm.score_now(items(1))

    assert (first.reward is None, again.parts.missing) == (True, {})
    assert len([row for row in kept("worker-*/ratings.jsonl") if row["status"] == "scored"]) == DIMENSIONS


def test_after_one_rubric_was_changed_one_rating_is_paid_and_all_count() -> None:
    """What the others were asked is the same, and so are their verdicts."""
    shutil.copytree(shipped("rubrics") / "perm", "mine")
    rubric = Path("mine/reception.yaml")
    with loopback() as server:
        with asking(server, run="train", rubrics="mine") as perm:
            perm.score_now(items(1))
        rubric.write_text(rubric.read_text().replace("question: How", "question: Say how", 1))
        with asking(server, run="train", rubrics="mine") as perm:
            (found,) = perm.score_now(items(1))

    assert len(server.requests) == DIMENSIONS + 1
    assert found.parts.missing == {}


def test_failures_are_kept_with_their_reasons() -> None:
    """A rating without a score is data, in training too."""
    with loopback(garbled) as server, asking(server, run="train", reask=0) as perm:
        perm.score_now(items(1))
    rows = kept("worker-*/ratings.jsonl")

    assert {row["dimension"]: row["status"] for row in rows} == {
        "resonation": "unparseable",
        "expression": "scored",
        "reception": "scored",
        "bystander": "scored",
    }
    assert [row["raw"] for row in rows if row["status"] == "unparseable"] == ["no idea"]


def test_signs_of_all_workers_are_in_one_file() -> None:
    """A line a step, written when the next one begins or all ends."""
    with loopback() as server, asking(server, run="train") as perm:
        for step in (1, 2, 3):
            perm.score_now(items(8, start=8 * step), step)
        during = kept("signs.jsonl")
        perm.score_now(items(8, start=80), 3, watched=False)
        assert perm.signs is not None
        assert perm.signs.replies == 8

    assert len(during) == 2
    assert [(line["step"], line["worker"], line["replies"]) for line in kept("signs.jsonl")] == [
        (step, "worker-1", 8) for step in (1, 2, 3)
    ]


def test_without_steps_signs_are_told_by_the_window() -> None:
    """Trainers that ask reply by reply name no step."""
    with asked_of_the_counter() as perm:
        perm.score_now(items(255))
        before = perm.signs
        perm.score_now(items(1, start=255))

        assert before is None
        assert perm.signs is not None
        assert (perm.signs.replies, perm.signs.failures, perm.signs.empty) == (256, 0.0, 0.0)


def asked_of_the_counter(**wishes: Any) -> Any:
    """Yield what scores with the word counter, which needs no server."""
    return asking(Loopback(), judge="baseline", base_url=None, **wishes)


def test_the_counters_caveat_is_in_every_result(caplog: pytest.LogCaptureFixture) -> None:
    """A reward that understands nothing says so, and in the trainer's log too."""
    with asked_of_the_counter() as perm:
        judged, empty = perm.score_now([*items(1), Item(reply="")])

        assert perm.caveat
        assert perm.caveat in caplog.text
        assert (judged.parts.caveat, empty.parts.caveat) == (perm.caveat, perm.caveat)


def test_settings_of_one_kind_are_one_engine_and_fillings_do_not_count() -> None:
    """A thread for each way to fill would judge everything twice."""
    usual, floor, other = (
        reward_settings(judge="baseline", **wishes) for wishes in ({}, {"on_missing": "floor"}, {"samples": 2})
    )

    assert usual.digest() == floor.digest() != other.digest()
    assert pickle.loads(pickle.dumps(usual)).digest() == usual.digest()  # noqa: S301 - our own


def test_score_is_a_coroutine_function_and_score_now_is_none() -> None:
    """Trainers look."""
    assert inspect.iscoroutinefunction(Perm.score)
    assert not inspect.iscoroutinefunction(Perm.score_now)
