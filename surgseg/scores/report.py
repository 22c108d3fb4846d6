"""The blocks of scores that the scripts print."""

from __future__ import annotations

import math
from typing import Any

from surgseg.scores.metrics import FRAME_METRICS
from surgseg.scores.scored import scored_lines

RULE = "=" * 72


def number(value: float | None, form: str = "7.4f") -> str:
    """The score in the format `form`, or n/a in the same width where it is undefined."""
    if value is None or math.isnan(value):
        return format(math.nan, form.lstrip("+")).replace("nan", "n/a")
    return format(value, form)


def heading(title: str) -> str:
    return f"\n{RULE}\n{title}\n{RULE}"


def metrics_block(title: str, metrics: dict[str, Any]) -> str:
    """Frames, accuracy, instrument IoU and Dice (pooled, per frame, per video) and a row per class."""
    mean, per_frame, per_video = metrics["mean_instrument"], metrics["per_frame"], metrics["video_mean"]
    empty = metrics["empty_frames"]
    other_void = "background" if metrics["void_policy"] == "ignore" else "ignore"
    other_mean = metrics[f"void_{other_void}"]["mean_instrument"]
    frame_means = ", ".join(
        f"{metric.label} {number(per_frame[f'mean_{name}'])}"
        for name, metric in FRAME_METRICS.items()
        if f"mean_{name}" in per_frame
    )
    lines = [
        heading(title),
        *scored_lines(metrics["scored"]),
        "",
        f"Frames analyzed:  {metrics['frames']}",
        f"Overall accuracy: {number(metrics['accuracy'])}",
        f"Mean IoU  of the instrument classes: {number(mean['iou'])}",
        f"Mean Dice of the instrument classes: {number(mean['dice'])}",
        f"Instrument (all classes together), mean of frames: {frame_means}; of videos: IoU {number(per_video['iou'])}, "
        f"Dice {number(per_video['dice'])}",
        "",
        f"{'Class':<24}{'IoU':>8}{'Dice':>8}{'Precision':>11}{'Recall':>8}{'n (pixels)':>16}",
    ]
    for name, row in metrics["classes"].items():
        lines.append(
            f"{name[:23]:<24}{number(row['iou'], '8.4f')}{number(row['dice'], '8.4f')}"
            f"{number(row['precision'], '11.4f')}{number(row['recall'], '8.4f')}{row['n']:>16,}"
        )
    lines += [
        "",
        f"Frames without instrument: {empty['truth_empty']} (false alarms in {empty['false_alarms']}); "
        f"instrument missed altogether in {empty['missed']}",
        f"Void pixels: {metrics['void_policy']}; as {other_void}: IoU {number(other_mean['iou'])}, "
        f"Dice {number(other_mean['dice'])}",
    ]
    if len(metrics["per_video"]) > 1:
        lines += ["", f"{'Video':<24}{'Frames':>8}{'IoU':>8}{'Dice':>8}"]
        for video, row in metrics["per_video"].items():
            lines.append(f"{video[:23]:<24}{row['frames']:>8}{number(row['iou'], '8.4f')}{number(row['dice'], '8.4f')}")
    if any("n/a" in line for line in lines):
        lines += ["", "n/a: no pixel to score (not in truth, not predicted, or all of it void)"]
    return "\n".join(lines)


def epoch_block(row: dict[str, Any], epochs: int) -> str:
    """The lines that the study prints at the end of an epoch."""
    text = f"Epoch {row['epoch']}/{epochs} - Average Loss: {row['train_loss']:.4f}"
    if "val_loss" not in row:
        return text
    return (
        f"{text}\nEpoch {row['epoch']} Validation: Loss {row['val_loss']:.4f}, "
        f"IoU {number(row['val_iou'], '.4f')}, Dice {number(row['val_dice'], '.4f')}, "
        f"Accuracy {number(row['val_accuracy'], '.4f')}"
    )
