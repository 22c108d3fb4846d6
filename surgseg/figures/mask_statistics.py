"""The figure of one generated folder: coverage over time with presence and phases, its histogram, stability."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from surgseg.analysis.measure import Analysis, video_end
from surgseg.analysis.presence import frame_ends, local_spacing, longer_than_gap
from surgseg.analysis.report import percent
from surgseg.figures.style import (
    BLACK,
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    PALETTE,
    RED,
    SKY,
    add_title,
    new_figure,
    save_figure,
)
from surgseg.generate.folder import Generated
from surgseg.masks import is_present

NOT_ANNOTATED = "#CCCCCC"  # no annotation row for that time


def draw_mask_statistics(path: Path | str, generated: Generated, analysis: Analysis, include_suspect: bool) -> Path:
    """Draw coverage against time (frames without instrument and suspect frames marked) with bands of presence, tools
    and phases below it, the histogram of coverage, and the IoU of neighbouring masks against time."""
    bands = _bands(analysis)
    figure, axes = new_figure(size=(7.2, 4.3 + 0.3 * len(bands)))
    axes[0, 0].remove()
    left, right = figure.subfigures(1, 2, width_ratios=[2.3, 1])
    rows = left.subplots(
        2 + len(bands), 1, sharex=True, gridspec_kw={"height_ratios": [1.3, *[0.17] * len(bands), 1]}
    )  # fmt: skip
    _coverage_timeline(rows[0], generated, analysis, include_suspect)
    for axis, (name, values, colours) in zip(rows[1:], bands):
        _band(axis, analysis, name, values, colours, video_end(generated))
    _stability_axis(rows[-1], analysis)
    rows[-1].set_xlabel("Time in the video (s)")
    _legend_of_phases(left, bands)
    upper, lower = right.subplots(2, 1)
    _coverage_histogram(upper, np.array([100 * row.coverage for row in analysis.rows]), analysis.statistics["coverage"])
    _stability_histogram(lower, analysis)
    rate, count = analysis.statistics["detection_rate"], analysis.statistics["frames"]
    title = f"Instrument found in {percent(rate)} of {count} frame{'s' * (count > 1)}"
    title += "" if generated.run.get("complete") else " (unfinished run)"
    add_title(figure, title, generated.synthetic)
    return save_figure(figure, path)


def _bands(analysis: Analysis) -> list[tuple[str, list, dict]]:
    """(name, value of each row, colours by value; other values are not drawn) of every band."""
    coverage = [row.coverage for row in analysis.rows]
    present = is_present(coverage, analysis.statistics["min_area"]).tolist()
    bands = [("found", present, {True: BLUE})]
    if analysis.in_view is not None:
        seen = [bool(shown) if known else None for shown, known in zip(analysis.in_view, analysis.near_annotation)]
        bands.append(("annotated", seen, {True: GREEN, None: NOT_ANNOTATED}))
    if analysis.phases is not None:
        names = list(analysis.statistics["phases"])
        bands.append(("phase", analysis.phases, {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}))
    return bands


def _band(axis, analysis: Analysis, name: str, values: list, colours: dict, end_s: float) -> None:
    """Colour the time that each frame stands for."""
    times = [row.time_s for row in analysis.rows]
    least = (times[-1] - times[0]) / 500 or 1.0  # visible, for a burst
    ends = [
        max(end, min(time + least, after))
        for time, after, end in zip(times, [*times[1:], end_s], frame_ends(times, end_s))
    ]
    for value, colour in colours.items():
        stretches = [(t, e - t) for t, e, found in zip(times, ends, values) if found == value]
        axis.broken_barh(stretches, (0, 1), facecolors=colour, linewidth=0)
    axis.set(ylim=(0, 1), yticks=[])
    axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    axis.grid(False)


def _legend_of_phases(figure, bands) -> None:
    phases = next((colours for name, _, colours in bands if name == "phase"), {})
    handles = [Patch(color=colour, label=name) for name, colour in phases.items()]
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=8, title="phase", title_fontsize=8)


def broken_line(times: np.ndarray, values: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Insert NaN at gaps by the local and by the typical `spacing` (s): no line is drawn over time without frames."""
    if spacing != spacing or len(times) < 2:
        return times, values
    holes = np.flatnonzero(longer_than_gap(np.diff(times), np.maximum(local_spacing(times), spacing))) + 1
    return np.insert(times, holes, np.nan), np.insert(values.astype(float), holes, np.nan)


def _coverage_timeline(axis, generated: Generated, analysis: Analysis, include_suspect: bool) -> None:
    times = np.array([row.time_s for row in analysis.rows])
    coverage = np.array([100 * row.coverage for row in analysis.rows])
    absent = coverage == 0
    marker = {"marker": "o", "markersize": 2.5} if len(times) <= 150 else {}
    spacing = analysis.statistics["presence"]["resolution_s"]
    axis.plot(*broken_line(times, coverage, spacing), color=BLUE, linewidth=1.1, **marker)
    top = max(float(coverage.max()) * 1.08, 1.0)
    low = -0.06 * top  # the marks are below the zero line, apart from the curve
    if absent.any():
        axis.plot(times[absent], np.full(absent.sum(), low), "|", color=RED, markersize=6, label="no instrument")
    suspect = [row.time_s for row in generated.rows if row.suspect and not include_suspect]
    if suspect:
        axis.plot(suspect, np.full(len(suspect), 2 * low), "|", color=ORANGE, markersize=6, label="suspect, left out")
    if absent.any() or suspect:
        axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncol=2, borderaxespad=0.2, handletextpad=0.2)
    axis.set_ylim(2.8 * low if suspect else 1.8 * low, top)
    axis.axhline(0, color=GRAY, linewidth=0.6)
    axis.set_ylabel("Coverage (%)")


def _coverage_histogram(axis, coverage: np.ndarray, described: dict) -> None:
    axis.hist(coverage, bins=np.linspace(0, max(float(coverage.max()), 1.0), 21), color=SKY)
    for name, colour, line in (("mean", BLACK, "-"), ("median", RED, "--")):
        value = 100 * described[name]
        axis.axvline(value, color=colour, linewidth=1.4, linestyle=line, label=f"{name} {value:.2f} %")
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2, handlelength=1.2, fontsize=8)
    axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.set(xlabel="Coverage (% of frame)", ylabel="Frames")


def _stability_axis(axis, analysis: Analysis) -> None:
    found = analysis.statistics["stability"]
    axis.set(ylim=(0, 1.03), ylabel="IoU of neighbours")
    if not found["computed"] or not found["iou"]["n"]:
        why = f"not computed: {found['reason']}" if found["reason"] else "both masks of every pair are empty"
        box = {"facecolor": "white", "edgecolor": "none", "pad": 2}
        style = {"ha": "center", "va": "center", "fontsize": 8, "color": BLACK, "bbox": box}
        axis.text(0.5, 0.5, textwrap.fill(why, 52), transform=axis.transAxes, **style)
        return
    times = np.array([analysis.rows[pair.first].time_s for pair in analysis.pairs])
    curves = [("without flow", SKY, [pair.iou for pair in analysis.pairs])]
    if found["flow"]["computed"]:
        curves.append(("along the flow", RED, [pair.flow_iou for pair in analysis.pairs]))
    for label, colour, iou in curves:
        points = broken_line(times, np.array(iou), max(found["median_step_s"], 1e-3))
        axis.plot(*points, color=colour, linewidth=1.0, marker=".", ms=2.5, label=label)
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 0.99), ncols=2, borderaxespad=0.2, fontsize=8)


def _stability_histogram(axis, analysis: Analysis) -> None:
    iou, flow_iou = (np.array([getattr(pair, name) for pair in analysis.pairs]) for name in ("iou", "flow_iou"))
    if np.isnan(iou).all():  # no pairs, or all pairs of empty masks
        axis.remove()
        return
    for values, colour in ((iou, SKY), (flow_iou, RED)):
        defined = values[~np.isnan(values)]
        if len(defined):
            axis.hist(defined, bins=np.linspace(0, 1, 21), color=colour, histtype="step", linewidth=1.4)
    axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.set(xlabel="IoU of neighbours", ylabel="Pairs of frames", xlim=(0, 1))
