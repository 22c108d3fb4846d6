"""Scores of a cross-validation: of each fold, and mean and standard deviation over the folds."""

from __future__ import annotations

from typing import Any

from surgseg.data.splits import Split
from surgseg.scores.intervals import mean_interval
from surgseg.scores.report import heading, number


def summarise_folds(splits: list[Split], metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Return each fold's test videos and scores, and mean and standard deviation (n - 1) over the folds.

    `metrics` are the metrics JSONs of the folds, in the order of `splits`.
    """
    rows = [
        {
            "fold": fold,
            "test_videos": [video for video, part in split.assignment.items() if part == "test"],
            "frames": one["frames"],
            "accuracy": one["accuracy"],
            **one["mean_instrument"],
            "frame_mean_dice": one["per_frame"]["mean_dice"],
        }
        for fold, (split, one) in enumerate(zip(splits, metrics), 1)
    ]
    summary: dict[str, Any] = {"folds": rows}
    for key in ("iou", "dice", "frame_mean_dice"):
        found = mean_interval(row[key] for row in rows)
        summary[key] = {name: found[name] for name in ("mean", "sd", "n")}
    return summary


def folds_block(summary: dict[str, Any]) -> str:
    """Return the printed table: a row per fold, then mean and standard deviation."""
    lines = [heading("CROSS-VALIDATION"), f"{'Fold':<6}{'Frames':>8}{'IoU':>8}{'Dice':>8}  Test videos"]
    for row in summary["folds"]:
        videos = ", ".join(row["test_videos"])
        lines.append(
            f"{row['fold']:<6}{row['frames']:>8}{number(row['iou'], '8.4f')}{number(row['dice'], '8.4f')}  {videos}"
        )
    for label, key in (("mean", "mean"), ("SD", "sd")):
        lines.append(f"{label:<14}{number(summary['iou'][key], '8.4f')}{number(summary['dice'][key], '8.4f')}")
    return "\n".join(lines)
