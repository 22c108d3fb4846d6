"""Scores of the outline of a mask: NSD, HD95 and boundary IoU, in pixels of the frame's own size.

The surface of a mask is made of its pixels that have one of their 4 neighbours outside of the mask; what lies outside
of the image is outside of the mask. Distances are Euclidean, from each surface pixel to the nearest pixel of the other
surface (0 where both share it). NSD and HD95 are defined as in MONAI 1.6 without `spacing` and `use_subvoxels`:

- NSD (normalised surface Dice, Nikolov et al. 2018, arXiv:1809.04430; MONAI's `compute_surface_dice`): the share of the
  pixels of both surfaces whose distance is at most the tolerance. 1 is best.
- HD95 (MONAI's `compute_hausdorff_distance`, percentile 95): the 95 % quantile (linear between two values) of the
  distances from the predicted surface to the true one, or of those back, whichever is larger. 0 is best.
- Boundary IoU (Cheng et al. 2021, arXiv:2103.16562, and their code): IoU of two bands. The band of a mask is what d
  erosions by a square of 3x3 pixels remove from it; d is 2 % of the image's diagonal, rounded, and at least 1.

Where one mask is empty and the other is not (missed instrument, false alarm), NSD and boundary IoU are 0 and HD95 is
the image's diagonal; MONAI's HD95 is then no number and drops out of means. Where both are empty, all are undefined
(NaN).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from scipy.spatial import KDTree

from surgseg.labels import VOID, Scheme
from surgseg.scores.metrics import instrument_pixels

TOLERANCES = (2.0, 5.0)  # pixels
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_BAND = 0.02  # half of a boundary's width, as a fraction of the image's diagonal


def frame_surfaces(
    predicted: np.ndarray, truth: np.ndarray, scheme: Scheme, void: str, tolerances: Sequence[float]
) -> dict[str, float]:
    """Return `surface_scores` of the union of the instruments, and of each class, `<score>:<class>`, if there are more.

    `predicted` and `truth` are (H, W) uint8 ids; only `truth` holds void (255). If `void` is "ignore", void pixels take
    the label of the nearest other pixel in both masks, so that what is predicted there does not count; a frame of void
    alone has no score (NaN). If it is "background", they are background.
    """
    if void == "ignore" and (truth == VOID).all():
        predicted = truth = np.zeros_like(truth)
    elif void == "ignore":
        predicted, truth = fill_void(predicted, truth)
    found = surface_scores(instrument_pixels(predicted, scheme), instrument_pixels(truth, scheme), tolerances)
    for index in scheme.instrument_ids if len(scheme.instrument_ids) > 1 else ():
        of_class = surface_scores(predicted == index, truth == index, tolerances)
        found |= {f"{name}:{scheme.names[index]}": value for name, value in of_class.items()}
    return found


def fill_void(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give each void pixel of `truth` the label of the nearest pixel that is not void, in both (H, W) masks.

    At least one pixel must not be void.
    """
    void = truth == VOID
    if not void.any():
        return predicted, truth
    wider = cv2.dilate(void.view(np.uint8), np.ones((3, 3), np.uint8))
    beside = np.argwhere(wider > void)  # the nearest pixel touches a void one
    nearest = beside[KDTree(beside, leafsize=32).query(np.argwhere(void))[1]]
    filled = predicted.copy(), truth.copy()
    for mask in filled:
        mask[void] = mask[tuple(nearest.T)]
    return filled


def surface_scores(
    prediction: np.ndarray, truth: np.ndarray, tolerances: Sequence[float] = TOLERANCES
) -> dict[str, float]:
    """Return nsd_<tolerance> for each tolerance, hd95 and boundary_iou of two (H, W) bool masks without void."""
    diagonal = math.hypot(*truth.shape)
    present = prediction.any(), truth.any()
    if not all(present):
        worst = {**{f"nsd_{tolerance:g}": 0.0 for tolerance in tolerances}, "hd95": diagonal, "boundary_iou": 0.0}
        return worst if any(present) else dict.fromkeys(worst, math.nan)
    rows, columns = (np.flatnonzero((prediction | truth).any(axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    masks = [mask[box].view(np.uint8) for mask in (prediction, truth)]
    surfaces = [np.argwhere(mask > _eroded(mask, _CROSS)) for mask in masks]
    trees = [KDTree(surface, leafsize=32) for surface in surfaces]
    there, back = trees[1].query(surfaces[0])[0], trees[0].query(surfaces[1])[0]
    distances = np.concatenate([there, back])
    width = 2 * max(1, round(_BAND * diagonal)) + 1
    bands = [mask > _eroded(mask, np.ones((width, width), np.uint8)) for mask in masks]
    return {
        **{f"nsd_{tolerance:g}": float((distances <= tolerance).mean()) for tolerance in tolerances},
        "hd95": float(max(np.quantile(there, 0.95), np.quantile(back, 0.95))),
        "boundary_iou": float(np.count_nonzero(bands[0] & bands[1]) / np.count_nonzero(bands[0] | bands[1])),
    }


def surface_label(name: str) -> str | None:
    """Return the name of a score of `surface_scores` for the screen; None for another name."""
    if name.startswith("nsd_"):
        return f"NSD {name[4:]} px"
    return {"hd95": "HD95 (px)", "boundary_iou": "Boundary IoU"}.get(name)


def _eroded(mask: np.ndarray, element: np.ndarray) -> np.ndarray:
    return cv2.erode(mask, element, borderType=cv2.BORDER_CONSTANT, borderValue=0)
