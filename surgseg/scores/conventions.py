"""The same masks scored under conventions in use, which differ in what a class counts that a frame does not show.

- ours: IoU, Dice and NSD 0, HD95 = the image's diagonal, if the class is in the truth or in the prediction alone.
- monai: MONAI 1.6's defaults. IoU and Dice leave out frames without the class in the truth, so false alarms do not
  count; HD95 leaves out frames without it in either mask, so missed instruments do not count. NSD as ours.
- sar-rarp50: the evaluator of the SAR-RARP50 challenge of 2022 (surgical-vision/SAR_RARP50-evaluation). 1 if the class
  is in neither mask. It has IoU, and NSD as MONAI defines it, at 10 pixels (the default of its function is 1); Dice by
  the same rule. Its mean is over all nine classes of its set, needle and thread too; here the instruments count.
- present-only: the "challenge IoU" of EndoVis papers, for all scores: frames without the class in the truth are left
  out.

All but sar-rarp50 leave out frames with the class in neither mask. The mean is over the classes of a frame, then over
frames; with sar-rarp50 over the frames of a video, then over videos.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from surgseg.labels import Scheme
from surgseg.scores.metrics import class_scores, nanmean, square
from surgseg.scores.scored import CONVENTIONS


def by_convention(
    videos: list[str], counts: np.ndarray, frames: Mapping[str, np.ndarray], scheme: Scheme, void: str
) -> dict[str, dict[str, float]]:
    """Return iou, dice, and nsd_* and hd95 where `frames` has them, of the instrument classes by each convention.

    The arguments are those of `summarise`. A score that a convention does not define is NaN.
    """
    matrix, ids = square(counts, void), scheme.instrument_ids
    scores = {key: class_scores(matrix)[key][:, ids] for key in ("iou", "dice")}
    of_class = [f":{scheme.names[index]}" for index in ids] if len(ids) > 1 else [""]
    for name in frames:
        if name == "hd95" or (name.startswith("nsd_") and ":" not in name):
            scores[name] = np.stack([frames[name + end] for end in of_class], 1)
    true, predicted = (matrix.sum(axis)[:, ids] > 0 for axis in (-1, -2))
    known = (matrix.sum((-2, -1)) > 0)[:, None]
    return {
        convention: {
            name: _mean_score(convention, _settled(convention, name, values, true, predicted, known), np.array(videos))
            for name, values in scores.items()
        }
        for convention in CONVENTIONS
    }


def _settled(convention, name, values, true, predicted, known) -> np.ndarray:
    """Return the (N, C) values with those of absent classes replaced; NaN: left out."""
    if convention == "present-only" or (convention == "monai" and name in ("iou", "dice")):
        return np.where(true, values, np.nan)
    if convention == "monai" and name == "hd95":
        return np.where(true & predicted, values, np.nan)
    if convention == "sar-rarp50":
        return np.full_like(values, np.nan) if name == "hd95" else np.where(known & ~true & ~predicted, 1, values)
    return values


def _mean_score(convention: str, values: np.ndarray, videos: np.ndarray) -> float:
    of_frames = np.array([nanmean(row) for row in values])
    if convention != "sar-rarp50":
        return nanmean(of_frames)
    return nanmean([nanmean(of_frames[videos == video]) for video in dict.fromkeys(videos.tolist())])
