"""What training writes: one run folder of ratings per process, and the signs that `perm watch` shows."""

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


class WorkerFolder:
    """
    The ratings of one process, in `RUN/worker-N` with the lowest N that no other process uses.

    It also knows the ratings in all other folders of the run, whichever process made them and when, so that nothing is
    paid for twice.
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
        """Return the settled rating with this key, None if it has to be made."""
        return self._known.get(key)

    def append(self, rating: Rating, dialogue: Dialogue) -> None:
        """Write a rating to disk, after its dialogue if that is not there yet."""
        if dialogue.id not in self._seen:  # the id is a hash of the content, so equal ids are equal dialogues
            self._seen.add(dialogue.id)
            self._folder.add_dialogues([dialogue])
        self._folder.append(rating)
        self._command.ratings += 1
        if is_settled(rating.status, rating.error):
            self._known.put(rating, self._folder.path.name)

    def add_signs(self, signs: Signs, step: int | None) -> None:
        """Append a line to the signs of all processes."""
        # Unbuffered, so that each line is one write: lines appended by several processes do not mix.
        line = {"step": step, "at": now(), "worker": self._folder.path.name, **signs.record()}
        with (self._folder.path.parent / SIGNS).open("ab", buffering=0) as stream:
            stream.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        """Write the final counts into the record of the run."""
        self._command.ended = now()
        self._folder.write_record()
        self._known.close()


@contextmanager
def open_worker_folder(
    run: Path, settings: RewardSettings, book: PromptBook, settings_id: str
) -> Iterator[WorkerFolder]:
    """Open a folder in a run for this process, for the `with` block."""
    with ExitStack() as stack:
        folder = WorkerFolder(_free_folder(run, stack), settings, book, settings_id)
        stack.callback(folder.close)
        yield folder


def check_run_folder(run: Path) -> None:
    """Raise `RunError` if no run folder can be written at this path."""
    place = next(path for path in (run, *run.parents) if path.exists())
    if not place.is_dir():
        raise RunError(f"run: {place}: a file found, expected a folder for the ratings of training")
    if not os.access(place, os.W_OK | os.X_OK):
        raise RunError(f"run: {place}: no permission to write there; choose another folder")


def _free_folder(run: Path, stack: ExitStack) -> RunFolder:
    for number in count(1):
        try:
            return stack.enter_context(open_run(run / f"worker-{number}"))
        except RunInUse:
            continue
    raise AssertionError  # there is always another number
