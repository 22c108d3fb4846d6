"""Statistics over the frames of a video: detection rates and coverage."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

PERCENTILES = {"p5": 5, "p25": 25, "p75": 75, "p95": 95}


def evenly_spaced(length: int, count: int) -> list[int]:
    """Return at most `count` ascending, evenly spaced indices from 0 to length - 1, both included."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(int)).tolist() if length else []


def describe(values: Iterable[float]) -> dict:
    """Return n, mean, median, SD (n - 1; NaN for one value), minimum, maximum and percentiles of the defined values.

    NaN is left out. Where nothing remains, all but n are NaN.
    """
    values = np.asarray(list(values), np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return {"n": 0, **dict.fromkeys(("mean", "median", "sd", "min", "max", *PERCENTILES), math.nan)}
    return {
        "n": len(values),
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
        "min": float(values.min()),
        "max": float(values.max()),
        **{name: float(np.percentile(values, percent)) for name, percent in PERCENTILES.items()},
    }


def detection_statistics(rows: Sequence, min_area: float) -> dict:
    """Return detection and coverage over rows of `frames.csv` (objects with its columns as attributes).

    `detection_rate` counts frames with any instrument pixel, as the original study did. `detection_rate_min_area`
    counts those of them whose coverage (0-1) is at least `min_area`.
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
