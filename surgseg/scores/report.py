"""Scores as text: the blocks that the scripts print."""

from __future__ import annotations

import math
from typing import Any

RULE = "=" * 72


def number(value: float | None, form: str = "7.4f") -> str:
    """A score, or n/a where it is undefined."""
    if value is None or math.isnan(value):
        return "n/a".rjust(int(form.split(".")[0].lstrip("<>") or 0))
    return format(value, form)


def heading(title: str) -> str:
    return f"\n{RULE}\n{title}\n{RULE}"


def metrics_block(title: str, metrics: dict[str, Any]) -> str:
    """Frames, accuracy, instrument IoU and Dice (pooled, per frame, per video) and a row per class."""
    mean, per_frame, per_video = metrics["mean_instrument"], metrics["per_frame"], metrics["video_mean"]
    empty, other = metrics["empty_frames"], _other_void(metrics)
    lines = [
        heading(title),
        f"Frames analyzed:  {metrics['frames']}",
        f"Overall accuracy: {number(metrics['accuracy'])}",
        f"Mean IoU  of the instrument classes: {number(mean['iou'])}",
        f"Mean Dice of the instrument classes: {number(mean['dice'])}",
        f"Instrument (all classes together), mean of frames: IoU {number(per_frame['mean_iou'])}, "
        f"Dice {number(per_frame['mean_dice'])}; of videos: IoU {number(per_video['iou'])}, "
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
        f"Void pixels: {metrics['void_policy']}; as {other[0]}: IoU {number(other[1]['mean_instrument']['iou'])}, "
        f"Dice {number(other[1]['mean_instrument']['dice'])}",
    ]
    if len(metrics["per_video"]) > 1:
        lines += ["", f"{'Video':<24}{'Frames':>8}{'IoU':>8}{'Dice':>8}"]
        for video, row in metrics["per_video"].items():
            lines.append(f"{video[:23]:<24}{row['frames']:>8}{number(row['iou'], '8.4f')}{number(row['dice'], '8.4f')}")
    return "\n".join(lines)


def _other_void(metrics: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = "background" if metrics["void_policy"] == "ignore" else "ignore"
    return name, metrics[f"void_{name}"]


def summarise_folds(folds: list[list[str]], metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Each fold's test videos and scores, with mean and standard deviation (n - 1) over the folds."""
    rows = [
        {
            "fold": index,
            "test_videos": videos,
            "frames": one["frames"],
            "accuracy": one["accuracy"],
            **one["mean_instrument"],
            "frame_mean_dice": one["per_frame"]["mean_dice"],
        }
        for index, (videos, one) in enumerate(zip(folds, metrics), 1)
    ]
    summary: dict[str, Any] = {"folds": rows}
    for key in ("iou", "dice", "frame_mean_dice"):
        values = [row[key] for row in rows if row[key] is not None]
        mean = sum(values) / len(values) if values else math.nan
        spread = math.sqrt(sum((x - mean) ** 2 for x in values) / (len(values) - 1)) if len(values) > 1 else math.nan
        summary[key] = {"mean": mean, "sd": spread, "n": len(values)}
    return summary


def folds_block(summary: dict[str, Any]) -> str:
    """A row per fold, then mean and standard deviation."""
    lines = [heading("CROSS-VALIDATION"), f"{'Fold':<6}{'Frames':>8}{'IoU':>8}{'Dice':>8}  Test videos"]
    for row in summary["folds"]:
        videos = ", ".join(row["test_videos"])
        lines.append(
            f"{row['fold']:<6}{row['frames']:>8}{number(row['iou'], '8.4f')}{number(row['dice'], '8.4f')}  {videos}"
        )
    iou, dice = summary["iou"], summary["dice"]
    lines += [
        f"{'mean':<14}{number(iou['mean'], '8.4f')}{number(dice['mean'], '8.4f')}",
        f"{'SD':<14}{number(iou['sd'], '8.4f')}{number(dice['sd'], '8.4f')}",
    ]
    return "\n".join(lines)


def epoch_block(row: dict[str, Any], epochs: int) -> str:
    """The study's lines at the end of an epoch."""
    text = f"Epoch {row['epoch']}/{epochs} - Average Loss: {row['train_loss']:.4f}"
    if "val_loss" not in row:
        return text
    return (
        f"{text}\nEpoch {row['epoch']} Validation: Loss {row['val_loss']:.4f}, "
        f"IoU {number(row['val_iou'], '.4f')}, Dice {number(row['val_dice'], '.4f')}, "
        f"Accuracy {number(row['val_accuracy'], '.4f')}"
    )


def leak_block(result: dict[str, Any]) -> str:
    """The leak meter's table, and what it says of each split against the video-wise one."""
    reference = next(row for row in result["splits"] if row["split"] == result["reference"])
    lines = [
        heading("LEAK METER"),
        f"{'Split':<10}{'Train':>7}{'Test':>7}{'Shared videos':>15}{'Near copies':>13}{'IoU':>9}{'Dice':>9}",
    ]
    for row in result["splits"]:
        lines.append(
            f"{row['split']:<10}{row['train_frames']:>7}{row['test_frames']:>7}{row['shared_videos']:>15}"
            f"{row['near_copies']:>13}{number(row['iou'], '9.4f')}{number(row['dice'], '9.4f')}"
        )
    lines.append("Near copies: test frames that look like a frame that trains. Each model on its own test part.")
    for row in result["splits"]:
        if row is not reference:
            lines += ["", *_leak_lines(row, reference)]
    return "\n".join(lines)


def _leak_lines(row: dict[str, Any], reference: dict[str, Any]) -> list[str]:
    name, other = row["split"], reference["split"]
    own = f"{name} against {other}, each on its own test part: IoU {number(row['iou'] - reference['iou'], '+.4f')}"
    pair = row.get("paired")
    if pair is None:
        return [own, "  no frame is held out by both, so there are no paired numbers"]
    first, second = pair["iou"]
    lines = [
        own,
        f"  on the {pair['frames']} frames that both hold out: {number(first, '.4f')} and {number(second, '.4f')}, "
        f"difference {number(pair['iou_difference'], '+.4f')}",
        "  by video: " + ", ".join(f"{video} {number(value, '+.4f')}" for video, value in pair["by_video"].items()),
    ]
    if pair["video_sd"] is not None:
        count = len(pair["by_video"])
        lines.append(f"  mean of {count} videos {pair['video_mean']:+.4f}, SD {pair['video_sd']:.4f}; one seed")
    return lines
