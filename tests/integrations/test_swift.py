"""ms-swift's own loading of plugins and its own scoring of completions, up to the tensor it trains with."""

import importlib.machinery
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.integrations.worth import PERSONA, QUERY, REPLY, Breaking, failing, garbled, item, worth
from tests.loopback import Answering, Loopback, loopback

rewards = pytest.importorskip("swift.rewards", reason="ms-swift is not installed")  # with its warnings, not ours
torch = pytest.importorskip("torch", reason="ms-swift is installed without torch")
algorithm = pytest.importorskip("swift.rl_core.grpo_algorithm")
samples = pytest.importorskip("swift.rl_core.data")
utils = pytest.importorskip("swift.utils")

OURS = Path(__file__).parents[2] / "perm_cli" / "integrations"
BROKEN = pytest.mark.parametrize("broken", [failing, garbled], ids=["failing", "garbled"])


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the file that a user of `--external_plugins` writes, as ms-swift does."""
    path = tmp_path / "perm_plugin.py"
    path.write_text("from perm_cli.integrations.swift import PermORM\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path])  # ms-swift puts the folder of a plugin first
    utils.import_external_file(str(path))


def row(place: int, reply: str, **columns: Any) -> Any:
    """Return a completion as ms-swift holds it after a rollout."""
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": QUERY},
        {"role": "assistant", "content": reply},
    ]
    names = {"prompt_id": "p0", "request_id": f"r{place}", "finish_reason": "stop", "response_token_ids": [[1, 2]]}
    return samples.GRPOSample.from_row({"messages": messages, **names, **columns})


def scored(replies: Sequence[str], step: int = 1, **columns: Any) -> list[float]:
    """Return the column of our rewards in ms-swift's tensor, with a reward made as its trainer makes it."""
    about = columns or {"persona": PERSONA, "query": QUERY}
    batch = [row(place, reply, **about) for place, reply in enumerate(replies)]
    functions = [rewards.orms["perm"](args=SimpleNamespace())]
    state = SimpleNamespace(global_step=step)
    tensor = algorithm.compute_rewards_per_func(batch, functions, None, torch.device("cpu"), trainer_state=state)
    assert (tensor.dtype, tensor.shape) == (torch.float32, (len(replies), 1))
    return tensor[:, 0].tolist()


def narrowed(values: Sequence[float | None]) -> list[float]:
    """Return rewards at the precision that ms-swift trains with."""
    return torch.tensor(values, dtype=torch.float32).tolist()


@pytest.mark.usefixtures("plugin")
def test_the_reward_in_ms_swifts_tensor_is_ours(settings: Loopback) -> None:
    """What the policy is trained with must be what `perm score` says, at ms-swift's own precision."""
    replies = [REPLY, "Oh no. Do you want to talk about it?", ""]

    found = scored(replies)

    assert found == narrowed(worth(settings, *map(item, replies)))
    assert len(set(found)) == 3


@pytest.mark.usefixtures("plugin")
def test_every_step_has_an_event_loop_of_its_own(settings: Loopback) -> None:
    """ms-swift starts and ends a loop for each batch; what the first one opened must serve the next."""
    found = [scored([f"That hurts {step} times."], step) for step in range(3)]

    expected = worth(settings, *(item(f"That hurts {step} times.") for step in range(3)))
    assert found == [[each] for each in narrowed(expected)]


@pytest.mark.usefixtures("plugin")
def test_settings_come_from_the_file_in_the_folder(judge: Loopback, tmp_path: Path) -> None:
    """ms-swift hands no settings over, so those in `perm.toml` are all that a user has beside the environment."""
    said = f'[reward]\njudge = "openai/m"\nbase_url = "{judge.url}"\nfusion = "mean"\n'
    (tmp_path / "perm.toml").write_text(said, encoding="utf-8")

    assert scored([REPLY]) == narrowed(worth(judge, item(), fusion="mean"))


@pytest.mark.usefixtures("plugin")
def test_a_dataset_without_our_columns_is_judged_by_its_messages(settings: Loopback) -> None:
    """Most datasets for ms-swift have messages and nothing else, and the last of them is the reply."""
    assert scored([REPLY], solution="42") == narrowed(worth(settings, item(persona="")))


@BROKEN
@pytest.mark.usefixtures("plugin")
def test_a_reward_that_is_missing_is_no_number(broken: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    """ms-swift leaves NaN out of what it trains with, and asks again at the next step."""
    answering = Breaking(broken)
    replies = [f"That hurts {place} times." for place in range(14)]
    with loopback(answering) as judge:
        for name, value in {"JUDGE": "openai/m", "BASE_URL": judge.url, "PATIENCE_S": "0.2"}.items():
            monkeypatch.setenv(f"PERM_{name}", value)
        before = scored(replies[:1])
        answering.is_broken = True
        during = scored(replies[1:13], 2)
        answering.is_broken = False
        after = scored(replies[13:], 3)

        assert before + after == narrowed(worth(judge, item(replies[0]), item(replies[13])))
    assert [math.isnan(each) for each in during] == [True] * 12


def test_our_own_file_refuses_to_be_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its folder first on the path, ms-swift would take our `trl.py` for TRL and our `swift.py` for itself."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    with pytest.raises(ImportError, match="expected a file of your own"):
        utils.import_external_file(str(OURS / "swift.py"))

    found = importlib.machinery.PathFinder.find_spec("trl")
    assert found is not None
    assert found.origin == str(OURS / "trl.py")  # the reason: ms-swift takes nothing back from the path
