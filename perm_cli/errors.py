"""
What can go wrong, grouped by who can fix it.

    PermError                 the user can fix it: one line on standard error, exit code 1
    ├── InputError            dialogues that cannot be read; has every problem found
    ├── InputChanged          dialogues that changed after they were checked
    ├── AssetError            a rubric or a prompt template is broken
    ├── SettingsError         an option, perm.toml or an environment variable is wrong or missing
    ├── RunError              the run folder is in use, unwritable or not a run folder
    │   └── RunInUse          another process is using it
    ├── RewardMissing         a reward that a trainer must have could not be made
    └── JudgeUnusable         no call to this judge can succeed: wrong key, unknown model, no server

    CallFailed                one call went wrong; it becomes a rating without a score, never an exit
    NotAsked                  a call was not made because the run is ending or its budget is reached

Anything else that is raised is a bug and keeps its traceback.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SHOWN_PROBLEMS = 20


class PermError(Exception):
    """The base of all errors that the user can fix; its message says where, what was found and what to do."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem in an input file; `line` counts from 1, and 0 means the whole file."""

    source: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        return ": ".join(part for part in (place, self.field, self.message) if part)


class InputError(PermError):
    """Dialogues that cannot be read; the message lists the first twenty problems and how often each was found."""

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
    """Dialogues that are not those that were checked, because their file changed while it was read."""


class AssetError(PermError):
    """A broken rubric or template; the message names the file, the line and the reason."""


class SettingsError(PermError):
    """A wrong or missing setting; the message names it, what was found and what was expected."""


class RunError(PermError):
    """A run folder that cannot be used."""


class RunInUse(RunError):  # noqa: N818 - the name says what happens to it
    """A run folder that another process is using."""


class RewardMissing(PermError):  # noqa: N818 - the same
    """Replies without a reward where a trainer needs one; the message names them and the reasons."""


class JudgeUnusable(PermError):  # noqa: N818 - the name says what it means to the run
    """A judge that no call can reach; the run stops, since every further call would fail the same way."""


class CallFailed(Exception):  # noqa: N818 - it is data, not an error of the program
    """
    One call that failed.

    A `transient` failure may pass, so the call is retried; `retry_after_s` is the wait that the endpoint asked for.
    `parameter` is the request parameter that the endpoint refused, if it named one.
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
    """A call that was not made, because the user stopped the run or it could exceed the budget."""
