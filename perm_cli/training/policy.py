"""
The policy's prompt: the conversation as a chat, after a system message with its task, the scenario and the persona.

Also the end of a prompt as the policy's own chat template renders it, which may open its thinking.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import orjson
from jinja2 import FileSystemLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from perm_cli.dialogues.dialogue import Turn
from perm_cli.dialogues.tokens import completion_text
from perm_cli.words import PolicyStyle

Messages = list[dict[str, str]]
# Raised by templates that cannot render the sample message: they are code from elsewhere, and may do anything.
_TEMPLATE_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
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


def generation_prompt(place: Path) -> str | None:
    """
    Return a sample prompt rendered by a chat template with its default options, up to where the policy continues.

    `place` is the template, or the folder of a tokenizer. None if there is no template, or it cannot be rendered.
    """
    template = _chat_template(place)
    if template is None:
        return None
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"], autoescape=False
    )
    environment.globals.update(raise_exception=_refuse, strftime_now=lambda _: "")
    try:
        return environment.from_string(template).render(
            messages=[{"role": "user", "content": "Hello."}], add_generation_prompt=True, bos_token="", eos_token=""
        )
    except (TemplateError, *_TEMPLATE_ERRORS):
        return None


def _chat_template(place: Path) -> str | None:
    if place.is_file():
        return place.read_text(encoding="utf-8", errors="replace")
    try:
        return (place / "chat_template.jinja").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        pass
    try:
        template = orjson.loads((place / "tokenizer_config.json").read_bytes())["chat_template"]
        if isinstance(template, list):  # several templates by name
            template = {each["name"]: each["template"] for each in template}["default"]
    except (OSError, orjson.JSONDecodeError, LookupError, TypeError):
        return None
    return template if isinstance(template, str) else None


def _refuse(reason: str) -> NoReturn:
    raise TemplateError(reason)


@cache
def _template() -> Any:
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=False
    )
    return environment.get_template("policy.jinja").module
