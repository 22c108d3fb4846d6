"""Every score is defined here: pooled scores from confusion counts, scores of single frames from masks.

Counts are kept per frame as a (K + 1, K) matrix: rows are the true class with void last, columns the predicted
class. Dropping the void row ignores void pixels; adding it to row 0 treats them as background.
IoU = TP / (TP + FP + FN), Dice = 2 TP / (2 TP + FP + FN), precision = TP / (TP + FP), recall = TP / (TP + FN),
specificity = TN / (TN + FP);
a score whose denominator is 0 is undefined (NaN, null in JSON) and left out of means.

To add a score of single frames, write its function here and add an entry to `FRAME_METRICS`. Metrics JSON, frame
tables, reports and figures read that table. Scores of outlines are in `surface.py`. `<score>:<class>` is the score of
one class in a frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable

import cv2
import numpy as np
import torch

from surgseg.files import UserError
from surgseg.labels import VOID, Scheme
from surgseg.scores.distribution import detection, distribution_of, nanmean
from surgseg.scores.intervals import mean_interval
from surgseg.scores.scored import scored_set
from surgseg.scores.strata import name_classes, scores_by_stratum

SCHEMA = "surgseg-metrics-1"
VOID_POLICIES = ("ignore", "background")
RATIOS = ("iou", "dice", "precision", "recall", "specificity")


def confusion(predicted: torch.Tensor, target: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Count pixels: (N, H, W) uint8 ids and (N, H, W) uint8 truth (255 void) -> (N, K + 1, K) int64 per frame."""
    count = len(target)
    rows = torch.where(target == VOID, num_classes, target.long()).reshape(count, -1)
    if target.is_cuda:  # the host would wait for `bincount`
        return _count_pairs(rows, predicted.reshape(count, -1), num_classes)
    cell = rows * num_classes + predicted.long().reshape(count, -1)
    cells = (num_classes + 1) * num_classes
    cell += torch.arange(count, device=cell.device)[:, None] * cells
    return torch.bincount(cell.reshape(-1), minlength=count * cells).reshape(count, num_classes + 1, num_classes)


def _count_pairs(rows: torch.Tensor, columns: torch.Tensor, num_classes: int) -> torch.Tensor:
    """(N, P) ids of rows and columns -> (N, K + 1, K) int64. A product of zeros and ones: exact below 2^24 pixels."""
    ids = torch.arange(num_classes + 1, device=rows.device)[:, None]
    return ((rows[:, None] == ids).float() @ (columns[:, None] == ids[:-1]).float().transpose(1, 2)).long()


def frame_confusion(predicted: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the pixels of one frame as `confusion` does: (H, W) uint8 ids, truth with void -> (K + 1, K) int64."""
    first = np.zeros(256, np.uint16)  # of the cells of a true class
    first[:num_classes] = num_classes * np.arange(num_classes)
    first[VOID] = num_classes**2
    cell = cv2.LUT(truth, first) + predicted
    cells = (num_classes + 1) * num_classes
    return np.bincount(cell.reshape(-1), minlength=cells).reshape(num_classes + 1, num_classes)


def square(counts: np.ndarray, void: str = "ignore") -> np.ndarray:
    """(..., K + 1, K) counts -> (..., K, K), with void pixels dropped ("ignore") or counted as class 0 ("background").

    Raises `UserError` for another policy.
    """
    matrix = np.array(counts[..., :-1, :])
    if not _is_void_ignored(void):
        matrix[..., 0, :] += counts[..., -1, :]
    return matrix


def _is_void_ignored(void: str) -> bool:
    if void not in VOID_POLICIES:
        raise UserError(f"unknown treatment of void {void!r}: use {' or '.join(VOID_POLICIES)}")
    return void == "ignore"


def class_scores(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """(..., K, K) counts -> each of `RATIOS` (..., K) float with NaN, and n (..., K) true pixels."""
    matrix = np.asarray(matrix, dtype=np.float64)
    true_positive = np.diagonal(matrix, axis1=-2, axis2=-1)
    truth, predicted = matrix.sum(-1), matrix.sum(-2)
    others = matrix.sum((-2, -1))[..., None] - truth
    return {
        "iou": _ratio(true_positive, truth + predicted - true_positive),
        "dice": _ratio(2 * true_positive, truth + predicted),
        "precision": _ratio(true_positive, predicted),
        "recall": _ratio(true_positive, truth),
        "specificity": _ratio(others - predicted + true_positive, others),
        "n": truth.astype(np.int64),
    }


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0)


def union_matrix(matrix: np.ndarray, instrument_ids: list[int]) -> np.ndarray:
    """(..., K, K) counts -> (..., 2, 2): index 1 is the union of the instrument classes, index 0 all other classes."""
    groups = np.zeros((2, matrix.shape[-1]), matrix.dtype)
    groups[1, instrument_ids] = 1
    groups[0] = 1 - groups[1]
    return groups @ matrix @ groups.T


def iou(prediction: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> float:
    """Intersection over union of the instruments."""
    union = np.count_nonzero((prediction | truth) & valid)
    return np.count_nonzero(prediction & truth & valid) / union if union else math.nan


def dice(prediction: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> float:
    """Dice coefficient of the instruments."""
    sizes = np.count_nonzero(prediction & valid) + np.count_nonzero(truth & valid)
    return 2 * np.count_nonzero(prediction & truth & valid) / sizes if sizes else math.nan


@dataclass(frozen=True)
class FrameMetric:
    """A score of one frame. `label` names it in reports and figures.

    `function` takes three (H, W) bool arrays at the frame's own size: predicted instrument, true instrument, valid
    pixels. It returns a float, NaN where the score is undefined.
    """

    label: str
    function: Callable[[np.ndarray, np.ndarray, np.ndarray], float]
    lower_is_better: bool = False


FRAME_METRICS = {"iou": FrameMetric("IoU", iou), "dice": FrameMetric("Dice", dice)}


def frame_metrics(predicted: np.ndarray, truth: np.ndarray, scheme: Scheme, void: str = "ignore") -> dict[str, float]:
    """Return every score of `FRAME_METRICS` for one frame, for the union of the instrument classes.

    `predicted` and `truth` are (H, W) uint8 class ids; only `truth` holds void (255). Raises `UserError` for an
    unknown treatment of void.
    """
    valid = truth != VOID if _is_void_ignored(void) else np.ones(truth.shape, bool)
    masks = instrument_pixels(predicted, scheme), instrument_pixels(truth, scheme), valid
    return {name: float(metric.function(*masks)) for name, metric in FRAME_METRICS.items()}


def instrument_pixels(ids: np.ndarray, scheme: Scheme) -> np.ndarray:
    """(H, W) uint8 class ids -> (H, W) bool, whether a pixel has an instrument class."""
    instrument = np.zeros(256, np.uint8)
    instrument[scheme.instrument_ids] = 1
    return cv2.LUT(ids, instrument).view(bool)


def class_frame_metrics(counts: np.ndarray, scheme: Scheme, void: str = "ignore") -> dict[str, float]:
    """IoU and Dice of each instrument class, `iou:<class>`, from (K + 1, K) counts; empty if there is only one."""
    scores, ids = class_scores(square(counts, void)), scheme.instrument_ids
    return {
        f"{key}:{scheme.names[index]}": float(scores[key][index])
        for index in (ids if len(ids) > 1 else ())
        for key in ("iou", "dice")
    }


def frame_coverage(
    counts: np.ndarray, scheme: Scheme, void: str = "ignore", ids: list[int] | None = None
) -> dict[str, np.ndarray]:
    """True and predicted share (0-1) of the pixels with the class `ids` (default: the instruments) of each frame.

    counts (N, K + 1, K) -> (N,) each; NaN: no valid pixel.
    """
    union = union_matrix(square(counts, void), scheme.instrument_ids if ids is None else ids)
    pixels = union.sum((-2, -1))
    return {
        "coverage": _ratio(union[:, 1].sum(-1), pixels),
        "predicted_coverage": _ratio(union[..., 1].sum(-1), pixels),
    }


def frame_traits(counts: np.ndarray, scheme: Scheme, void: str = "ignore") -> dict[str, np.ndarray]:
    """Return what the masks tell of the `STRATA` of each frame, (N,) each: coverage (NaN: no instrument) and, if there
    are several instrument classes, source_class."""
    coverage, ids = frame_coverage(counts, scheme, void)["coverage"], scheme.instrument_ids
    found = {"coverage": np.where(coverage > 0, coverage, math.nan)}
    if len(ids) > 1:
        shown = counts[:, :-1].sum(2) > 0
        found["source_class"] = name_classes([[scheme.names[index] for index in ids if row[index]] for row in shown])
    return found


def empty_frames(counts: np.ndarray, scheme: Scheme, void: str = "ignore") -> dict[str, Any]:
    """Count the frames without instrument in truth, prediction or both; `false_alarm_rate` is a share of the first.

    Frames without a valid pixel, where void is ignored, do not count: nobody knows what they show.
    """
    union = union_matrix(square(counts, void), scheme.instrument_ids)
    union = union[union.sum((-2, -1)) > 0]
    no_truth, no_prediction = union[:, 1].sum(-1) == 0, union[..., 1].sum(-1) == 0
    truth_empty, false_alarms = int(no_truth.sum()), int((no_truth & ~no_prediction).sum())
    return {
        "truth_empty": truth_empty,
        "both_empty": truth_empty - false_alarms,
        "false_alarms": false_alarms,
        "false_alarm_rate": false_alarms / truth_empty if truth_empty else math.nan,
        "missed": int((~no_truth & no_prediction).sum()),
    }


def pooled_scores(counts: np.ndarray, scheme: Scheme, void: str = "ignore") -> dict[str, Any]:
    """Scores of all pixels together: accuracy, per class, mean over the instrument classes, instrument union.

    `counts` is (N, K + 1, K) or, already summed, (K + 1, K).
    """
    total = counts.reshape(-1, *counts.shape[-2:]).sum(0)
    matrix = square(total, void)
    scores = class_scores(matrix)
    instrument_ids = scheme.instrument_ids
    union = class_scores(union_matrix(matrix, instrument_ids))
    return {
        "accuracy": float(np.trace(matrix) / matrix.sum()) if matrix.sum() else math.nan,
        "classes": {
            name: {key: scores[key][index].item() for key in (*RATIOS, "n")} for index, name in enumerate(scheme.names)
        },
        "mean_instrument": {key: nanmean(scores[key][instrument_ids]) for key in ("iou", "dice")},
        "instrument_union": {key: float(union[key][1]) for key in RATIOS},
    }


def summarise(
    videos: list[str],
    counts: np.ndarray,
    frames: dict[str, np.ndarray],
    scheme: Scheme,
    void: str = "ignore",
    about: dict[str, Any] | None = None,
    traits: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Return the body of a metrics JSON from per-frame counts (N, K + 1, K), each frame's video and `frame_metrics`.

    `about` holds further facts of `scored_set`, `traits` those of the frames that `frame_traits` does not know. The
    body holds pooled scores, means over frames, and scores by video, because pooled scores alone are higher. It also
    holds pooled scores with the other treatment of void, because the original study counts void as background.
    `video_intervals` holds `mean_interval` of each score of `per_video`.
    """
    other = "background" if void == "ignore" else "ignore"
    ids = scheme.instrument_ids
    instruments = [scheme.names[index] for index in ids]
    groups = {"instruments": ids, **{scheme.names[index]: [index] for index in (ids if len(ids) > 1 else ())}}
    lower_is_better = {"hd95", *(name for name, metric in FRAME_METRICS.items() if metric.lower_is_better)}
    names = np.array(videos)
    per_video = {}
    for video in dict.fromkeys(videos):
        chosen = names == video
        scores = pooled_scores(counts[chosen], scheme, void)
        per_video[video] = {
            "frames": int(chosen.sum()),
            "accuracy": scores["accuracy"],
            **scores["instrument_union"],
            **{f"{key}:{name}": scores["classes"][name][key] for name in list(groups)[1:] for key in RATIOS},
            **{f"frame_mean_{name}": nanmean(values[chosen]) for name, values in frames.items()},
        }
    rows = list(per_video.values())
    return {
        "schema": SCHEMA,
        "scored": scored_set(counts, videos, void, **{"instruments": instruments, **(about or {})}),
        "frames": len(videos),
        "void_policy": void,
        **pooled_scores(counts, scheme, void),
        "per_frame": {
            **{f"mean_{name}": nanmean(values) for name, values in frames.items()},
            "scored": int((~np.isnan(frames["iou"])).sum()),
        },
        "frame_distribution": {
            name: distribution_of(values, names, name.partition(":")[0] in lower_is_better)
            for name, values in frames.items()
        },
        "strata": scores_by_stratum({**frame_traits(counts, scheme, void), **(traits or {})}, frames, names),
        "per_video": per_video,
        "video_mean": {key: nanmean([row[key] for row in rows]) for key in ("iou", "dice")},
        "video_intervals": {
            key: mean_interval(row[key] for row in rows) for key in (rows[0] if rows else ()) if key != "frames"
        },
        "detection": {
            name: detection(*frame_coverage(counts, scheme, void, group).values()) for name, group in groups.items()
        },
        "empty_frames": empty_frames(counts, scheme, void),
        f"void_{other}": pooled_scores(counts, scheme, other),
        "confusion": {"classes": scheme.names, "rows": "truth, void last", "counts": counts.sum(0)},
    }
