"""A validation as sentences and tables: agreement between people first, then the judges compared with them."""

from collections.abc import Iterator, Sequence

from perm_cli.comparing.against_people import LEAST_ALPHA, DimensionValidation, Levels, Validity
from perm_cli.dialogues.features import DESCRIPTIONS
from perm_cli.judges.routes import is_control
from perm_cli.reports.figures import figure, name_of, number, percent
from perm_cli.reports.layout import Grid
from perm_cli.statistics.replacement import Replacement

_FEW_LABELS, _MANY_LABELS = 50, 400  # the 95 % interval of a rho of 0.5 is then ± 0.23 and ± 0.08
_BETTER = 0.2


def ceiling_table(validations: Sequence[DimensionValidation]) -> Grid:
    """Return the agreement of people, one row per dimension."""
    columns = ["dimension", "people", "items", "alpha", "ICC(A,1)", "left-out rho"]
    table = Grid(columns=columns, spare=[["ICC(A,1)"], ["left-out rho"]])
    for each in validations:
        ceiling = each.ceiling
        figures = (figure(ceiling.alpha), figure(ceiling.icc_a1), number(ceiling.left_out))
        table.add(_human(each), str(len(ceiling.people)), f"{ceiling.items:,}", *figures)
    return table


def rank_table(validations: Sequence[DimensionValidation]) -> Grid:
    """Return the judges' rank agreement with people, one row per dimension and judge, and one per counted feature."""
    columns = ["dimension", "judge", "items", "rho", "left-out rho", "tau-b", "within", "systems"]
    pairs = ["right", "tied", "wrong"]
    spare = [["tau-b"], ["within"], ["left-out rho"], pairs, ["systems"], ["items"]]
    table = Grid(columns=[*columns, *pairs], names=2, spare=spare)
    for each in validations:
        for judge in each.judges:
            table.add(_title(each), *_order(each, judge))
        # Below the judges, in brackets: they are no judges, but what a judge has to beat.
        for name, rho in each.counting.items():
            table.add(_title(each), f"({DESCRIPTIONS[name]})", "", number(rho), *[""] * 7)
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
    """Return the judges' absolute agreement with people before and after calibration on other dialogues."""
    columns = ["dimension", "judge", "kappa", "MAE", "bias", "annotator test"]
    after = ["calibrated kappa", "calibrated MAE", "calibrated test"]
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
    """Return the prediction-powered means of systems, None if people rated all replies or none."""
    rows = [(each, judge) for each in validations for judge in each.judges if judge.powered]
    if not rows:
        return None
    columns = ["dimension", "judge", "system", "judge's mean", "people's mean (PPI++)"]
    table = Grid(columns=columns, names=3, spare=[["judge's mean"]])
    for each, judge in rows:
        for system, (mean, powered) in judge.powered.items():
            table.add(_title(each), name_of(judge.rater), name_of(system), number(mean), figure(powered))
    return table


def findings(validations: Sequence[DimensionValidation]) -> Iterator[str]:
    """Yield the validation in sentences."""
    for _, sentences in titled_findings(validations):
        yield from sentences


def titled_findings(validations: Sequence[DimensionValidation]) -> Iterator[tuple[str, list[str]]]:
    """Yield a title and sentences for each dimension, and last the limits of the results."""
    for each in validations:
        yield f"Judges against people on {_title(each)}", list(_on_dimension(each))
    closing = "These results may not hold for other raters, languages or kinds of conversation."
    yield "Limits of these results", [*_on_counts(validations), closing]


def _on_dimension(each: DimensionValidation) -> Iterator[str]:
    yield from _on_ceiling(each)
    if not each.ceiling.usable:
        return
    for judge in each.judges:
        yield from _on_judge(each, judge)
    if each.constant.passed:
        yield f"On {_human(each)} the annotator test is not informative: a constant score passes it too."


def _on_counts(validations: Sequence[DimensionValidation]) -> Iterator[str]:
    judges = [judge for each in validations for judge in each.judges]
    items = min((judge.items for judge in judges if judge.items), default=_MANY_LABELS)
    if items < _FEW_LABELS:
        yield f"{items} {'item is' if items == 1 else 'items are'} too few to tell a good judge from a poor one."
    elif items < _MANY_LABELS:
        yield f"{items} items can tell a good judge from a poor one, but hardly two good judges from each other."
    if judges and not any(each.counting for each in validations):
        yield "The judges are not compared with word counting: that needs the texts, so pass run folders."
    if any(judge.powered for judge in judges):
        yield "People's means (PPI++) are unbiased only if the labelled replies are a random sample."


def _on_ceiling(each: DimensionValidation) -> Iterator[str]:
    ceiling = each.ceiling
    if len(ceiling.people) == 1:
        yield f"{_human(each)} was rated by one person, so agreement between people is unknown."
    elif ceiling.alpha.value is None:
        yield f"Agreement between people on {_human(each)} is unknown: {ceiling.alpha.why}."
    elif not ceiling.usable:
        yield (
            f"On {_human(each)} people agree too little for a verdict on any judge (alpha {figure(ceiling.alpha)}, "
            f"expected {LEAST_ALPHA:g} or more)."
        )
    else:
        known = ceiling.left_out is not None
        rho = f"; each with the mean of the others: rho {number(ceiling.left_out)} on average" if known else ""
        yield f"On {_human(each)} people agree with alpha {figure(ceiling.alpha)}{rho}."


def _on_judge(each: DimensionValidation, judge: Validity) -> Iterator[str]:
    name, place = name_of(judge.rater), _title(each)
    if judge.rho.value is None:
        yield f"{name} cannot be validated on {place}: {judge.rho.why}."
        return
    beside = each.ceiling.judge_left_out.get(judge.rater)
    people = each.ceiling.left_out
    against = (
        f"; against the mean of all people but one it reaches {number(beside)}, the person left out {number(people)}"
        if beside is not None and people is not None
        else ""
    )
    yield f"{name} ranks replies on {place} with rho {figure(judge.rho)}{against}."
    if judge.systems.value is not None and not judge.told_apart:
        yield f"  It cannot tell these systems apart, so its ranking of {judge.systems.why} is not informative."
    elif judge.systems.value is not None and judge.systems.value - judge.rho.value > _BETTER:
        better = f"rho {number(judge.systems.value)} over {judge.systems.why} against {number(judge.rho.value)}"
        yield f"  It ranks systems better than replies: {better}."
    if judge.pairs:
        yield (
            f"  Of the pairs of replies that people rate differently, it ties {percent(judge.pairs.tied)} and "
            f"reverses {percent(judge.pairs.wrong)}."
        )
    yield from _on_counting(each, judge)
    yield from _on_level(judge)


def _on_counting(each: DimensionValidation, judge: Validity) -> Iterator[str]:
    if each.best_count is None:
        return
    what = DESCRIPTIONS[each.best_count]
    if is_control(judge.rater.split(" (")[0]):
        yield "  It only counts words, and is included as a control."
    elif judge.beats_counting:
        yield f"  It beats counting ({what}) by {figure(judge.over_counting)} in rho."
    else:
        alone = number(abs(each.counting[each.best_count] or 0.0))
        yield f"  It is not shown to beat word counting: {what} alone reaches rho {alone}."


def _on_level(judge: Validity) -> Iterator[str]:
    raw, after = judge.replacement, judge.replacement_calibrated
    if judge.levels and judge.levels.bias is not None and abs(judge.levels.bias) > _BETTER:
        way = "higher" if judge.levels.bias > 0 else "lower"
        yield f"  On average it scores {number(abs(judge.levels.bias))} {way} than people."
    if after.winning_rate is not None:
        before = "" if raw.winning_rate is None else f"{_verdict(raw)} before calibration, "
        yield f"  Alternative annotator test: {before}{_verdict(after)} after calibration on other dialogues."


def _verdict(test: Replacement) -> str:
    return f"{'passes' if test.passed else 'fails'} ({percent(test.winning_rate)} of people beaten)"


def _passed(each: DimensionValidation, test: Replacement) -> str:
    verdict = ("pass" if test.passed else "fail") if each.ceiling.usable else "inconclusive"
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
