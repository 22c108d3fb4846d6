"""Intervals for means over the frames of a video: frames are correlated in time, so blocks of them are resampled.

Circular block bootstrap: Politis and Romano 1992, "A circular block-resampling procedure for stationary data". The
interval is about other frames of the same videos, not about other operations. Measured on pairs of autoregressive
sequences (200 to 3,000 frames, correlation 0 to .97), the nominal 95 % covers 89 to 95 %, and 83 % where the frames
barely suffice for an interval (400 at correlation .9).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95
LEAST_BLOCKS = 10  # with fewer independent blocks the interval is too narrow


def autocorrelation_time(values: Sequence[float]) -> float:
    """Return 1 + 2 sum of the autocorrelations before the first that is not positive, in frames.

    It is 1 for a constant sequence, and for one of fewer than 3 values.
    """
    values = np.asarray(values, np.float64)
    centred = values - values.mean()
    variance = float((centred**2).mean())
    if len(values) < 3 or variance < 1e-18:
        return 1.0
    size = 1 << (2 * len(values) - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(centred, size)) ** 2
    correlation = np.fft.irfft(spectrum, size)[1 : len(values)] / (len(values) * variance)
    ends = np.flatnonzero(correlation <= 0)
    return 1 + 2 * float(correlation[: ends[0] if len(ends) else len(correlation)].sum())


def block_length(values: Sequence[float], burst: int = 1) -> int:
    """Return the frames of a block: twice the autocorrelation time, at least the cube root of n and one burst."""
    return max(math.ceil(2 * autocorrelation_time(values)), math.ceil(len(values) ** (1 / 3)), burst)


def resampled_means(
    values: Sequence[float], length: int, rng: np.random.Generator, draws: int = RESAMPLES
) -> np.ndarray:
    """Return (draws,) means of resampled sequences: blocks of `length` frames that begin at any frame.

    A block that reaches the end continues at the beginning.
    """
    values = np.asarray(values, np.float64)
    count = len(values)
    blocks = -(-count // length)
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values[:length]]))])
    starts = rng.integers(0, count, (draws, blocks))
    whole = (sums[starts + length] - sums[starts])[:, : blocks - 1].sum(1)
    rest = count - (blocks - 1) * length  # the last block is cut: every resample has `count` frames
    return (whole + sums[starts[:, -1] + rest] - sums[starts[:, -1]]) / count


def difference_of_means(
    first: Sequence[float], second: Sequence[float], *, bursts: tuple[int, int] = (1, 1), seed: int = 0
) -> dict:
    """Return mean of `second` minus mean of `first` (per-frame values in order of time), with a 95 % interval.

    `interval` is None, with a `reason`, where a sequence is empty or has fewer than `LEAST_BLOCKS` blocks, or where
    neither varies. `constant` counts the sequences that do not vary (such as a detection rate of 100 %): resampling
    treats their mean as certain.
    """
    series = [np.asarray(values, np.float64) for values in (first, second)]
    if not all(len(values) for values in series):
        return {"difference": math.nan, "interval": None, "reason": "no frames on one side", "blocks": None}
    difference = float(series[1].mean() - series[0].mean())
    lengths = [block_length(values, burst) for values, burst in zip(series, bursts)]
    blocks = [len(values) / length for values, length in zip(series, lengths)]
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
    rng = np.random.default_rng(seed)
    first_means, second_means = (resampled_means(values, length, rng) for values, length in zip(series, lengths))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(second_means - first_means, [tail, 100 - tail])
    return {**found, "interval": [float(low), float(high)]}
