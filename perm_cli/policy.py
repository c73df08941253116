"""What a policy is shown: the talk as a chat, with the supporter's task and what is known of the seeker before it."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from perm_cli.dialogues import Turn
from perm_cli.lengths import completion_text
from perm_cli.words import PolicyStyle

Messages = list[dict[str, str]]
_SPEAKERS = {"seeker": "user", "supporter": "assistant"}


def policy_messages(turns: Sequence[Turn], scenario: str, persona: str, style: PolicyStyle) -> Messages:
    """
    Return the chat that a policy answers, as OpenAI messages.

    In the style `analysis` it is asked for the paper's two sections, `# Analysis` and `# Response` (arXiv 2601.10532).
    """
    system = str(_template().system(scenario, persona, style))
    said = [{"role": _SPEAKERS[turn.role], "content": turn.text} for turn in turns]
    return [{"role": "system", "content": system}, *said]


def policy_answer(turn: Turn, style: PolicyStyle) -> str:
    """Return a supporter turn as a policy of this style would write it."""
    return completion_text(turn) if style == "analysis" else turn.text


@cache
def _template() -> Any:
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=False
    )
    return environment.get_template("policy.jinja").module
