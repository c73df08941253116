"""
Which dimension is compared with which label: expectations fixed before anybody looks at the numbers.

The labels that a dimension is expected to correlate with are in its rubric, under `labels`.
Sources: EPITOME (Sharma et al. 2020), Lend-an-Ear (Kumar et al.), iEval (Svikhnushina et al. 2022), ESConv (Liu et
al. 2021), EmpatheticDialogues ratings (Welivita and Pu), Perceived Empathy (Yin et al.).
"""

from collections.abc import Iterator, Sequence

from perm_cli.comparing.against_people import Mapped
from perm_cli.comparing.from_runs import REWARD
from perm_cli.comparing.table import Scores
from perm_cli.errors import SettingsError


def read_map(text: str) -> list[Mapped]:
    """Read `DIMENSION=LABEL,DIMENSION=-LABEL`; raise `SettingsError` if the text has another form."""
    found = []
    for pair in text.split(","):
        judged, equals, human = (part.strip() for part in pair.partition("="))
        if not judged or not equals or not human.lstrip("-"):
            raise SettingsError(
                f"--map: {pair!r} found, expected DIMENSION=LABEL, or DIMENSION=-LABEL for an inverse label"
            )
        found.append(_mapped(judged, human))
    return found


def mapping(scores: Scores, requested: Sequence[Mapped] = ()) -> list[Mapped]:
    """
    Return the pairs of dimension and label to compare.

    They are those `requested`, or else pairs of the same name, or else the expected ones, or else the reward with every
    label. Raise `SettingsError` if there are none, or if a requested name is unknown.
    """
    judged, human = _rated(scores, scores.judges), _rated(scores, scores.humans)
    for each in requested:
        _check(each.judged, judged, "dimensions")
        _check(each.human, human, "labels")
    if requested:
        return list(requested)
    same = [Mapped(judged=name, human=name) for name in judged if name in human]
    found = same or list(_expected(scores, judged, human))
    if not found and REWARD in judged:
        found = [Mapped(judged=REWARD, human=name) for name in human]
    if not found:
        what = f"judges rate {', '.join(judged) or 'nothing'}, people {', '.join(human) or 'nothing'}"
        raise SettingsError(f"{what}: nothing to compare; name a pair with --map DIMENSION=LABEL")
    return found


def _expected(scores: Scores, judged: Sequence[str], human: Sequence[str]) -> Iterator[Mapped]:
    for name in judged:
        known = scores.dimensions.get(name)
        for label in known.labels if known else ():
            each = _mapped(name, label)
            if each.human in human:
                yield each


def _mapped(judged: str, human: str) -> Mapped:
    return Mapped(judged=judged, human=human.removeprefix("-"), sign=-1 if human.startswith("-") else 1)


def _rated(scores: Scores, raters: Sequence[str]) -> list[str]:
    """Return the dimensions that any of the raters have rated."""
    return [name for name in scores.tables if raters and (scores.of(name, raters) == scores.of(name, raters)).any()]


def _check(name: str, known: Sequence[str], what: str) -> None:
    if name not in known:
        raise SettingsError(f"--map: {name!r} found, expected one of the {what} {', '.join(known) or '(none)'}")
