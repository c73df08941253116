"""What training leaves behind: the ratings in a run folder for each process, and the signs that `perm watch` shows."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import orjson

from perm_cli import __version__
from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.errors import RunError, RunInUse
from perm_cli.prompts.book import PromptBook
from perm_cli.ratings.rating import Rating, is_settled
from perm_cli.ratings.reserve import Reserve
from perm_cli.ratings.run_folder import RunFolder, open_run
from perm_cli.ratings.run_record import AskedRecord, CommandRecord
from perm_cli.scoring.job import now, settings_record
from perm_cli.training.settings import RewardSettings
from perm_cli.training.signs import Signs

SIGNS = "signs.jsonl"


class Keeper:
    """
    The ratings of one process, in `RUN/worker-1` or the first such folder that no other process has.

    What was rated in any folder of the run, by whichever process and however long ago, is known.
    """

    def __init__(self, folder: RunFolder, settings: RewardSettings, book: PromptBook, settings_id: str) -> None:
        self._folder = folder
        self._known = Reserve(sorted(path.parent for path in folder.path.parent.glob("*/ratings.jsonl")))
        self._seen = {name for name, _ in folder.dialogue_names()}
        earlier = folder.record.commands
        self._command = CommandRecord(
            command="perm_cli.reward",
            settings=settings_id,
            asked=AskedRecord(version=__version__),
            ratings=max((each.ratings for each in earlier if each.settings == settings_id), default=0),
            score=settings.recipe.score,
            started=now(),
        )
        folder.record.enter(settings_id, settings_record(settings.judge, book))
        folder.record.commands.append(self._command)
        folder.write_record()
        folder.open_ratings()

    def known(self, key: str) -> Rating | None:
        """Return the rating with this key, if it is not to be paid for again."""
        return self._known.get(key)

    def append(self, rating: Rating, dialogue: Dialogue) -> None:
        """Put a rating on disk, and before the first of a dialogue the dialogue, which is named after its content."""
        if dialogue.id not in self._seen:
            self._seen.add(dialogue.id)
            self._folder.add_dialogues([dialogue])
        self._folder.append(rating)
        self._command.ratings += 1
        if is_settled(rating.status, rating.error):
            self._known.put(rating, self._folder.path.name)

    def note(self, signs: Signs, step: int | None) -> None:
        """Add a line to the signs of all processes, in one write."""
        line = {"step": step, "at": now(), "worker": self._folder.path.name, **signs.record()}
        with (self._folder.path.parent / SIGNS).open("ab", buffering=0) as stream:
            stream.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        """Enter into the record what was made."""
        self._command.ended = now()
        self._folder.write_record()
        self._known.close()


@contextmanager
def keeping(run: Path, settings: RewardSettings, book: PromptBook, settings_id: str) -> Iterator[Keeper]:
    """Open a folder in a run for this process, for the time of the `with` block."""
    with ExitStack() as stack:
        keeper = Keeper(_free_folder(run, stack), settings, book, settings_id)
        stack.callback(keeper.close)
        yield keeper


def check_place(run: Path) -> None:
    """Raise `RunError` if no folder can be kept at this place."""
    place = next(path for path in (run, *run.parents) if path.exists())
    if not place.is_dir():
        raise RunError(f"run: {place}: a file found, expected a folder for what training leaves behind")
    if not os.access(place, os.W_OK | os.X_OK):
        raise RunError(f"run: {place}: no permission to write there, expected a folder of your own")


def _free_folder(run: Path, stack: ExitStack) -> RunFolder:
    for number in count(1):
        try:
            return stack.enter_context(open_run(run / f"worker-{number}"))
        except RunInUse:
            continue
    raise AssertionError  # there is always another number
