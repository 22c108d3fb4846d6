"""The blocks of scores that the scripts print."""

from __future__ import annotations

import math
from typing import Any

from surgseg.files import list_some, short_names
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
        f"Mean IoU  of the instrument classes: {number(mean['iou'])}  ({list_some(metrics['scored']['instruments'])})",
        f"Mean Dice of the instrument classes: {number(mean['dice'])}",
        f"Instrument (all classes together), mean of {per_frame['scored']} frames with an instrument in truth or "
        f"prediction: {frame_means}; of videos: IoU {number(per_video['iou'])}, Dice {number(per_video['dice'])}",
        "",
        f"{'Class':<24}{'IoU':>8}{'Dice':>8}{'Precision':>11}{'Recall':>8}{'n (pixels)':>16}",
    ]
    for name, row in zip(short_names(metrics["classes"], 23), metrics["classes"].values()):
        lines.append(
            f"{name:<24}{number(row['iou'], '8.4f')}{number(row['dice'], '8.4f')}"
            f"{number(row['precision'], '11.4f')}{number(row['recall'], '8.4f')}{row['n']:>16,}"
        )
    lines += [
        *undefined_lines(metrics),
        "",
        f"Frames without instrument: {empty['truth_empty']} (false alarms in {empty['false_alarms']}); "
        f"instrument missed altogether in {empty['missed']}",
        f"Void pixels: {metrics['void_policy']}; as {other_void}: IoU {number(other_mean['iou'])}, "
        f"Dice {number(other_mean['dice'])}",
    ]
    if len(metrics["per_video"]) > 1:
        names = short_names(metrics["per_video"], 47)
        width = max(24, *(len(name) + 1 for name in names))
        lines += ["", f"{'Video':<{width}}{'Frames':>8}{'IoU':>8}{'Dice':>8}"]
        for name, row in zip(names, metrics["per_video"].values()):
            scores = f"{number(row['iou'], '8.4f')}{number(row['dice'], '8.4f')}"
            lines.append(f"{name:<{width}}{row['frames']:>8}{scores}{'  ' * bool(why := why_undefined(row))}{why}")
    return "\n".join(lines)


def why_undefined(row: dict[str, Any]) -> str:
    """Return why the instrument IoU of a video is undefined; "" if it is not."""
    if row["iou"] is not None and not math.isnan(row["iou"]):
        return ""
    all_void = row["accuracy"] is None or math.isnan(row["accuracy"])
    return "all void" if all_void else "no instrument in truth or prediction"


def undefined_lines(metrics: dict[str, Any]) -> list[str]:
    """Return a line that says why scores of classes are n/a; none if all are defined."""
    if number(metrics["accuracy"]).strip() == "n/a":
        return ["n/a: every pixel is void"]
    reasons: dict[str, list[str]] = {}
    for name, row in metrics["classes"].items():
        missing = {key for key in ("iou", "precision", "recall") if number(row[key]).strip() == "n/a"}
        if missing:
            where = "in truth or prediction" if "iou" in missing else "in truth" if "recall" in missing else "predicted"
            reasons.setdefault(f"no pixel {where}", []).append(name)
    return ["n/a: " + "; ".join(f"{why}: {', '.join(names)}" for why, names in reasons.items())] if reasons else []


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
