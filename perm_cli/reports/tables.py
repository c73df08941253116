"""Tables and closing lines for the terminal; text from dialogues and judges is plain text, never markup."""

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
    """Return one row per system and measure; the reward comes last, below its parts."""
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
    """Return one row per dialogue, with its reward and its scores turn by turn as a sparkline."""
    over = (one_line(trajectories[0].dimension) if trajectories else "score") + OVER_THE_TURNS
    table = Grid(columns=["dialogue", "system", "reward", over], spare=[[over]])
    for trajectory in trajectories[:SHOWN_TRAJECTORIES]:
        reward = number(trajectory.reward, 3, signed=True)
        table.add(one_line(trajectory.dialogue_id, 40), name_of(trajectory.system), reward, _sparkline(trajectory))
    left = len(trajectories) + left_out - SHOWN_TRAJECTORIES
    return Group(table, Text(f"… and {left:,} more in rewards.jsonl")) if left > 0 else table


def notes(summary: Summary) -> Iterator[str]:
    """Yield the remarks needed to read the table of systems."""
    if any(system.measures[-1].coverage < 1 for system in summary.systems):
        yield "worst … best: the mean reward if every missing score were the worst, or the best, possible"
    for contrasts in summary.contrasts:
        yield from verdict_lines(contrasts)
    if summary.contrasts:
        yield from summary.caveats


def closing_lines(summary: Summary, made: Spending | None = None) -> list[str]:
    """
    Return the lines on missing ratings, cost and the run folder.

    `made` is the spending of this command; without it, the spending of all ratings is given.
    """
    spending = summary.spending
    lines = [spending.sentence(summary.expected)]
    if spending.statuses["truncated"]:
        lines.append("truncated: the token limit was reached before a verdict, often by thinking; raise --max-tokens")
    there = spending.rated - spending.statuses["skipped"] - (made.rated if made else 0)
    if made and not made.rated and there:
        lines.append(f"all {there:,} ratings existed already; 0 calls")
    elif made and there > 0:
        lines.append(f"{there:,} ratings existed already; {_use(made, 'the others')}")
    else:
        lines.append(_use(spending, "these ratings"))
    lines.append(f"run: {summary.run}")
    return lines


def _use(spending: Spending, what: str) -> str:
    """Return the calls, tokens and cost in US dollars of ratings, as text."""
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
    """Return the name of a measure: dimensions with the top of their scale, parts of the reward indented."""
    if measure.scale:
        return with_scale(measure.name, measure.scale[1])
    return measure.name if measure.name == "reward" else f" {measure.name.replace('_', ' ')}"


def _sparkline(trajectory: Trajectory) -> str:
    bars = sparkline(trajectory.scores, *trajectory.scale, _BARS)
    ends = [score for score in trajectory.scores if score is not None]
    if not ends:
        return bars
    return f"{bars} {ends[0]:g}" if len(ends) == 1 else f"{bars} {ends[0]:.3g} → {ends[-1]:.3g}"
