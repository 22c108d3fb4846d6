"""Intervals, tests and effect sizes of a mean over a few videos, and the stability of a ranking by it.

Frames of a video are near-copies of each other, so the video is the unit. At a nominal 95 % Student's t covers the true
mean of per-video values in .93-.95 of cases with 6 to 30 videos (20,000 draws of normal, Beta(8, 2) and paired Beta
values); percentiles of a bootstrap of whole videos cover .84-.86 with 6, .89-.90 with 10, .92 with 17.

Where single videos fail, both cover less: t .77/.74/.75/.84/.90 with 6/8/10/17/30 videos, if one in ten scores .2 to .6
instead of .85 +- .05, and .61/.63/.66/.83/.90 if that one scores 0 to .4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

FEWEST = 6  # videos from which there is an interval
LEVEL = 0.95
RESAMPLES = 10_000  # of the videos, for the ranks
_EXACT = 13  # pairs up to which the test tries all 2^n signs
_DIGITS = 12  # equal differences of scores are equal up to these decimals
CAUTION = (
    "Student's t intervals over 6 to 10 videos are too narrow where single videos fail: if one in ten does, they cover "
    "the true mean in 60 to 80 % of cases, not 95 %."
)
RANK_CAUTION = (
    "A share is no p value: of two equally good models, one is first in at least 95 % of such samples in 19 % of cases "
    "with 6 videos, 16 % with 10, 12 % with 30."
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

    values = _differing(differences)
    n = len(values)
    if not n:
        return {"n": 0, "p": None, "smallest": None}
    # all signs, where they are few: SciPy before 1.15 is not exact for differences of equal size
    method = PermutationMethod(n_resamples=2**n) if 1 < n <= _EXACT else "auto"
    return {"n": n, "p": float(wilcoxon(values, method=method).pvalue), "smallest": 2.0 ** (1 - n)}


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return Holm's adjusted p values of a family of tests (Holm 1979, Scandinavian Journal of Statistics 6).

    The i-th smallest of m values is multiplied by m - i + 1; none is less than the one before it, or more than 1. An
    undefined test (None) counts in m, since it was asked too, and stays None.
    """
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    for before, (p, index) in enumerate(known):
        largest = min(1.0, max(largest, (len(p_values) - before) * p))
        adjusted[index] = largest
    return adjusted


def paired_effect(differences: Iterable[float]) -> dict[str, float | None]:
    """Return two effect sizes of paired differences: d_z and rank_biserial, both positive if the differences are.

    d_z is mean / SD (n - 1), zeros too (Cohen 1988; Lakens 2013, doi:10.3389/fpsyg.2013.00863); None if the SD is 0.
    rank_biserial, -1 to 1, is that of matched pairs: the sizes of the n differences that are not 0 are ranked, equal
    ones share their mean rank, and it is the sum of the ranks of the positive ones less that of the negative ones,
    divided by n (n + 1) / 2 (Kerby 2014, doi:10.2466/11.IT.3.1); None if none differs. Both are None with fewer than 2
    values.
    """
    from scipy.stats import rankdata

    values, differing = _defined(differences).round(_DIGITS), _differing(differences)
    if len(values) < 2:
        return {"d_z": None, "rank_biserial": None}
    sd, ranks = float(values.std(ddof=1)), rankdata(np.abs(differing))
    return {
        "d_z": float(values.mean()) / sd if sd > 10.0**-_DIGITS else None,
        "rank_biserial": float(np.sign(differing) @ ranks / ranks.sum()) if len(ranks) else None,
    }


def rank_shares(scores: np.ndarray) -> dict[str, Any]:
    """Return how often each of k models has each rank if other videos are drawn: (n videos, k models), more is better.

    A bootstrap of whole videos (after Wiesenfarth et al. 2021, doi:10.1038/s41598-021-82017-6): each of `RESAMPLES`
    samples draws n of the n videos with replacement, the same for all models, and ranks the models by their mean.
    Models with the same mean share their ranks evenly, so that rows and columns of `shares` (k models, k ranks) add up
    to 1. Returns n, shares, resamples and reason. Under `FEWEST` videos: no shares. The same scores give the same
    shares. A share is no p value (`RANK_CAUTION`, 4,000 draws of two Beta(20, 3)).
    """
    n, k = scores.shape
    found: dict[str, Any] = {"n": n, "shares": None, "resamples": RESAMPLES, "reason": None}
    if n < FEWEST:
        return {**found, "reason": f"{n} video{'s' * (n != 1)}; with fewer than {FEWEST} the shares are not reliable"}
    times = np.random.default_rng(0).multinomial(n, [1 / n] * n, RESAMPLES)  # that each video is drawn
    means = (times @ scores / n).round(_DIGITS)
    better = (means[:, None] > means[:, :, None]).sum(2)  # models ahead of each
    equal = (means[:, None] == means[:, :, None]).sum(2)  # models with its mean, itself too
    shares = [((better <= rank) & (rank < better + equal)) / equal for rank in range(k)]
    return {**found, "shares": np.mean(shares, axis=1).T.tolist()}


def _differing(differences: Iterable[float]) -> np.ndarray:
    """Return the defined differences that are not 0, rounded: equal ones may differ in their last bits."""
    values = _defined(differences).round(_DIGITS)
    return values[values != 0]


def _defined(values: Iterable[float]) -> np.ndarray:
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    return numbers[~np.isnan(numbers)]
