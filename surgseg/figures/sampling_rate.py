"""The figure of one video at several sampling rates."""

from __future__ import annotations

import math
from pathlib import Path

from surgseg.analysis.rates import RATE_MEASURES, RATE_SOURCES
from surgseg.figures.style import BLACK, BLUE, SKY, add_title, new_figure, save_figure

_COLOURS = {"predicted": BLUE, "predicted_same_frames": SKY, "truth": BLACK}
_SHOWN = ("iou", "one_frame_changes", "segments")


def draw_sampling_rate(path: Path | str, found: dict, mark: str = "") -> Path:
    """Draw three measures of `measure_rates` against the rate: the mean of the samples, and bars to the extremes."""
    figure, axes = new_figure(1, len(_SHOWN), size=(7.2, 2.7))
    for axis, key in zip(axes[0], _SHOWN):
        label, _, in_percent = RATE_MEASURES[key]
        scale = 100 if in_percent else 1
        for source in found["frames"]:
            points = [(one["rate"], one["all"][source][key]) for one in found["rates"]]
            points = [(rate, value) for rate, value in points if not math.isnan(value["mean"])]
            means = [scale * value["mean"] for _, value in points]
            bars = [[scale * abs(value[end] - value["mean"]) for _, value in points] for end in ("min", "max")]
            style = {"color": _COLOURS[source], "marker": "o", "markersize": 3, "capsize": 2}
            axis.errorbar([rate for rate, _ in points], means, bars, label=RATE_SOURCES[source], **style)
        axis.set_xscale("log")
        ticks = [one["rate"] for one in found["rates"]]
        axis.set_xticks(ticks, [f"{rate:.3g}" for rate in ticks])
        axis.minorticks_off()
        axis.set_ylim(0, 1.08 * axis.get_ylim()[1])
        axis.set(xlabel="Frames a second", title=label + " (%)" * in_percent)
        axis.title.set_fontsize(9)
    axes[0, 0].legend(loc="lower left", fontsize=7)
    add_title(figure, "The same video at several sampling rates", mark)
    return save_figure(figure, path)
