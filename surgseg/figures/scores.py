"""The analysis of a scored set on one page, from its metrics JSON and its frame table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from surgseg.figures.selection import synthetic_mark
from surgseg.figures.style import BLUE, GREEN, ORANGE, RED, SKY, add_title, fit_names, new_figure, save_figure
from surgseg.scores.metrics import FRAME_METRICS, square
from surgseg.scores.report import why_undefined


def draw_comprehensive(metrics: dict[str, Any], frames: list[dict[str, str]], path: Path, *, title: str) -> Path:
    """Draw the confusion matrix (counts, shares), scores of classes and videos, frame metrics, IoU against coverage.

    `metrics` is a metrics JSON, `frames` the rows of its frame table.
    """
    few, videos = _few(metrics["classes"]), len(metrics["per_video"])
    matrix = [2.9] if few else [1.3 + 0.24 * len(metrics["classes"])] * 2
    tables = [2.9] if few and videos <= 12 else [2.9, max(1.5, 0.6 + 0.17 * videos)]
    heights = [*matrix, *tables, 2.4]
    figure, _ = new_figure(size=(7.2, 0.6 + sum(heights)))
    figure.clear()
    rows = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    left, right = [figure.add_subplot(place) for place in _places(rows, 0, len(matrix))]
    _confusion_panels(left, right, metrics)
    bars, per_video = [figure.add_subplot(place) for place in _places(rows, len(matrix), len(tables))]
    _class_bars(bars, metrics["classes"])
    _iou_per_video(per_video, metrics["per_video"])
    panels = [name for name in FRAME_METRICS if name in frames[0]]
    *places, last = rows[-1].subgridspec(1, len(panels) + 1)
    for name, place in zip(panels, places):
        _metric_histogram(figure.add_subplot(place), _column(frames, name), FRAME_METRICS[name].label)
    _iou_against_coverage(figure.add_subplot(last), _column(frames, "coverage"), _column(frames, "iou"))
    add_title(figure, title, synthetic_mark(metrics.get("data"), metrics.get("weights_data")), fontsize=10)
    return save_figure(figure, path)


def _few(classes) -> bool:
    """Whether two panels with these classes fit side by side."""
    return len(classes) <= 4


def _places(rows, first: int, count: int) -> list:
    """The places of two panels: side by side in row `first`, or each in a row of its own where `count` is 2."""
    return list(rows[first].subgridspec(1, 2)) if count == 1 else [rows[first], rows[first + 1]]


def _column(frames: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name] or "nan") for row in frames])


def _confusion_panels(left, right, metrics: dict[str, Any]) -> None:
    names = fit_names(metrics["confusion"]["classes"], 24)
    few = _few(names)
    matrix = square(np.array(metrics["confusion"]["counts"], float), metrics["void_policy"])
    rows = matrix.sum(1, keepdims=True)
    shares = np.divide(matrix, rows, out=np.full_like(matrix, np.nan), where=rows > 0)  # NaN, 0 of 0, stays blank
    text = np.vectorize(_short_count)(matrix)
    options = {"cmap": "Blues", "cbar": False, "square": few, "xticklabels": names, "yticklabels": names}
    options["annot_kws"] = {"size": 10 if few else 6.5}
    sns.heatmap(np.log10(matrix + 1), annot=text, fmt="", ax=left, **options)
    sns.heatmap(shares, annot=True, fmt=".3f" if few else ".2f", vmin=0, vmax=1, ax=right, **options)
    left.set_title("Confusion (pixels)")
    right.set_title("Confusion (share of true class)" + "; blank: no true pixel" * bool((rows == 0).any()))
    for axis in (left, right):
        axis.set(xlabel="predicted", ylabel="true")
        axis.tick_params(axis="x", rotation=0 if few else 90, labelsize=9 if few else 7)
        axis.tick_params(axis="y", rotation=90 if few else 0, labelsize=9 if few else 7)
        if few:
            axis.title.set_fontsize(10)


def _short_count(count: float) -> str:
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= limit:
            return f"{count / limit:.3g}{unit}"
    return f"{count:.0f}"


def _class_bars(axis, classes: dict[str, dict]) -> None:
    labels = {"iou": "IoU", "dice": "Dice", "precision": "precision", "recall": "recall"}
    for index, ((key, label), colour) in enumerate(zip(labels.items(), (BLUE, SKY, ORANGE, GREEN))):
        values = np.array([row[key] for row in classes.values()], float)  # None becomes NaN
        axis.bar(np.arange(len(classes)) + (index - 1.5) * 0.2, values, 0.2, color=colour, label=label)
    axis.legend(ncols=4, fontsize=7.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), handlelength=1, columnspacing=0.8)
    few = _few(classes)
    names = fit_names(classes, 12 if few else 24, 2 if few else 1)
    axis.set_xticks(range(len(classes)), names, rotation=0 if few else 90, fontsize=9 if few else 7)
    axis.set(ylim=(0, 1.02), ylabel="score")


def _metric_histogram(axis, values: np.ndarray, label: str) -> None:
    """Draw the histogram of a frame metric, from 0 to 1 or wider where the values need it."""
    defined = values[~np.isnan(values)]
    axis.hist(defined, bins=np.linspace(defined.min(initial=0), defined.max(initial=1), 21), color=BLUE)
    title = f"{len(defined)} of {len(values)} frames"
    if len(defined) < len(values):
        title += " (the others:\nno instrument, or all void)"
    if len(defined):
        axis.axvline(np.median(defined), color=RED, ls="--")
        title += f"\nmedian {np.median(defined):.3f}"
    axis.set(xlabel=f"{label} of a frame", ylabel="frames")
    axis.set_title(title, fontsize=9)
    axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def _iou_against_coverage(axis, coverage: np.ndarray, iou: np.ndarray) -> None:
    axis.scatter(100 * coverage, iou, s=10, alpha=0.6, color=BLUE, linewidths=0)
    axis.set(xlabel="true coverage (% of frame)", ylabel="IoU", ylim=(0, 1.02))
    axis.set_title("IoU against coverage", fontsize=9)


def _iou_per_video(axis, per_video: dict[str, dict]) -> None:
    values = np.array([row["iou"] for row in per_video.values()], float)  # None becomes NaN
    axis.barh(range(len(values)), values, color=BLUE, height=0.7)
    wide = len(values) > 12
    axis.set_yticks(range(len(values)), fit_names(per_video, 40 if wide else 18), fontsize=7 if wide else 8)
    for index, (value, row) in enumerate(zip(values, per_video.values())):
        text = f"n/a: {why_undefined(row)}" if np.isnan(value) else f"{value:.3f}"
        axis.text(np.nan_to_num(value) + 0.01, index, text, va="center", fontsize=7)
    axis.set_ylim(max(len(values), 4) - 0.5, -0.5)  # first video on top; a few bars stay slim
    axis.set(xlabel="IoU (all pixels of a video)", xlim=(0, 1.16), title="Per video")
    axis.set_xticks(np.linspace(0, 1, 6))
