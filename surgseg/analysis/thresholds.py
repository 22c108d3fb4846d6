"""Coverage and overlap of one frame at many thresholds, from a histogram of its probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from surgseg.labels import VOID

STEPS = 200  # of the threshold, from 0 to 1


def threshold_grid(marked: Sequence[float]) -> np.ndarray:
    """Return ascending thresholds, (N,) float32 between 0 and 1, with those of `marked`, for `threshold_curves`."""
    grid = np.arange(1, STEPS, dtype=np.float64) / STEPS
    return np.unique(np.concatenate([grid, np.asarray(marked, np.float64)]).astype(np.float32))


def threshold_curves(
    probability: np.ndarray, thresholds: np.ndarray, truth: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return the coverage of a frame at each threshold and, with ground truth, IoU and Dice; each (N,) float64.

    `probability` (H, W) float32 of the instrument, `thresholds` (N,) float32 ascending. A pixel is instrument where its
    probability is at least the threshold. `truth` (H, W) uint8: 1 instrument, 0 other, 255 void, which does not count
    in IoU = TP / (TP + FP + FN) and Dice = 2 TP / (2 TP + FP + FN). Coverage counts all pixels. IoU and Dice are NaN
    where neither mask has an instrument. The result is exact: the edges of the histogram are the thresholds.
    """
    reached = np.searchsorted(thresholds, probability.reshape(-1), side="right")  # of each pixel: how many
    curves = {"coverage": _at_least(reached, len(thresholds)) / probability.size}
    if truth is None:
        return curves
    labels = truth.reshape(-1)
    hits = _at_least(reached[labels == 1], len(thresholds))
    alarms = _at_least(reached[labels == 0], len(thresholds))
    missed = (labels == 1).sum() - hits
    for name, weight in (("iou", 1), ("dice", 2)):
        total = weight * hits + alarms + missed
        curves[name] = np.divide(weight * hits, total, out=np.full(len(total), np.nan), where=total > 0)
    return curves


def _at_least(reached: np.ndarray, count: int) -> np.ndarray:
    """(pixels,) number of thresholds that each pixel reaches -> (count,) number of pixels that reach each threshold."""
    histogram = np.bincount(reached, minlength=count + 1)
    return histogram[::-1].cumsum()[::-1][1:].astype(np.float64)


def union_truth(mask: np.ndarray, instrument_ids: Sequence[int]) -> np.ndarray:
    """Return a mask of class ids, (H, W) uint8 with 255 void, as 1 any instrument class, 0 other, 255 void."""
    return np.where(mask == VOID, VOID, np.isin(mask, instrument_ids)).astype(np.uint8)


def threshold_label(threshold: float) -> str:
    """Return a threshold as it is written in file names: 0.3 -> '03', 0.25 -> '025'."""
    return np.format_float_positional(threshold, trim="-").replace(".", "")
