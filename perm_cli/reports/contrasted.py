"""Paired differences of systems as sentences and a table: which system is best, or that none is decisively."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, pairwise

from perm_cli.reports.figures import chance, counted, figure, listed, name_of, number
from perm_cli.reports.layout import Grid
from perm_cli.statistics.contrasts import Contrasts, Difference

MOST_DIFFERENCES = 15  # all pairs of six systems


def difference_table(differences: Sequence[Difference]) -> Grid:
    """Return a table of paired differences, one row each."""
    columns = ["systems", "dialogues", "difference", "p (Holm)", "detectable", ""]
    table = Grid(columns=columns, spare=[["detectable"], ["dialogues"]])
    for each in differences:
        table.add(
            f"{name_of(each.first)} - {name_of(each.second)}",
            f"{each.dialogues:,}",
            figure(each.mean, 3, signed=True),
            chance(each.p),
            number(each.detectable, 3),
            "decisive" if each.decisive else "too few" if each.dialogues < each.needed else "not decisive",
        )
    return table


def all_differences(contrasts: Contrasts) -> list[Difference]:
    """Return the difference of every pair, each as the higher-ranked system minus the other."""
    return _found(contrasts, combinations(contrasts.in_order(), 2))


def shown_differences(contrasts: Contrasts, baseline: str | None) -> list[Difference]:
    """Return the differences to the baseline, or of all pairs, or of each system to the next if pairs are many."""
    names = contrasts.in_order()
    if baseline is not None:
        return _found(contrasts, ((name, baseline) for name in names if name != baseline))
    found = all_differences(contrasts)
    return found if len(found) <= MOST_DIFFERENCES else _found(contrasts, pairwise(names))


def _found(contrasts: Contrasts, pairs: Iterable[tuple[str, str]]) -> list[Difference]:
    return [found for first, second in pairs if (found := contrasts.difference(first, second))]


def verdict_lines(contrasts: Contrasts, baseline: str | None = None) -> Iterator[str]:
    """Yield the verdict of the differences in sentences."""
    if len(contrasts.systems) < 2:  # noqa: PLR2004 - there is nobody to be better than
        return
    if baseline is None:
        yield verdict(contrasts)
    else:
        yield from _against(shown_differences(contrasts, baseline), baseline)


def _against(differences: Sequence[Difference], baseline: str) -> Iterator[str]:
    decisive = [each for each in differences if each.decisive]
    for better, word in ((True, "better"), (False, "worse")):
        found = [name_of(each.first) for each in decisive if ((each.mean.value or 0) > 0) is better]
        yield f"Decisively {word} than {name_of(baseline)}: {', '.join(found) or 'none'}."
    open_ = [name_of(each.first) for each in differences if not each.decisive]
    if open_:
        yield f"Not decisively different from {name_of(baseline)}: {', '.join(open_)}{_hint(differences)}."


def verdict(contrasts: Contrasts) -> str:
    """Return a sentence: which of several systems is best, or that they cannot be told apart."""
    best, compared = contrasts.best, [name for name in contrasts.systems if contrasts.place(name)]
    if not compared:
        return f"{name_of(contrasts.rater)} cannot tell these systems apart: no dialogue has a score for two of them."
    said = _on_leaders(contrasts, compared) if best is None else _on_best(contrasts, best)
    alone = [name_of(name) for name in contrasts.systems if name not in compared]
    return said + (f" Not compared, having no dialogue in common: {listed(alone)}." if alone else "")


def _on_best(contrasts: Contrasts, best: str) -> str:
    ahead = (contrasts.difference(best, other) for other in contrasts.systems if contrasts.place(other))
    nearest = min(filter(None, ahead), key=lambda each: each.mean.value or 0.0)
    return f"{name_of(best)} is decisively best, ahead of {name_of(nearest.second)} by {figure(nearest.mean, 3)}."


def _on_leaders(contrasts: Contrasts, compared: Sequence[str]) -> str:
    leaders = contrasts.leaders
    between = [each for each in contrasts.differences if {each.first, each.second} <= {*leaders}]
    behind = [name_of(name) for name in compared if name not in leaders]
    which = "these systems" if len(leaders) == len(contrasts.systems) else listed(list(map(name_of, leaders)))
    worse = f" Decisively worse than at least one other: {listed(behind)}." if behind else ""
    return f"{name_of(contrasts.rater)} cannot tell {which} apart on {_span(between)}{_hint(between)}.{worse}"


def _span(differences: Sequence[Difference]) -> str:
    """Return the number of dialogues that the differences rest on, as text."""
    counts = sorted({each.dialogues for each in differences})
    return counted(counts[0], "dialogue") if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,} dialogues"


def _hint(differences: Sequence[Difference]) -> str:
    """Return how many dialogues or how large a difference it takes to tell the systems apart."""
    needed, detectable = differences[0].needed, [each.detectable for each in differences if each.detectable]
    if max(each.dialogues for each in differences) < needed:
        return f"; {needed} or more are needed"
    if detectable:
        return f"; a true difference of {number(max(detectable), 3)} would be detected with 80 % power"
    return "; their scores do not differ"


def place_of(place: tuple[int, int] | None) -> str:
    """Return the range of a system's possible ranks, a dash if it was not compared."""
    return number(None) if place is None else " … ".join(map(str, dict.fromkeys(place)))
