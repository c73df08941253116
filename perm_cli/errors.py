"""
What can go wrong, drawn by who can mend it.

    PermError                 the user can mend it: one line on standard error, exit code 1
    ├── InputError            dialogues that cannot be read; carries every problem found
    ├── InputChanged          dialogues that are not what was checked: the file changed meanwhile
    ├── AssetError            a rubric or a prompt template is broken
    ├── SettingsError         an option, perm.toml or an environment variable is wrong or missing
    ├── RunError              the run folder is in use, unwritable or not a run folder
    │   └── RunInUse          another process has it
    ├── RewardMissing         a reward that a trainer must have could not be made
    └── JudgeUnusable         no call to this judge can succeed: wrong key, unknown model, nobody there

    CallFailed                one call went wrong; it becomes a rating without a score, never an exit
    NotAsked                  a call was not made, since the run ends or its budget is reached

Anything else that is raised is a bug and keeps its traceback.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SHOWN_PROBLEMS = 20


class PermError(Exception):
    """Tell the user where, what and what was expected."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Locate one thing wrong in an input file: `line` counts from 1, 0 means the file as a whole."""

    source: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        return ": ".join(part for part in (place, self.field, self.message) if part)


class InputError(PermError):
    """The problems found in the dialogues, the first twenty of them spelled out, with how often each was found."""

    def __init__(self, problems: Mapping[Problem, int], count: int) -> None:
        self.problems = tuple(problems)
        self.count = count
        lines = [f"{each} (and {n - 1:,} more like it)" if n > 1 else str(each) for each, n in problems.items()]
        if rest := count - sum(problems.values()):
            lines.append(f"… and {rest:,} more")
        found = "1 problem" if count == 1 else f"{count} problems"
        lines.append(f"{found} found; no call was made and nothing was written")
        super().__init__("\n".join(lines))


class InputChanged(PermError):  # noqa: N818 - the name says what happened to it
    """Dialogues that are not what was checked, since their file changed while it was read."""


class AssetError(PermError):
    """Name the rubric or template file, the line and the reason."""


class SettingsError(PermError):
    """Name the setting, what was found and what was expected."""


class RunError(PermError):
    """Say why a run folder cannot be used."""


class RunInUse(RunError):  # noqa: N818 - the name says what happens to it
    """Say that another process works on the run folder."""


class RewardMissing(PermError):  # noqa: N818 - the same
    """Say which replies have no reward and why, where there must be one."""


class JudgeUnusable(PermError):  # noqa: N818 - the name says what it means to the run
    """Stop the run: every further call would fail the same way."""


class CallFailed(Exception):  # noqa: N818 - it is data, not an error of the program
    """
    Report one call that went wrong.

    `transient` calls may succeed later and are retried; `retry_after_s` is the wait the endpoint asked for.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        transient: bool,
        status: int | None = None,
        retry_after_s: float | None = None,
        parameter: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.transient = transient
        self.status = status
        self.retry_after_s = retry_after_s
        self.parameter = parameter
        self.attempts = 1


class NotAsked(Exception):  # noqa: N818 - the same
    """Say why a call was not made: the user stopped the run, or one more could pass the budget."""
