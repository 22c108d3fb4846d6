"""Presence of an instrument: segments of time, and agreement with an annotation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

GAP = 2.0  # local spacings: a longer step between two frames is a part of the video that was not sampled
REACH = 3  # steps on each side of a step that tell the local spacing
ROUNDING_S = 0.003  # containers round times to 1 ms: two spacings and a step are off by up to 3 ms together


@dataclass(frozen=True)
class Segment:
    """Consecutive frames with an instrument.

    A frame stands for the time until the next sampled one, so start and end are exact to the spacing of the frames.
    """

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
    """Return the median seconds between sampled places of `burst` frames each; NaN for a single place."""
    steps = np.diff(np.asarray(times, np.float64)[:: max(burst, 1)])
    return float(np.median(steps)) if len(steps) else math.nan


def local_spacing(times: Sequence[float]) -> np.ndarray:
    """Return (N - 1,) the spacing (s) around each step: the median of the three steps before it and the three after.

    So it follows a variable frame rate, and within a video sampled in bursts it is the spacing in a burst.
    """
    steps = np.diff(np.asarray(times, np.float64))
    if len(steps) < 2:
        return steps
    padded = np.pad(steps, REACH, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * REACH + 1)
    return np.nanmedian(np.delete(windows, REACH, axis=1), axis=1)


def longer_than_gap(steps: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Return for each step (s) whether it is a gap: longer than `GAP` times the `spacing` (s), beyond rounding."""
    return steps > GAP * spacing + ROUNDING_S


def presence_segments(
    times: Sequence[float], present: Sequence[bool], video_end: float = math.inf, shots: Sequence[int] | None = None
) -> list[Segment]:
    """Return the segments of consecutive frames with an instrument; a gap between frames, or a cut, ends one.

    A frame stands for the time until its end as `frame_ends` gives it. `times` in seconds, ascending; `shots` (N,) as
    `Cuts.shots` gives them (default: no cuts).
    """
    ends = frame_ends(times, video_end)
    frames = np.flatnonzero(present)
    gaps = longer_than_gap(np.diff(np.asarray(times, np.float64)), local_spacing(times))
    breaks = (np.diff(frames) > 1) | gaps[frames[:-1]]
    if shots is not None:
        begins = np.append(False, np.diff(shots) > 0)
        once = begins & ~np.append(False, begins[:-1])  # in a dissolve each frame begins a shot
        breaks |= np.diff(np.cumsum(once)[frames]) > 0
    runs = np.split(frames, np.flatnonzero(breaks) + 1)
    return [Segment(float(times[run[0]]), ends[run[-1]], len(run)) for run in runs if len(run)]


def frame_ends(times: Sequence[float], video_end: float = math.inf) -> list[float]:
    """Return the end (s) of the time that each frame stands for: the next frame, or one local spacing before a gap.

    The last frame stands for one spacing too; a single frame for no time. The ends are limited to `video_end`, unless
    frames lie after it.
    """
    times = np.asarray(times, np.float64)
    if len(times) < 2:
        return times.tolist()
    steps, spacing = np.diff(times), local_spacing(times)
    lengths = np.where(longer_than_gap(steps, spacing), spacing, steps)
    ends = times + np.append(lengths, np.median(lengths[-REACH:]))
    return (np.minimum(ends, video_end) if times[-1] <= video_end else ends).tolist()


def segment_summary(
    segments: Sequence[Segment],
    times: Sequence[float],
    spacing: float,
    counted: Sequence[bool] | None = None,
    video_end: float = math.inf,
) -> dict:
    """Return number, total, median and longest length of the segments, and the segments; NaN for a single frame.

    `resolution_s` is `spacing` (s), the precision of their ends. `counted` (bool for each frame, default: all) selects
    the frames that the segments were made of, such as those of a phase.
    """
    lengths = [segment.end_s - segment.start_s for segment in segments]
    durations = np.array(frame_ends(times, video_end)) - np.asarray(times)
    sampled = sum(durations if counted is None else durations[np.asarray(counted, bool)])
    defined = not math.isnan(spacing)
    return {
        "count": len(segments),
        "resolution_s": spacing,
        "present_s": float(sum(lengths)) if defined else math.nan,
        "present_share_of_time": float(sum(lengths) / sampled) if defined and sampled > 0 else math.nan,
        "median_length_s": float(np.median(lengths)) if lengths and defined else math.nan,
        "longest_s": float(max(lengths)) if lengths and defined else math.nan,
        "segments": [segment.to_json() for segment in segments],
    }


def agreement(predicted: Sequence[bool], annotated: Sequence[bool]) -> dict:
    """Return sensitivity TP / (TP + FN), specificity TN / (TN + FP) and the four counts of presence.

    Either is NaN where the annotation has no frame of its class.
    """
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
