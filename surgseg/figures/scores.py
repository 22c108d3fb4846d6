"""The analysis of a scored set on one page, from its metrics JSON and frame table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from surgseg.figures.selection import synthetic_mark
from surgseg.figures.style import BLUE, GREEN, ORANGE, RED, SKY, mark_synthetic, new_figure, save_figure
from surgseg.scores.metrics import FRAME_METRICS


def draw_comprehensive(metrics: dict[str, Any], frames: list[dict[str, str]], path: Path, *, title: str) -> Path:
    """Confusion matrix (counts, rows normalised), class bars, IoU per video, each frame metric, IoU against coverage.

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
    figure.suptitle(title, x=0.01, ha="left")
    mark = synthetic_mark(metrics.get("data"), metrics.get("weights_data"))
    if mark:
        mark_synthetic(figure, mark)
    return save_figure(figure, path)


def _column(frames: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name] or "nan") for row in frames])


def _confusion_panels(left, right, metrics: dict[str, Any]) -> None:
    names = metrics["confusion"]["classes"]
    counts = np.array(metrics["confusion"]["counts"], float)
    matrix = counts[:-1]
    if metrics["void_policy"] == "background":
        matrix[0] += counts[-1]
    rows = matrix.sum(1, keepdims=True)
    share = np.divide(matrix, rows, out=np.zeros_like(matrix), where=rows > 0)
    size = 10 if len(names) <= 3 else 7 if len(names) <= 8 else 5
    text = np.vectorize(_short_count)(matrix)
    common = {"cbar": False, "square": True, "xticklabels": names, "yticklabels": names, "annot_kws": {"size": size}}
    sns.heatmap(np.log10(matrix + 1), annot=text, fmt="", cmap="Blues", ax=left, **common)
    left.set_title("Confusion (pixels)")
    sns.heatmap(
        share, annot=True, fmt=".2f" if len(names) > 3 else ".3f", cmap="Blues", vmin=0, vmax=1, ax=right, **common
    )
    right.set_title("Confusion (share of true class)")
    for axis in (left, right):
        axis.set(xlabel="predicted", ylabel="true")
        axis.tick_params(axis="x", rotation=0 if len(names) <= 3 else 90, labelsize=9 if len(names) <= 3 else 6)
        axis.tick_params(axis="y", rotation=90 if len(names) <= 3 else 0, labelsize=9 if len(names) <= 3 else 6)


def _short_count(count: float) -> str:
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= limit:
            return f"{count / limit:.3g}{unit}"
    return f"{count:.0f}"


def _class_bars(axis, classes: dict[str, dict]) -> None:
    names = list(classes)
    keys = {"iou": BLUE, "dice": SKY, "precision": ORANGE, "recall": GREEN}
    for offset, (key, colour) in enumerate(keys.items()):
        values = [np.nan if classes[name][key] is None else classes[name][key] for name in names]
        axis.bar(np.arange(len(names)) + (offset - 1.5) * 0.2, values, 0.2, color=colour, label=key)
    label = ["IoU", "Dice", "precision", "recall"]
    axis.legend(
        label, ncols=4, fontsize=7.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), handlelength=1, columnspacing=0.8
    )
    few = len(names) <= 3
    axis.set_xticks(range(len(names)), names, rotation=0 if few else 90, fontsize=9 if few else 6)
    axis.set(ylim=(0, 1.02), ylabel="score")


def _metric_histogram(axis, values: np.ndarray, label: str) -> None:
    """A frame metric; between 0 and 1 unless its values say otherwise."""
    defined = values[~np.isnan(values)]
    top = max(1.0, float(defined.max(initial=0)))
    axis.hist(defined, bins=np.linspace(min(0.0, float(defined.min(initial=0))), top, 21), color=BLUE)
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
    names = list(per_video)
    values = [np.nan if per_video[name]["iou"] is None else per_video[name]["iou"] for name in names]
    axis.barh(range(len(names)), values, color=BLUE, height=0.7)
    axis.set_yticks(range(len(names)), names, fontsize=9 if len(names) <= 10 else 6)
    for index, value in enumerate(values):
        if not np.isnan(value):
            axis.text(value + 0.01, index, f"{value:.3f}", va="center", fontsize=8)
    axis.set_ylim(max(len(names), 4) - 0.5, -0.5)  # first video on top; a few bars stay slim
    axis.set(xlabel="IoU (all pixels of a video)", xlim=(0, 1.16), title="Per video")
    axis.set_xticks(np.linspace(0, 1, 6))
