"""Watching for reward hacking during training: signs computed and logged step by step."""

import logging
from collections.abc import Callable, Sequence

from perm_cli.dialogues.features import features_of
from perm_cli.rewards.formula import Formula
from perm_cli.training.items import Item, Result, dialogue_of
from perm_cli.training.signs import Observation, Signs, signs_of, warnings_of

_log = logging.getLogger("perm_cli.reward")
_ROUNDING = 1e-9
_WINDOW = 256  # replies, where the trainer gives no step


class Watch:
    """The replies of the current step, or of a window where there are no steps; their signs go to `on_signs`."""

    def __init__(self, formula: Formula) -> None:
        self._formula = formula
        self.latest: Signs | None = None
        self.on_signs: Callable[[Signs, int | None], None] = lambda _, __: None
        self._observations: list[Observation] = []
        self._step: int | None = None
        self._warned: set[str] = set()

    def add(self, items: Sequence[Item], results: Sequence[Result], step: int | None) -> None:
        """Add replies with their results; a new step first closes the last one."""
        if step != self._step:
            self.flush()
        self._step = step
        self._observations += (
            observation_of(item, result, self._formula) for item, result in zip(items, results, strict=True)
        )
        if step is None and len(self._observations) >= _WINDOW:
            self.flush()

    def flush(self) -> None:
        """Pass on the signs of the replies so far, and log warnings that the last signs did not have."""
        if not self._observations:
            return
        self.latest = signs_of(self._observations)
        self._observations = []
        self.on_signs(self.latest, self._step)
        said = warnings_of(self.latest)
        for name in said.keys() - self._warned:
            at = "" if self._step is None else f"step {self._step}: "
            _log.warning("%s%s", at, said[name])
        self._warned = set(said)  # a warning that went away is logged again when it comes back


def observation_of(item: Item, result: Result, formula: Formula) -> Observation:
    """Return a reply and its result as an observation for the signs."""
    dialogue = dialogue_of(item)
    turns = dialogue.turns if dialogue else ()
    reply = turns[-1].text if turns else ""
    seeker = "\n".join(turn.text for turn in turns if turn.role == "seeker")
    return Observation(
        group=item.group,
        reward=None if result.filled else result.reward,
        scores=result.scores,
        at_top=[
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
