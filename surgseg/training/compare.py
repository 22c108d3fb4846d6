"""Comparisons of trainings that differ in one thing only, scored on the same frames."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

from surgseg.data.splits import Split
from surgseg.files import UserError


def level_splits(splits: list[Split], samples: list, seed: int) -> list[Split]:
    """The same splits with equally many training frames and no validation part, so that only the division differs.

    Validation frames train, on a fixed schedule; what is more than the smallest of the training parts is left out at
    random. Raises `UserError` where a split tests on nothing.
    """
    pools = [np.sort(np.concatenate([split.parts["train"], split.parts["val"]])) for split in splits]
    smallest = min(len(pool) for pool in pools)
    levelled = []
    for split, pool in zip(splits, pools):
        if not len(split.parts["test"]):
            raise UserError(f"split {split.name!r} has no test part, so there is nothing to compare")
        chosen = np.random.default_rng([seed, 2]).choice(len(pool), smallest, replace=False)
        parts = {"train": pool[np.sort(chosen)], "val": pool[:0], "test": split.parts["test"]}
        assignment = {samples[index].name: part for part, indices in parts.items() for index in indices}
        levelled.append(Split(split.name, "frame", dict(sorted(assignment.items())), parts))
    return levelled


def shared_videos(split: Split, samples: list) -> int:
    """How many videos of the test part also train."""
    train, test = ({samples[index].video for index in split.parts[part]} for part in ("train", "test"))
    return len(train & test)


def held_out_by_both(first: Split, second: Split) -> np.ndarray:
    """Indices of the test frames of `second` that neither split trains on and `first` tests on too."""
    return np.intersect1d(first.parts["test"], second.parts["test"])


def paired_difference(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Metrics of two models on the same frames -> first minus second: pooled, and by video with mean and SD."""
    by_video = {
        video: row["iou"] - second["per_video"][video]["iou"]
        for video, row in first["per_video"].items()
        if _defined(row["iou"]) and _defined(second["per_video"][video]["iou"])
    }
    values = list(by_video.values())
    return {
        "frames": first["frames"],
        "iou": [metrics["mean_instrument"]["iou"] for metrics in (first, second)],
        "dice": [metrics["mean_instrument"]["dice"] for metrics in (first, second)],
        "iou_difference": first["mean_instrument"]["iou"] - second["mean_instrument"]["iou"],
        "by_video": by_video,
        "video_mean": statistics.mean(values) if values else None,
        "video_sd": statistics.stdev(values) if len(values) > 1 else None,
    }


def _defined(value: float | None) -> bool:
    return value is not None and value == value
