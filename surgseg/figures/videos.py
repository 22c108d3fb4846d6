"""Figures of generated folders: what a model found in a video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from surgseg.figures.style import BLACK, BLUE, GRAY, ORANGE, RED, SKY, mark_synthetic, new_figure, save_figure
from surgseg.video.generated import Generated


def draw_mask_statistics(path: Path | str, generated: Generated, statistics: dict, include_suspect: bool) -> Path:
    """Coverage over time, with frames without detection and suspect ones marked, beside coverage's histogram.

    `statistics` is `scores.statistics.detection_statistics`' dict of the frames that count.
    """
    size = (7.5, 3.4)
    figure, axes = new_figure(1, 2, size=size, gridspec_kw={"width_ratios": [2.1, 1]})
    _timeline(axes[0, 0], generated, include_suspect)
    rows = [row for row in generated.rows if include_suspect or not row.suspect]
    _histogram(axes[0, 1], np.array([100 * row.coverage for row in rows]), statistics["coverage"])
    rate, count = statistics["detection_rate"], statistics["frames"]
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.93))  # the line above both panels
    title = f"Instrument found in {rate:.1%} of {count} frame{'s' if count > 1 else ''}"
    figure.text(0.01, 0.985, title, ha="left", va="top", fontsize=11)
    if generated.synthetic:
        mark_synthetic(figure, generated.synthetic)
    return save_figure(figure, path)


def _timeline(axis, generated: Generated, include_suspect: bool) -> None:
    times = np.array([row.time_s for row in generated.rows])
    coverage = np.array([100 * row.coverage for row in generated.rows])
    left_out = np.array([row.suspect and not include_suspect for row in generated.rows])
    absent = (coverage == 0) & ~left_out
    marker = {"marker": "o", "markersize": 3} if len(times) <= 150 else {}
    axis.plot(times, np.where(left_out, np.nan, coverage), color=BLUE, linewidth=1.2, **marker)
    top = max(float(coverage.max()) * 1.08, 1.0)
    low = -0.06 * top  # marks stand below the zero line, clear of the curve
    if absent.any():
        axis.plot(times[absent], np.full(absent.sum(), low), "|", color=RED, markersize=7, label="no instrument")
    if left_out.any():
        axis.plot(
            times[left_out],
            np.full(left_out.sum(), 2 * low),
            "|",
            color=ORANGE,
            markersize=7,
            label="suspect, left out",
        )
    if absent.any() or left_out.any():
        axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncol=2, borderaxespad=0.2, handletextpad=0.2)
    axis.set_ylim(2.6 * low if left_out.any() else 1.7 * low, top)
    axis.axhline(0, color=GRAY, linewidth=0.6)
    axis.set_xlabel("Time in the video (s)")
    axis.set_ylabel("Coverage (% of frame)")


def _histogram(axis, coverage: np.ndarray, spread: dict) -> None:
    top = max(float(coverage.max()), 1.0)
    axis.hist(coverage, bins=np.linspace(0, top, 21), color=SKY)
    axis.axvline(100 * spread["mean"], color=BLACK, linewidth=1.4, label=f"mean {100 * spread['mean']:.2f} %")
    median = 100 * spread["median"]
    axis.axvline(median, color=RED, linewidth=1.4, linestyle="--", label=f"median {median:.2f} %")
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2, handlelength=1.2)
    axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.set_xlabel("Coverage (% of frame)")
    axis.set_ylabel("Frames")
