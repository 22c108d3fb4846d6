"""Figures of scores: example panels, and the analysis of a scored set from its metrics JSON and frame table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import seaborn as sns

from surgseg.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    SKY,
    mark_synthetic,
    new_figure,
    save_figure,
    show_image,
)
from surgseg.files import read_csv
from surgseg.frames import read_frame
from surgseg.labels import VOID, Scheme
from surgseg.masks import read_mask
from surgseg.overlay import Painter

ERRORS = {"correct": (0, 114, 178), "false positive": (230, 159, 0), "missed": (213, 94, 0), "void": (200, 200, 200)}


@dataclass(frozen=True)
class Example:
    """One frame (H, W, 3) with true and predicted class ids (H, W), and the IoU of its instruments (NaN: none)."""

    name: str
    frame: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    iou: float


def read_examples(samples: list, pred_dir: Path, metrics_path: Path, scheme: Scheme, count: int = 5) -> list[Example]:
    """Examples spread over the ranks of per-frame IoU, read from the frames, masks and saved predictions."""
    rows = {row["name"]: row for row in read_csv(metrics_path.with_name(f"{metrics_path.stem}_frames.csv"))}
    scored = [sample for sample in samples if rows[sample.name]["iou"]] or samples
    ranked = sorted(scored, key=lambda sample: float(rows[sample.name]["iou"] or 0))
    ranks = sorted({round(rank) for rank in np.linspace(0, len(ranked) - 1, count)})
    return [
        Example(
            sample.name,
            read_frame(sample.frame),
            read_mask(sample.mask, scheme.num_classes),
            read_mask(pred_dir / f"{sample.name}.png", scheme.num_classes),
            float(rows[sample.name]["iou"] or "nan"),
        )
        for sample in (ranked[rank] for rank in ranks)
    ]


def draw_examples(examples: list[Example], scheme: Scheme, path: Path, *, title: str, synthetic: bool = False) -> Path:
    """A row per example: frame, ground truth, prediction, error map of the instrument union."""
    height, width = examples[0].frame.shape[:2]
    paint = Painter(scheme)
    figure, axes = new_figure(len(examples), 4, size=(7.2, 0.55 + len(examples) * (1.78 * height / width + 0.24)))
    for row, example in zip(axes, examples):
        score = "no instrument" if np.isnan(example.iou) else f"IoU {example.iou:.3f}"
        show_image(row[0], example.frame, example.name)
        show_image(row[1], paint(example.frame, example.truth), "ground truth")
        show_image(row[2], paint(example.frame, example.predicted), f"prediction, {score}")
        show_image(row[3], error_map(example, scheme), "errors")
        for axis in row:
            axis.title.set_fontsize(7.5)
    handles = [_patch(np.array(colour) / 255, name) for name, colour in ERRORS.items()]
    figure.legend(handles=handles, loc="outside lower right", ncols=4, fontsize=8)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    if synthetic:
        mark_synthetic(figure)
    return save_figure(figure, path)


def _patch(colour, name: str):
    from matplotlib.patches import Patch

    return Patch(facecolor=colour, edgecolor="black", linewidth=0.5, label=name)


def error_map(example: Example, scheme: Scheme) -> np.ndarray:
    """(H, W, 3) uint8: dimmed frame with hits, false positives, misses and void of the instrument union."""
    tools = scheme.instrument_ids
    truth, predicted = np.isin(example.truth, tools), np.isin(example.predicted, tools)
    void = example.truth == VOID
    image = (example.frame * 0.35 + 150).astype(np.uint8)
    image[truth & predicted] = ERRORS["correct"]
    image[~truth & predicted & ~void] = ERRORS["false positive"]
    image[truth & ~predicted] = ERRORS["missed"]
    image[void] = ERRORS["void"]
    return image


def draw_comprehensive(metrics: dict[str, Any], frames: list[dict[str, str]], path: Path, *, title: str) -> Path:
    """Confusion matrix (counts, rows normalised), class bars, per-frame IoU, IoU against coverage, IoU per video.

    `metrics` is a metrics JSON, `frames` the rows of its frame table.
    """
    figure, axes = new_figure(2, 3, size=(11.0, 6.6))
    scores = np.array([[float(row[key] or "nan") for key in ("iou", "coverage")] for row in frames])
    _confusion_panels(axes[0, 0], axes[0, 1], metrics)
    _class_bars(axes[0, 2], metrics["classes"])
    _iou_histogram(axes[1, 0], scores[:, 0])
    _iou_against_coverage(axes[1, 1], scores)
    _iou_per_video(axes[1, 2], metrics["per_video"])
    figure.suptitle(title, x=0.01, ha="left")
    if metrics.get("data") == "synthetic":
        mark_synthetic(figure)
    return save_figure(figure, path)


def _confusion_panels(left, right, metrics: dict[str, Any]) -> None:
    names = metrics["confusion"]["classes"]
    counts = np.array(metrics["confusion"]["counts"], float)
    matrix = counts[:-1]
    if metrics["void_policy"] == "background":
        matrix[0] += counts[-1]
    rows = matrix.sum(1, keepdims=True)
    share = np.divide(matrix, rows, out=np.zeros_like(matrix), where=rows > 0)
    size = 10 if len(names) <= 3 else 7 if len(names) <= 8 else 5
    text = np.vectorize(_short)(matrix)
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


def _short(count: float) -> str:
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


def _iou_histogram(axis, iou: np.ndarray) -> None:
    scored = iou[~np.isnan(iou)]
    axis.hist(scored, bins=np.linspace(0, 1, 21), color=BLUE)
    if len(scored):
        axis.axvline(np.median(scored), color=RED, ls="--", label=f"median {np.median(scored):.3f}")
        axis.legend(loc="upper left")
    axis.set(xlabel="IoU of a frame", ylabel="frames", title=f"Per frame ({len(scored)} scored)", xlim=(0, 1))


def _iou_against_coverage(axis, scores: np.ndarray) -> None:
    axis.scatter(100 * scores[:, 1], scores[:, 0], s=10, alpha=0.6, color=BLUE, linewidths=0)
    axis.set(xlabel="true coverage (% of frame)", ylabel="IoU", title="IoU against coverage", ylim=(0, 1.02))


def _iou_per_video(axis, per_video: dict[str, dict]) -> None:
    names = list(per_video)
    values = [np.nan if per_video[name]["iou"] is None else per_video[name]["iou"] for name in names]
    axis.barh(range(len(names)), values, color=BLUE, height=0.7)
    axis.set_yticks(range(len(names)), names, fontsize=9 if len(names) <= 10 else 6)
    for index, value in enumerate(values):
        if not np.isnan(value):
            axis.text(min(value, 0.86) + 0.01, index, f"{value:.3f}", va="center", fontsize=8)
    axis.set_ylim(max(len(names), 4) - 0.5, -0.5)  # first video on top; a few bars stay slim
    axis.set(xlabel="IoU (all pixels of a video)", xlim=(0, 1), title="Per video")
