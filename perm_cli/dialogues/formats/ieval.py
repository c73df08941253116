"""
iEval: people talk to four chatbots about a happy and a sad event, and rate each of the eight dialogues.

A bot is a system, and the four dialogues about an event share an id, so that the bots can be compared.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.fields import id_in, object_in, text_in, words_in
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import RoleMap, mapped_role
from perm_cli.dialogues.files.rows import Record, Row, RowError
from perm_cli.dialogues.files.steps import Made, NothingToJudge, each_row, split
from perm_cli.dialogues.files.talk import Utterance, said_in, turns_of
from perm_cli.dialogues.format import Format
from perm_cli.words import Role

ROLES: RoleMap = {"human": "seeker", "bot": "supporter"}
_SIDES = ("positive", "negative")
_BULLET = "- "


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    return all(isinstance(fields.get(side), Mapping) for side in _SIDES)


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:
    """Yield the dialogues of each record, bot by bot."""
    roles = reading.roles or ROLES
    return each_row(split(records, _dialogues), lambda row: _dialogue(row, roles))


def _dialogues(row: Row) -> Iterator[Row]:
    for side in _SIDES:
        event = object_in(row.fields.get(side), side)
        bots = {name: rated for name, rated in event.items() if isinstance(rated, Mapping) and "chat_log" in rated}
        if not bots:
            raise RowError([(side, "no bot found, expected at least one with a chat_log")])
        for bot, rated in bots.items():
            yield row.part(f"{side}.{bot}", {"bot": bot, "side": side, "event": event, "rated": rated})


def _dialogue(row: Row, roles: RoleMap) -> Dialogue:
    rated, event = row.fields["rated"], row.fields["event"]
    names = ("human", "bot")
    lines = _lines(text_in(rated["chat_log"], "chat_log"))
    turns, _ = turns_of(
        _said(mapped_role(names[place % 2], roles, "chat_log"), text, f"chat_log line {place + 1}")
        for place, text in enumerate(lines)
    )
    if all(turn.role == "seeker" for turn in turns):
        raise NothingToJudge("no reply found, expected one to judge")
    return Dialogue(
        id=id_in(event.get("conv_id"), "conv_id"),
        turns=turns,
        scenario=words_in(event.get("prompt"), "prompt"),
        system=row.fields["bot"],
        labels={name: value for name, value in rated.items() if name != "chat_log" and value is not None},
        meta={"emotion": event.get("emotion"), "event": row.fields["side"]},
    )


def _lines(log: str) -> list[str]:
    """Return the utterances, the human's first; a line without a bullet continues the one before."""
    said: list[str] = []
    for line in log.splitlines():
        if line.startswith(_BULLET) or not said:
            said.append(line.removeprefix(_BULLET).strip())
        elif line.strip():
            said[-1] += f"\n{line.strip()}"
    return said


def _said(role: Role, text: str, field: str) -> Utterance:
    return Utterance(role=role, text=said_in(role, text, field))


FORMAT = Format(
    description="a list of objects with positive and negative, each with one chat_log per bot",
    recognises=recognises,
    read=read,
)
