"""What a few videos allow to say of a mean: an interval where there are enough of them, otherwise the reason for none.

Frames of a video are near-copies of each other, so videos are what is counted. With few of them intervals lie: a
nominal 95 % bootstrap covers the true mean in .59/.74/.78/.87/.91 of cases with 2/3/4/6/10 videos.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

FEWEST, BOOTSTRAP_FROM = 6, 10  # videos
RESAMPLES = 10_000


def mean_interval(values: Iterable[float], *, level: float = 0.95, seed: int = 0, unit: str = "videos") -> dict:
    """Mean of one value per video with an interval that holds the true mean in `level` (0-1) of cases.

    Returns n, mean, sd (n - 1), interval [low, high] or None, level, method and reason. 6 to 9 values: Student's t,
    mean +- t sd / sqrt(n). From 10 on: percentiles of the means of 10,000 samples of whole videos, drawn with
    replacement by `seed`. Under 6 no interval. Undefined values (None, NaN) are left out; mean and sd are None where
    they are undefined.
    """
    values = _defined(values)
    n = len(values)
    found: dict[str, Any] = {
        "n": n,
        "mean": float(values.mean()) if n else None,
        "sd": float(values.std(ddof=1)) if n > 1 else None,
        "interval": None,
        "level": level,
        "method": None,
        "reason": None,
    }
    if n < FEWEST:
        found["reason"] = f"no interval: {n} {unit}, and under {FEWEST} an interval covers too seldom"
        return found
    if n < BOOTSTRAP_FROM:
        from scipy.stats import t

        half = float(t.ppf((1 + level) / 2, n - 1)) * found["sd"] / n**0.5
        return {**found, "interval": [found["mean"] - half, found["mean"] + half], "method": f"t, {n} {unit}"}
    draws = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    ends = np.percentile(values[draws].mean(1), [50 * (1 - level), 50 * (1 + level)])
    return {**found, "interval": [float(end) for end in ends], "method": f"bootstrap of {n} whole {unit}"}


def signed_rank(differences: Iterable[float]) -> dict[str, Any]:
    """Wilcoxon's signed-rank test of paired differences, two-sided (SciPy's).

    Returns n (pairs that differ: zeros are left out, as Wilcoxon did), p, and smallest: the least p that n pairs can
    give, 2 / 2^n, whatever the values (.25 with 3 pairs, .0625 with 5). p and smallest are None where no pair differs.
    """
    from scipy.stats import wilcoxon

    values = _defined(differences)
    values = values[values != 0]
    n = len(values)
    if not n:
        return {"n": 0, "p": None, "smallest": None}
    return {"n": n, "p": float(wilcoxon(values).pvalue), "smallest": 2.0 ** (1 - n)}


def _defined(values: Iterable[float]) -> np.ndarray:
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    return numbers[~np.isnan(numbers)]
