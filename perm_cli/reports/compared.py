"""A comparison of judges as sentences that summarise the numbers, and as tables for the terminal."""

from collections.abc import Iterator, Mapping, Sequence

from perm_cli.comparing.from_runs import REWARD, Health
from perm_cli.comparing.panel import Panel
from perm_cli.comparing.side_by_side import Comparison, DimensionComparison, Dispute
from perm_cli.comparing.table import Rated
from perm_cli.dialogues.features import DESCRIPTIONS
from perm_cli.reports.contrasted import place_of, verdict
from perm_cli.reports.figures import chance, figure, listed, name_of, number, percent
from perm_cli.reports.layout import Grid
from perm_cli.statistics.contrasts import ALPHA
from perm_cli.text import one_line

CLOSING = "Agreement between judges is not accuracy: `perm validate` compares them with people."
_CEILING = 0.5  # share of scores at the top of the scale
_CORRELATED = 0.3  # |rho| with a counted feature
_HALO_GAP = 0.1
_CONVERGES = 0.2  # below this rho judges hardly agree at all, and a small gap shows no halo
_MISSING = 0.02  # share of ratings without a score
# 0.8 and 0.667 are Krippendorff's customary limits of reliable and tentatively acceptable data. Ratings of empathy
# rarely get there: experts themselves have a median alpha of 0.53 in Kumar et al. (arXiv 2506.10150).
_WELL, _FAIRLY, _SOMEWHAT = 0.8, 0.667, 0.4
_APART = 0.2  # of alpha


# --- sentences ---


def findings(comparison: Comparison, health: Sequence[Health] = (), panel: Panel | None = None) -> list[str]:
    """Return the comparison in sentences, the last of which is always that agreement is not accuracy."""
    return [
        *_on_health(health),
        *_on_agreement(comparison),
        *_on_people(comparison),
        *_on_scale(comparison),
        *_on_levels(comparison),
        *on_systems(comparison),
        *_on_structure(comparison),
        *_on_leans(comparison),
        *(_on_panel(panel) if panel else ()),
        CLOSING,
    ]


def _on_health(health: Sequence[Health]) -> Iterator[str]:
    for each in health:
        if each.coverage < 1 - _MISSING:
            yield f"{name_of(each.rater)}: only {percent(each.coverage)} of its ratings have a score."
        if each.caveat:
            yield f"{name_of(each.rater)}: {each.caveat}"


def _on_agreement(comparison: Comparison) -> Iterator[str]:
    alphas = [(each.agreement.alpha.value, each) for each in _rated(comparison) if each.agreement]
    known = [(value, each) for value, each in alphas if value is not None]
    if not known:
        if len(comparison.raters) > 1:
            yield "The judges have too few scores in common to estimate their agreement."
        return
    best, worst = max(known, key=lambda pair: pair[0])[1], min(known, key=lambda pair: pair[0])[1]
    yield f"On {name_of(best.name)} the judges agree {_degree(best)}: alpha {_alpha(best)}."
    if worst is not best:
        yield f"They agree least on {name_of(worst.name)}: alpha {_alpha(worst)}."


def _rated(comparison: Comparison) -> list[DimensionComparison]:
    """Return the dimensions without the reward, which is fused from them, unless there is nothing else."""
    return [each for each in comparison.dimensions if each.name != REWARD] or list(comparison.dimensions)


def _degree(dimension: DimensionComparison) -> str:
    alpha = dimension.agreement.alpha.value if dimension.agreement else None
    if alpha is None:
        return "to no measurable degree"
    return (
        "well" if alpha >= _WELL else "fairly" if alpha >= _FAIRLY else "somewhat" if alpha >= _SOMEWHAT else "little"
    )


def _alpha(dimension: DimensionComparison) -> str:
    return figure(dimension.agreement.alpha) if dimension.agreement else "-"


def _on_people(comparison: Comparison) -> Iterator[str]:
    for dimension in comparison.dimensions:
        given = [alpha for alpha in dimension.people_alpha.values() if alpha is not None]
        among = dimension.agreement.alpha.value if dimension.agreement else None
        if not given:
            continue
        span = " to ".join(dict.fromkeys((number(min(given)), number(max(given)))))
        if among is None:
            yield f"On {name_of(dimension.name)} the alpha of {listed(_judges(dimension))} with people is {span}."
        elif among - max(given) > _APART:
            yield (
                f"On {name_of(dimension.name)} the judges agree with each other far more (alpha {among:.2f}) than with "
                f"people ({span}), so their agreement does not reflect people's ratings."
            )
        else:
            yield f"On {name_of(dimension.name)} the judges' alpha with people is {span}, among themselves {among:.2f}."


def _judges(dimension: DimensionComparison) -> list[str]:
    return [name_of(judge) for judge, alpha in dimension.people_alpha.items() if alpha is not None]


def _on_scale(comparison: Comparison) -> Iterator[str]:
    for dimension in _rated(comparison):
        people = [use.ceiling for use in dimension.use if use.rater in comparison.people and use.ceiling is not None]
        piled = [
            f"{name_of(use.rater)} {percent(use.ceiling)}"
            for use in dimension.use
            if use.rater not in comparison.people and (use.ceiling or 0.0) > _CEILING
        ]
        if piled:
            beside = f" (people: {percent(sum(people) / len(people))})" if people else ""
            what = f"Most scores on {name_of(dimension.name)} are at the top of the scale"
            yield f"{what}: {listed(piled)}{beside}."


def _on_levels(comparison: Comparison) -> Iterator[str]:
    level: list[str] = []
    for dimension in _rated(comparison):
        if not dimension.differences:
            continue
        decisive = [each for each in dimension.differences if each.p is not None and each.p < ALPHA]
        if decisive:
            widest = max(decisive, key=lambda each: abs(each.bias.value or 0.0))
            first, second = (
                (widest.first, widest.second) if (widest.bias.value or 0) > 0 else (widest.second, widest.first)
            )
            by = number(abs(widest.bias.value or 0.0))
            yield (
                f"On {name_of(dimension.name)} {len(decisive)} of {len(dimension.differences)} pairs of judges differ "
                f"decisively in level; the widest: {name_of(first)} scores {by} higher than {name_of(second)}."
            )
        else:
            level.append(name_of(dimension.name))
    if level:
        yield f"On {listed(level)} no difference in level between judges is decisive."


def on_systems(comparison: Comparison) -> Iterator[str]:
    """Yield which system each judge ranks first, and which judges cannot tell the systems apart."""
    boards = [
        board.contrasts
        for board in comparison.boards
        if board.rater in comparison.raters and any(standing.dialogues for standing in board.standings)
    ]
    votes: dict[str, list[str]] = {}
    for board in boards:
        if board.best is not None:
            votes.setdefault(board.best, []).append(board.rater)
    said = [_put_first(best, raters, len(boards)) for best, raters in votes.items()]
    if len(said) > 1:
        yield f"The judges do not agree on the best system: {listed(said)}."
    yield from (f"{each}." for each in said[:1] if len(said) == 1)
    yield from (verdict(board) for board in boards if board.best is None)
    if comparison.concordance is not None:
        yield f"Concordance of the judges' rankings: W = {comparison.concordance:.2f}."


def _put_first(best: str, raters: Sequence[str], judges: int) -> str:
    who = "All judges" if len(raters) == judges > 1 else listed(list(map(name_of, raters)))
    return f"{who} {'ranks' if len(raters) == 1 else 'rank'} {name_of(best)} first"


def _on_structure(comparison: Comparison) -> Iterator[str]:
    for each in comparison.structure:
        if each.rater in comparison.people or each.convergent is None or each.discriminant is None:
            continue
        if each.convergent > _CONVERGES and each.convergent - each.discriminant < _HALO_GAP:
            yield (
                f"{name_of(each.rater)} hardly tells the dimensions apart: it correlates with the other judges about "
                f"as much across dimensions ({each.discriminant:.2f}) as on the same dimension ({each.convergent:.2f})."
            )


def _on_leans(comparison: Comparison) -> Iterator[str]:
    for each in comparison.leans:
        correlated = [
            f"{DESCRIPTIONS[name]} ({rho:+.2f})"
            for name, rho in each.features.items()
            if rho is not None and abs(rho) > _CORRELATED
        ]
        if correlated:
            yield f"Scores by {name_of(each.rater)} correlate with {listed(correlated)}."
        if each.own_family.decisive and (each.own_family.value or 0) > 0:
            yield (
                f"{name_of(each.rater)} favours systems of its own family: compared with the other judges, it scores "
                f"them {figure(each.own_family, signed=True)} relative to other systems."
            )


def _on_panel(panel: Panel) -> Iterator[str]:
    for dimension in panel.dimensions:
        if dimension.reliability.value is None or dimension.reliability.value <= 0:
            yield f"The panel is not shown to be reliable on {name_of(dimension.name)}: do not rely on its scores."
            continue
        # A judge without which the panel is as reliable adds nothing. Several such judges are not named: each may be
        # redundant only because of the others.
        idle = [
            name
            for name, value in dimension.without.items()
            if value is not None and value >= dimension.reliability.value
        ]
        adds = f"; without {listed([name_of(name) for name in idle])} it is no lower" if len(idle) == 1 else ""
        yield f"The panel's reliability on {name_of(dimension.name)} is {figure(dimension.reliability)}{adds}."


# --- tables ---


def health_table(health: Sequence[Health]) -> Grid:
    """Return coverage, failures, cost and latency, one row per rater."""
    columns = ["judge", "ratings", "scored", "not scored", "cost USD", "median s", "p95 s"]
    table = Grid(columns=columns, spare=[["p95 s"], ["median s"], ["cost USD"]])
    for each in health:
        failures = ", ".join(f"{n} {name}" for name, n in sorted(each.spending.statuses.items()) if name != "scored")
        table.add(
            name_of(each.rater),
            f"{each.spending.rated:,}",
            percent(each.coverage),
            failures or "-",
            number(each.spending.cost_usd, 4),
            number(each.latency_s(0.5)),
            number(each.latency_s(0.95)),
        )
    return table


def use_table(comparison: Comparison) -> Grid:
    """Return the raters' use of the scale, one row per dimension and rater."""
    columns = ["dimension", "rater", "items", "mean", "SD", "levels", "top", "bottom", "ties"]
    table = Grid(columns=columns, names=2, spare=[["levels"], ["bottom"], ["ties"], ["items"]])
    for dimension in comparison.dimensions:
        for use in dimension.use:
            table.add(
                name_of(dimension.name),
                name_of(use.rater),
                f"{use.items:,}",
                number(use.mean),
                number(use.deviation),
                str(use.levels),
                percent(use.ceiling),
                percent(use.floor),
                percent(use.ties),
            )
    return table


def agreement_table(comparison: Comparison) -> Grid:
    """Return the agreement of all judges, one row per dimension."""
    columns = ["dimension", "items", "alpha", "ICC(A,1)", "ICC(C,1)", "ICC(A,k)"]
    table = Grid(columns=columns, spare=[["ICC(A,k)"], ["ICC(C,1)"], ["ICC(A,1)"]])
    for dimension in comparison.dimensions:
        found = dimension.agreement
        if found:
            figures = (found.alpha, found.icc_a1, found.icc_c1, found.icc_ak)
            table.add(name_of(dimension.name), f"{found.items:,}", *map(figure, figures))
    return table


def pair_table(comparison: Comparison) -> Grid:
    """Return the agreement of each pair of judges, one row per dimension and pair."""
    columns = ["dimension", "judges", "rho", "tau-b", "weighted kappa", "difference", "p"]
    table = Grid(columns=columns, names=2, spare=[["tau-b"], ["weighted kappa"]])
    for dimension in comparison.dimensions:
        levels = {(each.first, each.second): each for each in dimension.differences}
        for pair in dimension.agreement.pairs if dimension.agreement else ():
            level = levels[pair.first, pair.second]
            table.add(
                name_of(dimension.name),
                f"{name_of(pair.first)} - {name_of(pair.second)}",
                figure(pair.spearman),
                figure(pair.kendall_tau_b),
                figure(pair.quadratic_kappa),
                figure(level.bias, signed=True),
                chance(level.p),
            )
    return table


def board_table(comparison: Comparison) -> Grid:
    """Return the systems' means and ranks by rater, in the order of the first rater."""
    raters = [name_of(board.rater) for board in comparison.boards]
    columns = [f"system, by {name_of(comparison.main)}", *(part for rater in raters for part in (rater, "rank"))]
    table = Grid(columns=columns)
    for standing in comparison.boards[0].standings:
        cells = []
        for board in comparison.boards:
            own = next(each for each in board.standings if each.system == standing.system)
            cells += [figure(own.means[-1], signed=comparison.main == REWARD), place_of(own.place)]
        table.add(name_of(standing.system), *cells)
    return table


def dispute_lines(disputes: Sequence[Dispute], said: Mapping[tuple[Rated, str, str], str]) -> Iterator[str]:
    """Yield the items that raters disagree on most, each with the scores and rationales of all raters."""
    for dispute in disputes:
        item = dispute.item
        place = ", ".join(filter(None, (one_line(item.system, 30), f"turn {item.turn}" if item.turn else "")))
        yield f"{one_line(item.dialogue_id, 40)}{f' ({place})' if place else ''}, {name_of(dispute.dimension)}:"
        for rater, score in dispute.scores.items():
            rationale = said.get((item, dispute.dimension, rater), "")
            yield f"  {score:g}  {name_of(rater)}" + (f": {one_line(rationale, 160)}" if rationale else "")
