"""One frame at several thresholds: its masks, a figure for each threshold, curves over all thresholds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from surgseg.analysis.thresholds import threshold_curves, threshold_grid, threshold_label
from surgseg.figures.panels import Panel, draw_single_frame, draw_threshold
from surgseg.generate.folder import MIN_COMPONENT_AREA
from surgseg.labels import Scheme
from surgseg.masks import count_components, write_mask
from surgseg.predict import to_mask


def write_thresholds(
    frame: np.ndarray,
    path: Path,
    probabilities: torch.Tensor,
    scheme: Scheme,
    thresholds: list[float],
    folder: Path,
    *,
    truth: np.ndarray | None,
    mark: str,
) -> tuple[dict, list[Path]]:
    """Write the masks and figures of a frame at each threshold. Return (content of the JSON, files written).

    `frame` (H, W, 3) uint8 RGB, read from `path`. `probabilities` (1, K, H, W). `truth` (H, W) uint8: see
    `threshold_curves`. `mark` is written on the figures.
    """
    thresholds = sorted(set(thresholds))
    grid = threshold_grid(thresholds)
    union = to_mask(probabilities, scheme, 0.5)[1][0].numpy()
    curves = {"thresholds": np.round(grid.astype(np.float64), 6), **threshold_curves(union, grid, truth)}
    marked = [int(np.searchsorted(grid, np.float32(value))) for value in thresholds]
    rows, written = [], []
    for threshold, index in zip(thresholds, marked):
        ids = to_mask(probabilities, scheme, threshold)[0][0].numpy()
        instrument = np.isin(ids, scheme.instrument_ids).astype(np.uint8)
        scores = {name: float(curves[name][index]) for name in ("coverage", "iou", "dice") if name in curves}
        rows.append({"threshold": threshold, "components": count_components(instrument, MIN_COMPONENT_AREA), **scores})
        label = threshold_label(threshold)
        mask_path = folder / "masks" / f"{path.stem}_thresh{label}.png"
        figure_path = folder / f"test_mask_thresh{label}.png"
        write_mask(mask_path, ids, scheme)
        title = f"threshold {threshold:g}: {_words(scores)}"
        draw_threshold(Panel(frame, ids, path.name), scheme, figure_path, title=title, mark=mark)
        written += [mask_path, figure_path]
    overview = folder / "test_single_frame.png"
    draw_single_frame(Panel(frame, ids, path.name), union, curves, marked, overview, mark=mark)
    record = {
        "schema": "surgseg.single_frame/1",
        "frame": path.name,
        "size": list(frame.shape[:2]),
        "min_component_area": MIN_COMPONENT_AREA,
        "thresholds": rows,
        "curves": curves,
    }
    return record, [*written, overview]


def _words(scores: dict[str, float]) -> str:
    """Coverage and, with ground truth, IoU and Dice; n/a if neither mask shows an instrument."""
    text = f"coverage {scores['coverage']:.2%}"
    if "iou" in scores:
        text += f", IoU {scores['iou']:.3f}, Dice {scores['dice']:.3f}".replace("nan", "n/a")
    return text


def thresholds_table(rows: list[dict]) -> str:
    """Return the printed table of the "thresholds" of the JSON."""
    scored = "iou" in rows[0]
    lines = [f"{'Threshold':>9}{'Coverage':>11}{'Components':>12}" + (f"{'IoU':>9}{'Dice':>9}" if scored else "")]
    for row in rows:
        line = f"{row['threshold']:>9g}{row['coverage']:>11.2%}{row['components']:>12}"
        lines.append(line + "".join(f"{row[key]:>9.4f}".replace("nan", "n/a") for key in ("iou", "dice") if key in row))
    return "\n".join(lines)
