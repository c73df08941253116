"""
The record of a run, `run.json`: the settings ratings were made under, and every command that worked on the folder.

What is not in the file has its default here and stays out of the file when that is written anew; what another release
has added survives. That is what pydantic's models are for, which know what they were given.
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
    """An object of `run.json`, in the order in which its fields are written."""

    model_config = ConfigDict(extra="allow")

    def as_written(self) -> dict[str, Any]:
        """Return what stands in the file."""
        return self.model_dump(exclude_unset=True)


class InputRecord(_Entry):
    """One file of dialogues, as it was when it was checked."""

    name: str
    format: str = ""
    sha256: str
    dialogues: int = 0
    supporter_turns: int = 0


class AskedRecord(_Entry):
    """What, besides the settings, the ratings depend on that a command asked for."""

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

    `lines` are the dialogues it was about, None in a folder of training or of a release that did not keep them.
    `stopped` says why it `ended` before all was rated; a command that has not ended runs, or was killed.
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
    """The settings of a judge; all that are no name belong to `JudgeSettings`, of this release or of another."""

    name: str = ""
    model: str = "unknown"


class SettingsRecord(_Entry):
    """
    What ratings were made under: the judge, the pack, and the texts of rubrics and templates by name.

    `caveat` is what the judge is known not to be worth, `effective` what its endpoint turned out to take.
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
        """Return the names of the dimensions rated; records without rubrics are of the default pack."""
        return tuple(self.rubrics or default_pack().dimensions)

    @property
    def wordings(self) -> Wordings:
        """Return what the judge was asked, by dimension in the rubrics' order."""
        return {name: wording_of(name, text) for name, text in self.rubrics.items()}


class BatchRecord(_Entry):
    """
    One batch of a run: `id` is the provider's, `standing` what the provider last said of it.

    `after` is the id of the newest batch there was before it was sent, where the provider has no place for `marker`.
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
        """Return whether its submission was cut short, so that it may have come about or not."""
        return self.state == "sending" and self.standing == "unsure"


class RunRecord(_Entry):
    """
    All of `run.json`.

    `spent` is what budgets have been charged with, by unit; `fused` a hash over what the summary was made of.
    """

    perm_run: int = _FORMAT
    settings: dict[str, SettingsRecord]
    commands: list[CommandRecord]
    batches: list[BatchRecord] = []
    spent: dict[str, float] = {}
    fused: str = ""

    def enter(self, identity: str, settings: SettingsRecord) -> None:
        """Enter settings; what an earlier command found out about them stays."""
        earlier = self.settings.get(identity)
        known = earlier.as_written() if earlier else {}
        self.settings[identity] = SettingsRecord.model_validate(known | settings.as_written())

    def under(self, identity: str) -> SettingsRecord:
        """Return the settings of this name, empty ones if none are on record."""
        return self.settings.get(identity) or SettingsRecord()

    def charge(self, unit: str, amount: float) -> None:
        """Enter what a budget has been charged with."""
        self.spent = self.spent | {unit: amount}

    @property
    def last_score(self) -> ScoreMode:
        """Return what several samples of a rating come to, as the last command has said."""
        return self.commands[-1].score if self.commands else "mode"


def read_record(path: Path) -> RunRecord:
    """Return the record in a file, an empty one if there is none; raise `RunError` if it is something else."""
    if not path.exists():
        return RunRecord(perm_run=_FORMAT, settings={}, commands=[])
    try:
        record = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise RunError(f"{path}: wrong JSON found ({error}), expected the record of a run") from error
    if not isinstance(record, Mapping) or record.get("perm_run") != _FORMAT:
        raise RunError(f"{path}: an unknown kind of record found, expected perm_run {_FORMAT}")
    try:
        return RunRecord.model_validate(record)
    except ValidationError as error:
        raise RunError(f"{path}: {first_finding(error)}; expected the record of a run") from error


def record_json(record: RunRecord) -> bytes:
    """Return a record as its file holds it."""
    return orjson.dumps(record.as_written(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
