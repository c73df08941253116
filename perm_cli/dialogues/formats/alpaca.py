"""
Alpaca rows: an instruction, an input and the output, with earlier turns in `history`.

If there is an input, it is the seeker's turn, and the instruction is metadata; otherwise the instruction is the
seeker's turn.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.files.fields import checked_dialogue, id_in, object_in, words_in
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import ROLE_NAMES, RoleMap
from perm_cli.dialogues.files.rows import Record, Row, RowError
from perm_cli.dialogues.files.steps import Made, each_row, split
from perm_cli.dialogues.files.talk import turns_said
from perm_cli.dialogues.format import Format
from perm_cli.dialogues.formats.completion import PAIR
from perm_cli.findings import shown

_OUTPUTS = ("output", "response", "completion")
_EXCHANGE = 2


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    return "instruction" in fields and (any(name in fields for name in _OUTPUTS) or fields.keys() >= set(PAIR))


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:
    """Yield one dialogue per reply."""
    roles = reading.roles or ROLE_NAMES
    return each_row(split(records, _replies), lambda row: _dialogue(row, roles))


def _replies(row: Row) -> Iterator[Row]:
    names = PAIR if row.fields.keys() >= set(PAIR) else [name for name in _OUTPUTS if name in row.fields][:1]
    for name in names or _OUTPUTS[:1]:
        system = {"model": name} if name in PAIR else {}
        yield row.part("", {**row.fields, "reply": name, **system})


def _dialogue(row: Row, roles: RoleMap) -> Dialogue:
    fields, reply = row.fields, row.fields["reply"]
    instruction = words_in(fields.get("instruction"), "instruction")
    asked = "input" if words_in(fields.get("input"), "input").strip() else "instruction"
    turns = (
        *_history(fields.get("history"), roles),
        *turns_said("seeker", fields.get(asked), asked, roles),
        *turns_said("supporter", fields.get(reply), reply, roles),
    )
    dialogue = Dialogue(
        id=row.own_id if fields.get("id") is None else id_in(fields["id"]),
        turns=turns,
        scenario=words_in(fields.get("scenario"), "scenario"),
        persona=words_in(fields.get("persona"), "persona"),
        system=words_in(fields.get("model"), "model"),  # `system` is an instruction here
        labels=object_in(fields.get("labels"), "labels"),
        meta={"instruction": instruction} if instruction and asked == "input" else {},
    )
    return checked_dialogue(dialogue, reply)


def _history(value: object, roles: RoleMap) -> Iterator[Turn]:
    """Yield the earlier turns, which are pairs of a question and its answer."""
    if value is not None and not isinstance(value, Sequence):
        raise RowError([("history", f"{shown(value)} found, expected a list of pairs")])
    for place, pair in enumerate(value or ()):
        field = f"history[{place}]"
        if not isinstance(pair, list) or len(pair) != _EXCHANGE:
            raise RowError([(field, f"{shown(pair)} found, expected a pair of a question and its answer")])
        yield from turns_said("seeker", pair[0], f"{field}[0]", roles)
        yield from turns_said("supporter", pair[1], f"{field}[1]", roles)


FORMAT = Format(description="instruction, input and output", recognises=recognises, read=read, container="table")
