"""Files of dialogues for tests: rows of every kind, written, read and refused."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from perm_cli.dialogues.check import Census, check_dialogues, read_dialogues
from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import ROLE_NAMES
from perm_cli.dialogues.files.sources import Source, source_of
from perm_cli.errors import InputError

ASKS = {"role": "seeker", "text": "I lost my job."}
ANSWERS = {"role": "supporter", "text": "That hurts."}
USER = {"role": "user", "content": "I lost my job."}
ASSISTANT = {"role": "assistant", "content": "That hurts."}


def native(**fields: Any) -> dict[str, Any]:
    """Return a native row."""
    return {"id": "d", "turns": [ASKS, ANSWERS]} | fields


def paper(**fields: Any) -> dict[str, Any]:
    """Return a row of the PERM authors."""
    row = {"persona": {"identity": "A cook."}, "scenario": "Fired.", "dialogue": ["I lost my job."]}
    return row | {"output": "# Analysis\nHe is ashamed.\n# Response\nThat hurts."} | fields


def messages(*turns: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a row of OpenAI messages."""
    return {"messages": list(turns) or [USER, ASSISTANT]} | fields


def lines(*rows: object) -> bytes:
    """Return rows as JSON Lines."""
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def saved(content: bytes, name: str = "d.jsonl") -> Source:
    """Write a file and return it as a source."""
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(content)
    return source_of(name)


def read(*sources: Source, reading: Reading | None = None) -> list[Dialogue]:
    """Return the dialogues of sources that pass the check."""
    check_dialogues(sources, reading or Reading())
    return list(read_dialogues(sources, reading or Reading()))


def refusal(*sources: Source, reading: Reading | None = None) -> str:
    """Return what the user is told about sources that do not pass the check."""
    with pytest.raises(InputError) as raised:
        check_dialogues(sources, reading or Reading())
    return str(raised.value)


def told(*problems: str) -> str:
    """Return the message that consists of these problems."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n".join([*problems, f"{count} found; no call was made and nothing was written"])


def census_of(*sources: Source, reading: Reading | None = None) -> list[Census]:
    """Return the counts of sources that pass the check."""
    return check_dialogues(sources, reading or Reading())


ALL_NAMES = ", ".join(ROLE_NAMES)
OTHER_NAMES = "(other names: --roles seeker=…,supporter=…)"
NO_WORD = "d.jsonl: 1 record passed over, the first at line 1: only empty replies found, expected at least one to judge"
UTF_8 = "expected UTF-8 (Windows text: iconv -f WINDOWS-1252 -t UTF-8; in Excel: save as CSV UTF-8)"
BOM = b"\xef\xbb\xbf"
OWN = "id,role,text\n"
PAIR = f"{OWN}d,seeker,I lost my job.\nd,supporter,That hurts.\n".encode()


def ids(source: Source) -> list[str]:
    """Return the ids that are read."""
    return [dialogue.id for dialogue in read(source)]


def parquet(rows: list[dict[str, Any]], name: str = "d.parquet") -> Source:
    """Write a Parquet file."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    pq.write_table(pa.Table.from_pylist(rows), name)
    return Source(name=name, path=Path(name))


ASKED, TOLD = "The bread burned.", "That smell stays for days."


def seeker(text: str = ASKED) -> Turn:
    """Return a turn of the seeker's."""
    return Turn(role="seeker", text=text)


def supporter(text: str = TOLD, analysis: str | None = None) -> Turn:
    """Return a turn of the supporter's."""
    return Turn(role="supporter", text=text, analysis=analysis)


def document(value: object, name: str = "d.json") -> Source:
    """Write a JSON document as people write it, over many lines."""
    return saved(json.dumps(value, indent=1).encode(), name)


def table(*rows: dict[str, Any], name: str = "d.csv") -> Source:
    """Write a CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return saved(text.getvalue().encode(), name)
