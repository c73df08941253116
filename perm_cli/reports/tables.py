"""Tables for the terminal. Whatever a dialogue or a judge wrote goes in as plain text, never as markup."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from perm_cli.ratings.spending import Spending
from perm_cli.reports.contrasted import verdict_lines
from perm_cli.reports.figures import counted, decimals_of, name_of, number, percent, span, sparkline, with_scale
from perm_cli.reports.layout import OVER_THE_TURNS, Grid
from perm_cli.rewards.summary import Measure, Summary, SystemSummary, Trajectory
from perm_cli.text import one_line

SHOWN_TRAJECTORIES = 20
_BARS = "▁▂▄▆█"


def summary_table(summary: Summary) -> Grid:
    """Return the systems with their measures, the reward last with its parts above it."""
    several = len({(system.judge, system.settings) for system in summary.systems}) > 1
    about = ["system", *(["judge", "settings"] if several else []), "measure"]
    table = Grid(columns=[*about, "mean", "95 % interval", "coverage"], names=len(about), spare=[])
    for system in summary.systems:
        head = [_name(system), *([name_of(system.judge), system.settings] if several else [])]
        for measure in _shown(system, summary):
            table.add(*head, *_cells(measure), style="bold" if measure.name == "reward" else "")
        if system.measures[-1].coverage < 1:
            table.add(*head, " worst … best", "", f"{system.reward_low:+.3f} … {system.reward_high:+.3f}", "")
    return table


def trajectory_table(trajectories: Sequence[Trajectory], left_out: int = 0) -> RenderableType:
    """Return one line per dialogue: its reward, and how its scores went from turn to turn."""
    over = (one_line(trajectories[0].dimension) if trajectories else "score") + OVER_THE_TURNS
    table = Grid(columns=["dialogue", "system", "reward", over], spare=[[over]])
    for trajectory in trajectories[:SHOWN_TRAJECTORIES]:
        reward = number(trajectory.reward, 3, signed=True)
        table.add(one_line(trajectory.dialogue_id, 40), name_of(trajectory.system), reward, _sparkline(trajectory))
    left = len(trajectories) + left_out - SHOWN_TRAJECTORIES
    return Group(table, Text(f"… and {left:,} more in rewards.jsonl")) if left > 0 else table


def notes(summary: Summary) -> Iterator[str]:
    """Yield what must be known to read the numbers of systems."""
    if any(system.measures[-1].coverage < 1 for system in summary.systems):
        yield "worst … best: what the mean reward would be if all that is missing were worst, or best"
    for contrasts in summary.contrasts:
        yield from verdict_lines(contrasts)
    if summary.contrasts:
        yield from summary.caveats


def closing_lines(summary: Summary, made: Spending | None = None) -> list[str]:
    """
    Return what must be known about the numbers: what is missing and what they cost.

    `made` is what this command made of the ratings; without it, what all of them have cost is said.
    """
    spending = summary.spending
    lines = [spending.sentence(summary.expected)]
    if spending.statuses["truncated"]:
        lines.append("truncated: the tokens were used up before a verdict, as by thinking; --max-tokens gives more")
    there = spending.rated - spending.statuses["skipped"] - (made.rated if made else 0)
    if made and not made.rated and there:
        lines.append(f"all {there:,} ratings were there; 0 calls")
    elif made and there > 0:
        lines.append(f"{there:,} ratings were there; {_use(made, 'the others')}")
    else:
        lines.append(_use(spending, "these ratings"))
    lines.append(f"run: {summary.run}")
    return lines


def _use(spending: Spending, what: str) -> str:
    """Return the calls, tokens and US dollars that ratings cost."""
    tokens = spending.tokens
    cost = "cost unknown" if spending.cost_usd is None else f"{spending.cost_usd:.4f} USD"
    cached = tokens["cached"] / tokens["in"] if tokens["in"] else 0
    from_cache = f", {cached:.0%} of the prompt from cache" if cached else ""
    return (
        f"{tokens['calls']:,} calls for {what}, {tokens['in']:,} tokens in, {tokens['out']:,} out{from_cache}, {cost}"
    )


def _name(system: SystemSummary) -> str:
    return f"{name_of(system.system)} ({counted(system.dialogues, 'dialogue')}, {counted(system.turns, 'turn')})"


def _shown(system: SystemSummary, summary: Summary) -> list[Measure]:
    left_out = set() if summary.recipe.length_penalty else {"length_term"}
    return [measure for measure in system.measures if measure.name not in left_out]


def _cells(measure: Measure) -> tuple[str, str, str, str]:
    decimals, signed = (decimals_of(*measure.scale), False) if measure.scale else (3, True)
    mean = number(measure.mean.value, decimals, signed=signed)
    return _measure_name(measure), mean, span(measure.mean, decimals, signed=signed), percent(measure.coverage)


def _measure_name(measure: Measure) -> str:
    """Return the name of a measure: a dimension with the top of its scale, a part of the reward set off from it."""
    if measure.scale:
        return with_scale(measure.name, measure.scale[1])
    return measure.name if measure.name == "reward" else f" {measure.name.replace('_', ' ')}"


def _sparkline(trajectory: Trajectory) -> str:
    bars = sparkline(trajectory.scores, *trajectory.scale, _BARS)
    ends = [score for score in trajectory.scores if score is not None]
    if not ends:
        return bars
    return f"{bars} {ends[0]:g}" if len(ends) == 1 else f"{bars} {ends[0]:.3g} → {ends[-1]:.3g}"
