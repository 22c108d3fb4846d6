"""The figure of several generated folders: coverage, timelines, and the model's confidence against appearance."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from surgseg.analysis.compare_report import TITLES
from surgseg.analysis.compare_videos import Video
from surgseg.analysis.report import percent
from surgseg.appearance import MEASURES, histogram_distance
from surgseg.figures.mask_statistics import broken_line
from surgseg.figures.style import BLACK, GRAY, PALETTE, add_title, fit_names, new_figure, save_figure

_LABELS = {**MEASURES, "histogram_distance": "Colour distance (0-1)"}


def draw_video_comparison(path: Path, videos: Sequence[Video], result: dict) -> Path:
    """Draw the coverage of each video as a box and as a timeline, and confidence against the measures of appearance,
    a point for each frame in `Video.appearances`."""
    count = len(videos)
    panels = _panels(videos)
    heights = [max(2.2, 1.05 * count), *([2.1 + 0.15 * (count // 3)] if panels else [])]
    figure, axes = new_figure(size=(7.2, sum(heights) + 0.3))
    axes[0, 0].remove()
    upper, *lower = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    left, right = upper.subfigures(1, 2, width_ratios=[min(0.55 + 0.65 * count, 2.6), 5])
    colours = [PALETTE[index % len(PALETTE)] for index in range(count)]
    top = max(1.0, *(100 * row.coverage for video in videos for row in video.analysis.rows)) * 1.08
    _boxes(left.subplots(), videos, colours, top)
    names = fit_names((video.name for video in videos), 30)
    for axis, video, name, colour in zip(right.subplots(count, 1, squeeze=False)[:, 0], videos, names, colours):
        _video_timeline(axis, video, name, colour, top)
    for part in lower:
        _appearances(part, panels, videos, colours)
    warnings = len(result["warnings"])
    warned = f" ({warnings} warning{'s' * (warnings > 1)}: see the table)" if warnings else ""
    marks = [video.generated.synthetic for video in videos if video.generated.synthetic]
    mark = min(marks, default="")  # SYNTHETIC rather than SYNTHETIC WEIGHTS
    add_title(figure, TITLES[result["kind"]].capitalize() + warned, mark, fontsize=11)
    return save_figure(figure, path)


def _boxes(axis, videos: Sequence[Video], colours: list[str], top: float) -> None:
    boxes = axis.boxplot(
        [[100 * row.coverage for row in video.analysis.rows] for video in videos],
        widths=0.6, patch_artist=True, showmeans=True, whis=(5, 95), medianprops={"color": BLACK},
        flierprops={"marker": ".", "markersize": 2, "markeredgecolor": GRAY},
        meanprops={"marker": "D", "markerfacecolor": "white", "markeredgecolor": BLACK, "markersize": 4},
    )  # fmt: skip
    for patch, colour in zip(boxes["boxes"], colours):
        patch.set(facecolor=colour, alpha=0.55)
    few = len(videos) <= 3
    names = fit_names((video.name for video in videos), 30)
    if few:
        names = [textwrap.fill(name.replace("_", " "), 10) for name in names]
    axis.set_xticks(range(1, len(videos) + 1), names, fontsize=8, rotation=0 if few else 90)
    axis.set_ylim(-0.05 * top, top)
    axis.set_ylabel("Coverage (% of frame)", fontsize=8)
    axis.set_title("diamond: mean\nwhiskers: 5-95 %", fontsize=7, loc="left", pad=2)
    axis.tick_params(labelsize=8)


def _video_timeline(axis, video: Video, name: str, colour: str, top: float) -> None:
    times = np.array([row.time_s for row in video.analysis.rows])
    coverage = np.array([100 * row.coverage for row in video.analysis.rows])
    spacing = video.analysis.statistics["presence"]["resolution_s"]
    marker = {"marker": ".", "markersize": 3} if len(times) <= 150 else {}
    axis.plot(*broken_line(times, coverage, spacing), color=colour, linewidth=1.0, **marker)
    absent = coverage == 0
    axis.plot(times[absent], np.full(absent.sum(), -0.07 * top), "|", color=GRAY, markersize=5)
    axis.set_ylim(-0.13 * top, top)
    axis.set_ylabel("Cov. (%)", fontsize=8)
    rate = percent(video.analysis.statistics["detection_rate"])
    ticks = " (gray: none)" if absent.any() else ""
    title = f"{name}: instrument in {rate} of {len(times)} frame{'s' * (len(times) > 1)}{ticks}"
    axis.set_title(title, fontsize=8 if len(name) < 20 else 7, loc="left", pad=2)
    axis.set_xlabel("Time in the video (s)", fontsize=8, labelpad=1)
    axis.tick_params(labelsize=8)


def _panels(videos: Sequence[Video]) -> dict[str, list[list[float]]]:
    """Values of each video, by measure of appearance; a measure without a finite value is left out."""
    reference = videos[0].colours
    found = {}
    for key in _LABELS:
        values = [
            [
                histogram_distance(one.histogram, reference) if key == "histogram_distance" else getattr(one, key)
                for _, one in video.appearances
            ]
            for video in videos
        ]
        if np.isfinite(np.concatenate(values)).any():
            found[key] = values
    return found


def _appearances(part, panels: dict[str, list[list[float]]], videos: Sequence[Video], colours: list[str]) -> None:
    axes = part.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    names = fit_names((video.name for video in videos), 30)
    for axis, (key, values) in zip(axes, panels.items()):
        for video, name, x, colour in zip(videos, names, values, colours):
            if x:
                confidence = [row.mean_confidence for row, _ in video.appearances]
                axis.scatter(x, confidence, s=5, alpha=0.6, color=colour, linewidths=0, label=name)
        axis.set_xlabel(_LABELS[key].replace(" (", "\n("), fontsize=8)
        axis.xaxis.set_major_locator(MaxNLocator(3))
        axis.ticklabel_format(useOffset=False)  # an offset would overlap the axis label
        axis.tick_params(labelsize=7)
    axes[0].set_ylabel("Mean confidence", fontsize=8)
    handles, names = axes[0].get_legend_handles_labels()
    part.legend(handles, names, loc="outside lower center", ncols=3, fontsize=7, markerscale=2, handletextpad=0.1)
