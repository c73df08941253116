"""
Prediction-powered means: people's mean score, estimated from a few labels and many judgements.

The estimator is PPI++ (Angelopoulos, Duchi and Zrnic 2023, arXiv 2311.01453). It is unbiased however good the judge
is, provided that the labelled items are a random sample of all items.
"""

from statistics import NormalDist

import numpy as np

from perm_cli.statistics.resampling import Floats, Statistic, divided, statistic

_LEAST = 2  # a variance needs as many


def powered_mean(labels: Floats, judged: Floats, unlabelled: Floats) -> Statistic:
    """
    Return people's estimated mean score with its 95 % interval (normal approximation).

    `labels` and `judged` are the scores of people and of the judge for the same items, `unlabelled` the judge's scores
    of other items. The weight of the judge (lambda of PPI++) is the one that minimises the variance.
    """
    if len(labels) < _LEAST or len(unlabelled) < _LEAST:
        return Statistic(
            value=None,
            why=f"{len(labels)} labelled and {len(unlabelled)} unlabelled items found, expected 2 or more of each",
        )
    n, more = len(labels), len(unlabelled)
    everything = np.concatenate((judged, unlabelled))
    spread = everything.var(ddof=1)  # over all items, where it is steadier than over the few labelled ones
    shared = float(np.cov(labels, judged)[0, 1])
    # Clipped: a judge that correlates negatively with people by chance must not be subtracted.
    weight = float(np.clip(divided(shared, (1 + n / more) * spread), 0.0, 1.0)) if spread > 0 else 0.0
    value = labels.mean() + weight * (unlabelled.mean() - judged.mean())
    variance = (labels - weight * judged).var(ddof=1) / n + weight**2 * unlabelled.var(ddof=1) / more
    reach = NormalDist().inv_cdf(0.975) * np.sqrt(variance)
    return statistic(value, value - reach, value + reach)
