"""Watching for a hacked reward while it is given: what the replies of a step show, step by step."""

import logging
from collections.abc import Callable, Sequence

from perm_cli.dialogues.features import features_of
from perm_cli.rewards.formula import Formula
from perm_cli.training.items import Item, Result, dialogue_of
from perm_cli.training.signs import Seen, Signs, signs_of, warnings_of

_log = logging.getLogger("perm_cli.reward")
_ROUNDING = 1e-9
_WINDOW = 256  # replies, where no step is known


class Watch:
    """Gather the replies of a step, or of a window where there are none, and tell `keep` what they show."""

    def __init__(self, formula: Formula) -> None:
        self._formula = formula
        self.latest: Signs | None = None
        self.keep: Callable[[Signs, int | None], None] = lambda _, __: None
        self._seen: list[Seen] = []
        self._step: int | None = None
        self._warned: set[str] = set()

    def note(self, items: Sequence[Item], results: Sequence[Result], step: int | None) -> None:
        """Take note of replies and of what they were worth."""
        if step != self._step:
            self.tell()
        self._step = step
        self._seen += (seen(item, result, self._formula) for item, result in zip(items, results, strict=True))
        if step is None and len(self._seen) >= _WINDOW:
            self.tell()

    def tell(self) -> None:
        """Tell what was gathered, and warn of what has not been warned of already."""
        if not self._seen:
            return
        self.latest = signs_of(self._seen)
        self._seen = []
        self.keep(self.latest, self._step)
        said = warnings_of(self.latest)
        for name in said.keys() - self._warned:
            at = "" if self._step is None else f"step {self._step}: "
            _log.warning("%s%s", at, said[name])
        self._warned = set(said)


def seen(item: Item, result: Result, formula: Formula) -> Seen:
    """Return what is looked at in a reply."""
    dialogue = dialogue_of(item)
    turns = dialogue.turns if dialogue else ()
    reply = turns[-1].text if turns else ""
    seeker = "\n".join(turn.text for turn in turns if turn.role == "seeker")
    return Seen(
        group=item.group,
        reward=None if result.filled else result.reward,
        scores=result.scores,
        topped=[
            score >= formula.dimensions[name].bounds[1] - _ROUNDING
            for name in formula.fused
            if (score := result.scores[name]) is not None
        ],
        features=features_of(reply, seeker),
        empty=result.empty,
        latency_s=result.latency_s,
        waited_s=result.waited_s,
        retries=result.retries,
    )
