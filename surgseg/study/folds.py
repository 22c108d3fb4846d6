"""Scores of a cross-validation: of each fold, and mean and standard deviation over the folds."""

from __future__ import annotations

from typing import Any

from surgseg.data.splits import Split
from surgseg.scores.intervals import CAUTION, FEWEST, mean_interval
from surgseg.scores.report import heading, number


def summarise_folds(splits: list[Split], metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Return each fold's test videos and scores, and mean and standard deviation (n - 1) over the folds.

    `metrics` are the metrics JSONs of the folds, in the order of `splits`. `video_intervals` are over the videos of all
    folds, each scored by the fold that tests it.
    """
    rows = [
        {
            "fold": fold,
            "test_videos": [video for video, part in split.assignment.items() if part == "test"],
            "frames": one["frames"],
            "data": one["data"],
            "weights": one["weights"],
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
    videos = [row for one in metrics for row in one["per_video"].values()]
    summary["video_intervals"] = {key: mean_interval(row[key] for row in videos) for key in ("iou", "dice")}
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
    for label, key in (("IoU", "iou"), ("Dice", "dice")):
        found = summary["video_intervals"][key]
        scores = f"mean {number(found['mean'], '.4f')}, SD {number(found['sd'], '.4f')}"
        interval = "95 % interval {:.4f} to {:.4f}".format(*found["interval"]) if found["interval"] else found["reason"]
        lines.append(f"{label} of {found['n']} videos, each scored by the fold that tests it: {scores}, {interval}")
    lines += [CAUTION] * (FEWEST <= summary["video_intervals"]["dice"]["n"] <= 10)
    return "\n".join(lines)
