"""
Prompt sets: dialogues as the rows from which trainers draw their prompts.

A row has the policy's prompt, and `persona`, `scenario`, `turns` and `query` (empty unless there is only one turn)
where the trainer passes them to its reward function and `integrations.rows` finds them. All rows have the same fields,
because `datasets` and Parquet take the columns of a file from its first rows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import orjson

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.training.policy import Messages, policy_messages
from perm_cli.words import PolicyStyle, TrainerName

_Row = dict[str, Any]


def prompt_rows(dialogues: Iterable[Dialogue], trainer: TrainerName, style: PolicyStyle) -> Iterator[_Row]:
    """Yield one row per distinct conversation before the supporter's last turn, whichever systems answer it."""
    make, seen = _MAKERS[trainer], set[bytes]()
    for dialogue in dialogues:
        last = max(place for place, turn in enumerate(dialogue.turns) if turn.role == "supporter")
        before = dialogue.turns[:last]
        if not before or before[-1].role != "seeker":
            continue  # there is nothing to answer
        about = {"persona": dialogue.persona, "scenario": dialogue.scenario, **_said(before)}
        digest = blake2b(orjson.dumps(about), digest_size=16).digest()
        if digest not in seen:
            prompt = policy_messages(before, dialogue.scenario, dialogue.persona, style)
            yield make(prompt, about, dialogue.id, len(seen))
            seen.add(digest)


def _said(turns: tuple[Turn, ...]) -> Mapping[str, Any]:
    """Return the turns, and a query if they are a single turn of the seeker."""
    query = turns[0].text if len(turns) == 1 and turns[0].role == "seeker" else ""
    return {"query": query, "turns": [{"role": turn.role, "text": turn.text} for turn in turns]}


def _trl(prompt: Messages, about: _Row, name: str, _: int) -> _Row:
    return {"prompt": prompt, "id": name, **about}


def _verl(prompt: Messages, about: _Row, name: str, index: int) -> _Row:
    return {
        "data_source": "perm",
        "prompt": prompt,
        "ability": "empathy",
        "reward_model": {"style": "model", "ground_truth": ""},
        "extra_info": {"index": index, "id": name, **about},
    }


def _openrlhf(prompt: Messages, about: _Row, name: str, _: int) -> _Row:
    return {"input": prompt, "label": orjson.dumps({"id": name, **about}).decode()}


def _swift(prompt: Messages, about: _Row, name: str, _: int) -> _Row:
    return {"messages": prompt, "id": name, **about}


def _slime(prompt: Messages, about: _Row, name: str, _: int) -> _Row:
    return {"prompt": prompt, "label": orjson.dumps({"id": name, **about}).decode()}


_MAKERS: Mapping[TrainerName, Callable[[Messages, _Row, str, int], _Row]] = {
    "trl": _trl,
    "verl": _verl,
    "openrlhf": _openrlhf,
    "swift": _swift,
    "slime": _slime,
}
