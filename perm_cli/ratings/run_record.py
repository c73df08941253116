"""
The record of a run, `run.json`: the settings that ratings were made under, and every command that used the folder.

A field that is not in the file has its default here and stays out of the file when it is rewritten; fields added by
another release survive. Pydantic's models do this, because they remember which fields they were given.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from perm_cli.errors import RunError
from perm_cli.findings import first_finding
from perm_cli.prompts.rubrics import Wordings, default_pack, wording_of
from perm_cli.words import ScoreMode, Turns

_FORMAT = 1
BatchState = Literal["sending", "open", "exported", "collected", "cancelled"]


class _Entry(BaseModel):
    """An object of `run.json`; its fields are written in this order."""

    model_config = ConfigDict(extra="allow")

    def as_written(self) -> dict[str, Any]:
        """Return the object as it is written to the file."""
        return self.model_dump(exclude_unset=True)


class InputRecord(_Entry):
    """One file of dialogues as it was when checked."""

    name: str
    format: str = ""
    sha256: str
    dialogues: int = 0
    supporter_turns: int = 0


class AskedRecord(_Entry):
    """What the ratings that a command asked for depend on, besides the settings."""

    inputs: list[InputRecord] = []
    format: str = "auto"
    roles: dict[str, str] | None = None
    columns: str | None = None
    turns: Turns = "all"
    samples: Annotated[int, Field(ge=1)] = 1
    version: str = ""


class CommandRecord(_Entry):
    """
    One command on the folder; `ratings` is the number it asked for, `made` counts by status those that it made.

    `lines` are the dialogues that it was about, None in training or in a folder of a release that did not record them.
    `stopped` says why it `ended` before everything was rated; a command without `ended` is running or was killed.
    """

    command: str = ""
    settings: str
    asked: AskedRecord = AskedRecord()
    lines: list[tuple[int, int]] | None = None
    ratings: int
    score: ScoreMode
    started: str = ""
    ended: str | None = None
    made: dict[str, int] = {}
    tokens: dict[str, int] = {}
    cost_usd: float | None = None
    stopped: str | None = None


class JudgeRecord(_Entry):
    """The settings of a judge; all fields but its names are those of `JudgeSettings`, of this or another release."""

    name: str = ""
    model: str = "unknown"


class SettingsRecord(_Entry):
    """
    Settings that ratings were made under: the judge, the pack, and the texts of rubrics and templates by name.

    `caveat` is a known limit of the judge, `effective` the form of requests that its endpoint accepted.
    """

    judge: JudgeRecord = JudgeRecord()
    pack: str | None = None
    rubrics: dict[str, str] = {}
    rubrics_digest: str | None = None
    prompts: dict[str, str] = {}
    prompts_digest: str | None = None
    caveat: str | None = None
    effective: dict[str, Any] | None = None

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Return the names of the dimensions; a record without rubrics is of the default pack."""
        return tuple(self.rubrics or default_pack().dimensions)

    @property
    def wordings(self) -> Wordings:
        """Return the wording that the judge was asked with, by dimension in the rubrics' order."""
        return {name: wording_of(name, text) for name, text in self.rubrics.items()}


class BatchRecord(_Entry):
    """
    One batch of a run: `id` is the provider's, `standing` the status that the provider last reported.

    `after` is the id of the newest batch before it was sent, used to find it again if the provider cannot store
    `marker`.
    """

    number: int
    settings: str
    rubrics: str
    requests: int
    state: BatchState
    marker: str
    sent: float
    id: str | None = None
    standing: str = ""
    after: str | None = None

    @property
    def is_unsure(self) -> bool:
        """Return whether its submission was interrupted, so that the batch may or may not exist."""
        return self.state == "sending" and self.standing == "unsure"


class RunRecord(_Entry):
    """
    The whole of `run.json`.

    `spent` is what budgets were charged, by unit; `fused` is a hash over what the summary was made from.
    """

    perm_run: int = _FORMAT
    settings: dict[str, SettingsRecord]
    commands: list[CommandRecord]
    batches: list[BatchRecord] = []
    spent: dict[str, float] = {}
    fused: str = ""

    def enter(self, identity: str, settings: SettingsRecord) -> None:
        """Add settings under their id; fields that only an earlier command recorded are kept."""
        earlier = self.settings.get(identity)
        known = earlier.as_written() if earlier else {}
        self.settings[identity] = SettingsRecord.model_validate(known | settings.as_written())

    def under(self, identity: str) -> SettingsRecord:
        """Return the settings with this id, empty ones if they are not recorded."""
        return self.settings.get(identity) or SettingsRecord()

    def charge(self, unit: str, amount: float) -> None:
        """Record the amount that a budget was charged in a unit."""
        self.spent = self.spent | {unit: amount}

    @property
    def last_score(self) -> ScoreMode:
        """Return how the last command combined several samples of a rating into a score."""
        return self.commands[-1].score if self.commands else "mode"


def read_record(path: Path) -> RunRecord:
    """Return the record in a file, an empty one if there is no file; raise `RunError` if it is not a record."""
    if not path.exists():
        return RunRecord(perm_run=_FORMAT, settings={}, commands=[])
    try:
        record = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise RunError(f"{path}: invalid JSON: {error}; expected the record of a run") from error
    if not isinstance(record, Mapping) or record.get("perm_run") != _FORMAT:
        raise RunError(f"{path}: an unknown kind of record found, expected perm_run {_FORMAT}")
    try:
        return RunRecord.model_validate(record)
    except ValidationError as error:
        raise RunError(f"{path}: {first_finding(error)}; expected the record of a run") from error


def record_json(record: RunRecord) -> bytes:
    """Return a record as the content of its file."""
    return orjson.dumps(record.as_written(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
