"""Intervals for means over the frames of a video: neighbouring frames are alike, so blocks of them count.

The standard error is that of the circular block bootstrap (Politis and Romano 1992, "A circular block-resampling
procedure for stationary data"), which needs no random draws for a mean. The length of the blocks follows the rule of
Politis and White 2004, corrected by Patton, Politis and White 2009. The interval is about other frames of the same
videos, not about other operations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t

LEVEL = 0.95
LEAST_BLOCKS = 10  # with fewer independent blocks the interval is too narrow


def autocovariance(values: Sequence[float]) -> np.ndarray:
    """Return (n,) the autocovariances of a sequence at lags 0 to n - 1, each a sum divided by n."""
    values = np.asarray(values, np.float64)
    size = 1 << (2 * len(values) - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(values - values.mean(), size)) ** 2
    return np.fft.irfft(spectrum, size)[: len(values)] / len(values)


def autocorrelation_time(values: Sequence[float]) -> float:
    """Return 1 + 2 sum of the autocorrelations before the first that is not positive, in frames; 1 if constant."""
    covariance = autocovariance(values)
    if covariance[0] < 1e-18:
        return 1.0
    ends = np.flatnonzero(covariance <= 0)
    return 1 + 2 * float(covariance[1 : ends[0] if len(ends) else len(covariance)].sum()) / covariance[0]


def block_length(values: Sequence[float], burst: int = 1) -> int:
    """Return the frames of a block by the Politis-White rule for circular blocks; at least one burst.

    As the rule's authors do, correlations under 2 sqrt(log10(n) / n) count as none, and a block has at most
    3 sqrt(n) and n / 3 frames.
    """
    covariance = autocovariance(values)
    count = len(covariance)
    if covariance[0] < 1e-18 or count < 3:
        return burst
    run = max(5, math.ceil(math.log10(count) ** 0.5))  # so many small correlations in a row end the correlation
    most = min(math.ceil(count**0.5) + run, count - 1)
    small = np.abs(covariance[1:]) < 2 * (math.log10(count) / count) ** 0.5 * covariance[0]
    correlated = next((lag for lag in range(most) if small[lag : lag + run].all()), most)
    bandwidth = min(2 * max(correlated, 1), most)
    lags = np.arange(1, bandwidth + 1)
    weighted = np.minimum(1, 2 * (1 - lags / bandwidth)) * covariance[1 : bandwidth + 1]
    slope, variance = 2 * float((lags * weighted).sum()), float(covariance[0] + 2 * weighted.sum())
    longest = math.ceil(min(3 * count**0.5, count / 3))
    best = (1.5 * count * (slope / variance) ** 2) ** (1 / 3) if variance else longest
    return max(math.ceil(min(best, longest)), 1, burst)


def variance_of_mean(values: Sequence[float], length: int) -> float:
    """Return the variance of the mean over resampled sequences of circular blocks of `length` frames.

    It is the variance of the means of all n blocks, divided by the number n / `length` of blocks in a sequence.
    """
    values = np.asarray(values, np.float64)
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values[:length]]))])
    means = (sums[length : length + len(values)] - sums[: len(values)]) / length
    return float(((means - values.mean()) ** 2).mean()) * length / len(values)


def difference_of_means(first: Sequence[float], second: Sequence[float], *, bursts: tuple[int, int] = (1, 1)) -> dict:
    """Return mean of `second` minus mean of `first` (per-frame values in order of time), with a 95 % interval.

    Student's t, its degrees of freedom by Welch and Satterthwaite, each sequence with its number of blocks less one.
    Measured on pairs of AR(1) sequences, 1,000 pairs each: the interval covers the true difference in this share of the
    cases that have one (and this share has one). Where few have one, those underestimate their correlation.

        correlation    100 frames    200          300          500          1,000        3,000
        .5             .89 (.86)     .92 (.98)    .92 (.99)    .94 (1)      .94 (1)      .93 (1)
        .9             -   (.00)     .62 (.04)    .85 (.25)    .89 (.74)    .91 (.99)    .93 (1)
        .97            -   (.00)     -   (.00)    -   (.00)    .20 (.01)    .78 (.21)    .90 (.97)

    `interval` is None, with a `reason`, where a sequence is empty or where neither varies, and where a sequence has
    fewer than `LEAST_BLOCKS` blocks (of the rule's length, or of twice the autocorrelation time if that is longer).
    `constant` counts the sequences that do not vary (such as a detection rate of 100 %), whose mean counts as certain.
    """
    series = [np.asarray(values, np.float64) for values in (first, second)]
    if not all(len(values) for values in series):
        return {"difference": math.nan, "interval": None, "reason": "no frames on one side", "blocks": None}
    difference = float(series[1].mean() - series[0].mean())
    lengths = [block_length(values, burst) for values, burst in zip(series, bursts)]
    blocks = [len(values) / max(length, 2 * autocorrelation_time(values), 1) for values, length in zip(series, lengths)]
    found = {
        "difference": difference,
        "interval": None,
        "reason": None,
        "blocks": [round(count, 1) for count in blocks],
        "constant": sum(float(values.std()) < 1e-12 for values in series),
    }
    if found["constant"] == len(series):
        return {**found, "reason": "nothing varies within the videos"}
    if min(blocks) < LEAST_BLOCKS:
        about = max(min(blocks), 1)
        return {**found, "reason": f"only about {about:.0f} independent stretches of frames; {LEAST_BLOCKS} are needed"}
    variances = np.array([variance_of_mean(values, length) for values, length in zip(series, lengths)])
    freedom = variances.sum() ** 2 / (variances**2 / (np.array(blocks) - 1)).sum()
    half = float(t.ppf((1 + LEVEL) / 2, freedom) * variances.sum() ** 0.5)
    return {**found, "interval": [difference - half, difference + half]}


def drop_rare_intervals(measures: Sequence[dict]) -> None:
    """Take away the intervals of measures of the same frames if most of these are too correlated to have one.

    Where few sequences pass as long enough, those that do are the ones whose correlation is underestimated.
    """
    varying = [one for one in measures if one.get("constant", 2) < 2]
    if 2 * sum(one["interval"] is None for one in varying) > len(varying):
        for one in varying:
            if one["interval"] is not None:
                one.update(interval=None, reason="most measures of these frames are too correlated in time for one")
