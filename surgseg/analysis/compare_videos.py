"""Compare several generated folders: the statistics of each, their differences, and warnings where they are unequal.

Detection and coverage of two unlabelled videos depend on what they show as much as on how the model does on them: that
is a comparison of content. Only with tool annotations or ground truth can a change of scores be called a shift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from surgseg.analysis.bootstrap import difference_of_means, drop_rare_intervals
from surgseg.analysis.measure import Analysis, video_end
from surgseg.analysis.presence import frame_ends
from surgseg.analysis.statistics import evenly_spaced
from surgseg.appearance import MEASURES, Appearance, appearance, histogram_distance
from surgseg.data.seen import training_warnings
from surgseg.frames import read_frame
from surgseg.generate.folder import FrameRow, Generated
from surgseg.masks import is_present
from surgseg.scores.metrics import nanmean
from surgseg.threads import ahead, cpu_count

MEASURED_FRAMES = 200  # frames of a video whose appearance is measured, evenly spaced
_APART = 0.1  # share by which sampled parts may differ without a warning


@dataclass(frozen=True)
class Video:
    """One folder of a comparison. `appearances`: the frames whose appearance was measured, each with its appearance."""

    name: str
    generated: Generated
    analysis: Analysis
    appearances: list[tuple[FrameRow, Appearance]]

    @property
    def burst(self) -> int:
        return (self.generated.run.get("sampling") or {}).get("burst", 1)

    @property
    def colours(self) -> np.ndarray:
        """Mean histogram of hue and saturation; zeros where none was measured."""
        lit = [found.histogram for _, found in self.appearances if found.histogram.any()]
        return np.mean(lit, axis=0) if lit else np.zeros((1, 1))


def measure_appearances(generated: Generated, rows: Sequence[FrameRow]) -> list[tuple[FrameRow, Appearance]]:
    """Measure the appearance of at most `MEASURED_FRAMES` of the rows; [] where the run kept no frames."""
    if generated.run["parts"].get("frames") is None:
        return []
    chosen = [rows[place] for place in evenly_spaced(len(rows), MEASURED_FRAMES)]
    with ThreadPoolExecutor(cpu_count()) as pool:
        appearances = ahead(pool, lambda row: appearance(read_frame(generated.frame_path(row))), chosen, 32)
        return list(zip(chosen, appearances))


def compare_videos(videos: Sequence[Video]) -> dict:
    """Return the comparison as plain numbers: a record of each video, its difference from the first, warnings."""
    labelled = [kind for kind in ("tools", "ground_truth") if all(kind in v.analysis.statistics for v in videos)]
    reference = videos[0]
    return {
        "schema": "surgseg.video_comparison/1",
        "kind": "shift" if labelled else "content",
        "labels": labelled,
        "complete": all(video.generated.run.get("complete") for video in videos),
        "videos": [describe_video(video, reference) for video in videos],
        "differences": [_video_difference(reference, video, labelled) for video in videos[1:]],
        "warnings": warnings(videos),
    }


def describe_video(video: Video, reference: Video) -> dict:
    """Return the statistics of one video, the part that was sampled, and its appearance against the reference."""
    statistics = video.analysis.statistics
    record = {
        "name": video.name,
        "frames": statistics["frames"],
        "frames_suspect_left_out": statistics["frames_suspect_left_out"],
        "reviewed_masks": statistics["reviewed_masks"],
        "detection_rate": statistics["detection_rate"],
        "detection_rate_min_area": statistics["detection_rate_min_area"],
        "min_area": statistics["min_area"],
        "coverage": statistics["coverage"],
        "frames_without_detection": statistics["frames_without_detection"],
        "mean_confidence": statistics["mean_confidence"],
        "stability": statistics["stability"],
        "cuts": statistics["cuts"],
        "sampled": sampled_part(video),
        "video_data": video.generated.run.get("video_data"),
        "weights_data": video.generated.run.get("weights_data"),
        "appearance": _appearance(video, reference),
    }
    if "tools" in statistics:
        record["presence"] = statistics["tools"]
    if "ground_truth" in statistics:
        record["dice"] = statistics["ground_truth"]["dice"]
    return record


def sampled_part(video: Video) -> dict:
    """Return start, end and spacing of the sampled frames and the length of the video, in s (None: unknown)."""
    rows, spacing = video.analysis.rows, video.analysis.statistics["presence"]["resolution_s"]
    video_ends = video_end(video.generated)
    end = frame_ends([row.time_s for row in rows], video_ends)[-1]
    length = video_ends if math.isfinite(video_ends) else None
    return {"start_s": rows[0].time_s, "end_s": end, "spacing_s": spacing, "burst": video.burst, "video_s": length}


def _appearance(video: Video, reference: Video) -> dict | None:
    """Mean over the measured frames of each measure, and its rank correlation with the model's confidence.

    `histogram_distance` is the distance of a frame's colours from the mean colours of the reference video.
    """
    if not video.appearances:
        return None
    values = {name: [getattr(found, name) for _, found in video.appearances] for name in MEASURES}
    colours = reference.colours
    values["histogram_distance"] = [histogram_distance(found.histogram, colours) for _, found in video.appearances]
    confidence = [row.mean_confidence for row, _ in video.appearances]
    return {
        "frames": len(video.appearances),
        "reference": reference.name,
        **{name: nanmean(measured) for name, measured in values.items()},
        "confidence_rank_correlation": {
            name: _rank_correlation(measured, confidence) for name, measured in values.items()
        },
    }


def _rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation; NaN for fewer than three pairs, or where one side does not vary."""
    pairs = np.array([pair for pair in zip(first, second) if not any(math.isnan(value) for value in pair)])
    if len(pairs) < 3 or (pairs.std(0) < 1e-12).any():
        return math.nan
    return float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)


def _video_difference(reference: Video, video: Video, labelled: list[str]) -> dict:
    """`video` minus `reference`, with intervals where there are enough frames."""
    bursts = (reference.burst, video.burst)

    def between(values) -> dict:
        return difference_of_means(values(reference), values(video), bursts=bursts)

    of_masks = {
        "detection_rate": between(lambda v: [float(row.coverage > 0) for row in v.analysis.rows]),
        "mean_coverage": between(lambda v: [row.coverage for row in v.analysis.rows]),
        "mean_confidence": between(lambda v: [row.mean_confidence for row in v.analysis.rows]),
    }
    drop_rare_intervals(list(of_masks.values()))
    found = {"first": reference.name, "second": video.name, **of_masks, "appearance": None, "shift": {}}
    if reference.appearances and video.appearances:
        found["appearance"] = {
            name: between(lambda v, name=name: _without_nan(getattr(found, name) for _, found in v.appearances))
            for name in MEASURES
        }
        drop_rare_intervals(list(found["appearance"].values()))
        found["appearance"]["histogram_distance"] = histogram_distance(reference.colours, video.colours)
    if "tools" in labelled:
        found["shift"]["sensitivity"] = between(lambda v: _correct_presence(v, True))
        found["shift"]["specificity"] = between(lambda v: _correct_presence(v, False))
    if "ground_truth" in labelled:
        found["shift"]["dice"] = between(lambda v: _without_nan(score["dice"] for score in v.analysis.scores.values()))
    return found


def _without_nan(values) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _correct_presence(video: Video, in_view: bool) -> list[float]:
    """Over the annotated frames with (`in_view`) or without a tool: 1 where the masks agree, 0 where they do not."""
    analysis = video.analysis
    present = is_present([row.coverage for row in analysis.rows], analysis.statistics["min_area"])
    counted = analysis.annotated & (analysis.in_view == in_view)
    return (present[counted] == in_view).astype(float).tolist()


def warnings(videos: Sequence[Video]) -> list[str]:
    """Return what makes the videos unequal: weights, thresholds, views, kind of data, unfinished runs, parts."""
    found = []
    settings = (("weights_sha256", "weights", None), ("threshold", "thresholds", None), ("view", "views", "full"))
    for key, what, earlier in settings:  # `earlier`: of folders of versions that lack the key
        if len({str(video.generated.run.get(key, earlier)) for video in videos}) > 1:
            found.append(f"the folders were made with different {what}: the differences are not the videos' alone")
    if len({video.generated.run.get("video_data") == "synthetic" for video in videos}) > 1:
        found.append("synthetic and other videos are mixed")
    found += [
        f"{video.name} is unfinished: only its first part counts"
        for video in videos
        if not video.generated.run.get("complete")
    ]
    for video in videos:
        found += [f"{video.name}: {text}" for text in training_warnings(video.generated.run).values()]
    for video in videos[1:]:
        found += [f"{videos[0].name} and {video.name} {text}" for text in _uneven_sampling(videos[0], video)]
    return found


def _uneven_sampling(first: Video, second: Video) -> list[str]:
    """How the sampled parts of two videos differ in length, place or spacing."""
    parts, found = [sampled_part(video) for video in (first, second)], []
    lengths = [part["end_s"] - part["start_s"] for part in parts]
    if not math.isclose(*lengths, rel_tol=_APART):
        found.append(f"differ in length: frames span {lengths[0]:.1f} s and {lengths[1]:.1f} s")
    starts = [part["start_s"] for part in parts]
    if all(part["video_s"] for part in parts):
        shares = [[min(part[end] / part["video_s"], 1.0) for end in ("start_s", "end_s")] for part in parts]
        if any(abs(one - other) > _APART for one, other in zip(*shares)):
            where = " and ".join(f"{100 * start:.0f}-{100 * end:.0f} %" for start, end in shares)
            found.append(f"differ in place: frames come from {where} of their operations")
    elif abs(starts[0] - starts[1]) > _APART * max(lengths):
        begin = f"frames begin at {starts[0]:.1f} s and {starts[1]:.1f} s"
        found.append(f"differ in place: {begin} of videos of unknown length")
    spacings = [part["spacing_s"] for part in parts]
    if not any(map(math.isnan, spacings)) and not math.isclose(*spacings, rel_tol=_APART):
        found.append(f"were sampled differently: one place each {spacings[0]:.2f} s and {spacings[1]:.2f} s")
    return found
