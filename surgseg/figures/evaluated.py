"""Score samples with a trained model, and draw frames spread over their scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from surgseg.checkpoint import Checkpoint
from surgseg.data.dataset import Prepared, Sample
from surgseg.evaluation.samples import evaluate_samples
from surgseg.figures.examples import ImageFiles, write_examples
from surgseg.figures.selection import synthetic_mark
from surgseg.files import read_csv


def evaluate_and_draw(
    checkpoint: Checkpoint,
    samples: list[Sample],
    device: torch.device,
    metrics_path: Path,
    folder: Path,
    *,
    prepared: Prepared,
    pred_dir: Path,
    **options: Any,
) -> tuple[dict[str, Any], list[Path]]:
    """Return the metrics, and the files written: scores, the table beside them, figures in `folder`, predictions.

    The other arguments are those of `evaluate_samples`.
    """
    shared = {"metrics_path": metrics_path, "prepared": prepared, "pred_dir": pred_dir}
    metrics = evaluate_samples(checkpoint, samples, device, **shared, **options)
    table = metrics_path.with_name(f"{metrics_path.stem}_frames.csv")
    files, mark = ImageFiles.of_samples(samples, pred_dir), synthetic_mark(prepared.data)
    said = {"scored": metrics["scored"], "data": prepared.data, "mark": mark}
    figures = write_examples("spread", read_csv(table), files, prepared.scheme, folder, **said)
    return metrics, [metrics_path, table, *figures, pred_dir]
