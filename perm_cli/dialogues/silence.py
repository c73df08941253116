"""
Replies that say nothing or are not there yet.

Empty ones are passed over and counted, so that what else a file holds is judged, or refused; in prompt sets, which
nobody has answered yet, a placeholder stands for the answer.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import ROLE_NAMES, RoleMap
from perm_cli.dialogues.files.steps import Found, Made, NothingToJudge, Passed

PLACEHOLDER = "…"
# Where rows hold turns, and who speaks and what is said in one of them.
_TURNS = (("turns", "role", "text"), ("messages", "role", "content"), ("conversations", "from", "value"))
_OUTPUTS = ("output", "completion", "response")


def answered(fields: Mapping[str, Any], roles: RoleMap | None) -> Mapping[str, Any]:
    """Return a row's fields with a placeholder for the reply if the seeker speaks last, else as they are."""
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
    Yield the dialogues without their empty replies, and say at the end how many these were.

    With `strict`, an empty reply is a problem. With `unanswered`, one at the end is a turn that nobody has answered.
    """
    replies, passed = Passed("empty reply", "empty replies"), Passed()
    replies.found = True
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
        yield from passed.made(each.row, partial(_spoken, dialogue))
    yield from replies.told()
    yield from passed.told()


def _is_silent(turn: Turn) -> bool:
    return turn.role == "supporter" and not turn.text.strip()


def _unanswered(dialogue: Dialogue) -> Dialogue:
    """Return the dialogue with a placeholder for a last reply that says nothing."""
    *before, last = dialogue.turns
    return replace(dialogue, turns=(*before, replace(last, text=PLACEHOLDER))) if _is_silent(last) else dialogue


def _spoken(dialogue: Dialogue) -> Dialogue:
    """Return the dialogue without its empty replies; what is noted about turns keeps to its turns."""
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
    """Return notes about turns by the numbers that these have now, without those of turns that are gone."""
    numbers = {str(place): str(number) for number, place in enumerate(kept, 1)}
    return {numbers.get(name, name): note for name, note in notes.items() if name in numbers or not name.isdecimal()}
