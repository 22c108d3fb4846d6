"""Detection and coverage: what a mask says of its frame, and what a table of frames says of a video."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

PERCENTILES = (5, 25, 75, 95)


def evenly_spaced(length: int, count: int) -> list[int]:
    """At most `count` ascending indices spread evenly over 0..length-1, the first and last among them."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(int)).tolist() if length else []


def describe(values: Iterable[float]) -> dict:
    """n, mean, median, SD (n - 1; NaN for one value), percentiles, minimum and maximum; NaN where empty."""
    values = np.asarray(list(values), np.float64)
    if not len(values):
        return {"n": 0, **dict.fromkeys(("mean", "median", "sd", "min", "max", *_names()), float("nan"))}
    percentiles = np.percentile(values, PERCENTILES)
    return {
        "n": len(values),
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else float("nan"),
        "min": float(values.min()),
        "max": float(values.max()),
        **{name: float(value) for name, value in zip(_names(), percentiles)},
    }


def _names() -> list[str]:
    return [f"p{percent}" for percent in PERCENTILES]


def detection_statistics(rows: Sequence, min_area: float) -> dict:
    """Detection and coverage over rows of `frames.csv` (objects with its columns as attributes).

    `detection_rate` counts frames with any instrument pixel, as the original study did;
    `detection_rate_min_area` those whose instrument covers at least `min_area` of the frame (fraction) as well.
    """
    coverage = np.array([row.coverage for row in rows], np.float64)
    absent = [row for row in rows if not row.coverage > 0]
    return {
        "frames": len(rows),
        "detection_rate": float((coverage > 0).mean()),
        "min_area": min_area,
        "detection_rate_min_area": float(((coverage > 0) & (coverage >= min_area)).mean()),
        "frames_without_detection": len(absent),
        "without_detection": [{"name": row.name, "frame": row.frame, "time_s": row.time_s} for row in absent],
        "coverage": describe(coverage),
        "mean_confidence": float(np.mean([row.mean_confidence for row in rows])),
        "mean_uncertainty": float(np.mean([row.uncertainty for row in rows])),
        "mean_components": float(np.mean([row.components for row in rows])),
    }
