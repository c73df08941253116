"""
From a trainer's prompts, completions and columns to items.

A row may have the parts of the policy's prompt in `persona`, `scenario` and `query`, or the whole conversation before
the reply in `turns` (`role` and `text`, as in the native format); PERM's own `persona.identity` and `dialogue` are read
too. Without query and turns, the prompt itself is the conversation: in a chat, the user is the seeker.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any

from perm_cli.dialogues.dialogue import Turn
from perm_cli.dialogues.files.roles import ROLE_NAMES
from perm_cli.dialogues.files.sections import read_answer
from perm_cli.dialogues.files.talk import text_of_part
from perm_cli.text import begins_thinking
from perm_cli.training.items import Item, Result
from perm_cli.training.signs import Signs
from perm_cli.words import Role

_log = logging.getLogger("perm_cli.reward")
_SIGNS = ("rho_length", "rho_questions", "rho_sympathy", "rho_overlap", "tied", "saturated", "failures")
_IDENTIFYING = ("query", "turns", "dialogue", "scenario", "persona")


def item_of(prompt: object, completion: object, about: Mapping[str, Any], tokens: int | None = None) -> Item:
    """
    Return the item to judge for one completion; `about` is the row it belongs to, `tokens` its length.

    Of a completion with several turns, the last reply is judged, and the others are conversation before it.
    """
    query, turns = _query(about).strip(), turns_in(about.get("turns"))
    if query and (not turns or [turn.text for turn in turns] == [query]):
        turns = ()
    elif turns:
        query = ""  # turns hold the query and more
    else:
        turns = turns_in(prompt)
    before = turns or _asked(query)
    earlier, reply = _last_reply(completion)
    talk = (*_longer(before, turns_in(prompt)), *earlier)
    if talk != before:
        query, turns = "", talk
    if not query and not turns:
        _warn_of_nothing()
    return Item(
        reply=reply,
        query=query,
        turns=turns,
        scenario=_text(about.get("scenario")),
        persona=_persona(about.get("persona")),
        group=group_of([prompt, *(about.get(name) for name in _IDENTIFYING)]),
        tokens=tokens,
        opened=begins_thinking(_end_of(prompt)),
    )


def _asked(query: str) -> tuple[Turn, ...]:
    return (Turn(role="seeker", text=query),) if query else ()


def _longer(before: tuple[Turn, ...], talk: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """Return the conversation in the prompt if it continues that of the row, as in a rollout of several turns."""
    return talk if before and talk[: len(before)] == before else before


def _end_of(prompt: object) -> str:
    """Return the text that the policy continues: the prompt, or the reply begun for it in the last message."""
    if isinstance(prompt, str):
        return prompt
    last = _messages(prompt)[-1:]
    return _text(_of(last[0], "content")) if last and _of(last[0], "role") == "assistant" else ""


@cache
def _warn_of_nothing() -> None:
    _log.warning("no query, turns or prompt column found: replies are judged without context; rename your columns")


def reply_in(completion: object) -> str:
    """Return the policy's last reply: a text as it is, or its last message with any text."""
    return _last_reply(completion)[1]


def _last_reply(completion: object) -> tuple[tuple[Turn, ...], str]:
    """Return the turns of a completion before its last reply, and that reply as it was written."""
    if isinstance(completion, str):
        return (), completion
    spoken = list(_spoken(completion))
    last = max(
        (place for place, (role, text) in enumerate(spoken) if role == "supporter" and text.strip()), default=None
    )
    return ((), "") if last is None else (_turns(spoken[:last]), spoken[last][1])


def turns_in(prompt: object) -> tuple[Turn, ...]:
    """Return the conversation in a prompt, without instructions and tool traffic."""
    if isinstance(prompt, str):
        return (Turn(role="seeker", text=prompt),) if prompt.strip() else ()
    return _turns(_spoken(prompt))


def _turns(spoken: Iterable[tuple[Role, str]]) -> tuple[Turn, ...]:
    turns = []
    for role, text in spoken:
        if role == "seeker":
            turns.append(Turn(role=role, text=text))
        else:
            answer = read_answer(text)
            turns.append(Turn(role=role, text=answer.response, analysis=answer.analysis))
    return tuple(turn for turn in turns if turn.text.strip())


def group_of(prompt: object) -> str:
    """Return a name that all completions of one prompt share."""
    # By `repr`, since prompts may hold what JSON cannot: unpaired surrogates, numbers as keys, message objects.
    return blake2b(repr(prompt).encode(errors="backslashreplace"), digest_size=8).hexdigest()


def rationale_of(result: Result) -> str:
    """Return the judge's rationales on one line, dimension by dimension, or why a score is missing."""
    if result.empty:
        return "nothing is said to the seeker"
    missing = {name: result.causes.get(name, why) for name, why in result.parts.missing.items()}
    said = {name: f"no score ({why})" for name, why in missing.items()} | dict(result.rationales)
    return " | ".join(f"{name}: {said[name]}" for name in result.scores if name in said)


def log_of(result: Result, signs: Signs | None) -> dict[str, float]:
    """
    Return the values to log beside one reward: numbers, always under the same names.

    `signs` are those of recent replies, and the same for all rewards of a batch.
    """
    ok = result.reward is not None and not result.filled
    return finite(
        {
            **{f"perm_{name}": score for name, score in result.scores.items()},
            "perm_judge_ok": float(ok),
            "perm_empty": float(result.empty),
            "perm_latency_s": result.latency_s,
            **{f"perm_{name}": getattr(signs, name, None) for name in _SIGNS},
        }
    )


def finite(values: Mapping[str, float | None]) -> dict[str, float]:
    """Return numbers for trainers that accept nothing else, with 0 for None."""
    return {name: 0.0 if value is None else float(value) for name, value in values.items()}


def _messages(messages: object) -> Sequence[Any]:
    messages = messages.tolist() if hasattr(messages, "tolist") else messages  # NumPy arrays, from Parquet
    return messages if isinstance(messages, Sequence) and not isinstance(messages, str) else ()


def _spoken(messages: object) -> Iterator[tuple[Role, str]]:
    for message in _messages(messages):
        role = ROLE_NAMES.get(str(_of(message, "role") or _of(message, "from")))
        text = _of(message, "content") or _of(message, "text") or _of(message, "value")
        if role and text is not None:
            yield role, _text(text)


def _of(message: object, name: str) -> Any:
    return message.get(name) if isinstance(message, Mapping) else getattr(message, name, None)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):  # parts of a message
        return "\n".join(filter(None, map(text_of_part, value)))
    return ""


def _query(about: Mapping[str, Any]) -> str:
    dialogue = about.get("dialogue")  # PERM's own rows: its first entry is the seeker's
    first = dialogue[0] if isinstance(dialogue, Sequence) and dialogue and not isinstance(dialogue, str) else ""
    return _text(about.get("query")) or _text(first)


def _persona(value: object) -> str:
    return _text(value.get("identity")) if isinstance(value, Mapping) else _text(value)
