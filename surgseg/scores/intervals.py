"""Intervals and tests of a mean over a few videos.

Frames of a video are near-copies of each other, so the video is the unit. At a nominal 95 % Student's t covers the true
mean of per-video values in .93-.95 of cases with 6 to 30 videos (20,000 draws of normal, Beta(8, 2) and paired Beta
values); percentiles of a bootstrap of whole videos cover .84-.86 with 6, .89-.90 with 10, .92 with 17.

Where single videos fail, both cover less: t .77/.74/.75/.84/.90 with 6/8/10/17/30 videos, if one in ten scores .2 to .6
instead of .85 +- .05, and .61/.63/.66/.83/.90 if that one scores 0 to .4.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

FEWEST = 6  # videos from which there is an interval
LEVEL = 0.95
_EXACT = 13  # pairs up to which the test tries all 2^n signs
CAUTION = (
    "Student's t intervals over 6 to 10 videos are too narrow where single videos fail: if one in ten does, they cover "
    "the true mean in 60 to 80 % of cases, not 95 %."
)


def mean_interval(values: Iterable[float]) -> dict:
    """Return the mean of one value per video, and Student's t interval of it: mean +- t sd / sqrt(n).

    Returns n, mean, sd (n - 1), interval [low, high] or None, level, method and reason. Under `FEWEST` values: no
    interval. None and NaN are left out. Undefined mean and sd are None.
    """
    values = _defined(values)
    n = len(values)
    found: dict[str, Any] = {
        "n": n,
        "mean": float(values.mean()) if n else None,
        "sd": float(values.std(ddof=1)) if n > 1 else None,
        "interval": None,
        "level": LEVEL,
        "method": None,
        "reason": None,
    }
    if n < FEWEST:
        found["reason"] = f"no interval: {n} videos; with fewer than {FEWEST} an interval is not reliable"
        return found
    from scipy.stats import t

    half = float(t.ppf((1 + LEVEL) / 2, n - 1)) * found["sd"] / n**0.5
    return {**found, "interval": [found["mean"] - half, found["mean"] + half], "method": f"Student's t, {n} videos"}


def signed_rank(differences: Iterable[float]) -> dict[str, Any]:
    """Return Wilcoxon's signed-rank test of paired differences, two-sided (SciPy's).

    Returns n (pairs that differ: zeros are left out, as Wilcoxon did), p, and smallest: the smallest p that is possible
    with n pairs, 2 / 2^n (.25 with 3 pairs, .0625 with 5). p and smallest are None if no pair differs.
    """
    from scipy.stats import PermutationMethod, wilcoxon

    values = _defined(differences)
    values = values[values != 0]
    n = len(values)
    if not n:
        return {"n": 0, "p": None, "smallest": None}
    # all signs, where they are few: SciPy before 1.15 is not exact for differences of equal size
    method = PermutationMethod(n_resamples=2**n) if 1 < n <= _EXACT else "auto"
    return {"n": n, "p": float(wilcoxon(values, method=method).pvalue), "smallest": 2.0 ** (1 - n)}


def _defined(values: Iterable[float]) -> np.ndarray:
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    return numbers[~np.isnan(numbers)]
