"""
Rankings of systems from pairwise comparisons within dialogues.

The model is Davidson's (1970) extension of the Bradley-Terry model to ties: of two systems with strengths a and b, the
first wins with probability a / D and they tie with probability v sqrt(a b) / D, where D = a + b + v sqrt(a b). One
comparison per pair of systems is added as a prior, a third each won, tied and lost, so that a system that never loses
has a finite strength.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from perm_cli.statistics.resampling import Floats, Ints, Resamples, Statistic, divided, percentile_interval, statistic

_ROUNDS = 100  # about ten are needed, and fifty where one system beats 20 others 10,000 to 0
_CLOSE = 1e-10
_EQUAL = 1e-9  # means of the same scores, added up in another order, differ by less
_DIGITS = 9  # rounding error must not order systems whose comparisons are the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """
    One system's place in the ranking.

    `wins`, `ties` and `losses` count comparisons within dialogues. `strength` is the logarithm of Davidson's strength,
    with mean 0 over the systems. `rank` counts from 1, `rank_low` and `rank_high` are its 95 % bootstrap interval, and
    `best` is the share of resamples in which the system ranks first. A system compared with no other has none of them.
    """

    system: str
    wins: int
    ties: int
    losses: int
    strength: Statistic
    rank: int | None
    rank_low: int | None
    rank_high: int | None
    best: float | None


def ranking(systems: Sequence[str], scores: Floats, resamples: Resamples) -> list[Ranked]:
    """Return the systems ranked, best first; `scores` is (dialogue, system), and each dialogue is a cluster."""
    met = _met(scores)
    compared = list(compress(systems, met))
    found = _ranked(compared, scores[:, met], resamples) if compared else []
    alone = [
        Ranked(
            system=system,
            wins=0,
            ties=0,
            losses=0,
            strength=Statistic(value=None, why="compared with no other system"),
            rank=None,
            rank_low=None,
            rank_high=None,
            best=None,
        )
        for system in compress(systems, ~met)
    ]
    return sorted(found + alone, key=lambda each: (each.rank or len(systems) + 1, each.system))


def _ranked(systems: Sequence[str], scores: Floats, resamples: Resamples) -> list[Ranked]:
    size = len(systems)
    wins, ties = comparisons(scores)
    cells = np.hstack((wins.reshape(len(scores), -1), ties.reshape(len(scores), -1)))
    won, tied = _split(cells.sum(axis=0)[None], size)
    fitted = davidson(won, tied)
    drawn = [_strengths(davidson(*_split(weights @ cells, size), start=fitted)) for weights in resamples.weights()]
    strengths = _strengths(fitted)[0]
    resampled = np.vstack(drawn) if drawn else np.empty((0, size))
    low, high = percentile_interval(resampled)
    places = rankdata(-resampled, axis=1, method="min") if drawn else resampled
    ranks = rankdata(-strengths, method="min")
    return [
        Ranked(
            system=system,
            wins=int(won[0, at].sum()),
            ties=int(tied[0, at].sum()),
            losses=int(won[0, :, at].sum()),
            strength=statistic(strengths[at], low[at], high[at], "too few dialogues"),
            rank=int(ranks[at]),
            rank_low=int(np.quantile(places[:, at], 0.025, method="nearest")) if drawn else None,
            rank_high=int(np.quantile(places[:, at], 0.975, method="nearest")) if drawn else None,
            best=float((places[:, at] == 1).mean()) if drawn else None,
        )
        for at, system in enumerate(systems)
    ]


def _met(scores: Floats) -> NDArray[np.bool_]:
    """Return for each system whether it shares a dialogue with another."""
    present = ~np.isnan(scores)
    return np.asarray((present & (present.sum(axis=1, keepdims=True) > 1)).any(axis=0))


def _strengths(fitted: Floats) -> Floats:
    """Return the strengths rounded, so that systems with equal comparisons tie; adding 0.0 turns -0.0 into 0.0."""
    return np.round(fitted[:, :-1], _DIGITS) + 0.0


def comparisons(scores: Floats) -> tuple[Floats, Floats]:
    """Return the wins and the ties of each system over each other, from scores: (dialogue, system, system) each."""
    first, second = scores[:, :, None], scores[:, None, :]
    given = ~np.isnan(first) & ~np.isnan(second)
    equal = given & (np.abs(first - second) <= _EQUAL)
    equal[:, np.arange(scores.shape[1]), np.arange(scores.shape[1])] = False
    return (given & (first > second) & ~equal).astype(float), equal.astype(float)


def davidson(wins: Floats, ties: Floats, *, start: Floats | None = None) -> Floats:
    """
    Return the logarithms of the strengths and, last, of the tie parameter v: (resample, system + 1).

    `wins` and `ties` are (resample, system, system), for two or more systems. The likelihood is maximised by Newton's
    method from `start`, or from equal strengths.
    """
    thirds = (1 - np.eye(wins.shape[1])) / 3
    won, tied = wins + thirds, ties + thirds
    at = np.repeat(np.zeros((1, wins.shape[1] + 1)) if start is None else start, len(wins), axis=0)
    # Newton's steps are damped for a generalised self-concordant function (Sun and Tran-Dinh 2019, nu = 2), so that
    # they converge from any start; `far` bounds the change of any log odds that a full step makes.
    for _ in range(_ROUNDS):
        slope, curvature = _likelihood(at, won, tied)
        step = np.linalg.solve(curvature, slope[:, :, None])[:, :, 0]
        far = 2 * np.abs(step).max(axis=1, keepdims=True)
        at = at + step * np.log1p(far) / np.maximum(far, _CLOSE)
        if far.max() < _CLOSE:
            break
    return at


def _likelihood(at: Floats, won: Floats, tied: Floats) -> tuple[Floats, Floats]:
    """Return the gradient of the log-likelihood, observed minus expected counts, and its negative Hessian."""
    ahead = np.exp((at[:, :-1, None] - at[:, None, :-1]) / 2)
    even = np.exp(at[:, -1])[:, None, None]
    whole = ahead + 1 / ahead + even
    tie, lead = even / whole, (ahead - 1 / ahead) / whole
    games = won + won.transpose(0, 2, 1) + tied
    more_ties = tied - games * tie
    slope = np.concatenate(
        ((won - games * ahead / whole + more_ties / 2).sum(axis=2), more_ties.sum(axis=(1, 2))[:, None] / 2), axis=1
    )
    between = games * (1 - tie - lead**2) / 4
    curvature = np.empty((*slope.shape, slope.shape[1]))
    # Only differences of strengths are identified; adding 1 to every entry fixes their sum and makes this invertible.
    curvature[:, :-1, :-1] = 1 - between + between.sum(axis=2)[:, :, None] * np.eye(won.shape[1])
    curvature[:, -1, :-1] = curvature[:, :-1, -1] = -(games * tie * lead).sum(axis=2) / 2
    curvature[:, -1, -1] = (games * tie * (1 - tie)).sum(axis=(1, 2)) / 2
    return slope, curvature


def _split(cells: Floats, size: int) -> tuple[Floats, Floats]:
    won, tied = np.hsplit(cells, 2)
    return won.reshape(-1, size, size), tied.reshape(-1, size, size)


def kendall_w(ranked: Floats) -> float:
    """
    Return Kendall's coefficient of concordance W, corrected for ties (Kendall and Babington Smith 1939).

    `ranked` is (rater, system), with a value for every system. 1 if all raters rank the systems alike, 0 if their
    rankings cancel out.
    """
    raters, systems = ranked.shape
    if raters < 2 or systems < 2 or np.isnan(ranked).any():  # noqa: PLR2004 - nothing to compare
        return np.nan
    ranks = rankdata(np.round(ranked, _DIGITS), axis=1)
    sums = ranks.sum(axis=0)
    spread = ((sums - sums.mean()) ** 2).sum()
    ties = sum(float((counts**3 - counts).sum()) for counts in map(_tie_sizes, ranks))
    return float(divided(12 * spread, raters**2 * (systems**3 - systems) - raters * ties))


def _tie_sizes(ranks: Floats) -> Ints:
    return np.asarray(np.unique(ranks, return_counts=True)[1])
