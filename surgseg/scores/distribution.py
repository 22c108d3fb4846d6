"""Scores of single frames: their distribution, and the detection of frames with an instrument."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

WORST = 0.05  # share of the frames below `worst_5_percent`


def distribution_of(values: np.ndarray, videos: np.ndarray, lower_is_better: bool = False) -> dict[str, Any]:
    """Describe one score of N frames: (N,) float, NaN left out, and (N,) names of their videos.

    Returns n, mean, median, q25 and q75 (quantiles, linear between two values), worst_5_percent (the 5 % quantile, or
    the 95 % quantile where `lower_is_better`), and the video whose frames have the worst mean, with that mean. Without
    a value, all but n are None.
    """
    defined = ~np.isnan(values)
    values, videos = values[defined], videos[defined]
    keys = ("mean", "median", "q25", "q75", "worst_5_percent", "worst_video", "worst_video_mean")
    if not len(values):
        return {"n": 0, **dict.fromkeys(keys)}
    means = {video: float(values[videos == video].mean()) for video in dict.fromkeys(videos.tolist())}
    worst = (max if lower_is_better else min)(means, key=means.__getitem__)
    quantiles = np.quantile(values, [0.5, 0.25, 0.75, 1 - WORST if lower_is_better else WORST]).tolist()
    return {"n": len(values), **dict(zip(keys, [float(values.mean()), *quantiles, worst, means[worst]]))}


def nanmean(values) -> float:
    """Mean of the defined values; NaN (without a warning) where none is."""
    defined = np.asarray(values, dtype=np.float64)
    defined = defined[~np.isnan(defined)]
    return float(defined.mean()) if len(defined) else math.nan


def detection(coverage: np.ndarray, predicted_coverage: np.ndarray) -> dict[str, Any]:
    """Score a model as a detector of frames that show an instrument: (N,) true and predicted coverage, 0-1.

    A frame is positive if its true coverage is above 0, and detected if its predicted coverage is. Frames without a
    valid pixel (NaN) are left out. Returns the numbers of positive and negative frames, sensitivity and specificity;
    and, over all thresholds of the predicted coverage, auroc (share of pairs of a positive and a negative frame in
    which the positive one has more; equal ones count half) and auprc (average precision: the mean over the positive
    frames of the precision at their threshold). By chance they are .5 and the share of positive frames. A score
    without positive or negative frames is NaN.
    """
    known = ~np.isnan(coverage)
    positive, predicted = coverage[known] > 0, predicted_coverage[known]
    positives, negatives = int(positive.sum()), int((~positive).sum())
    found: dict[str, Any] = {
        "positive_frames": positives,
        "negative_frames": negatives,
        "sensitivity": float((predicted[positive] > 0).mean()) if positives else math.nan,
        "specificity": float((predicted[~positive] == 0).mean()) if negatives else math.nan,
        "auroc": math.nan,
        "auprc": math.nan,
    }
    if not positives or not negatives:
        return found
    levels, place = np.unique(-predicted, return_inverse=True)  # highest coverage first
    hits = np.bincount(place[positive], minlength=len(levels))
    alarms = np.bincount(place[~positive], minlength=len(levels))
    above = alarms.cumsum()
    pairs = hits @ (negatives - above + alarms / 2)
    precision = hits.cumsum() / (hits.cumsum() + above)
    return {**found, "auroc": float(pairs / (positives * negatives)), "auprc": float(hits @ precision / positives)}
