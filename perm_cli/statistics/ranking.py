"""
Rankings of systems from comparisons within dialogues.

Davidson's (1970) extension of Bradley and Terry's model to ties: of two systems with strengths a and b, the first
wins with chance a / D, they tie with v sqrt(a b) / D, where D = a + b + v sqrt(a b). One tie more than there was is
counted for every pair of systems, so that one that never loses has a strength too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from perm_cli.statistics.resampling import Floats, Ints, Resamples, Statistic, divided, percentile_interval, statistic

_ROUNDS = 5000
_DRAWN_ROUNDS = 300
_CLOSE = 1e-12
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """
    Hold a system's place.

    `strength` is the logarithm of Davidson's, with mean 0 over the systems; `rank` counts from 1, and `best` is the
    share of resamples in which the system is first.
    """

    system: str
    wins: int
    ties: int
    losses: int
    strength: Statistic
    rank: int
    rank_low: int | None
    rank_high: int | None
    best: float | None


def ranking(systems: Sequence[str], scores: Floats, resamples: Resamples) -> list[Ranked]:
    """Rank systems, best first; `scores` has a row a dialogue, which is a cluster, and a column a system."""
    size = len(systems)
    wins, ties = comparisons(scores)
    cells = np.hstack((wins.reshape(len(scores), -1), ties.reshape(len(scores), -1)))
    total = cells.sum(axis=0)[None]
    strengths, tie = davidson(*_split(total, size))
    drawn = [
        davidson(*_split(weights @ cells, size), start=(strengths, tie), rounds=_DRAWN_ROUNDS)[0]
        for weights in resamples.weights()
    ]
    resampled = np.vstack(drawn) if drawn else np.empty((0, size))
    low, high = percentile_interval(resampled) if drawn else (np.full(size, np.nan), np.full(size, np.nan))
    places = rankdata(-resampled, axis=1, method="min") if drawn else resampled
    ranks = rankdata(-strengths[0], method="min")
    won, tied = _split(total, size)
    found = [
        Ranked(
            system=system,
            wins=int(won[0, at].sum()),
            ties=int(tied[0, at].sum()),
            losses=int(won[0, :, at].sum()),
            strength=statistic(strengths[0, at], low[at], high[at], "too few dialogues"),
            rank=int(ranks[at]),
            rank_low=int(np.quantile(places[:, at], 0.025, method="nearest")) if drawn else None,
            rank_high=int(np.quantile(places[:, at], 0.975, method="nearest")) if drawn else None,
            best=float((places[:, at] == 1).mean()) if drawn else None,
        )
        for at, system in enumerate(systems)
    ]
    return sorted(found, key=lambda each: (each.rank, each.system))


def comparisons(scores: Floats) -> tuple[Floats, Floats]:
    """Return who beats whom and who ties with whom, of the systems with a score: (dialogue, system, system) each."""
    first, second = scores[:, :, None], scores[:, None, :]
    given = ~np.isnan(first) & ~np.isnan(second)
    equal = given & (np.abs(first - second) <= _EQUAL)
    equal[:, np.arange(scores.shape[1]), np.arange(scores.shape[1])] = False
    return (given & (first > second) & ~equal).astype(float), equal.astype(float)


def davidson(
    wins: Floats, ties: Floats, *, start: tuple[Floats, Floats] | None = None, rounds: int = _ROUNDS
) -> tuple[Floats, Floats]:
    """
    Return the logarithms of the strengths, (resample, system), and of the tie parameter, (resample, 1).

    `wins` and `ties` are (resample, system, system). The likelihood is climbed by iterative scaling (Darroch and
    Ratcliff 1972), which needs no step size and always ends at the top.
    """
    size = wins.shape[1]
    off = ~np.eye(size, dtype=bool)
    tied = ties + off
    games = wins + wins.transpose(0, 2, 1) + tied
    won = wins.sum(axis=2) + tied.sum(axis=2) / 2
    ties_seen = tied.sum(axis=(1, 2), keepdims=False)[:, None] / 2
    played = games.sum(axis=(1, 2))[:, None] / 2
    strengths, tie = start or (np.zeros((1, size)), np.zeros((1, 1)))
    strengths, tie = np.repeat(strengths, len(wins), axis=0), np.repeat(tie, len(wins), axis=0)
    for _ in range(rounds):
        power = np.exp(strengths)
        half = np.exp(tie)[:, :, None] * np.sqrt(power[:, :, None] * power[:, None, :])
        whole = power[:, :, None] + power[:, None, :] + half
        expected = (games * (power[:, :, None] + half / 2) / whole * off).sum(axis=2)
        expected_ties = (games * half / whole * off).sum(axis=(1, 2))[:, None] / 2
        step = np.log(divided(won, expected)) / 2
        tie_step = (np.log(divided(ties_seen, expected_ties)) - np.log(_rest(played, ties_seen, expected_ties))) / 2
        strengths = strengths + step
        strengths -= strengths.mean(axis=1, keepdims=True)
        tie = tie + tie_step
        if max(np.nanmax(np.abs(step), initial=0.0), np.nanmax(np.abs(tie_step), initial=0.0)) < _CLOSE:
            break
    return strengths, tie


def _rest(played: Floats, seen: Floats, expected: Floats) -> Floats:
    """Compare the games that were decided with those expected to be; where none was, nothing is to be learned."""
    decided = played - seen
    return np.where(decided > 0, divided(decided, played - expected), 1.0)


def _split(cells: Floats, size: int) -> tuple[Floats, Floats]:
    won, tied = np.hsplit(cells, 2)
    return won.reshape(-1, size, size), tied.reshape(-1, size, size)


def kendall_w(ranked: Floats) -> float:
    """
    Return Kendall's W of raters (rows) that each give every system (columns) a value, with ties corrected.

    1 if all raters rank the systems alike, 0 if they have nothing in common.
    """
    raters, systems = ranked.shape
    if raters < 2 or systems < 2 or np.isnan(ranked).any():  # noqa: PLR2004 - nothing to compare
        return np.nan
    ranks = rankdata(ranked, axis=1)
    sums = ranks.sum(axis=0)
    spread = ((sums - sums.mean()) ** 2).sum()
    ties = sum(float((counts**3 - counts).sum()) for counts in map(_tie_sizes, ranks))
    return float(divided(12 * spread, raters**2 * (systems**3 - systems) - raters * ties))


def _tie_sizes(ranks: Floats) -> Ints:
    return np.asarray(np.unique(ranks, return_counts=True)[1])
