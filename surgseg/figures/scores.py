"""The analysis of a scored set on one page, from its metrics JSON and its frame table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from surgseg.figures.selection import synthetic_mark
from surgseg.figures.style import BLUE, GREEN, ORANGE, RED, SKY, add_title, new_figure, save_figure
from surgseg.scores.metrics import FRAME_METRICS, square


def draw_comprehensive(metrics: dict[str, Any], frames: list[dict[str, str]], path: Path, *, title: str) -> Path:
    """Draw the confusion matrix (counts, shares), scores of classes and videos, frame metrics, IoU against coverage.

    `metrics` is a metrics JSON, `frames` the rows of its frame table.
    """
    figure, axes = new_figure(3, 2, size=(7.2, 8.8))
    _confusion_panels(axes[0, 0], axes[0, 1], metrics)
    _class_bars(axes[1, 0], metrics["classes"])
    _iou_per_video(axes[1, 1], metrics["per_video"])
    grid = axes[2, 0].get_gridspec()
    for axis in axes[2]:
        axis.remove()
    panels = [name for name in FRAME_METRICS if name in frames[0]]
    lowest = grid[2, :].subgridspec(1, len(panels) + 1)
    for column, name in enumerate(panels):
        _metric_histogram(figure.add_subplot(lowest[column]), _column(frames, name), FRAME_METRICS[name].label)
    _iou_against_coverage(figure.add_subplot(lowest[len(panels)]), _column(frames, "coverage"), _column(frames, "iou"))
    add_title(figure, title, synthetic_mark(metrics.get("data"), metrics.get("weights_data")))
    return save_figure(figure, path)


def _column(frames: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name] or "nan") for row in frames])


def _confusion_panels(left, right, metrics: dict[str, Any]) -> None:
    names = metrics["confusion"]["classes"]
    few = len(names) <= 3
    matrix = square(np.array(metrics["confusion"]["counts"], float), metrics["void_policy"])
    rows = matrix.sum(1, keepdims=True)
    shares = np.divide(matrix, rows, out=np.zeros_like(matrix), where=rows > 0)
    text = np.vectorize(_short_count)(matrix)
    options = {"cmap": "Blues", "cbar": False, "square": True, "xticklabels": names, "yticklabels": names}
    options["annot_kws"] = {"size": 10 if few else 7 if len(names) <= 8 else 5}
    sns.heatmap(np.log10(matrix + 1), annot=text, fmt="", ax=left, **options)
    sns.heatmap(shares, annot=True, fmt=".3f" if few else ".2f", vmin=0, vmax=1, ax=right, **options)
    left.set_title("Confusion (pixels)")
    right.set_title("Confusion (share of true class)")
    for axis in (left, right):
        axis.set(xlabel="predicted", ylabel="true")
        axis.tick_params(axis="x", rotation=0 if few else 90, labelsize=9 if few else 6)
        axis.tick_params(axis="y", rotation=90 if few else 0, labelsize=9 if few else 6)


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
    few = len(classes) <= 3
    axis.set_xticks(range(len(classes)), classes, rotation=0 if few else 90, fontsize=9 if few else 6)
    axis.set(ylim=(0, 1.02), ylabel="score")


def _metric_histogram(axis, values: np.ndarray, label: str) -> None:
    """Draw the histogram of a frame metric, from 0 to 1 or wider where the values need it."""
    defined = values[~np.isnan(values)]
    axis.hist(defined, bins=np.linspace(defined.min(initial=0), defined.max(initial=1), 21), color=BLUE)
    title = f"{len(defined)} frames scored"
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
    axis.set_yticks(range(len(values)), per_video, fontsize=9 if len(values) <= 10 else 6)
    for index, value in enumerate(values):
        if not np.isnan(value):
            axis.text(value + 0.01, index, f"{value:.3f}", va="center", fontsize=8)
    axis.set_ylim(max(len(values), 4) - 0.5, -0.5)  # first video on top; a few bars stay slim
    axis.set(xlabel="IoU (all pixels of a video)", xlim=(0, 1.16), title="Per video")
    axis.set_xticks(np.linspace(0, 1, 6))
