"""Change valid input a little, as damage, other tools and enemies do."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import orjson

# Deeper than orjson writes (254), not as deep as it reads (1024).
DEEP: Any = orjson.loads(b"[" * 300 + b"]" * 300)
TEXTS = (
    *("", " ", "x", "\x00", "\x1b[31m", "\n", "\u2028", "\u202e", "\ud800", "\U0001f600", "４", "y" * 200),
    *("seeker", "supporter", "user", "assistant", "system", "tool", "text", "# Analysis\nx\n# Response\n", "<think>"),
    *("scored", "failed", "length", "Score: 4", "nan", "-inf"),
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    4,
    2.5,
    2**53,
    2**63,
    10**400,
    1e308,
    float("nan"),
    [],
    {},
    [[]],
    {"": None},
    DEEP,
)
KEYS = (
    *("id", "turns", "role", "text", "analysis", "messages", "content", "type", "dialogue", "persona", "identity"),
    *("scenario", "output", "response", "system", "labels", "meta", "tool_calls", "", "\x1b", "a\nb"),
    *(
        "choices",
        "message",
        "refusal",
        "finish_reason",
        "logprobs",
        "token",
        "bytes",
        "top_logprobs",
        "logprob",
        "usage",
    ),
    *("conversations", "from", "value", "scenario_tasks", "conversation_history", "prompts", "rubric_scores", "dialog"),
    *("speaker", "annotation", "survey_score", "positive", "chat_log", "history", "emotion-point", "eval", "samples"),
    *("attachments", "utterance_idx", "interlocutor", "level", "rationales", "seeker", "label.x", "turn"),
    *("prompt", "completion", "chosen", "rejected", "instruction", "input", "results", "custom_id", "body", "choices"),
    *("key", "status", "score", "items", "error", "perm_run", "settings", "commands"),
)


def mutated(value: Any, random: Random) -> Any:
    """Return a JSON value with one place in it changed."""
    if value and isinstance(value, dict | list) and random.random() < 0.8:
        place = random.choice(list(value) if isinstance(value, dict) else range(len(value)))
        inner = mutated(value[place], random)
        if isinstance(value, dict):
            return value | {place: inner}
        return [*value[:place], inner, *value[place + 1 :]]
    if isinstance(value, dict):
        return _other_object(value, random)
    if value and isinstance(value, list):
        place = random.randrange(len(value))
        return random.choice([value[:place] + value[place + 1 :], [*value, value[place]], value[place]])
    if isinstance(value, str) and random.random() < 0.5:
        return spliced(value, TEXTS, random)
    return random.choice([*TEXTS, *VALUES, [value], {random.choice(KEYS): value}])


def spliced(text: str, pieces: Sequence[str], random: Random) -> str:
    """Return a text with a few of its characters gone and perhaps a piece in their place."""
    start = random.randint(0, len(text))
    end = min(start + random.choice([0, 0, 1, 2, 9]), len(text))
    return text[:start] + random.choice(pieces) + text[end:]


def json_line(value: Any) -> bytes:
    """Return JSON as a careless writer does: lone surrogates escaped, and numbers that JSON does not know."""
    return json.dumps(value).encode()


def _other_object(value: dict[str, Any], random: Random) -> dict[str, Any]:
    key = random.choice([*value, *KEYS])
    without = {name: inner for name, inner in value.items() if name != key}
    more = {random.choice(KEYS): random.choice([*TEXTS, *VALUES, *value.values()])}
    return random.choice([without, value | more, without | more])
