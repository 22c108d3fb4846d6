"""When an instrument is in view: segments of presence, and presence against an annotation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MIN_AREA = 0.001  # of the frame: below it a mask counts as a speck, not as an instrument in view
GAP = 2.0  # typical spacings; a longer step between two frames is a part of the video nobody looked at


@dataclass(frozen=True)
class Segment:
    """An unbroken run of frames with an instrument. A frame stands for the time until the next one that was looked at,
    so start and end are known to within the spacing of the frames."""

    start_s: float
    end_s: float
    frames: int

    def to_json(self) -> dict:
        return {
            "start_s": self.start_s,
            "end_s": self.end_s,
            "length_s": self.end_s - self.start_s,
            "frames": self.frames,
        }


def typical_spacing(times: Sequence[float], burst: int = 1) -> float:
    """Median seconds between the places that were looked at; `burst` frames belong to each. NaN for a single place."""
    steps = np.diff(np.asarray(times, np.float64)[:: max(burst, 1)])
    return float(np.median(steps)) if len(steps) else math.nan


def presence_segments(
    times: Sequence[float], present: Sequence[bool], spacing: float, video_end: float = math.inf
) -> list[Segment]:
    """Segments of consecutive frames with an instrument; a step longer than two `spacing`s (s) ends one.

    A frame stands for the time that `frame_ends` gives it. `times` in seconds, ascending.
    """
    found: list[Segment] = []
    run: list[int] = []
    ends = frame_ends(times, spacing, video_end)
    for index, seen in enumerate(present):
        if run and (not seen or times[index] - times[index - 1] > GAP * spacing):
            found.append(Segment(float(times[run[0]]), ends[run[-1]], len(run)))
            run = []
        if seen:
            run.append(index)
    if run:
        found.append(Segment(float(times[run[0]]), ends[run[-1]], len(run)))
    return found


def frame_ends(times: Sequence[float], spacing: float, video_end: float = math.inf) -> list[float]:
    """Until when (s) each frame speaks: to the next frame or, where that is more than two `spacing`s away, for one, but
    not beyond `video_end` (which counts for nothing where frames lie behind it)."""
    if math.isnan(spacing):
        return [float(time) for time in times]
    following = [*times[1:], math.inf]
    ends = [float(after if after - time <= GAP * spacing else time + spacing) for time, after in zip(times, following)]
    return [min(end, video_end) for end in ends] if len(times) and times[-1] <= video_end else ends


def segment_summary(
    segments: Sequence[Segment],
    times: Sequence[float],
    spacing: float,
    counted: Sequence[bool] | None = None,
    video_end: float = math.inf,
) -> dict:
    """Number, total and median length, the segments themselves, and how exact their ends are; lengths are undefined
    (NaN) for a single frame. `counted` says which frames the segments are about (a phase's; default: all)."""
    lengths = [segment.end_s - segment.start_s for segment in segments]
    stretches = [end - time for time, end in zip(times, frame_ends(times, spacing, video_end))]
    looked_at = sum(stretches if counted is None else np.array(stretches)[np.asarray(counted, bool)])
    defined = not math.isnan(spacing)
    return {
        "count": len(segments),
        "resolution_s": spacing,
        "present_s": float(sum(lengths)) if defined else math.nan,
        "present_share_of_time": float(sum(lengths) / looked_at) if defined and looked_at > 0 else math.nan,
        "median_length_s": float(np.median(lengths)) if lengths and defined else math.nan,
        "longest_s": float(max(lengths)) if lengths and defined else math.nan,
        "segments": [segment.to_json() for segment in segments],
    }


def agreement(predicted: Sequence[bool], annotated: Sequence[bool]) -> dict:
    """Sensitivity TP / (TP + FN) and specificity TN / (TN + FP) of presence, each undefined (NaN) where its class is
    absent from the annotation; and the four counts."""
    predicted, annotated = np.asarray(predicted, bool), np.asarray(annotated, bool)
    true_positive, false_negative = int((predicted & annotated).sum()), int((~predicted & annotated).sum())
    false_positive, true_negative = int((predicted & ~annotated).sum()), int((~predicted & ~annotated).sum())
    positive, negative = true_positive + false_negative, true_negative + false_positive
    return {
        "sensitivity": true_positive / positive if positive else math.nan,
        "specificity": true_negative / negative if negative else math.nan,
        "true_positive": true_positive,
        "false_negative": false_negative,
        "false_positive": false_positive,
        "true_negative": true_negative,
    }
