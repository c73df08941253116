"""
Replies that are empty or missing.

Empty replies are skipped and counted, so that the rest of a file can be judged, or refused with `strict`. In prompt
sets, which have no answers yet, a placeholder stands for the answer.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import ROLE_NAMES, RoleMap
from perm_cli.dialogues.files.steps import Found, Made, NothingToJudge, Skipped

PLACEHOLDER = "…"
# The fields with turns in rows of the known formats, and in each turn the fields of the speaker and the text.
_TURNS = (("turns", "role", "text"), ("messages", "role", "content"), ("conversations", "from", "value"))
_OUTPUTS = ("output", "completion", "response")


def answered(fields: Mapping[str, Any], roles: RoleMap | None) -> Mapping[str, Any]:
    """Return a row's fields, with a placeholder reply added if the seeker speaks last."""
    supporter = next((name for name, ours in roles.items() if ours == "supporter"), "") if roles else "supporter"
    known = roles or ROLE_NAMES
    for field, speaker, text in _TURNS:
        match fields.get(field):
            case [*before, Mapping() as last] if supporter and known.get(str(last.get(speaker))) == "seeker":
                return {**fields, field: [*before, last, {speaker: supporter, text: PLACEHOLDER}]}
    if "dialogue" in fields and not any(fields.get(name) for name in _OUTPUTS):
        return {**fields, _OUTPUTS[0]: PLACEHOLDER}
    return fields


def without_silence(made: Iterable[Made], reading: Reading) -> Iterator[Made]:
    """
    Yield the dialogues without their empty replies, and at the end a remark with the number of these.

    With `reading.strict`, an empty reply is a problem. With `reading.unanswered`, an empty last reply becomes a
    placeholder.
    """
    replies, skipped = Skipped("empty reply", "empty replies"), Skipped()
    replies.found = True  # an empty reply is a remark, never the reason to refuse a whole file
    for each in made:
        if not isinstance(each, Found):
            yield each
            continue
        dialogue = _unanswered(each.dialogue) if reading.unanswered else each.dialogue
        silent = [place for place, turn in enumerate(dialogue.turns, 1) if _is_silent(turn)]
        if silent and reading.strict:
            reason = "an empty reply found, expected text for the seeker"
            yield from (each.row.problem(f"turn {place}", reason) for place in silent)
            continue
        for place in silent:
            replies.note(each.row, f"turn {place} has no text for the seeker (--strict refuses it)")
        yield from skipped.made(each.row, partial(_spoken, dialogue))
    yield from replies.summary()
    yield from skipped.summary()


def _is_silent(turn: Turn) -> bool:
    return turn.role == "supporter" and not turn.text.strip()


def _unanswered(dialogue: Dialogue) -> Dialogue:
    """Return the dialogue with a placeholder for an empty last reply."""
    *before, last = dialogue.turns
    return replace(dialogue, turns=(*before, replace(last, text=PLACEHOLDER))) if _is_silent(last) else dialogue


def _spoken(dialogue: Dialogue) -> Dialogue:
    """Return the dialogue without its empty replies; labels of turns are renumbered with the turns."""
    kept = [place for place, turn in enumerate(dialogue.turns, 1) if not _is_silent(turn)]
    turns = tuple(dialogue.turns[place - 1] for place in kept)
    if len(turns) == len(dialogue.turns):
        return dialogue
    if all(turn.role == "seeker" for turn in turns):
        raise NothingToJudge("only empty replies found, expected at least one to judge")
    notes = dialogue.labels.get("turns")
    moved = {"turns": _moved(notes, kept)} if isinstance(notes, Mapping) else {}
    return replace(dialogue, turns=turns, labels={**dialogue.labels, **moved})


def _moved(notes: Mapping[str, Any], kept: list[int]) -> Mapping[str, Any]:
    """Return labels of turns by the new numbers of the turns, without those of removed turns."""
    numbers = {str(place): str(number) for number, place in enumerate(kept, 1)}
    return {numbers.get(name, name): note for name, note in notes.items() if name in numbers or not name.isdecimal()}
