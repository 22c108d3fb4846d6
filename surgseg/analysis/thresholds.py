"""What a threshold does to one frame: coverage and overlap, from a histogram of the probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from surgseg.labels import VOID

STEPS = 200  # of the curves, from 0 to 1


def threshold_grid(marked: Sequence[float]) -> np.ndarray:
    """Ascending thresholds (N,) float32 between 0 and 1, `marked` among them, for `threshold_curves`."""
    grid = np.arange(1, STEPS, dtype=np.float64) / STEPS
    return np.unique(np.concatenate([grid, np.asarray(marked, np.float64)]).astype(np.float32))


def threshold_curves(
    probability: np.ndarray, thresholds: np.ndarray, truth: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Coverage of a frame at each threshold and, with ground truth, IoU and Dice; each (N,) float64.

    `probability` (H, W) float32 of the instrument, `thresholds` (N,) float32 ascending; a pixel is instrument where
    its probability reaches the threshold. `truth` (H, W) uint8: 1 instrument, 0 other, 255 void, which takes no part
    in IoU = TP / (TP + FP + FN) and Dice = 2 TP / (2 TP + FP + FN). Coverage is of all pixels. Exact: the edges of
    the histogram are the thresholds. IoU and Dice are NaN where neither side shows an instrument.
    """
    reached = np.searchsorted(thresholds, probability.reshape(-1), side="right")  # how many thresholds a pixel reaches
    found = _at_least(reached, len(thresholds))
    curves = {"coverage": found / probability.size}
    if truth is None:
        return curves
    labels = truth.reshape(-1)
    hits = _at_least(reached[labels == 1], len(thresholds))
    alarms = _at_least(reached[labels == 0], len(thresholds))
    missed = (labels == 1).sum() - hits
    for name, weight in (("iou", 1), ("dice", 2)):
        below = weight * hits + alarms + missed
        curves[name] = np.divide(weight * hits, below, out=np.full(len(below), np.nan), where=below > 0)
    return curves


def _at_least(reached: np.ndarray, count: int) -> np.ndarray:
    """(pixels,) number of thresholds that each reaches -> (count,) pixels that reach each of them."""
    histogram = np.bincount(reached, minlength=count + 1)
    return histogram[::-1].cumsum()[::-1][1:].astype(np.float64)


def union_truth(mask: np.ndarray, instrument_ids: Sequence[int]) -> np.ndarray:
    """(H, W) uint8 class ids with 255 void -> (H, W) uint8: 1 where any instrument class, 0 other, 255 void."""
    return np.where(mask == VOID, VOID, np.isin(mask, instrument_ids)).astype(np.uint8)


def threshold_label(threshold: float) -> str:
    """The threshold as file names carry it: 0.3 -> '03', 0.25 -> '025'."""
    return np.format_float_positional(threshold, trim="-").replace(".", "")
