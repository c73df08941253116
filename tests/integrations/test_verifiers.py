"""verifiers' own loaders and scoring: a plugged reward and a plugged judge, as a user's TOML names them."""

import tomllib
from typing import Any

import pytest

from tests.integrations.worth import PERSONA, QUERY, REPLY, Breaking, failing, garbled, item, worth
from tests.loopback import Answering, Loopback, loopback

vf = pytest.importorskip("verifiers.v1", reason="verifiers is not installed")

REWARD = 'rewards.perm = { fn = "perm_cli.integrations.verifiers:perm_reward", weight = 0.5 }\n'
JUDGE = '[[judges]]\nid = "perm_judge"\nmodel = "openai/m"\nbase_url = "URL"\n'
BROKEN = pytest.mark.parametrize("broken", [failing, garbled], ids=["failing", "garbled"])


class Row(vf.TaskData):  # type: ignore[misc]  # verifiers is no part of our environment
    """Hold what a taskset of ours has beside the prompt."""

    persona: str = ""
    query: str = ""


def task(toml: str, row: Any = None) -> Any:
    """Return a task whose configuration is what a user has below `[env.taskset.task]`."""
    about = row or Row(prompt=QUERY, persona=PERSONA, query=QUERY)
    return vf.Task(about, vf.TaskConfig.model_validate(tomllib.loads(toml)))


def trace_of(asked: Any, reply: str = REPLY) -> Any:
    """Return the trace of a rollout in which the policy thought and replied."""
    said = [vf.UserMessage(content=QUERY), vf.AssistantMessage(content=reply, reasoning_content="Poor thing.")]
    nodes = [
        vf.MessageNode(message=message, parent=place - 1 if place else None, sampled=bool(place))
        for place, message in enumerate(said)
    ]
    about = vf.TraceTask(type=type(asked).__name__, data=asked.data, key=asked.key, hash=asked.hash)
    agent = vf.AgentInfo(config=vf.AgentConfig(runtime=vf.SubprocessConfig()))
    return vf.Trace(task=about, agent=agent, nodes=nodes, is_completed=True, ok=True)


async def scored(toml: str, reply: str = REPLY, row: Any = None) -> Any:
    """Return a trace after verifiers has scored it."""
    asked = task(toml, row)
    trace = trace_of(asked, reply)
    await asked.score(trace)
    return trace


async def test_a_plugged_reward_is_ours(settings: Loopback) -> None:
    """The function is found by its path, and is handed what its parameters are called."""
    trace = await scored(REWARD)

    (expected,) = worth(settings, item())
    assert {name: (each.score, each.weight) for name, each in trace.rewards.items()} == {"perm": (expected, 0.5)}
    assert trace.reward == 0.5 * expected
    assert trace.metrics.keys() == {
        "perm_resonation", "perm_expression", "perm_reception", "perm_bystander", "perm_empty",
    }  # fmt: skip


async def test_a_plugged_judge_is_ours_with_the_toml_as_its_settings(
    judge: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Endpoint, key and recipe stand where a user of verifiers writes them for any judge."""
    monkeypatch.setenv("THE_KEY", "sk-of-the-test")
    toml = (
        JUDGE.replace("URL", judge.url) + 'api_key_var = "THE_KEY"\nweight = 2.0\nsettings = { fusion = "geometric" }\n'
    )

    trace = await scored(toml)

    (expected,) = worth(judge, item(), fusion="geometric")
    assert (trace.rewards["perm_judge"].score, trace.rewards["perm_judge"].weight) == (expected, 2.0)
    assert {request["model"] for request in judge.requests} == {"m"}
    assert judge.headers[0]["Authorization"] == "Bearer sk-of-the-test"


async def test_what_the_toml_leaves_out_comes_from_the_environment(
    settings: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A default model and a default endpoint of verifiers' own would get dialogues that nobody meant for them."""
    monkeypatch.setenv("PERM_FUSION", "mean")

    trace = await scored('[[judges]]\nid = "perm_judge"\n')

    assert [trace.rewards["perm_judge"].score] == worth(settings, item(), fusion="mean")
    assert {request["model"] for request in settings.requests} == {"m"}


async def test_the_sampling_of_a_judge_is_asked_for(judge: Loopback) -> None:
    """Temperature and length of a verdict stand in `sampling` for any judge of verifiers."""
    sampling = "sampling = { temperature = 0.0, max_tokens = 77 }\n"

    trace = await scored(JUDGE.replace("URL", judge.url) + sampling)

    assert {(request["temperature"], request["max_tokens"]) for request in judge.requests} == {(0.0, 77)}
    assert [trace.rewards["perm_judge"].score] == worth(judge, item(), temperature=0.0, max_tokens=77)


async def test_settings_of_ours_count_before_fields_of_verifiers(judge: Loopback) -> None:
    """Who says a judge twice means the one said to us."""
    toml = JUDGE.replace("URL", judge.url).replace("openai/m", "openai/other")

    trace = await scored(f'{toml}settings = {{ judge = "openai/m" }}\n')

    assert [trace.rewards["perm_judge"].score] == worth(judge, item())


async def test_a_task_of_verifiers_own_kind_is_judged_by_its_prompt(settings: Loopback) -> None:
    """A taskset that knows nothing of us has a prompt and no persona."""
    trace = await scored(REWARD, row=vf.TaskData(prompt=QUERY))

    assert [trace.rewards["perm"].score] == worth(settings, item(persona=""))


@BROKEN
@pytest.mark.parametrize("plugged", ["reward", "judge"])
async def test_a_reward_that_is_missing_is_an_error_of_the_task(
    plugged: str, broken: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample whose scoring failed is tried again; with a number made up, or NaN, verifiers would train."""
    answering = Breaking(broken)
    with loopback(answering) as judge:
        for name, value in {"JUDGE": "openai/m", "BASE_URL": judge.url, "PATIENCE_S": "0.2"}.items():
            monkeypatch.setenv(f"PERM_{name}", value)
        asked = task(REWARD if plugged == "reward" else JUDGE.replace("URL", judge.url))
        answering.is_broken = True
        for place in range(6):  # a judge that is gone for good is asked on and on
            trace = trace_of(asked, f"That hurts {place} times.")
            with pytest.raises(vf.TaskError, match="RewardMissing: 1 reply has no reward"):
                await asked.score(trace)
            assert list(trace.rewards.values()) == [None]
        answering.is_broken = False
        trace = trace_of(asked)
        await asked.score(trace)

        assert [each.score for each in trace.rewards.values()] == worth(judge, item())
