"""
Transcripts: lines that begin with the speaker, as in `user: …` and `agent: …`, in a text file or a JSON list.

VERA-MH writes such files and CPsyCoun such files and lists; a file is a dialogue, and its folder is the system.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.files.fields import checked_dialogue, list_in, text_in
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import ROLE_NAMES, RoleMap
from perm_cli.dialogues.files.rows import Record, Row, RowError
from perm_cli.dialogues.files.steps import Made, each_row
from perm_cli.dialogues.files.talk import Utterance, said_by, turns_of
from perm_cli.dialogues.format import Format
from perm_cli.findings import shown


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    return "transcript" in fields


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:
    """Yield one dialogue per transcript."""
    roles = reading.roles or ROLE_NAMES
    return each_row(records, lambda row: _dialogue(row, roles))


def _dialogue(row: Row, roles: RoleMap) -> Dialogue:
    value = row.fields.get("transcript")
    if not isinstance(value, str):
        said = enumerate(list_in(value, "transcript"))
        value = "\n".join(text_in(each, f"transcript[{place}]") for place, each in said)
    return checked_dialogue(Dialogue(id=row.own_id, turns=turns_in_text(value, "transcript", roles)), "transcript")


def turns_in_text(text: str, field: str, roles: RoleMap) -> tuple[Turn, ...]:
    """Return the turns of a transcript; raise `RowError` if it does not begin with a speaker."""
    turns, _ = turns_of(_spoken(text, field, roles))
    return turns


def _spoken(text: str, field: str, roles: RoleMap) -> Iterator[Utterance]:
    marks = _marks(text, roles)
    if before := text[: marks[0].start()].strip() if marks else text.strip():
        known = ", ".join(roles)
        what = f"{shown(before)} found at the start, expected `NAME: …` with one of the names {known}"
        raise RowError([(field, f"{what} (others: --roles seeker=…,supporter=…)")])
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    for mark, end in zip(marks, ends, strict=False):  # a blank text has an end and no mark
        role, said = roles[_name(mark, roles)], text[mark.end() : end].strip()
        yield said_by(role, said, f"{field} after {mark.group(1)}")


def _marks(text: str, roles: RoleMap) -> list[re.Match[str]]:
    """Return the marks of speakers, of each side only by the first name used for it: others are part of the text."""
    names = "|".join(re.escape(name) for name in sorted(roles, key=len, reverse=True))
    spoken = re.compile(rf"^[ \t*#]*({names})[ \t*]*[:：][ \t*]*", re.IGNORECASE | re.MULTILINE | re.ASCII)
    found = list(spoken.finditer(text))
    # A reply may quote a line such as "User: …"; only the first name of each side is taken for a speaker.
    first: dict[str, str] = {}
    for mark in found:
        first.setdefault(roles[_name(mark, roles)], _name(mark, roles))
    return [mark for mark in found if _name(mark, roles) in first.values()]


def _name(mark: re.Match[str], roles: RoleMap) -> str:
    said = mark.group(1)
    return said if said in roles else next(name for name in roles if name.lower() == said.lower())


FORMAT = Format(
    description="a text of lines such as `user: …` and `agent: …`", recognises=recognises, read=read, container="text"
)
