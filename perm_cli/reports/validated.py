"""A validation as sentences and tables: the human ceiling first, then the judges beside it."""

from collections.abc import Iterator, Sequence

from perm_cli.comparing.against_people import LEAST_ALPHA, DimensionValidation, Levels, Validity
from perm_cli.dialogues.features import SAYS
from perm_cli.judges.routes import is_control
from perm_cli.reports.figures import figure, name_of, number, percent
from perm_cli.reports.layout import Grid
from perm_cli.statistics.replacement import Replacement

_FEW_LABELS, _MANY_LABELS = 50, 400  # half-widths of rho: 0.23 and 0.08
_BETTER = 0.2


def ceiling_table(validations: Sequence[DimensionValidation]) -> Grid:
    """Return how far people agree, a line a dimension."""
    columns = ["dimension", "people", "items", "alpha", "ICC(A,1)", "left-out rho"]
    table = Grid(columns=columns, spare=[["ICC(A,1)"], ["left-out rho"]])
    for each in validations:
        ceiling = each.ceiling
        figures = (figure(ceiling.alpha), figure(ceiling.icc_a1), number(ceiling.left_out))
        table.add(_human(each), str(len(ceiling.people)), f"{ceiling.items:,}", *figures)
    return table


def rank_table(validations: Sequence[DimensionValidation]) -> Grid:
    """Return how judges order what people have ordered."""
    columns = ["dimension", "judge", "items", "rho", "left-out rho", "tau-b", "within", "systems"]
    pairs = ["right", "tied", "wrong"]
    spare = [["tau-b"], ["within"], ["left-out rho"], pairs, ["systems"], ["items"]]
    table = Grid(columns=[*columns, *pairs], names=2, spare=spare)
    for each in validations:
        for judge in each.judges:
            table.add(_title(each), *_order(each, judge))
        for name, rho in each.counting.items():
            table.add(_title(each), f"({SAYS[name]})", "", number(rho), *[""] * 7)
    return table


def _order(each: DimensionValidation, judge: Validity) -> list[str]:
    pairs = judge.pairs
    return [
        name_of(judge.rater),
        f"{judge.items:,}",
        figure(judge.rho),
        number(each.ceiling.judge_left_out.get(judge.rater)),
        figure(judge.tau_b),
        number(judge.within),
        number(judge.systems.value),
        *((percent(pairs.right), percent(pairs.tied), percent(pairs.wrong)) if pairs else ("-",) * 3),
    ]


def level_table(validations: Sequence[DimensionValidation]) -> Grid:
    """Return how near judges come to people's numbers, as they are and after calibration on other dialogues."""
    columns = ["dimension", "judge", "kappa", "error", "level", "annotator test"]
    after = ["calibrated kappa", "calibrated error", "calibrated test"]
    table = Grid(columns=[*columns, *after], names=2, spare=[after[:1], after, ["annotator test"]])
    for each in validations:
        for judge in each.judges:
            table.add(
                _title(each),
                name_of(judge.rater),
                *_levels(judge.levels),
                _level(judge.levels),
                _passed(each, judge.replacement),
                *_levels(judge.calibrated),
                _passed(each, judge.replacement_calibrated),
            )
    return table


def powered_table(validations: Sequence[DimensionValidation]) -> Grid | None:
    """Return the means of systems as people would give them, None if they rated everything or nothing."""
    rows = [(each, judge) for each in validations for judge in each.judges if judge.powered]
    if not rows:
        return None
    columns = ["dimension", "judge", "system", "judge's mean", "people's, from both"]
    table = Grid(columns=columns, names=3, spare=[["judge's mean"]])
    for each, judge in rows:
        for system, (mean, powered) in judge.powered.items():
            table.add(_title(each), name_of(judge.rater), name_of(system), number(mean), figure(powered))
    return table


def findings(validations: Sequence[DimensionValidation]) -> Iterator[str]:
    """Yield what the validation comes to."""
    for _, sentences in titled_findings(validations):
        yield from sentences


def titled_findings(validations: Sequence[DimensionValidation]) -> Iterator[tuple[str, list[str]]]:
    """Yield what the validation comes to, a title and its sentences for each dimension, and what it rests on."""
    for each in validations:
        yield f"Judges against people on {_title(each)}", list(_on_dimension(each))
    closing = "Nothing here says how a judge does on other people, languages or kinds of talk than these."
    yield "What that rests on", [*_on_counts(validations), closing]


def _on_dimension(each: DimensionValidation) -> Iterator[str]:
    yield from _on_ceiling(each)
    if not each.ceiling.usable:
        return
    for judge in each.judges:
        yield from _on_judge(each, judge)
    if each.constant.passed:
        yield f"On {_human(each)} the annotator test says little: a score that is always the same passes too."


def _on_counts(validations: Sequence[DimensionValidation]) -> Iterator[str]:
    judges = [judge for each in validations for judge in each.judges]
    items = min((judge.items for judge in judges if judge.items), default=_MANY_LABELS)
    if items < _FEW_LABELS:
        yield f"{items} {'item is' if items == 1 else 'items are'} too few to tell a good judge from a poor one."
    elif items < _MANY_LABELS:
        yield f"{items} items tell a good judge from a poor one, but hardly one good judge from another."
    if judges and not any(each.counting for each in validations):
        yield "Whether a judge beats word counting is not said here: run folders hold the texts that takes."
    if any(judge.powered for judge in judges):
        yield "People's means from both hold if the labelled replies were picked at random."


def _on_ceiling(each: DimensionValidation) -> Iterator[str]:
    ceiling = each.ceiling
    if len(ceiling.people) == 1:
        yield f"{_human(each)} was rated by one person, so how far people agree is not known."
    elif ceiling.alpha.value is None:
        yield f"How far people agree on {_human(each)} is not known: {ceiling.alpha.why}."
    elif not ceiling.usable:
        yield (
            f"On {_human(each)} people agree too little to hold a judge against them (alpha {figure(ceiling.alpha)}, "
            f"expected {LEAST_ALPHA:g}): no verdict."
        )
    else:
        known = ceiling.left_out is not None
        rho = f"; one of them with the mean of the others: rho {number(ceiling.left_out)}" if known else ""
        yield f"On {_human(each)} people agree with alpha {figure(ceiling.alpha)}{rho}."


def _on_judge(each: DimensionValidation, judge: Validity) -> Iterator[str]:
    name, place = name_of(judge.rater), _title(each)
    if judge.rho.value is None:
        yield f"{name} says nothing on {place}: {judge.rho.why}."
        return
    beside = each.ceiling.judge_left_out.get(judge.rater)
    people = each.ceiling.left_out
    against = (
        f"; with the mean of all people but one {number(beside)}, where that one reaches {number(people)}"
        if beside is not None and people is not None
        else ""
    )
    yield f"{name} orders replies on {place} with rho {figure(judge.rho)}{against}."
    if judge.systems.value is not None and not judge.told_apart:
        yield f"  It cannot tell these systems apart, so how it ranks {judge.systems.why} says nothing."
    elif judge.systems.value is not None and judge.systems.value - judge.rho.value > _BETTER:
        better = f"{number(judge.systems.value)} over {judge.systems.why} against {number(judge.rho.value)}"
        yield f"  It ranks systems better than replies: {better}."
    if judge.pairs:
        yield (
            f"  Of the pairs of replies that people tell apart it ties {percent(judge.pairs.tied)} and "
            f"turns {percent(judge.pairs.wrong)} round."
        )
    yield from _on_counting(each, judge)
    yield from _on_level(judge)


def _on_counting(each: DimensionValidation, judge: Validity) -> Iterator[str]:
    if each.best_count is None:
        return
    what = SAYS[each.best_count]
    if is_control(judge.rater.split(" (")[0]):
        yield "  It counts words itself, and is here for comparison."
    elif judge.beats_counting:
        yield f"  It beats counting ({what}) by {figure(judge.over_counting)}."
    else:
        alone = number(abs(each.counting[each.best_count] or 0.0))
        yield f"  It is not shown to beat word counting: {what} alone gives {alone}."


def _on_level(judge: Validity) -> Iterator[str]:
    raw, after = judge.replacement, judge.replacement_calibrated
    if judge.levels and judge.levels.bias is not None and abs(judge.levels.bias) > _BETTER:
        way = "higher" if judge.levels.bias > 0 else "lower"
        yield f"  It scores {number(abs(judge.levels.bias))} {way} than people."
    if after.winning_rate is not None:
        before = "" if raw.winning_rate is None else f"{_verdict(raw)} as it is, "
        yield f"  Alternative annotator test: {before}{_verdict(after)} after calibration on other dialogues."


def _verdict(test: Replacement) -> str:
    return f"{'passes' if test.passed else 'fails'} ({percent(test.winning_rate)} of people beaten)"


def _passed(each: DimensionValidation, test: Replacement) -> str:
    verdict = ("pass" if test.passed else "fail") if each.ceiling.usable else "of little worth"
    return "-" if test.winning_rate is None else f"{percent(test.winning_rate)} {verdict}"


def _levels(levels: Levels | None) -> tuple[str, str]:
    return (number(levels.kappa), number(levels.error)) if levels else ("-", "-")


def _level(levels: Levels | None) -> str:
    return number(levels.bias, signed=True) if levels else "-"


def _human(each: DimensionValidation) -> str:
    return name_of(each.human)


def _title(each: DimensionValidation) -> str:
    if each.judged == each.human:
        return name_of(each.judged)
    return f"{name_of(each.judged)} ~ {'less ' if each.sign < 0 else ''}{name_of(each.human)}"
