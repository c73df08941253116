"""
Prediction-powered means: what people would have said on average, from a few of them and many judgements.

PPI++ (Angelopoulos, Duchi and Zrnic 2023): unbiased whatever the judge is worth, as long as the labelled items are
a random part of all.
"""

from statistics import NormalDist

import numpy as np

from perm_cli.statistics.resampling import Floats, Statistic, divided, statistic

_LEAST = 2


def powered_mean(labels: Floats, judged: Floats, unlabelled: Floats) -> Statistic:
    """
    Return the mean that people would give, with its 95 % interval.

    `labels` and `judged` are what people and the judge say of the same items, `unlabelled` what the judge says of
    others. How much the judge is listened to is chosen for the narrowest interval.
    """
    if len(labels) < _LEAST or len(unlabelled) < _LEAST:
        return Statistic(
            value=None, why=f"{len(labels)} labelled and {len(unlabelled)} other items, expected 2 of each"
        )
    n, more = len(labels), len(unlabelled)
    everything = np.concatenate((judged, unlabelled))
    spread = everything.var(ddof=1)
    shared = float(np.cov(labels, judged)[0, 1])
    trust = float(np.clip(divided(shared, (1 + n / more) * spread), 0.0, 1.0)) if spread > 0 else 0.0
    value = labels.mean() + trust * (unlabelled.mean() - judged.mean())
    variance = (labels - trust * judged).var(ddof=1) / n + trust**2 * unlabelled.var(ddof=1) / more
    reach = NormalDist().inv_cdf(0.975) * np.sqrt(variance)
    return statistic(value, value - reach, value + reach)
